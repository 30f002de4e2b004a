//! Traffic of a gated service: its two listener rules, and which target group serves. Pure.

use std::fmt::Write as _;

use crate::names::TargetGroupArn;

/// Listener rule of the load balancer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenerRule {
    /// ARN of the rule.
    pub arn: String,
    /// Conditions, each in one line: `FIELD: VALUE, VALUE`.
    pub conditions: Vec<String>,
    /// Target groups that it forwards to, with their weights; empty if it does something else.
    pub groups: Vec<(TargetGroupArn, u32)>,
}

impl ListenerRule {
    /// Returns the target group that gets all requests, if one does.
    pub fn serving(&self) -> Option<&TargetGroupArn> {
        let mut served = self.groups.iter().filter(|(_, weight)| *weight > 0);
        match (served.next(), served.next()) {
            (Some((group, _)), None) => Some(group),
            _ => None,
        }
    }

    fn weights(&self) -> String {
        let weights: Vec<String> = self
            .groups
            .iter()
            .map(|(_, weight)| weight.to_string())
            .collect();
        weights.join(" and ")
    }
}

/// Rules of a gated service, as its template has them.
#[derive(Debug, Clone, Copy)]
pub struct GatedRules<'a> {
    /// ARN of the rule for all requests.
    pub production: &'a str,
    /// ARN of the rule for the check.
    pub gate: &'a str,
    /// The two target groups.
    pub groups: [&'a TargetGroupArn; 2],
    /// Target group that the tasks of the running version are in.
    pub serving: &'a TargetGroupArn,
    /// Name and value of the gate's header.
    pub header: (&'a str, &'a str),
}

/// Difference between the listener rules and the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleDrift {
    /// Sentence about the difference.
    pub what: String,
    /// Arguments of `aws elbv2` that correct it; `None` if the rule has to be created again.
    pub remedy: Option<String>,
}

impl GatedRules<'_> {
    /// Compares the listener rules with what ECS leaves after a deployment.
    pub fn drift(&self, found: &[ListenerRule]) -> Option<RuleDrift> {
        let (header, key) = self.header;
        let rules = [
            (
                self.production,
                "ProductionRule",
                "path-pattern: *".to_owned(),
            ),
            (self.gate, "GateRule", format!("{header}: {key}")),
        ];
        for (arn, name, condition) in rules {
            let Some(rule) = found.iter().find(|rule| rule.arn == arn) else {
                return Some(RuleDrift {
                    what: format!("the listener rule `{name}` is gone"),
                    remedy: None,
                });
            };
            let has = |group: &&TargetGroupArn| rule.groups.iter().any(|(one, _)| one == *group);
            if rule.groups.len() != 2 || !self.groups.iter().all(has) {
                let what = format!(
                    "the listener rule `{name}` does not forward to the two target groups of the stack"
                );
                return Some(self.corrected(arn, what));
            }
            if rule.conditions != [condition.as_str()] {
                let found = rule.conditions.join("; ");
                return Some(RuleDrift {
                    what: format!(
                        "the listener rule `{name}` has the condition `{found}`, the template has `{condition}`"
                    ),
                    remedy: Some(format!(
                        "modify-rule --rule-arn {arn} --conditions '{}'",
                        self.condition(name)
                    )),
                });
            }
            if name == "ProductionRule" && rule.serving() != Some(self.serving) {
                let what = match rule.serving() {
                    Some(_) => "all requests go to the target group without tasks".to_owned(),
                    None => format!(
                        "the weights of the listener rule `{name}` are {}, not 100 and 0",
                        rule.weights()
                    ),
                };
                return Some(self.corrected(arn, what));
            }
        }
        None
    }

    fn corrected(&self, arn: &str, what: String) -> RuleDrift {
        let mut groups = String::new();
        for group in self.groups {
            let weight = if group == self.serving { 100 } else { 0 };
            let comma = if groups.is_empty() { "" } else { "," };
            let _ = write!(
                groups,
                "{comma}{{\"TargetGroupArn\":\"{group}\",\"Weight\":{weight}}}"
            );
        }
        let actions =
            format!("[{{\"Type\":\"forward\",\"ForwardConfig\":{{\"TargetGroups\":[{groups}]}}}}]");
        RuleDrift {
            what,
            remedy: Some(format!(
                "modify-rule --rule-arn {arn} --actions '{actions}'"
            )),
        }
    }

    fn condition(&self, name: &str) -> String {
        if name == "ProductionRule" {
            r#"[{"Field":"path-pattern","Values":["*"]}]"#.to_owned()
        } else {
            let (header, key) = self.header;
            format!(
                r#"[{{"Field":"http-header","HttpHeaderConfig":{{"HttpHeaderName":"{header}","Values":["{key}"]}}}}]"#
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(arn: &str, condition: &str, weights: [u32; 2]) -> ListenerRule {
        let [first, second] = weights;
        ListenerRule {
            arn: arn.to_owned(),
            conditions: vec![condition.to_owned()],
            groups: vec![
                (TargetGroupArn::new("first"), first),
                (TargetGroupArn::new("second"), second),
            ],
        }
    }

    fn production(weights: [u32; 2]) -> ListenerRule {
        rule("production", "path-pattern: *", weights)
    }

    fn gate() -> ListenerRule {
        rule("gate", "x-deployer-gate: 0123", [100, 0])
    }

    /// The difference in one line, with its remedy.
    fn drift(found: &[ListenerRule]) -> String {
        let (first, second) = (TargetGroupArn::new("first"), TargetGroupArn::new("second"));
        let rules = GatedRules {
            production: "production",
            gate: "gate",
            groups: [&first, &second],
            serving: &second,
            header: ("x-deployer-gate", "0123"),
        };
        rules.drift(found).map_or_else(
            || "none".to_owned(),
            |drift| format!("{}: {}", drift.what, drift.remedy.unwrap_or_default()),
        )
    }

    #[test]
    fn differences() {
        let other = |rule: ListenerRule, groups: &[(&str, u32)]| ListenerRule {
            groups: groups
                .iter()
                .map(|(name, weight)| (TargetGroupArn::new(*name), *weight))
                .collect(),
            ..rule
        };
        let lines = [
            // As ECS leaves them, and as the template creates them.
            drift(&[production([0, 100]), gate()]),
            drift(&[gate(), production([0, 1])]),
            drift(&[production([50, 50]), gate()]),
            drift(&[production([0, 0]), gate()]),
            drift(&[production([100, 0]), gate()]),
            drift(&[production([0, 100])]),
            drift(&[gate()]),
            drift(&[other(production([0, 0]), &[("second", 1)]), gate()]),
            drift(&[
                other(production([0, 0]), &[("second", 1), ("third", 0)]),
                gate(),
            ]),
            drift(&[other(production([0, 0]), &[]), gate()]),
            drift(&[production([0, 100]), other(gate(), &[("first", 1)])]),
            drift(&[rule("production", "path-pattern: /now", [0, 100]), gate()]),
            drift(&[
                production([0, 100]),
                rule("gate", "x-other: 0123", [100, 0]),
            ]),
        ];
        insta::assert_snapshot!(lines.join("\n"));
    }
}

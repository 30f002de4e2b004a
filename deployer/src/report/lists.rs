//! Text form of plans, histories and other lists.

use std::fmt::Write as _;

use crate::commands::history::{Deployment, History};
use crate::commands::init::Initialized;
use crate::commands::plan::{Plan, PlanAction};
use crate::commands::reviewer::{Access, Reviewing};
use deployment::cost;
use deployment::names::Digest;
use deployment::stack::change::Change;
use deployment::stack::past::End;
use deployment::stack::purpose::Purpose;

/// Formats the files that `init` wrote, and the next steps.
pub(super) fn initialized(project: &Initialized) -> String {
    let mut text = String::new();
    let mut line = |title: &str, value: &str| {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{title:<8} {value}");
    };
    line("wrote", &project.written.join(", "));
    if !project.kept.is_empty() {
        line("uses", &project.kept.join(", "));
    }
    line("stack", project.stack.as_str());
    line(
        "program",
        &format!("{}, of package {}", project.binary, project.package),
    );
    line("port", &format!("{} ({})", project.port, project.port_from));
    line(
        "health",
        &format!("GET {} has to answer 200", project.health_path),
    );
    for edit in &project.edits {
        line("edit", edit);
    }
    for (title, command) in ["next", "then"].into_iter().zip(&project.next) {
        line(title, command);
    }
    text
}

/// Formats a plan as a list.
pub(super) fn plan(plan: &Plan) -> String {
    let action = match plan.action {
        PlanAction::Create => "the stack would be created",
        PlanAction::Recreate => "the stack would be deleted and created again",
        PlanAction::Update => "the stack would be updated",
        PlanAction::Nothing => "nothing would change",
        PlanAction::ContinueRollback => {
            "a rollback that got stuck would be continued; what changes is known only after that"
        }
    };
    let mut text = format!("stack {} ({}): {action}\n", plan.stack, plan.status);
    let short = |digest: &str| {
        let digest = digest.parse::<Digest>();
        digest.map_or_else(|_| "?".to_owned(), |digest| digest.short().to_owned())
    };
    let after = short(&plan.image_after);
    let image = match plan.image_before.as_deref().map(short) {
        Some(before) if before == after => format!("{after}, as now"),
        Some(before) => format!("{before} -> {after}"),
        None => format!("{after}, the first"),
    };
    let _ = writeln!(text, "  image  {image}");
    if let Some(estimate) = &plan.cost_after {
        let _ = writeln!(text, "  cost   {}", estimate.line());
        let before = plan.cost_per_hour_before.filter(|before| *before > 0.0);
        if let (Some(before), Some(after)) = (before, estimate.per_hour()) {
            let _ = writeln!(text, "         {}", cost::difference(before, after));
        }
    }
    if let Some(check) = &plan.check {
        let _ = writeln!(text, "  check  {check}");
    }
    if !plan.tags.is_empty() {
        let tags = plan.tags.iter();
        let tags: Vec<String> = tags.map(|(key, value)| format!("{key}={value}")).collect();
        let _ = writeln!(text, "  tags   {}", tags.join(", "));
    }
    for change in &plan.changes {
        // The mark makes changes that need consent visible without colours.
        let mark = if change.needs_agreement() { "!" } else { " " };
        let _ = writeln!(text, "{mark} {}", change.line());
    }
    if plan.changes.iter().any(Change::needs_agreement) {
        text.push_str(
            "! takes something away that exists: `deployer up` asks first, or wants `--yes`\n",
        );
    }
    text
}

/// Formats the access that reviewers were given, as a table.
pub(super) fn reviewing(reviewing: &Reviewing) -> String {
    let Some(given) = &reviewing.given else {
        return if reviewing.changed {
            "Nobody may look at the deployment any more but those who may anyway.\n".to_owned()
        } else {
            "nothing to end: nobody was given access\n".to_owned()
        };
    };
    let mut text = match &given.access {
        Access::User { .. } => "A reviewer may look at this deployment, and at nothing else.\n",
        Access::Role { .. } => "The role may look at this deployment, and at nothing else.\n",
    }
    .to_owned();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<9} {value}");
    };
    if let Some(url) = &given.sign_in_url {
        row("sign in", url);
    }
    row("account", &given.account);
    match &given.access {
        Access::User { user, password } => {
            // Shown only here: the password is stored nowhere.
            row("user", user);
            row("password", password.reveal());
        }
        Access::Role { role } => row("role", role),
    }
    if let Some(url) = &given.stack_url {
        row("look at", url);
    }
    row("end it", &given.revoke);
    if matches!(given.access, Access::User { .. }) {
        text.push_str(
            "The password is kept nowhere, and not shown again: a new `grant` makes a new one.\n",
        );
    }
    text
}

/// Formats a history as a table.
pub(super) fn history(history: &History) -> String {
    if history.deployments.is_empty() {
        return format!(
            "nothing was deployed: there is no stack {}\n",
            history.stack
        );
    }
    let mut text = format!(
        "{:>8}  {:<12}  {:<20}  {:<8}  {}\n",
        "revision", "image", "started", "by", "ended"
    );
    for deployment in &history.deployments {
        let Deployment {
            revision,
            at,
            purpose,
            end,
            ..
        } = deployment;
        let revision = revision.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let digest = deployment.digest();
        let image = digest.as_ref().map_or("-", Digest::short);
        let purpose = purpose.as_ref().map_or("another", Purpose::as_str);
        let _ = writeln!(
            text,
            "{revision:>8}  {image:<12}  {at:<20}  {purpose:<8}  {}",
            match (end, &deployment.revision) {
                // An operation without a revision has no version that could be in place.
                (End::InPlace, None) => "done".to_owned(),
                _ => end.line(),
            }
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use deployment::stack::change::{PropertyChange, Replacement};

    fn digest(first: char) -> String {
        format!("sha256:{}", first.to_string().repeat(64))
    }

    #[test]
    fn a_plan() {
        let change = |action: &str, logical_id: &str, resource_type: &str, replaced: bool| Change {
            action: action.into(),
            logical_id: logical_id.to_owned(),
            physical_id: Some("name-0123".to_owned()),
            resource_type: resource_type.to_owned(),
            replacement: replaced.then_some(Replacement::True),
            properties: vec![PropertyChange {
                name: "Scheme".to_owned(),
                recreation: Some(if replaced { "Always" } else { "Never" }.into()),
            }],
            causes: None,
        };
        let plan = Plan {
            stack: "clock".parse().unwrap(),
            status: "UPDATE_COMPLETE".to_owned(),
            action: PlanAction::Update,
            changes: vec![
                change("Modify", "Service", "AWS::ECS::Service", false),
                change("Modify", "TaskDefinition", "AWS::ECS::TaskDefinition", true),
                change(
                    "Modify",
                    "LoadBalancer",
                    "AWS::ElasticLoadBalancingV2::LoadBalancer",
                    true,
                ),
                change("Remove", "Alarm", "AWS::CloudWatch::Alarm", false),
            ],
            check: Some("http at /x, status 204".to_owned()),
            tags: [("team".to_owned(), "blue".to_owned())].into(),
            image_before: Some(digest('a')),
            image_after: digest('b'),
            cost_per_hour_before: None,
            cost_after: None,
        };
        insta::assert_snapshot!(super::plan(&plan), @r"
        stack clock (UPDATE_COMPLETE): the stack would be updated
          image  aaaaaaaaaaaa -> bbbbbbbbbbbb
          check  http at /x, status 204
          tags   team=blue
          change service (Service): Scheme
          replace task definition (TaskDefinition), because of Scheme
        ! replace load balancer (LoadBalancer), because of Scheme
        ! remove alarm (Alarm)
        ! takes something away that exists: `deployer up` asks first, or wants `--yes`
        ");
    }

    #[test]
    fn a_history() {
        let deployment = |revision: Option<u64>, end: End| Deployment {
            revision,
            image: revision.map(|_| format!("registry.example/clock@{}", digest('a'))),
            at: "2026-11-24T10:00:00Z".to_owned(),
            purpose: revision.map(|_| Purpose::Up),
            end,
        };
        let history = History {
            stack: "clock".parse().unwrap(),
            deployments: vec![
                deployment(Some(12), End::InPlace),
                deployment(
                    None,
                    End::Failed {
                        cause: Some("service (Service): no capacity".to_owned()),
                    },
                ),
                deployment(Some(3), End::TakenBack),
                deployment(None, End::InPlace),
            ],
        };
        insta::assert_snapshot!(super::history(&history), @"
        revision  image         started               by        ended
              12  aaaaaaaaaaaa  2026-11-24T10:00:00Z  up        in place
               -  -             2026-11-24T10:00:00Z  another   failed: service (Service): no capacity
               3  aaaaaaaaaaaa  2026-11-24T10:00:00Z  up        rolled back: it did not work
               -  -             2026-11-24T10:00:00Z  another   done
        ");
    }
}

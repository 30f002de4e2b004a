//! Listener rules of a gated service: compared with what ECS leaves, before an update.

use super::Deployer;
use crate::explain::{aws_command, command_line_with};
use crate::pollers::ServiceNames;
use aws::remote::{Remote, World};
use deployment::error::{Failure, FailureKind};
use deployment::rollout::Target;
use deployment::rollout::traffic::{GatedRules, ListenerRule, RuleDrift};
use deployment::stack::Observed;
use deployment::stack::request::Wanted;
use deployment::template;

/// Listener rules of a gated service, by their names in the template.
pub(crate) struct Rules {
    pub(crate) production: (String, Option<ListenerRule>),
    pub(crate) gate: (String, Option<ListenerRule>),
}

impl Rules {
    /// Reads the rules. Returns `None` if the stack has none.
    pub(crate) async fn of(world: &dyn World, stack: &Observed) -> Remote<Option<Self>> {
        let resources = world.resources(&stack.id).await?;
        let arn = |name: &str| {
            let mut resources = resources.iter();
            let resource = resources.find(|resource| resource.logical_id == name)?;
            resource.physical_id.clone()
        };
        let (Some(production), Some(gate)) = (arn("ProductionRule"), arn("GateRule")) else {
            return Ok(None);
        };
        Ok(Some(Self {
            production: (production.clone(), world.listener_rule(&production).await?),
            gate: (gate.clone(), world.listener_rule(&gate).await?),
        }))
    }
}

impl Deployer<'_> {
    /// Fails if the listener rules are not as ECS left them. ECS and CloudFormation would both build
    /// on what somebody else has set.
    pub(super) async fn expect_rules(
        &self,
        stack: &Observed,
        wanted: &Wanted,
    ) -> Result<(), Failure> {
        let failed = |error| self.context.remote_failure(&error);
        // Without a gate, the new template has no such rules: CloudFormation deletes them.
        if !template::is_gated(wanted.template.text()) {
            return Ok(());
        }
        let names = ServiceNames::of_stack(stack).ok();
        let Some((names, other)) = names.and_then(|names| {
            let other = names.other_target_group.clone()?;
            Some((names, other))
        }) else {
            return Ok(());
        };
        let Some(rules) = Rules::of(self.world, stack).await.map_err(failed)? else {
            return Ok(());
        };
        // The tasks show which group serves. Those of the previous version may still drain.
        let mut in_use = Vec::new();
        for group in [&names.target_group, &other] {
            let targets = self.world.targets(group).await.map_err(failed)?;
            if targets.iter().any(Target::is_healthy) {
                in_use.push(group);
            }
        }
        let production = rules.production.1.as_ref();
        let serving = match in_use.as_slice() {
            [only] => *only,
            // No tasks tell: the weights have to be those of one group, whichever it is.
            _ => production
                .and_then(ListenerRule::serving)
                .unwrap_or(&names.target_group),
        };
        let expected = GatedRules {
            production: &rules.production.0,
            gate: &rules.gate.0,
            groups: [&names.target_group, &other],
            serving,
            header: (template::GATE_HEADER, stack.id.unique()),
        };
        let found: Vec<ListenerRule> = [rules.production.1.clone(), rules.gate.1.clone()]
            .into_iter()
            .flatten()
            .collect();
        let Some(drift) = expected.drift(&found) else {
            return Ok(());
        };
        // A deployment that somebody has started meanwhile moves the weights. It is waited for, or
        // superseded, like any other.
        let active = self
            .world
            .active_deployments(&names.cluster, &names.service);
        if active.await.map_err(failed)?.is_empty() {
            Err(self.drifted(drift))
        } else {
            Ok(())
        }
    }

    fn drifted(&self, drift: RuleDrift) -> Failure {
        let config = self.context.config;
        let strategy = format!("--strategy {} --yes", config.settings.strategy.name());
        let failure = Failure::new(
            FailureKind::Stuck,
            format!(
                "somebody changed the load balancer by hand: {}; nothing was changed",
                drift.what
            ),
        );
        match drift.remedy {
            Some(arguments) => failure.hint(format!(
                "set it right: `{}`, then the same command",
                aws_command(config, &format!("elbv2 {arguments}"))
            )),
            None => failure.hint(format!(
                "have the stack make it again: `{}`, then `{}`",
                command_line_with(config, "up", "--strategy rolling --yes"),
                command_line_with(config, "up", &strategy)
            )),
        }
    }
}

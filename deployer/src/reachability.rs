//! Reachability of the running service from this machine. A service that cannot be reached cannot
//! be checked from here.

use clock::Kind;
use tokio::time::sleep;

use crate::checks::public_url;
use crate::cli::CheckFrom;
use crate::config::Config;
use crate::context::Context;
use crate::explain::command_line;
use crate::pollers::{Check, ExternalCheck, PublicUrl, ServiceNames};
use aws::remote::World;
use deployment::error::{Aftermath, Failure, FailureKind};
use deployment::rollout::all_healthy;
use deployment::stack::Observed;
use deployment::stack::template_names::OutputName;

/// Number of requests that must fail before the service counts as unreachable: a single one may be
/// lost.
const TRIES: u32 = 3;

/// Properties that stay unproven if a deployment was not checked from outside.
pub(crate) const UNPROVEN: &str = "that the service can be reached, that all tasks run this version, and that their clocks are right";

/// Result of the reachability check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Requests arrive at the service, whatever it answers.
    Open,
    /// No request arrives, although the load balancer reports all targets healthy.
    Closed {
        /// Address of the service.
        url: String,
        /// Reason why no request arrives.
        cause: String,
        /// Target health as the load balancer reports it.
        health: String,
    },
    /// No conclusion is possible, for this reason.
    Unknown(&'static str),
}

impl Context<'_> {
    /// Checks whether requests arrive at the running version.
    ///
    /// A missing answer is conclusive only if the load balancer reports all targets healthy.
    /// Otherwise the service itself may be at fault.
    pub(crate) async fn reach(
        &self,
        world: &dyn World,
        outside: &(dyn ExternalCheck + '_),
        stack: &Observed,
    ) -> Reach {
        let names = ServiceNames::of_stack(stack);
        let (Some(_), Ok(names), Some(url)) = (stack.image(), names, stack.output(OutputName::Url))
        else {
            return Reach::Unknown("no version runs yet");
        };
        let Ok(url) = public_url(self.config, url) else {
            return Reach::Unknown("the stack's output `Url` cannot be checked");
        };
        let targets = names.targets(world).await;
        let Some(health) = targets.ok().as_deref().and_then(all_healthy) else {
            // Without healthy targets, missing responses are the service's fault and prove nothing.
            return Reach::Unknown("the load balancer does not call all targets healthy");
        };
        let Some(check) = self.first_check(&url) else {
            return Reach::Unknown("there is nothing to ask");
        };
        let mut cause = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                sleep(self.config.access.pace.poll).await;
            }
            match outside.knock(&check.url.target, &check.settings).await {
                // Any failure after the connection was made proves that the service can be reached.
                Err(failure) if failure.never_arrived() => cause = failure.to_string(),
                Ok(()) | Err(_) => return Reach::Open,
            }
        }
        Reach::Closed {
            url: url.shown,
            cause,
            health,
        }
    }

    /// Fails if the running version is healthy but cannot be reached from here.
    ///
    /// The next version could not be checked either, and would be taken for broken.
    pub(crate) async fn expect_a_way(
        &self,
        world: &dyn World,
        outside: &(dyn ExternalCheck + '_),
        stack: &Observed,
        command: &str,
    ) -> Result<(), Failure> {
        // Nothing is checked from this machine then.
        if self.config.check_from == CheckFrom::TargetHealth {
            return Ok(());
        }
        // Unanswered requests run into their timeouts, so Ctrl-C must work meanwhile.
        let reach = self.unless_cancelled(async { Ok(self.reach(world, outside, stack).await) });
        match reach.await? {
            Reach::Open | Reach::Unknown(_) => Ok(()),
            Reach::Closed { url, cause, health } => {
                let failure = Failure::preflight(format!(
                    "{url} cannot be reached from this machine, so no deployment could be checked; nothing was changed"
                ));
                Err(remedies(self.config, command)
                    .into_iter()
                    .fold(failure.because(cause), Failure::hint)
                    .with_evidence([health]))
            }
        }
    }

    /// Returns the failure for a deployment that is healthy as the load balancer has it, but could
    /// not be checked from here.
    pub(crate) fn unproven(
        &self,
        url: &PublicUrl,
        check: Option<&Check>,
        cause: &str,
        health: String,
    ) -> Failure {
        let asked = check.map_or(&url.shown, |check| &check.url.shown);
        let url = &url.shown;
        let how = match check.map(Check::kind) {
            Some(Kind::Http) => "--kind http".to_owned(),
            Some(Kind::Clock) | None => {
                format!("--expect-instances {}", self.config.service.tasks)
            }
        };
        let failure = Failure::new(
            FailureKind::Unproven,
            format!("{url} cannot be reached from this machine, so the new version stays unproven"),
        )
        .leaving(Aftermath::LeftAsIs, "; it was not rolled back")
        .because(cause)
        .with_evidence([health, format!("not proven: {UNPROVEN}")])
        .hint(format!("check it from elsewhere: `checker {how} {asked}`"));
        remedies(self.config, "up")
            .into_iter()
            .fold(failure, Failure::hint)
    }
}

/// Returns hints for a service that cannot be reached.
pub(crate) fn remedies(config: &Config, command: &str) -> Vec<String> {
    let command = command_line(config, command);
    let proxy = format!("or check through a proxy: `{command} --check-proxy http://HOST:PORT`");
    let mut remedies = vec![
        "open the way from this machine: the name has to be resolved, and the load balancer's port reached".to_owned(),
    ];
    // Requests to this machine never use a proxy.
    remedies.extend((!config.access.local).then_some(proxy));
    remedies.push(format!(
        "or rely on the load balancer's health checks, which prove neither version nor clock: `{command} --check target-health`"
    ));
    remedies
}

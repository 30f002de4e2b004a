//! `deployer doctor`: checks that everything `up` needs is in place, and suggests fixes. Prints one
//! line per check.
//!
//! ```text
//! environment: reads facts concurrently ─► judge: pure ─► Diagnosis ─► report
//! ```
//!
//! Nothing is deployed. The only thing it creates is a service-linked role that the account lacks.

mod clock;
mod environment;
mod judge;

#[cfg(test)]
mod tests;

use super::{CommandResult, Done, Execute};
use crate::cli::{Builder, ServiceOptions};
use crate::config::Overrides;
use crate::pollers::LogReader;
use async_trait::async_trait;
use clap::Args;
use deployment::event::{Silent, Sink};
use serde::Serialize;

use crate::context::{Connection, Context};
use crate::local::Presence;
use crate::reachability::Reach;
use crate::service_linked_roles::{RoleOf, make_sure};
use deployment::error::{Failure, FailureKind};
use environment::{Environment, LocalEnvironment};

/// Settings of `doctor`.
#[derive(Debug, Default, Args)]
pub struct Doctor {
    /// The service.
    #[command(flatten)]
    pub service_options: ServiceOptions,
}

#[async_trait(?Send)]
impl Execute for Doctor {
    fn overrides(&self) -> Overrides {
        Overrides {
            service: self.service_options.clone(),
            ..Overrides::default()
        }
    }

    async fn execute(&self, context: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        // The diagnosis is the only output. Events of the checks would interleave with it.
        let quiet = Sink::new(Box::new(Silent));
        let context = Context {
            sink: &quiet,
            ..context
        };
        Ok(done(run(context).await))
    }

    fn without_settings(&self, failure: Failure) -> Result<Done, Failure> {
        // A usage error is about this command line, not about the configuration.
        if failure.kind == FailureKind::Usage {
            return Err(failure);
        }
        Ok(done(without_settings(&failure)))
    }
}

/// Returns the exit code of a failed preflight if an error was found.
fn done(diagnosis: Diagnosis) -> Done {
    let exit_code = if diagnosis.ready {
        0
    } else {
        FailureKind::Preflight.exit_code()
    };
    Done {
        exit_code,
        ..Done::with(CommandResult::Diagnosis(diagnosis))
    }
}

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// No problem.
    Ok,
    /// Problem that does not prevent a deployment.
    Warning,
    /// Problem that makes `up` fail.
    Error,
    /// Check that was not made, because it depends on another one.
    Skipped,
}

impl Level {
    /// Returns the level in one word.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Skipped => "skipped",
        }
    }
}

/// Finding of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Finding {
    /// Subject of the check.
    pub check: &'static str,
    /// Result of the check.
    pub level: Level,
    /// Description of what was found.
    pub found: String,
    /// Remedies. Commands are between backticks.
    pub remedies: Vec<String>,
}

/// Findings of all checks, as one object in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Diagnosis {
    /// Set if there is no error.
    pub ready: bool,
    /// Findings, in reading order.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    fn of(findings: Vec<Finding>) -> Self {
        Self {
            ready: findings.iter().all(|one| one.level != Level::Error),
            findings,
        }
    }

    /// Returns the number of checks with this result.
    pub fn count(&self, level: Level) -> usize {
        self.findings
            .iter()
            .filter(|one| one.level == level)
            .count()
    }
}

/// Returns the diagnosis if the settings cannot be read.
pub fn without_settings(failure: &Failure) -> Diagnosis {
    let rest = Finding {
        check: "the rest",
        level: Level::Skipped,
        found: "not looked at: it depends on the configuration".to_owned(),
        remedies: Vec::new(),
    };
    Diagnosis::of(vec![judge::failed("configuration", failure), rest])
}

/// Runs all checks on this host.
pub async fn run(context: Context<'_>) -> Diagnosis {
    examine(context, &LocalEnvironment).await
}

/// Runs all checks. Independent ones run concurrently.
async fn examine(context: Context<'_>, environment: &dyn Environment) -> Diagnosis {
    let config = context.config;
    let template = environment.template(context);
    let on_aws = async {
        if config.access.local {
            // The emulator needs the engine, but each has its own remedy, so both are reported.
            let (engine, presence) =
                tokio::join!(environment.engine(context), environment.emulator(context));
            let local = vec![judge::engine(&engine), judge::emulator(&presence)];
            // A check must not start the emulator.
            let connected = match presence {
                Ok(Presence::Running { .. }) => Some(environment.connect(context).await),
                Ok(Presence::Absent) | Err(_) => None,
            };
            return (
                local,
                ask(context, environment, template.as_ref(), connected).await,
            );
        }
        // The clock is judged without credentials, because AWS refuses those if it is wrong.
        let (clock, asked) = tokio::join!(environment.clock(context), async {
            let connected = environment.connect(context).await;
            ask(context, environment, template.as_ref(), Some(connected)).await
        });
        (vec![clock::judge(&clock)], asked)
    };
    let image = examine_image(context, environment);
    let (image, (around, asked)) = tokio::join!(image, on_aws);
    let mut findings = vec![
        judge::configuration(config),
        judge::template(config, template.as_ref()),
    ];
    findings.extend(image);
    findings.push(judge::folders(&environment.folders(context)));
    findings.extend(around);
    findings.extend(asked);
    Diagnosis::of(findings)
}

/// Checks the build and its tools, or the existing image.
async fn examine_image(context: Context<'_>, environment: &dyn Environment) -> Vec<Finding> {
    let config = context.config;
    if !config.image.is_built() {
        return vec![judge::image(config, environment.dockerfile(context).await)];
    }
    if config.image.builder == Builder::Docker {
        let toolchain = environment.toolchain(context).await;
        let dockerfile = environment.dockerfile(context).await;
        return vec![
            judge::toolchain(config, &toolchain),
            judge::dockerfile(config, dockerfile),
        ];
    }
    let (toolchain, program) =
        tokio::join!(environment.toolchain(context), environment.program(context));
    let dockerfile = environment.dockerfile(context).await;
    let (program, dockerfile) = match (&program, dockerfile) {
        (Err(_), Err(_)) => (
            judge::program(&program),
            judge::skipped("dockerfile", "it depends on the program"),
        ),
        // Docker builds the image, or it has only files of the build context.
        (Err(_), remarks) => (
            judge::skipped("program", "the Dockerfile needs no program of cargo"),
            judge::dockerfile(config, remarks),
        ),
        (Ok(_), remarks) => (judge::program(&program), judge::dockerfile(config, remarks)),
    };
    vec![judge::toolchain(config, &toolchain), program, dockerfile]
}

/// Runs the checks that need AWS or the emulator. `connected` is `None` if the emulator is not
/// running.
async fn ask(
    context: Context<'_>,
    environment: &dyn Environment,
    template: Result<&String, &Failure>,
    connected: Option<Result<Connection, Failure>>,
) -> Vec<Finding> {
    let local = context.config.access.local;
    let connection = match connected {
        Some(Ok(connection)) => connection,
        Some(Err(failure)) => {
            let mut findings = vec![judge::failed("credentials", &failure)];
            findings.extend(judge::not_asked("there is no connection to AWS", local));
            return findings;
        }
        None => {
            let why = "the emulator does not run: `deployer up --local` starts it";
            let mut findings = vec![judge::skipped("credentials", why)];
            findings.extend(judge::not_asked(why, local));
            return findings;
        }
    };
    let world = connection.world.as_ref();
    let declared = async {
        match template {
            Ok(template) => Some(world.validate(template).await),
            Err(_) => None,
        }
    };
    // The roles are created if they are missing: the first deployment in an account needs them.
    let roles = async {
        // The emulator needs no service-linked roles.
        if local {
            return Vec::new();
        }
        let (ecs, balancing) = tokio::join!(
            make_sure(world, RoleOf::Ecs),
            make_sure(world, RoleOf::LoadBalancing)
        );
        vec![
            judge::role(RoleOf::Ecs, &ecs),
            judge::role(RoleOf::LoadBalancing, &balancing),
        ]
    };
    let reach = async {
        let stack = world.observe((&context.config.stack).into()).await;
        let stack = stack.map_err(|error| context.remote_failure(&error))?;
        Ok(match stack {
            Some(stack) => context.reach(world, environment.outside(), &stack).await,
            None => Reach::Unknown("no version runs yet"),
        })
    };
    let secrets = async {
        match context.local_values() {
            Ok(values) => context.missing_secrets(world, &values).await,
            Err(failure) => (Some(failure), Vec::new()),
        }
    };
    let (declared, roles, reach, secrets) = tokio::join!(declared, roles, reach, secrets);
    // In reading order, whichever check finished first.
    let mut findings = vec![judge::credentials(
        context.config,
        &connection,
        chrono::Utc::now(),
    )];
    findings.extend(judge::validation(
        context.config,
        declared.as_ref().map(Result::as_ref),
    ));
    findings.extend(judge::secrets(context.config, secrets));
    findings.extend(roles);
    findings.push(judge::reach(context.config, reach));
    findings
}

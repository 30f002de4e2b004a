//! Context of a command: settings, events, cancellation, and the connection to AWS.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cancellation::CancellationToken;
use crate::config::{self, Config};
use crate::local::{Emulator, Presence};
use crate::poll::{self, Outcome, Poller, Terms};
use crate::pollers::ServiceNames;
use crate::retry::Retrying;
use aws::Aws;
use aws::access::Access;
use aws::remote::{Caller, Identity as _, RemoteError, RemoteErrorKind, World};
use deployment::error::{Failure, FailureKind};
use deployment::event::{Event, Sink};
use deployment::names::RequestToken;
use deployment::stack::Observed;
use deployment::stack::purpose::Purpose;
use deployment::stack::template_names::OutputName;

/// Logical name of the image repository in the template.
pub(crate) const REPOSITORY: &str = "Repository";

/// Context that every command runs in.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Settings of this run, resolved once.
    pub config: &'a Config,
    /// Receiver of events, which passes them to the reporter.
    pub sink: &'a Sink,
    /// Token that is cancelled by Ctrl-C and SIGTERM.
    pub cancellation: &'a CancellationToken,
}

impl Context<'_> {
    /// Warns of settings that the emulator does not support, and of questionable ones.
    pub(crate) fn warn_of_settings(&self) {
        for remark in &self.config.remarks {
            self.sink.warn(remark.clone());
        }
        for what in &self.config.left_out {
            self.sink
                .warn(format!("the emulator does not know {what}: left out"));
        }
    }

    /// Polls until the subject completes. A timeout and a cancellation are failures.
    pub(crate) async fn poll_to_end<S: Poller>(&self, subject: &mut S) -> Result<S::End, Failure> {
        match self.poll_for(subject, self.config.timeout).await? {
            Outcome::Completed(end) => Ok(end),
            Outcome::TimedOut => Err(self.timed_out()),
            Outcome::Cancelled => Err(Failure::interrupted()),
        }
    }

    /// Polls until the subject completes, for at most `limit`.
    pub(crate) async fn poll_for<S: Poller>(
        &self,
        subject: &mut S,
        limit: Duration,
    ) -> Result<Outcome<S::End>, Failure> {
        let terms = Terms {
            pace: self.config.access.pace,
            deadline: Instant::now() + limit,
            cancellation: Some(self.cancellation),
        };
        // An operation is in progress: `Preflight` would wrongly claim that nothing was changed.
        poll::to_end(subject, terms, self.sink)
            .await
            .map_err(|error| self.remote_failure_under_way(&error))
    }

    /// Runs `work` unless a cancellation comes first.
    pub(crate) async fn unless_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            // A cancellation wins over a result that is ready at the same time.
            biased;
            () = self.cancellation.cancelled() => Err(Failure::interrupted()),
            result = work => result,
        }
    }

    /// Returns the same context without cancellation, for rollbacks, which always run to their end.
    pub(crate) fn uncancellable(self) -> Self {
        // Shared by all calls, because the context only holds a reference. Nothing ever cancels it.
        static NEVER: std::sync::OnceLock<CancellationToken> = std::sync::OnceLock::new();
        Self {
            cancellation: NEVER.get_or_init(CancellationToken::default),
            ..self
        }
    }

    /// Returns the failure of an operation that was undone after its timeout.
    pub(crate) fn overdue(&self, what: &str) -> Failure {
        Failure::new(
            FailureKind::RolledBack,
            format!(
                "{what} did not end within {} s",
                self.config.timeout.as_secs()
            ),
        )
        .hint("allow more time: `--timeout 1h`")
    }

    pub(crate) fn timed_out(&self) -> Failure {
        Failure::new(
            FailureKind::Busy,
            format!(
                "the operation did not end within {} s",
                self.config.timeout.as_secs()
            ),
        )
        .hint("it continues: run the same command again to resume, or `deployer status` to see it")
        .hint("allow more time: `--timeout 1h`")
    }

    /// Converts the permanent error of a remote call to the failure of a command.
    pub(crate) fn remote_failure(&self, error: &RemoteError) -> Failure {
        remote_failure(&self.config.access, error)
    }

    /// Converts an error while an operation is in progress. The failure does not claim that nothing
    /// was changed.
    pub(crate) fn remote_failure_under_way(&self, error: &RemoteError) -> Failure {
        let failure = match error.kind {
            RemoteErrorKind::Credentials => self
                .remote_failure(error)
                .hint("the operation continues: run the same command again to resume"),
            RemoteErrorKind::Unreachable
            | RemoteErrorKind::Untrusted
            | RemoteErrorKind::Throttled
            | RemoteErrorKind::Server
            | RemoteErrorKind::Denied
            | RemoteErrorKind::NotFound
            | RemoteErrorKind::Refused => self.remote_failure(error),
        };
        let kind = if failure.kind == FailureKind::Preflight {
            FailureKind::Unexpected
        } else {
            failure.kind
        };
        Failure { kind, ..failure }
    }
}

/// Returns a hint for acknowledging the capabilities that CloudFormation requires.
pub(crate) fn capability_hint(message: &str) -> String {
    // CloudFormation names the missing capabilities only in its message.
    let named = config::CAPABILITIES
        .iter()
        .filter(|name| message.contains(*name));
    let named: Vec<String> = named.map(|name| format!("\"{name}\"")).collect();
    format!(
        "if the template may do that, acknowledge it in `deployer.toml`: `capabilities = [{}]`",
        named.join(", ")
    )
}

// A proxy that replaces certificates gets an explanation of its own.
pub(crate) fn remote_failure(access: &Access, error: &RemoteError) -> Failure {
    if error.kind == RemoteErrorKind::Untrusted {
        return aws::trust::untrusted(&error.to_string());
    }
    let busy = error.is_conflict();
    let (kind, message) = match error.kind {
        RemoteErrorKind::Credentials => (
            FailureKind::Preflight,
            "the AWS credentials are not accepted",
        ),
        RemoteErrorKind::Denied => (
            FailureKind::Preflight,
            "these AWS credentials may not do what is needed",
        ),
        RemoteErrorKind::Refused | RemoteErrorKind::NotFound if busy => (
            FailureKind::Busy,
            "another operation is under way on the stack",
        ),
        RemoteErrorKind::Refused | RemoteErrorKind::NotFound => {
            (FailureKind::Preflight, "AWS refuses the request")
        }
        RemoteErrorKind::Unreachable
        | RemoteErrorKind::Untrusted
        | RemoteErrorKind::Throttled
        | RemoteErrorKind::Server => (FailureKind::Unexpected, "AWS does not answer"),
    };
    let failure = Failure::new(kind, message).because(error);
    match (error.kind, &access.endpoint_url) {
        // Comes first, because new credentials would be refused as well.
        (RemoteErrorKind::Credentials | RemoteErrorKind::Refused, _) if error.is_clock_skew() => {
            // AWS rejects signatures that are more than five minutes off.
            failure.hint("is this machine's clock right? `deployer doctor` looks")
        }
        (RemoteErrorKind::Credentials, _) => match access.found.get() {
            Some(found) => {
                let failure = failure.hint(found.origin.renewal());
                if !may_be_switched_off(&found.region, error) {
                    return failure;
                }
                failure.hint(format!(
                    "or is region {0} not enabled for this account? `aws account get-region-opt-status --region-name {0}`",
                    found.region
                ))
            }
            None => failure,
        },
        (RemoteErrorKind::Unreachable, Some(url)) => {
            failure.hint(format!("is {url} the right endpoint, and does it run?"))
        }
        (RemoteErrorKind::Unreachable, None) => {
            failure.hint("is the network up, and the region spelled right?")
        }
        (RemoteErrorKind::Refused | RemoteErrorKind::NotFound, _) if busy => {
            failure.hint("wait for it: run the same command again")
        }
        (RemoteErrorKind::Refused, _) if error.lacks_capabilities() => {
            failure.hint(capability_hint(&error.message))
        }
        _ => failure,
    }
}

/// Regions that are enabled in every account.
///
/// Regions launched after March 2019 must be enabled first. Until then, they answer calls as if the
/// credentials did not exist.
pub(crate) const ALWAYS_ENABLED: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// Returns whether credentials may be refused only because the region is not enabled.
pub(crate) fn may_be_switched_off(region: &str, error: &RemoteError) -> bool {
    error.is_unknown_client() && !ALWAYS_ENABLED.contains(&region)
}

impl Context<'_> {
    /// Returns whether the command targets the emulator and the emulator does not run.
    pub(crate) async fn emulator_is_absent(&self) -> Result<bool, Failure> {
        match emulator(self.config)? {
            Some(emulator) => Ok(emulator.presence(self.sink).await? == Presence::Absent),
            None => Ok(false),
        }
    }
}

/// Stack that has a service.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) stack: Observed,
    pub(crate) names: ServiceNames,
}

impl Context<'_> {
    /// Fails if the command targets the emulator and the emulator does not run.
    pub(crate) async fn require_emulator(&self) -> Result<(), Failure> {
        if self.emulator_is_absent().await? {
            return Err(Failure::preflight("the emulator does not run")
                .hint("`deployer up --local` starts it, and the service"));
        }
        Ok(())
    }

    /// Returns the stack; fails if it does not exist.
    pub(crate) async fn require_stack(&self, world: &dyn World) -> Result<Observed, Failure> {
        let name = &self.config.stack;
        self.observe(world).await?.ok_or_else(|| {
            Failure::preflight(format!("there is no stack `{name}`"))
                .hint("`deployer up` makes it; is this the right account, region and `--stack`?")
        })
    }

    /// Returns the stack and the names of its service; fails if either does not exist.
    pub(crate) async fn require_service(&self, world: &dyn World) -> Result<Running, Failure> {
        let stack = self.require_stack(world).await?;
        match ServiceNames::of_stack(&stack) {
            Ok(names) => Ok(Running { stack, names }),
            Err(output) => Err(Failure::preflight(format!(
                "the stack `{}` has no service",
                self.config.stack
            ))
            .because(format!(
                "it is {}, without the output `{output}`",
                stack.status
            ))
            .hint("`deployer up` deploys one")),
        }
    }
}

/// Returns the emulator that `--local` selects, or `None` on AWS.
pub(crate) fn emulator(config: &Config) -> Result<Option<Emulator>, Failure> {
    match &config.access.endpoint_url {
        Some(endpoint) if config.access.local => {
            Emulator::new(endpoint, std::env::var("DOCKER_HOST").ok()).map(Some)
        }
        _ => Ok(None),
    }
}

/// Connection to AWS or to the emulator.
pub(crate) struct Connection {
    pub(crate) world: Arc<dyn World>,
    pub(crate) caller: Caller,
    pub(crate) region: String,
    pub(crate) endpoint: Option<String>,
}

impl Connection {
    /// Reports the identity of the caller.
    pub(crate) fn announced(self, sink: &Sink) -> Self {
        sink.send(&Event::Identified {
            account: self.caller.account.clone(),
            arn: self.caller.arn.clone(),
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
        });
        self
    }
}

/// Connects and determines the identity of the caller.
pub(crate) async fn connect(context: Context<'_>) -> Result<Connection, Failure> {
    let access = &context.config.access;
    let key = access.endpoint_url.as_ref();
    let key = access.local.then(|| crate::local::access_key(key));
    let aws = Aws::connect(access, key).await?;
    let region = aws.region().to_owned();
    let endpoint = aws.endpoint().map(str::to_owned);
    let world = Retrying::new(aws, access.pace, context.sink.clone());
    let caller = world
        // The first call also proves that the credentials and the endpoint work.
        .caller()
        .await
        .map_err(|error| context.remote_failure(&error))?;
    // Before any other call: nothing may be read or changed in the wrong account.
    refuse_other_account(context.config, &caller)?;
    Ok(Connection {
        region,
        world: Arc::new(world),
        caller,
        endpoint,
    })
}

/// Fails if the credentials belong to another account than the configured one. The emulator's
/// account does not count.
pub(crate) fn refuse_other_account(config: &Config, caller: &Caller) -> Result<(), Failure> {
    let Some(account) = config.account.as_ref().filter(|_| !config.access.local) else {
        return Ok(());
    };
    if *account == caller.account {
        return Ok(());
    }
    Err(Failure::preflight(format!(
        "the credentials are of account {}, not of {account}",
        caller.account
    ))
    .because(format!("they are those of {}", caller.arn))
    .hint(format!(
        "use credentials of account {account}: `--profile NAME`, or the variables of the environment"
    ))
    .hint("or, if the account is right, correct `account` in `deployer.toml` (`--account`, `DEPLOYER_ACCOUNT`)"))
}

/// Returns a new idempotency token. It identifies a request, its retries, and the stack events that
/// it causes.
pub(crate) fn new_token(purpose: &Purpose) -> RequestToken {
    purpose.token(rand::random())
}

pub(crate) fn missing_output(key: OutputName) -> Failure {
    Failure::preflight(format!("the stack has no output `{key}`"))
        .hint("the template has to name what it makes: `docs/template.md` lists the outputs that are needed")
}

#[cfg(test)]
mod tests {
    use super::{refuse_other_account, remote_failure};
    use crate::testing::{caller, settings};
    use aws::remote::{RemoteError, RemoteErrorKind};

    #[test]
    fn credentials_of_another_account_are_refused() {
        let mut config = settings();
        assert!(refuse_other_account(&config, &caller()).is_ok());
        config.account = Some(caller().account);
        assert!(refuse_other_account(&config, &caller()).is_ok());
        config.account = Some("999999999999".to_owned());
        let failure = refuse_other_account(&config, &caller()).unwrap_err();
        assert_eq!(failure.kind.exit_code(), 3);
        assert!(failure.message.contains("not of 999999999999"));
        // The emulator's account is nobody's.
        config.access.local = true;
        assert!(refuse_other_account(&config, &caller()).is_ok());
    }

    #[test]
    fn what_has_to_be_acknowledged_is_named() {
        let error = RemoteError {
            kind: RemoteErrorKind::Refused,
            operation: "CreateChangeSet",
            code: Some("InsufficientCapabilitiesException".to_owned()),
            message: "Requires capabilities : [CAPABILITY_NAMED_IAM]".to_owned(),
            request_id: None,
        };
        let failure = remote_failure(&settings().access, &error);
        assert_eq!(failure.kind.exit_code(), 3);
        let hint = "if the template may do that, acknowledge it in `deployer.toml`: `capabilities = [\"CAPABILITY_NAMED_IAM\"]`";
        assert_eq!(failure.hints, [hint]);
    }
}

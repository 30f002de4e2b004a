//! Runs a command on its own thread, so that nothing it does can keep the program from ending.
//!
//! A file without an end, a pipe without a writer, or an unreachable network share blocks only that
//! thread; signals are still handled. A panic on any thread becomes an ordinary failure.

use std::cell::Cell;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use deployment::error::{Failure, FailureKind};

/// Time for a cancelled command to end its child processes and to delete its temporary files.
const CLEANUP: Duration = Duration::from_secs(1);

/// Stack size in bytes, as large as the main thread's usual one: commands are large futures.
pub(crate) const STACK_SIZE: usize = 8 << 20;

/// Maximum number of backtrace lines in a report.
const BACKTRACE_LINES: usize = 200;

/// First panic of this process.
static PANIC: OnceLock<watch::Sender<Option<Panic>>> = OnceLock::new();

thread_local! {
    /// Set if this thread has panicked before.
    static HAS_PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Panic as it is reported.
#[derive(Debug, Clone)]
struct Panic {
    /// Message and source location.
    cause: String,
    /// Backtrace lines, if `RUST_BACKTRACE` asks for them.
    backtrace: Vec<String>,
}

/// Keeps the first panic of this process instead of printing it.
pub(crate) fn catch_panics() {
    let sender = PANIC.get_or_init(|| watch::channel(None).0);
    std::panic::set_hook(Box::new(|panic| {
        let panic = Panic::new(panic);
        if HAS_PANICKED.replace(true) {
            // A destructor panics during a panic, so the process would abort next. The reporter may
            // be locked by the first panic, so this prints directly.
            crate::report::at_the_last(&panic.failure());
            end(FailureKind::Unexpected);
        }
        // Later panics are usually consequences of the first one.
        sender.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(panic);
            is_first
        });
    }));
}

#[expect(
    clippy::exit,
    reason = "what would follow is an abort, which is no documented exit code"
)]
fn end(kind: FailureKind) -> ! {
    std::process::exit(kind.exit_code().into())
}

impl Panic {
    fn new(panic: &PanicHookInfo<'_>) -> Self {
        let message = panic.payload_as_str().unwrap_or("no message");
        let cause = match panic.location() {
            Some(location) => format!("{message} (at {location})"),
            None => message.to_owned(),
        };
        let backtrace = std::backtrace::Backtrace::capture();
        let is_captured = backtrace.status() == std::backtrace::BacktraceStatus::Captured;
        let backtrace = is_captured.then(|| backtrace.to_string());
        Self {
            cause,
            backtrace: backtrace
                .iter()
                .flat_map(|text| text.lines())
                .take(BACKTRACE_LINES)
                .map(str::to_owned)
                .collect(),
        }
    }

    fn failure(&self) -> Failure {
        Failure::new(FailureKind::Unexpected, "internal error: a bug in deployer")
            .because(&self.cause)
            .with_evidence(self.backtrace.iter().cloned())
            .hint("report it with these lines and those of the same command with `RUST_BACKTRACE=1` and `DEPLOYER_LOG=debug` set")
            .hint("an operation that was started on the stack continues: `status` with the same options shows it")
    }
}

/// Returns the failure for the first panic, if there was one.
pub(crate) fn panic_failure() -> Option<Failure> {
    let first = PANIC.get()?.borrow();
    first.as_ref().map(Panic::failure)
}

/// Waits for the first panic and returns its failure.
async fn panicked() -> Failure {
    if let Some(sender) = PANIC.get()
        && let Ok(first) = sender.subscribe().wait_for(Option::is_some).await
        && let Some(first) = first.as_ref()
    {
        return first.failure();
    }
    // Without the hook, as in tests, nothing records panics.
    std::future::pending().await
}

/// Runs `work` on its own thread until it ends, panics, or `cancelled` returns a failure.
///
/// Afterwards, waits up to [`CLEANUP`] for the dropped work. A thread that blocks for longer is
/// left behind.
pub(crate) async fn run<T, Work>(
    work: impl FnOnce() -> Work + Send + 'static,
    cancelled: impl Future<Output = Failure>,
) -> Result<T, Failure>
where
    T: Send + 'static,
    Work: Future<Output = Result<T, Failure>>,
{
    // The future runs on its own thread, but uses this runtime's timers and I/O.
    let runtime = Handle::current();
    let (done, mut result) = oneshot::channel();
    let (cancel, mut is_cancelled) = oneshot::channel::<()>();
    let on_thread = move || {
        let ended = runtime.block_on(async move {
            tokio::select! {
                result = work() => Some(result),
                // The sender never sends: dropping it is the signal.
                _ = &mut is_cancelled => None,
            }
        });
        // The receiver is gone after the cleanup time.
        let _ = done.send(ended);
    };
    std::thread::Builder::new()
        .name("command".to_owned())
        .stack_size(STACK_SIZE)
        .spawn(on_thread)
        .map_err(|error| Failure::new(FailureKind::Unexpected, "cannot start").because(error))?;
    let failure = tokio::select! {
        biased;
        // After a panic on another thread, the work may seem to have ended normally.
        failure = panicked() => failure,
        ended = &mut result => match ended {
            // A dropped sender means that the thread itself panicked.
            Ok(Some(ended)) => return ended,
            Ok(None) | Err(_) => panicked().await,
        },
        failure = cancelled => failure,
    };
    drop(cancel);
    // The failure is the same whether or not the cleanup completes in time.
    let _ = tokio::time::timeout(CLEANUP, result).await;
    Err(failure)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};

    use super::*;
    use crate::cli::{Color, Output as Form};
    use deployment::event::{Event, Phase, Sink};

    const KIND: &str = "DEPLOYER_GUARD_TEST";

    /// Panics when it is dropped.
    struct Bad;

    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("in the destructor");
        }
    }

    async fn panic_as(kind: String) -> Result<(), Failure> {
        match kind.as_str() {
            "command" => panic!("on purpose"),
            "task" => drop(tokio::spawn(async { panic!("on purpose") })),
            "blocking" => drop(tokio::task::spawn_blocking(|| panic!("on purpose"))),
            "thread" => drop(std::thread::spawn(|| panic!("on purpose"))),
            "destructor" => {
                let _bad = Bad;
                panic!("on purpose");
            }
            kind => panic!("no such kind: {kind}"),
        }
        // Nobody asks how it went: the command would never end.
        std::future::pending().await
    }

    #[test]
    #[ignore = "ends the process: for the test below, in a process of its own"]
    #[expect(clippy::exit, reason = "the exit code is what is tested")]
    fn panics() {
        catch_panics();
        let kind = std::env::var(KIND).unwrap();
        let sink = Sink::new(crate::report::choose(Form::Json, Color::Never));
        let runtime = crate::runtime().unwrap();
        sink.send(&Event::PhaseStarted {
            phase: Phase::Image,
        });
        let work = move || panic_as(kind);
        let failure = runtime
            .block_on(run(work, std::future::pending()))
            .unwrap_err();
        let exit_code = failure.kind.exit_code();
        sink.send(&Event::Failed { exit_code, failure });
        std::process::exit(exit_code.into());
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "an exit code can only be seen from outside"
    )]
    fn panicked(kind: &str, backtrace: &str) -> Output {
        Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "guard::tests::panics"])
            .env(KIND, kind)
            .env("RUST_BACKTRACE", backtrace)
            .output()
            .unwrap()
    }

    #[test]
    fn a_panic_on_any_thread_is_a_failure_like_others() {
        for kind in ["command", "task", "blocking", "thread"] {
            let output = panicked(kind, "0");
            assert_eq!(output.status.code(), Some(1), "{kind}: {output:?}");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{kind}");
            let stdout = String::from_utf8(output.stdout).unwrap();
            let last: serde_json::Value =
                serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
            assert_eq!(last["event"], "failed", "{kind}");
            assert_eq!(last["exit_code"], 1, "{kind}");
            let failure = &last["failure"];
            assert_eq!(failure["message"], "internal error: a bug in deployer");
            let cause = failure["cause"].as_str().unwrap();
            assert!(
                cause.starts_with("on purpose (at deployer/src/guard.rs:"),
                "{cause}"
            );
            assert_eq!(failure["evidence"], serde_json::Value::Null);
        }
    }

    #[test]
    fn a_backtrace_is_evidence() {
        let stdout = String::from_utf8(panicked("command", "1").stdout).unwrap();
        let last: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
        let lines = last["failure"]["evidence"].as_array().unwrap();
        assert!(lines.len() > 3 && lines.len() <= BACKTRACE_LINES);
    }

    #[test]
    fn a_panic_during_a_panic_is_no_abort() {
        let output = panicked("destructor", "0");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let told = "error: internal error: a bug in deployer\n  because: in the destructor (at ";
        assert!(stderr.starts_with(told), "{stderr}");
    }

    #[tokio::test]
    async fn a_cancelled_command_is_dropped() {
        struct Told(Option<std::sync::mpsc::Sender<()>>);
        impl Drop for Told {
            fn drop(&mut self) {
                let _ = self.0.take().unwrap().send(());
            }
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        let told = Told(Some(sender));
        let work = move || async move {
            let _told = told;
            std::future::pending::<Result<(), Failure>>().await
        };
        let cancelled = async { Failure::interrupted() };
        let failure = run(work, cancelled).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Interrupted);
        // Dropped before anything is said, not some time later.
        assert_eq!(receiver.try_recv(), Ok(()));
    }

    #[tokio::test]
    async fn a_command_that_blocks_is_left_behind() {
        let work = || async {
            std::thread::park();
            Ok(())
        };
        let cancelled = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Failure::interrupted()
        };
        let failure = run::<(), _>(work, cancelled).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Interrupted);
    }
}

//! Signal handling: the first interrupt cancels, the second ends the program.

use tokio::signal::unix::{SignalKind, signal};

use crate::cancellation::CancellationToken;
use crate::cli::{Continues, OnInterrupt};
use crate::guard;
use deployment::error::{Failure, FailureKind};
use deployment::event::Sink;

/// Runs `work` until it ends or is interrupted.
///
/// The first Ctrl-C or SIGTERM starts a graceful shutdown if there is anything to undo. A second
/// one, or SIGHUP, ends the program immediately. Either way, the failure names what is left behind.
pub(crate) async fn interruptible<T, Work>(
    on_interrupt: OnInterrupt,
    continues: Continues,
    sink: &Sink,
    work: impl FnOnce(CancellationToken) -> Work + Send + 'static,
) -> Result<T, Failure>
where
    T: Send + 'static,
    Work: Future<Output = Result<T, Failure>>,
{
    let failed =
        |error| Failure::new(FailureKind::Unexpected, "cannot listen to signals").because(error);
    // All handlers are installed before the work starts, so that no signal kills it by default.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    // Installing a handler would override SIGHUP being ignored, which is what `nohup` sets.
    let mut hangup = if hangup_is_ignored() {
        None
    } else {
        Some(signal(SignalKind::hangup()).map_err(failed)?)
    };
    let hung_up = async {
        match &mut hangup {
            Some(hangup) => hangup.recv().await,
            None => std::future::pending().await,
        }
    };
    let cancellation = CancellationToken::default();
    let interrupted = |is_guarded| Failure::interrupted().maybe_hint(continues.hint(is_guarded));
    let signalled = async {
        let mut is_first = true;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // Without a guard, there is nothing to clean up.
            let is_guarded = cancellation.cancel();
            if !is_guarded || !is_first || on_interrupt == OnInterrupt::Detach {
                return interrupted(is_guarded);
            }
            is_first = false;
            sink.note("interrupted: cancelling; press Ctrl-C again to exit at once");
        }
    };
    let cancelled = async {
        tokio::select! {
            _ = hung_up => interrupted(cancellation.is_guarded()),
            failure = signalled => failure,
        }
    };
    let token = cancellation.clone();
    guard::run(move || work(token), cancelled).await
}

/// Returns whether this process was started with SIGHUP ignored, as by `nohup`.
fn hangup_is_ignored() -> bool {
    // Without procfs, as on macOS, SIGHUP counts as not ignored.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores_hangup(&status)
}

/// Reads the mask of ignored signals from `/proc/self/status`. Its lowest bit is signal 1, SIGHUP.
fn ignores_hangup(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::ignores_hangup;

    #[test]
    fn what_nohup_does_is_seen() {
        assert!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000001001\n"));
        assert!(!ignores_hangup("Name:\tx\nSigIgn:\t0000000000001000\n"));
        assert!(!ignores_hangup(""));
    }
}

//! Probe: sends one request after another during a rollout, to show whether the service stays
//! available.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clock::Settings;
use probe::Target;
use tokio::time::{Instant, sleep};

use crate::pollers::{Check, ExternalCheck};
use deployment::event::{Probed, Sink};

/// Pause between two requests.
const PAUSE: Duration = Duration::from_millis(100);

/// Probe of one target.
pub struct Probe<'a> {
    outside: &'a dyn ExternalCheck,
    target: &'a Target,
    settings: &'a Settings,
    sink: &'a Sink,
    seen: Mutex<Probed>,
    /// Time of the last successful response.
    answered: Mutex<Instant>,
}

impl<'a> Probe<'a> {
    /// Creates a probe with the request of this check.
    pub fn new(sink: &'a Sink, outside: &'a dyn ExternalCheck, check: &'a Check) -> Self {
        Self {
            outside,
            target: &check.url.target,
            settings: &check.settings,
            sink,
            seen: Mutex::default(),
            answered: Mutex::new(Instant::now()),
        }
    }

    /// Probes the target while `work` runs. Returns the result of `work`.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            never = self.ask_for_ever() => match never {},
        }
    }

    /// Returns the counts so far.
    pub fn seen(&self) -> Probed {
        let mut seen = self
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        // A gap that has not ended yet counts too.
        if seen.requests > 0 {
            seen.longest_gap_ms = seen.longest_gap_ms.max(milliseconds(self.since_answer()));
        }
        seen
    }

    fn since_answer(&self) -> Duration {
        let answered = self.answered.lock();
        answered.unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    async fn ask_for_ever(&self) -> std::convert::Infallible {
        // The first gap starts here, not when the probe was created.
        self.answers_now();
        loop {
            let result = self.outside.knock(self.target, self.settings).await;
            let failed = result.is_err();
            let failure = result.err().map(|failure| failure.to_string());
            let first = self.note(failure, self.since_answer());
            if let Some(failure) = first {
                // Only the first failure is reported: a rollout with downtime would otherwise print
                // hundreds of lines.
                self.sink
                    .warn(format!("a request failed during the rollout: {failure}"));
            }
            if !failed {
                self.answers_now();
            }
            sleep(PAUSE).await;
        }
    }

    fn answers_now(&self) {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        *answered = Instant::now();
    }

    /// Counts a request. Returns its failure if it is the first one.
    fn note(&self, failure: Option<String>, gap: Duration) -> Option<String> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.requests += 1;
        seen.longest_gap_ms = seen.longest_gap_ms.max(milliseconds(gap));
        let failure = failure?;
        seen.failed += 1;
        if seen.first_failure.is_some() {
            return None;
        }
        seen.first_failure = Some(failure.clone());
        Some(failure)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::pollers::PublicUrl;
    use deployment::event::Silent;

    /// Answers, but for the requests from the third to the fifth.
    #[derive(Default)]
    struct Stumbling(AtomicU64);

    #[async_trait]
    impl ExternalCheck for Stumbling {
        async fn check(&self, _: &Target, _: &Settings) -> clock::Report {
            crate::testing::answer::down("not asked")
        }

        async fn knock(&self, _: &Target, _: &Settings) -> Result<(), clock::Failure> {
            match self.0.fetch_add(1, Ordering::Relaxed) {
                2..=4 => Err(clock::Failure::TooLarge),
                _ => Ok(()),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_and_gaps_are_counted() {
        let sink = Sink::new(Box::new(Silent));
        let target = Target::new("http://clock.example/now", None).unwrap();
        let check = Check {
            url: PublicUrl {
                shown: String::new(),
                target,
            },
            settings: Settings::default(),
        };
        let outside = Stumbling::default();
        let probe = Probe::new(&sink, &outside, &check);
        probe.during(sleep(Duration::from_millis(950))).await;
        let seen = probe.seen();
        assert_eq!((seen.requests, seen.failed), (10, 3));
        assert_eq!(seen.longest_gap_ms, 400);
        assert_eq!(
            seen.first_failure.as_deref(),
            Some("answered with more than 64 KiB")
        );
    }
}

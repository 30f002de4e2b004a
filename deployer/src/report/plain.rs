//! Reporter for output without a terminal: log lines.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::LOG_TICK;
use super::color::Paint;
use super::log::Log;
use deployment::event::{Event, Reporter};

/// Reporter for log lines.
pub(super) struct Plain {
    log: Arc<Mutex<Log>>,
    paint: Paint,
}

impl Plain {
    pub(super) fn new(paint: Paint) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let tick = move |log: &mut Log| print(&log.tick(super::steady_now()), paint);
        super::keep_ticking(&log, LOG_TICK, tick);
        Self { log, paint }
    }
}

/// Prints lines, if there are any. Called while the log is locked, so that lines stay in order.
fn print(lines: &str, paint: Paint) {
    if !lines.is_empty() {
        super::to_stderr(&paint.log(lines));
    }
}

impl Reporter for Plain {
    fn report(&mut self, _: DateTime<Utc>, event: &Event) {
        // The event's own time is the wall clock: see `steady_now`.
        let at = super::steady_now();
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = log.take(at, event);
        print(&lines, self.paint);
        super::print_end(event, self.paint);
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::report::color::Paint;
    use deployment::event::Phase;

    #[test]
    fn a_clock_that_is_set_is_no_time_that_passes() {
        for hours in [-1, 1] {
            let mut plain = Plain::new(Paint::new(crate::cli::Color::Never, false));
            let phase = Phase::Image;
            plain.report(
                Utc::now() + TimeDelta::hours(hours),
                &Event::PhaseStarted { phase },
            );
            let later = super::super::steady_now() + TimeDelta::seconds(90);
            let line = plain.log.lock().unwrap().tick(later);
            assert!(line.contains("… still at it: image for 1 min 3"), "{line}");
        }
    }
}

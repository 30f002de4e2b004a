//! Lines for logs: one for each change, with its time, and a sign of life where nothing changes for long.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::text;
use crate::event::{Event, Reporter};

/// Silence after which a sign of life is printed.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// What was said last, and when.
struct Last {
    at: Instant,
    line: String,
}

/// The reporter.
pub(super) struct Plain {
    last: Arc<Mutex<Last>>,
}

impl Plain {
    pub(super) fn new() -> Self {
        let last = Arc::new(Mutex::new(Last {
            at: Instant::now(),
            line: "starting".to_owned(),
        }));
        let weak = Arc::downgrade(&last);
        std::thread::spawn(move || beat(&weak));
        Self { last }
    }
}

/// Prints signs of life until the reporter is gone.
fn beat(last: &Weak<Mutex<Last>>) {
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let Some(last) = last.upgrade() else { return };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.at.elapsed() >= HEARTBEAT {
            last.at = Instant::now();
            super::to_stderr(&stamped(
                Utc::now(),
                &format!("… still at it; the last was: {}", last.line),
            ));
        }
    }
}

fn stamped(at: DateTime<Utc>, line: &str) -> String {
    format!("{} {line}\n", at.format("%H:%M:%SZ"))
}

impl Reporter for Plain {
    fn report(&mut self, at: DateTime<Utc>, event: &Event) {
        if let Some(line) = text::line(event) {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            super::to_stderr(&stamped(at, &line));
            *last = Last {
                at: Instant::now(),
                line,
            };
        }
        super::print_end(event);
    }
}

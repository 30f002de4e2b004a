//! Lines for logs, wherever there is no terminal to draw on.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::LOG_TICK;
use super::color::Paint;
use super::log::Log;
use crate::event::{Event, Reporter};

/// The reporter.
pub(super) struct Plain {
    log: Arc<Mutex<Log>>,
    paint: Paint,
}

impl Plain {
    pub(super) fn new(paint: Paint) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let tick = move |log: &mut Log| print(&log.tick(Utc::now()), paint);
        super::keep_ticking(&log, LOG_TICK, tick);
        Self { log, paint }
    }
}

/// Prints lines, if there are any; while the log is locked, so that they stay in order.
fn print(lines: &str, paint: Paint) {
    if !lines.is_empty() {
        super::to_stderr(&paint.log(lines));
    }
}

impl Reporter for Plain {
    fn report(&mut self, at: DateTime<Utc>, event: &Event) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = log.take(at, event);
        print(&lines, self.paint);
        super::print_end(event, self.paint);
    }
}

//! Reporter for terminals: prints permanent lines, and redraws the progress below them ten times a
//! second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::canvas::Canvas;
use super::color::Paint;
use super::screen::{Screen, Size};
use deployment::event::{Event, Reporter};

/// Interval of redraws, so that times and spinners move.
const TICK: Duration = Duration::from_millis(100);

/// Limit for redraws. It is above the tick rate, so that draws after an event are not skipped.
const MOST_DRAWS_A_SECOND: u8 = 30;

/// Template of the redrawn lines.
const LINES: &str = "{msg}";

/// Reporter that draws on a terminal.
pub(super) struct Terminal {
    shown: Arc<Mutex<Shown>>,
    paint: Paint,
}

struct Shown {
    screen: Screen,
    display: MultiProgress,
    /// Progress bar that holds all redrawn lines, so that a draw never mixes old and new ones.
    lines: Option<ProgressBar>,
}

impl Terminal {
    pub(super) fn new(paint: Paint) -> Self {
        let canvas = Box::new(Canvas::of_stderr());
        let target = ProgressDrawTarget::term_like_with_hz(canvas, MOST_DRAWS_A_SECOND);
        let shown = Arc::new(Mutex::new(Shown {
            screen: Screen::new(paint),
            display: MultiProgress::with_draw_target(target),
            lines: None,
        }));
        super::keep_ticking(&shown, TICK, |shown: &mut Shown| {
            shown.draw(super::steady_now());
        });
        Self { shown, paint }
    }
}

impl Shown {
    fn draw(&mut self, now: DateTime<Utc>) {
        let frame = self.screen.frame(now, size());
        if frame.is_empty() {
            if let Some(lines) = self.lines.take() {
                lines.finish_and_clear();
                self.display.remove(&lines);
            }
            return;
        }
        let display = &self.display;
        let lines = self.lines.get_or_insert_with(|| {
            let lines = display.add(ProgressBar::no_length());
            // The template is a constant and covered by a test, so that the fallback is never used.
            lines.set_style(
                ProgressStyle::with_template(LINES)
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            lines
        });
        lines.set_message(frame.join("\n"));
    }
}

/// Returns the current size of the terminal, which may change at any time.
fn size() -> Size {
    let (rows, columns) = Term::stderr().size();
    Size {
        rows: usize::from(rows),
        columns: usize::from(columns),
    }
}

impl Reporter for Terminal {
    fn report(&mut self, _: DateTime<Utc>, event: &Event) {
        // The event's own time is the wall clock's, which may be set during a run.
        let at = super::steady_now();
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = shown.screen.take(at, event);
        if !lines.is_empty() {
            // If the terminal is gone, there is no other place for the lines.
            let _ = shown.display.println(lines.join("\n"));
        }
        shown.draw(at);
        super::print_end(event, self.paint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_valid() {
        assert!(ProgressStyle::with_template(LINES).is_ok());
    }
}

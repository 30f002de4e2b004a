//! The screen on a terminal: what stays is printed, what is under way is drawn below it ten times a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::canvas::Canvas;
use super::color::Paint;
use super::screen::{Screen, Size};
use deployment::event::{Event, Reporter};

/// How often the screen is drawn, so that times and spinners move.
const TICK: Duration = Duration::from_millis(100);

/// Draws are not that frequent, but one that comes with an event is not left out.
const MOST_DRAWS_A_SECOND: u8 = 30;

/// What all lines that are redrawn consist of.
const LINES: &str = "{msg}";

/// The reporter.
pub(super) struct Terminal {
    shown: Arc<Mutex<Shown>>,
    paint: Paint,
}

struct Shown {
    screen: Screen,
    display: MultiProgress,
    /// All lines that are redrawn, in one piece: never half of the old and half of the new ones.
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
            // The template is a constant of this file; a mistake in it shows in its test.
            lines.set_style(
                ProgressStyle::with_template(LINES)
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            lines
        });
        lines.set_message(frame.join("\n"));
    }
}

/// The size of the terminal just now: it may be changed at any time.
fn size() -> Size {
    let (rows, columns) = Term::stderr().size();
    Size {
        rows: usize::from(rows),
        columns: usize::from(columns),
    }
}

impl Reporter for Terminal {
    fn report(&mut self, _: DateTime<Utc>, event: &Event) {
        let at = super::steady_now();
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = shown.screen.take(at, event);
        if !lines.is_empty() {
            // Without a terminal to draw on (any more) there is nobody to tell.
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

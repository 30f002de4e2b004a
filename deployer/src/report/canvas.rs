//! Terminal that redrawn lines are drawn on. Its width may change between two draws.
//!
//! `indicatif` pads each line to the terminal's current width. When the terminal gets narrower, it
//! wraps such lines, and the drawing becomes higher than before: part of it would stay. This canvas
//! therefore ends lines at their text, so that few are wrapped. It measures the previous drawing
//! again before it erases it.

use std::io;
use std::sync::{Mutex, PoisonError};

use console::{Term, measure_text_width};
use indicatif::TermLike;

/// Terminal to draw on. The cursor rests at the beginning of the line below the drawing.
#[derive(Debug)]
pub(super) struct Canvas {
    term: Term,
    draft: Mutex<Draft>,
}

/// Collected content of the next draw.
#[derive(Debug, Default)]
struct Draft {
    /// Number of previously drawn lines to erase.
    erased: usize,
    lines: Vec<String>,
    /// Set if the next write only pads the line.
    fills: bool,
    /// Widths of the previously drawn lines, in columns.
    drawn: Vec<usize>,
}

impl Canvas {
    /// Creates a canvas on standard error.
    pub(super) fn of_stderr() -> Self {
        Self {
            term: Term::stderr(),
            draft: Mutex::default(),
        }
    }

    fn draft<T>(&self, change: impl FnOnce(&mut Draft) -> T) -> T {
        change(&mut self.draft.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Draft {
    /// Records the text of a line. `indicatif` writes the text first, and then its padding.
    fn write(&mut self, text: &str) {
        if !self.fills {
            self.lines.push(text.to_owned());
        }
        self.fills = !self.fills;
    }

    /// Returns the whole draw as one text, for a terminal of this width.
    fn finished(&mut self, width: usize) -> String {
        // An empty line still occupies one row.
        let rows = |columns: &usize| columns.div_ceil(width.max(1)).max(1);
        let last = self.drawn.len().saturating_sub(self.erased);
        let up: usize = self.drawn.iter().skip(last).map(rows).sum();
        let mut text = match up {
            // Cursor up, to the first column, then erase to the end of the screen (ECMA-48).
            0 => String::new(),
            up => format!("\u{1b}[{up}A\r\u{1b}[J"),
        };
        let lines = std::mem::take(&mut self.lines);
        for line in &lines {
            text.extend([line, "\r\n"]);
        }
        *self = Self {
            drawn: lines.iter().map(|line| measure_text_width(line)).collect(),
            ..Self::default()
        };
        text
    }
}

impl TermLike for Canvas {
    fn width(&self) -> u16 {
        self.term.size().1
    }

    fn height(&self) -> u16 {
        self.term.size().0
    }

    // Cursor movements are ignored: `finished` computes its own from the drawn lines.
    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.draft(|draft| draft.lines.push(text.to_owned()));
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.draft(|draft| draft.write(text));
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.draft(|draft| draft.erased += 1);
        Ok(())
    }

    // Written in one piece, so that the terminal never shows half of a draw.
    fn flush(&self) -> io::Result<()> {
        let text = self.draft(|draft| draft.finished(usize::from(self.width())));
        self.term.write_str(&text)?;
        self.term.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(draft: &mut Draft, erased: usize, lines: &[&str], width: usize) -> String {
        draft.erased = erased;
        for line in lines {
            draft.write(line);
            draft.write("   ");
        }
        draft.finished(width).replace('\u{1b}', "^")
    }

    #[test]
    fn what_was_drawn_is_erased_at_any_width() {
        let mut draft = Draft::default();
        let mut shown = String::new();
        // A line that stays, and two that are redrawn.
        shown += &draw(&mut draft, 0, &["stays", "0123456789", "01234"], 80);
        assert_eq!(shown, "stays\r\n0123456789\r\n01234\r\n");
        let at_the_same_width = draw(&mut draft, 2, &["0123456789", ""], 80);
        assert_eq!(at_the_same_width, "^[2A\r^[J0123456789\r\n\r\n");
        let narrower = draw(&mut draft, 2, &["0123"], 4);
        assert_eq!(narrower, "^[4A\r^[J0123\r\n");
        assert_eq!(draw(&mut draft, 1, &[], 4), "^[1A\r^[J");
        assert_eq!(draw(&mut draft, 0, &[], 4), "");
    }
}

//! Line of the screen: pieces of text with their meaning, clipped at the screen's width.

use std::borrow::Cow;

use console::{Alignment, measure_text_width, pad_str, truncate_str};

use super::color::{Paint, Tint};
use support::printable::one_line;

/// Mark at the place where text was cut.
const CUT: &str = "…";

/// Line that is built from left to right.
#[derive(Debug, Clone, Default)]
pub(super) struct Line(Vec<(Tint, String)>);

impl Line {
    /// Creates a line that begins with this text.
    pub(super) fn of(text: &str) -> Self {
        Self::default().plain(text)
    }

    /// Adds text without a particular meaning.
    pub(super) fn plain(self, text: &str) -> Self {
        self.add(Tint::Plain, text)
    }

    /// Adds text with this meaning.
    pub(super) fn add(mut self, tint: Tint, text: &str) -> Self {
        // A line break or control sequence in text from outside would break the frame.
        self.0.push((tint, one_line(text)));
        self
    }

    /// Returns the line, clipped to this width in terminal columns. Some characters take two
    /// columns.
    pub(super) fn clip(&self, width: usize, paint: Paint) -> String {
        let all: usize = self
            .0
            .iter()
            .map(|(_, text)| measure_text_width(text))
            .sum();
        if all <= width {
            let pieces = self.0.iter().map(|(tint, text)| paint.tint(*tint, text));
            return pieces.collect();
        }
        let mut left = width.saturating_sub(measure_text_width(CUT));
        let mut clipped = String::new();
        // Truncated before it is coloured: escape sequences have no width.
        for (tint, text) in &self.0 {
            let piece = truncate_str(text, left, "");
            left -= measure_text_width(&piece);
            clipped.push_str(&paint.tint(*tint, &piece));
            if piece != text.as_str() {
                break;
            }
        }
        if width > 0 {
            clipped.push_str(CUT);
        }
        clipped
    }
}

/// Pads or cuts the text to a left-aligned column of this width.
pub(super) fn column(text: &str, width: usize) -> Cow<'_, str> {
    pad_str(text, width, Alignment::Left, Some(CUT))
}

/// Pads or cuts the text to a right-aligned column of this width.
pub(super) fn right_column(text: &str, width: usize) -> Cow<'_, str> {
    pad_str(text, width, Alignment::Right, Some(CUT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_by_columns() {
        let line = Line::of("ab").add(Tint::Bad, "cde").plain("日本語");
        let table = [
            (20, "abcde日本語"),
            (11, "abcde日本語"),
            (10, "abcde日本…"),
            (9, "abcde日…"),
            (5, "abcd…"),
            (1, "…"),
            (0, ""),
        ];
        for (width, expected) in table {
            let clipped = line.clip(width, Paint::OFF);
            assert_eq!(clipped, expected, "{width}");
            assert!(measure_text_width(&clipped) <= width);
        }
        assert_eq!(
            line.clip(4, Paint::ON),
            "ab\u{1b}[31mc\u{1b}[0m…",
            "what was coloured ends so"
        );
        assert_eq!(
            Line::of("two\nlines\u{1b}[2J").clip(80, Paint::OFF),
            "two lines"
        );
    }
}

//! Excerpts of external text for messages.

use support::printable::one_line;

/// Returns the beginning of a text from outside, safe to show in one line.
pub fn excerpt(text: &str) -> String {
    /// Maximum length in characters.
    const LONGEST: usize = 128;
    one_line(text).chars().take(LONGEST).collect()
}

//! Colours of the output. Every colour repeats what a word or mark already says.

use std::ffi::OsStr;

use console::Style;

use crate::cli::Color;
use deployment::stack::resource_status::{ResourceProgress, ResourceStatus};

/// Settings of the environment that affect colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Surroundings {
    /// Set if `NO_COLOR` is not empty (no-color.org).
    no_color: bool,
    /// Set if `CLICOLOR` is `0` (bixense.com/clicolors).
    clicolor_off: bool,
    /// Set if standard error is a capable terminal.
    terminal: bool,
}

/// Returns whether to use colours. An explicit choice takes precedence over the environment.
const fn decide(color: Color, surroundings: Surroundings) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            surroundings.terminal && !surroundings.no_color && !surroundings.clicolor_off
        }
    }
}

/// Meaning of a piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tint {
    /// Neutral text without a particular meaning.
    Plain,
    /// Success, shown in green.
    Good,
    /// Failure, shown in red.
    Bad,
    /// Rollback or an unusual state, shown in yellow.
    Odd,
    /// Suggested action, shown in cyan.
    Hint,
    /// Less important than the surrounding text, shown dimmed.
    Faint,
}

/// Applies colours to text, if they are enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paint {
    enabled: bool,
}

impl Paint {
    #[cfg(test)]
    pub(super) const OFF: Self = Self { enabled: false };
    #[cfg(test)]
    pub(super) const ON: Self = Self { enabled: true };

    /// Creates a painter for this choice and this environment.
    pub(super) fn new(color: Color, terminal: bool) -> Self {
        let variable = |name: &str| std::env::var_os(name);
        let surroundings = Surroundings {
            no_color: variable("NO_COLOR").is_some_and(|value| !value.is_empty()),
            clicolor_off: variable("CLICOLOR").as_deref() == Some(OsStr::new("0")),
            terminal,
        };
        Self {
            enabled: decide(color, surroundings),
        }
    }

    /// Returns the text in the colour of its meaning.
    pub(super) fn tint(self, tint: Tint, text: &str) -> String {
        // Forced, because `console` would decide by the state of standard output.
        let style = Style::new().force_styling(self.enabled);
        let style = match tint {
            Tint::Plain => return text.to_owned(),
            Tint::Good => style.green(),
            Tint::Bad => style.red(),
            Tint::Odd => style.yellow(),
            Tint::Hint => style.cyan(),
            Tint::Faint => style.dim(),
        };
        style.apply_to(text).to_string()
    }

    /// Colours the first word of each line by its meaning.
    pub(super) fn lines(self, text: &str) -> String {
        if !self.enabled {
            return text.to_owned();
        }
        let lines = text.split('\n').map(|line| self.line(line));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Colours log lines, whose first word follows the time.
    pub(super) fn log(self, text: &str) -> String {
        if !self.enabled {
            return text.to_owned();
        }
        let lines = text.split('\n').map(|line| match line.split_once("Z ") {
            // An indented line continues the one above, and has no time.
            Some((time, rest)) if !line.starts_with(' ') => format!("{time}Z {}", self.line(rest)),
            Some(_) | None => self.line(line),
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn line(self, line: &str) -> String {
        let text = line.trim_start();
        let (indent, _) = line.split_at(line.len() - text.len());
        let (word, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
        format!("{indent}{}{rest}", self.tint(tint_of(word), word))
    }
}

/// Returns the meaning of a line's first word.
fn tint_of(word: &str) -> Tint {
    match word {
        "error:" => Tint::Bad,
        "warning:" => Tint::Odd,
        "hint:" => Tint::Hint,
        "because:" | "|" => Tint::Faint,
        word => tint_of_status(&ResourceStatus::from(word)),
    }
}

fn tint_of_status(status: &ResourceStatus) -> Tint {
    match status.progress() {
        ResourceProgress::Failed => Tint::Bad,
        // A rollback that proceeds well is still no success for the user.
        ResourceProgress::InProgress | ResourceProgress::Complete if status.is_of_rollback() => {
            Tint::Odd
        }
        ResourceProgress::Complete => Tint::Good,
        ResourceProgress::InProgress | ResourceProgress::Unknown => Tint::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_decides() {
        let pipe = Surroundings::default();
        let terminal = Surroundings {
            terminal: true,
            ..pipe
        };
        let no_color = Surroundings {
            no_color: true,
            ..terminal
        };
        let clicolor_off = Surroundings {
            clicolor_off: true,
            ..terminal
        };
        let table = [
            (Color::Auto, [false, true, false, false]),
            (Color::Always, [true, true, true, true]),
            (Color::Never, [false, false, false, false]),
        ];
        for (color, expected) in table {
            let decided =
                [pipe, terminal, no_color, clicolor_off].map(|around| decide(color, around));
            assert_eq!(decided, expected, "{color:?}");
        }
    }

    #[test]
    fn first_words_in_colour() {
        let text = "error: no\n  because: x_FAILED\n  hint: fix\nCREATE_FAILED a (A)\nROLLBACK_COMPLETE stack\nplain\n";
        assert_eq!(Paint::OFF.lines(text), text);
        let log = "10:04:05Z warning: slow\n  and more\n";
        assert_eq!(Paint::OFF.log(log), log);
        insta::assert_debug_snapshot!(Paint::ON.log(log), @r#""10:04:05Z \u{1b}[33mwarning:\u{1b}[0m slow\n  and more\n""#);
        insta::assert_debug_snapshot!(Paint::ON.lines(text), @r#""\u{1b}[31merror:\u{1b}[0m no\n  \u{1b}[2mbecause:\u{1b}[0m x_FAILED\n  \u{1b}[36mhint:\u{1b}[0m fix\n\u{1b}[31mCREATE_FAILED\u{1b}[0m a (A)\n\u{1b}[33mROLLBACK_COMPLETE\u{1b}[0m stack\nplain\n""#);
    }
}

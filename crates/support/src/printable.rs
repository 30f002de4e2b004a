//! Sanitizes untrusted text for terminals and CI logs by removing control sequences. Pure
//! functions.

/// Removes escape sequences, control characters and CI commands from a text. Line breaks and tabs
/// stay.
///
/// Log lines can contain anything that a client sends in a request, and escape sequences can do
/// more than color the output.
pub fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' => skip_sequence(&mut rest),
            // The C1 control characters: the same introducers as single characters.
            '\u{9b}' => skip_parameters(&mut rest),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut rest),
            '\n' | '\t' => clean.push(character),
            // Line and paragraph separators, which some readers treat as line breaks.
            '\u{2028}' | '\u{2029}' => clean.push('\n'),
            // A carriage return alone would let the rest overwrite the text before it.
            '\r' if rest.peek().is_some_and(|next| *next != '\n') => clean.push('\n'),
            other if other.is_control() || is_direction(other) => {}
            other => clean.push(other),
        }
    }
    // Done last, since removed characters may have been inside a marker.
    without_marks(&clean)
}

/// Inserts a space into each marker of a CI command within a line: `##vso[` of Azure Pipelines,
/// `##teamcity[`, and `##[` of GitHub Actions and Azure Pipelines. Any word before `[` counts, to
/// cover other CI systems.
fn without_marks(text: &str) -> String {
    replaced_marks(text, "## ")
}

/// Replaces the `##` of each marker.
fn replaced_marks(text: &str, by: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut done = 0;
    for (bracket, _) in text.match_indices('[') {
        let before =
            text[..bracket].trim_end_matches(|letter: char| letter.is_ascii_alphanumeric());
        if before.len() >= done + 2 && before.ends_with("##") {
            replaced.push_str(&text[done..before.len() - 2]);
            replaced.push_str(by);
            done = before.len();
        }
    }
    replaced.push_str(&text[done..]);
    replaced
}

/// Neutralizes CI commands in a text, which may contain untrusted lines such as the log of a failed
/// task.
///
/// GitHub Actions also treats a line as a command if it starts with `::` after optional white
/// space.
pub fn without_commands(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        if line.trim_start().starts_with("::") {
            format!("| {line}")
        } else {
            line.to_owned()
        }
    });
    without_marks(&lines.collect::<Vec<_>>().join("\n"))
}

/// Escapes a JSON text so that it contains no CI command, terminal control or change of text
/// direction. The meaning stays the same, as these characters only occur in strings.
pub fn harmless_json(json: &str) -> String {
    use std::fmt::Write as _;

    let mut escaped = String::with_capacity(json.len());
    for character in replaced_marks(json, "#\\u0023").chars() {
        let steers = ('\u{7f}'..='\u{9f}').contains(&character)
            || matches!(character, '\u{2028}' | '\u{2029}')
            || is_direction(character);
        if steers {
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Sanitizes a text and joins it into one line.
pub fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ")
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Skips a sequence after its escape character.
fn skip_sequence(rest: &mut Rest<'_>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            skip_parameters(rest);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            rest.next();
            skip_string(rest);
        }
        Some(_) => {
            // Intermediate characters, and then a final one.
            while rest.next_if(|c| (' '..='/').contains(c)).is_some() {}
            rest.next_if(|c| ('0'..='~').contains(c));
        }
        None => {}
    }
}

/// Skips the parameters of a control sequence, up to its final character.
fn skip_parameters(rest: &mut Rest<'_>) {
    while rest.next_if(|c| (' '..='?').contains(c)).is_some() {}
    rest.next_if(|c| ('@'..='~').contains(c));
}

/// Skips a string, such as a window title, up to its terminator. An unterminated string ends with
/// the line.
fn skip_string(rest: &mut Rest<'_>) {
    while let Some(character) = rest.next_if(|c| *c != '\n') {
        match character {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                rest.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

/// Returns whether the character changes the direction of the text around it, so that it reads
/// differently.
fn is_direction(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_taken_out() {
        for (given, expected) in [
            ("plain ü 日本 🦀", "plain ü 日本 🦀"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}[2J\u{1b}[1;1Hgone", "gone"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link", "link"),
            ("\u{1b}(Bascii\u{1b}c", "ascii"),
            ("\u{9b}31mred", "red"),
            ("over\rwritten\u{8}\u{7}\r\nnext\r", "over\nwritten\nnext"),
            ("one\n\ttwo", "one\n\ttwo"),
            ("\u{1b}]0;never ended\nnext", "\nnext"),
            ("\u{1b}", ""),
            ("\u{1b}[", ""),
            ("exe\u{202e}txt.piz", "exetxt.piz"),
            ("\u{61c}a\u{2067}b", "ab"),
            ("a\u{85}b\u{2028}c\u{2029}d", "ab\nc\nd"),
        ] {
            assert_eq!(printable(given), expected, "{given:?}");
        }
        assert_eq!(one_line("a\nb\u{1b}[0m\tc"), "a b c");
    }

    /// What agents take for a command, with what may stand in front of it.
    const COMMANDS: [&str; 9] = [
        "##vso[task.setvariable variable=TARGET]evil",
        "x ##vso[task.complete result=Failed]",
        "###vso[task.prependpath]/tmp",
        "##VSO[task.setsecret]x",
        "##[error]x",
        "a ##[group]b",
        "##teamcity[buildStatus status='FAILURE']",
        "##\u{7}v\u{1b}[0mso[task.logissue]x",
        "##next2[a]",
    ];

    fn has_mark(text: &str) -> bool {
        ["##vso[", "##VSO[", "##[", "##teamcity[", "##next2["]
            .iter()
            .any(|mark| text.contains(mark))
    }

    #[test]
    fn no_text_of_others_is_a_command_to_a_pipeline() {
        for command in COMMANDS {
            let clean = printable(command);
            assert!(!has_mark(&clean), "{clean}");
            assert!(!has_mark(&one_line(command)), "{clean}");
            assert!(!has_mark(&without_commands(&clean)));
        }
        // A section of GitLab, a group of Buildkite by its escape: the characters that make them one are gone.
        assert_eq!(
            printable("section_start:1:a\r\u{1b}[0Kb\u{1b}_bk;t=1\u{7}c"),
            "section_start:1:a\nbc"
        );
        let text = "fine: ::x\n::set-output name=a::b\n \t::error::c\nx ##[group]y\n## a [b] #[c]";
        let expected =
            "fine: ::x\n| ::set-output name=a::b\n|  \t::error::c\nx ## [group]y\n## a [b] #[c]";
        assert_eq!(without_commands(text), expected);
    }

    #[test]
    fn json_keeps_its_meaning_and_has_no_command() {
        let texts = COMMANDS.iter().copied().chain([
            "\u{9b}31m\u{85}\u{7f}\u{2028}\u{2029}\u{202e}\u{61c}",
            "#[derive(Debug)] ##",
            "ü 日本 🦀 \\##[\\",
        ]);
        for text in texts {
            let json = serde_json::to_string(&[text]).unwrap();
            let harmless = harmless_json(&json);
            assert!(!has_mark(&harmless), "{harmless}");
            let steers =
                |c: char| c.is_control() || is_direction(c) || matches!(c, '\u{2028}' | '\u{2029}');
            assert!(!harmless.contains(steers), "{harmless}");
            let read: [String; 1] = serde_json::from_str(&harmless).unwrap();
            assert_eq!(read, [text]);
        }
    }
}

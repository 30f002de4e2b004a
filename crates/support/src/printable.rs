//! Text of others, made safe for a terminal and for the log of a pipeline: control sequences are removed. Pure.

/// The text without escape sequences, control characters and commands to a pipeline. Line breaks and tabs stay.
///
/// Log lines come from whoever sends requests, and what a terminal is sent can do more than colour it.
pub fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' => skip_sequence(&mut rest),
            // The same introducers as one character each.
            '\u{9b}' => skip_parameters(&mut rest),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut rest),
            '\n' | '\t' => clean.push(character),
            // Line and paragraph separators: some readers break the line there.
            '\u{2028}' | '\u{2029}' => clean.push('\n'),
            // Alone, it would let the rest hide what stands before it.
            '\r' if rest.peek().is_some_and(|next| *next != '\n') => clean.push('\n'),
            other if other.is_control() || is_direction(other) => {}
            other => clean.push(other),
        }
    }
    // Only now: what was taken out may have stood within a mark.
    without_marks(&clean)
}

/// The text with a space in each mark by which an agent finds a command anywhere in a line: `##vso[` of Azure Pipelines, `##teamcity[`,
/// `##[` of both GitHub Actions and Azure Pipelines. Any word is taken for one, so that the next agent's is, too.
fn without_marks(text: &str) -> String {
    replaced_marks(text, "## ")
}

/// Replaces the `##` of each mark.
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

/// Lines of which none is a command to a pipeline: some are of others, such as the log lines of a task that failed.
///
/// GitHub also takes a line for a command that begins with `::`, with or without space before it.
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

/// A JSON text of the same meaning in which no agent finds a command, and whose characters neither steer a terminal nor turn the
/// direction of what it shows. The characters in question stand within strings only, where each may be written as an escape.
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

/// The same in one line.
pub fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ")
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// After an escape character.
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
            // Intermediate characters, then one that ends it.
            while rest.next_if(|c| (' '..='/').contains(c)).is_some() {}
            rest.next_if(|c| ('0'..='~').contains(c));
        }
        None => {}
    }
}

/// Parameters of a control sequence, up to the character that ends it.
fn skip_parameters(rest: &mut Rest<'_>) {
    while rest.next_if(|c| (' '..='?').contains(c)).is_some() {}
    rest.next_if(|c| ('@'..='~').contains(c));
}

/// A string (a title, for example), up to its terminator; one without ends with the line.
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

/// Characters that change the direction of the text around them, so that it reads as something else.
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

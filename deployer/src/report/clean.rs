//! Text of others, such as log lines of a container, without what would control a terminal: pure.

/// The text without control characters and escape sequences; line ends and tabs stay.
pub(super) fn clean(text: &str) -> String {
    let harmless = |letter: char| !letter.is_control() || matches!(letter, '\n' | '\t');
    if text.chars().all(harmless) {
        return text.to_owned();
    }
    let mut cleaned = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => match letters.next() {
                // ECMA-48: a control sequence ends with a letter between `@` and `~`.
                Some('[') => {
                    letters.find(|letter| matches!(letter, '@'..='~'));
                }
                // A command to the system ends with a bell, or with an escape and a backslash.
                Some(']') => {
                    while let Some(letter) = letters.next() {
                        let ended = letter == '\u{1b}' && letters.next_if_eq(&'\\').is_some();
                        if letter == '\u{7}' || ended {
                            break;
                        }
                    }
                }
                Some(_) | None => {}
            },
            // Lines of others end in this way, too; alone, it would let the rest hide what stands before it.
            '\r' if letters.peek() != Some(&'\n') => cleaned.push('\n'),
            letter if harmless(letter) => cleaned.push(letter),
            _ => {}
        }
    }
    cleaned
}

/// The same in one line.
pub(super) fn one_line(text: &str) -> String {
    clean(text).replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_go() {
        let table = [
            ("plain\n\ttext ±", "plain\n\ttext ±"),
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}[2J\u{1b}[Hgone", "gone"),
            ("\u{1b}]0;title\u{7}a\u{1b}]8;;http://x\u{1b}\\b", "ab"),
            ("over\rwritten\r\nend", "over\nwritten\nend"),
            ("bell\u{7} and\u{9b} more\u{1b}", "bell and more"),
            ("\u{1b}(Bx", "Bx"),
        ];
        for (text, expected) in table {
            assert_eq!(clean(text), expected, "{text:?}");
        }
        assert_eq!(one_line("a\nb\u{1b}[0m\tc"), "a b c");
    }
}

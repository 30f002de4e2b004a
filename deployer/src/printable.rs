//! Text of others, made fit for a terminal: what steers it is taken out. Pure.

/// The text without escape sequences and control characters. Line breaks and tabs stay.
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
            // Alone, it would let the rest hide what stands before it.
            '\r' if rest.peek().is_some_and(|next| *next != '\n') => clean.push('\n'),
            other if other.is_control() || is_direction(other) => {}
            other => clean.push(other),
        }
    }
    clean
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
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
        ] {
            assert_eq!(printable(given), expected, "{given:?}");
        }
        assert_eq!(one_line("a\nb\u{1b}[0m\tc"), "a b c");
    }
}

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;

/// Every style, with tags, anchors, comments, and other characters wherever a template may have them.
const TEMPLATE: &str = "\
# Zeit für alle – 日本
Description: Die Zeit für alle   # ü
Parameters:
  Grüße: { Type: String, Default: 'it''s ü', AllowedValues: [ä, \"b\\n\u{e9} \\\"q\\\"\", c d ß] }
Mappings: &anchor
  Ünder: !Sub ${AWS::Region}-é   # – a comment
  Text: !Sub |  # Erklärung
    Grüße ${Name}

      – indented
  Folded: &other >-
    one ü
    two

    three
  Keep: |+
    ä

  After: *other
  Plain: viele Wörter
    und mehr – 日本
  Quoted: \"viele
    W\u{f6}rter \\
    und\"
  Single: !Sub 'viele Wörter

    und # kein Kommentar'
  List:
  - Value: 'Grüße – 日本'
    Name: GREETING
  - !Join [ '–', [ !Ref A, 'ö' ] ]
  - ? ein Schlüssel
    : 😀
  Number: 12
  Truth: yes
Last: 🙂 q
";

/// What any parser makes of it: values, tags and structure.
fn parsed(text: &str) -> Vec<String> {
    let events = Parser::new_from_str(text).map(|event| event.unwrap().0);
    let shown = events.map(|event| {
        if let Event::Scalar(value, _, anchor, tag) = event {
            format!("{value:?} {anchor} {tag:?}")
        } else {
            format!("{event:?}")
        }
    });
    shown.collect()
}

#[test]
fn ascii_stays_as_it_is() {
    let template = include_str!("../../../../../infra/service.yaml");
    assert!(matches!(to_ascii(template), Some(Cow::Borrowed(text)) if text == template));
    assert_eq!(to_ascii("\u{feff}A: 1\n").unwrap(), "A: 1\n");
}

#[test]
fn every_style_means_the_same_in_ascii() {
    let escaped = to_ascii(TEMPLATE).unwrap();
    assert!(escaped.is_ascii(), "{escaped}");
    assert_eq!(parsed(&escaped), parsed(TEMPLATE));
    let again = to_ascii(&escaped).unwrap();
    assert!(matches!(again, Cow::Borrowed(_)));
    insta::assert_snapshot!(escaped);
}

#[test]
fn json_means_the_same_in_ascii() {
    let template = "{\"Resources\": {\"A\": {\"Value\": \"Grüße – 日本 😀 \\u00e9\"}}}";
    let escaped = to_ascii(template).unwrap();
    assert!(escaped.is_ascii());
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(value(&escaped), value(template));
    assert!(escaped.contains("\\ud83d\\ude00"));
}

#[test]
fn what_cannot_be_written_in_ascii_is_not() {
    for template in ["A: &ä 1\nB: &ö 2\nC: *ä\n", "A: !Ü x\n", "A: [ü\n"] {
        assert_eq!(to_ascii(template), None, "{template}");
    }
}

#[test]
fn whatever_is_written_means_the_same_in_ascii() {
    let mut random = StdRng::seed_from_u64(7);
    let mut escaped_ones = 0;
    for _ in 0..3000 {
        let template = template(&mut random);
        // Not everything that is thrown together is a document.
        if Parser::new_from_str(&template).any(|event| event.is_err()) {
            continue;
        }
        let escaped = to_ascii(&template).unwrap_or_else(|| panic!("not written: {template}"));
        assert!(escaped.is_ascii(), "{template}");
        assert_eq!(parsed(&escaped), parsed(&template), "{template}\n{escaped}");
        escaped_ones += 1;
    }
    assert!(escaped_ones > 2000, "{escaped_ones}");
}

/// A document of lists and mappings with scalars in all styles.
fn template(random: &mut StdRng) -> String {
    let mut text = String::new();
    for number in 0..random.random_range(1..6) {
        let key = ["Key", "Grüße", "'ä b'", "\"é\""][random.random_range(0..4)];
        let _ = write!(text, "{key}{number}:");
        if key.starts_with(['\'', '"']) {
            // A quoted key has no number behind it.
            let _ = write!(text, "");
            text.truncate(text.len() - format!("{key}{number}:").len());
            let quote = &key[..1];
            let _ = write!(text, "{}{number}{quote}:", &key[..key.len() - 1]);
        }
        match random.random_range(0..3) {
            0 => {
                text.push(' ');
                text.push_str(&scalar(random, 2));
            }
            1 => {
                text.push('\n');
                for _ in 0..random.random_range(1..4) {
                    let _ = write!(text, "  - {}", scalar(random, 4));
                }
            }
            _ => {
                let _ = write!(text, "\n  A: {}", scalar(random, 4));
                let _ = write!(text, "  B: {}", scalar(random, 4));
            }
        }
        if random.random_ratio(1, 4) {
            text.push_str("# ein Kommentar – ü\n\n");
        }
    }
    text
}

/// A scalar, to the end of its last line.
fn scalar(random: &mut StdRng, indent: usize) -> String {
    const WORDS: [&str; 12] = [
        "Grüße", "日本", "a", "–", "${Name}", "😀", "b:c", "x?", "12", "ß#x", "é", "it",
    ];
    let words = |random: &mut StdRng| {
        let words: Vec<&str> = (0..random.random_range(1..5))
            .map(|_| WORDS[random.random_range(0..WORDS.len())])
            .collect();
        words.join(" ")
    };
    let tag = ["", "", "!Sub ", "&anchor "][random.random_range(0..4)];
    let comment = ["", "", " # ü"][random.random_range(0..3)];
    let blanks = " ".repeat(indent);
    let lines = |random: &mut StdRng| {
        let lines: Vec<String> = (0..random.random_range(1..4))
            .map(|_| format!("{blanks}{}", words(random)))
            .collect();
        lines.join(["\n", "\n\n"][random.random_range(0..2)])
    };
    match random.random_range(0..6) {
        0 => format!("{tag}{}{comment}\n", words(random)),
        1 => format!("{tag}'{} it''s'{comment}\n", lines(random).trim_start()),
        2 => format!("{tag}\"{} \\\"\\n\"{comment}\n", lines(random).trim_start()),
        3 => {
            let header = ["|", "|-", "|+", ">", ">-", ">+"][random.random_range(0..6)];
            format!("{tag}{header}{comment}\n{}\n", lines(random))
        }
        4 => format!("{tag}{}\n", lines(random).trim_start()),
        _ => format!("{tag}[ {}, 'ü, ]' ]{comment}\n", words(random)),
    }
}

#[test]
fn what_looks_alike() {
    assert!(looks_like("Gr??e ? ??", "Grüße – 日本"));
    assert!(looks_like("???", "😀"));
    assert!(looks_like("a?b", "a?b"));
    assert!(!looks_like("Gr??e", "Grüße – 日本"));
    assert!(!looks_like("a", "ä"));
}

#[test]
fn a_template_that_is_read_back() {
    let sent = to_ascii("A: 'Grüße – 日本'\nB: what?\nC: 1\n").unwrap();
    assert_eq!(read_back(&sent, "A: other\nB: what?\n").unsure, [""; 0]);
    // Sent by something else, in other characters than ASCII.
    let returned = "# f?r alle\nA: 'Gr??e ? ??'\nB: what?\nC: &x 1\nD: gone ?\n";
    let read = read_back(returned, &sent);
    assert_eq!(read.unsure, ["gone ?"]);
    assert_eq!(parsed(&read.text)[4], "\"Grüße – 日本\" 0 None");
    assert!(read.text.is_ascii() && read.text.contains("C: &x 1\n"));
    // Two that look the same: nobody knows.
    let two = "A: \"\\u00fc\"\nB: \"\\u00e4\"\n";
    assert_eq!(
        read_back("A: ?\nX: '?'\n", two).unsure,
        ["the whole template"]
    );
    assert_eq!(read_back("A: '?'\n", two).unsure, ["?"]);
}

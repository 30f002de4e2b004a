//! `docs/events.md` names every event with its fields, every phase and every exit code: read from the source, so that none can be
//! forgotten.

const EVENTS: &str = include_str!("../../crates/deployment/src/event.rs");
const ERRORS: &str = include_str!("../../crates/deployment/src/error.rs");
const DOCS: &str = include_str!("../../docs/events.md");

/// The variants of an enum with their fields, as rustfmt lays them out.
fn variants(source: &str, name: &str) -> Vec<(String, Vec<String>)> {
    let start = format!("pub enum {name} {{\n");
    let (_, body) = source.split_once(&start).expect("the enum is there");
    let (body, _) = body.split_once("\n}\n").expect("the enum ends");
    let mut variants: Vec<(String, Vec<String>)> = Vec::new();
    for line in body.lines() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        if code.is_empty() || code.starts_with("//") || code.starts_with('#') {
            continue;
        }
        let is_name = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
        let word: String = code.chars().take_while(is_name).collect();
        if indent == 4 && !word.is_empty() {
            let within = code.split_once('{').map_or("", |(_, within)| within);
            let fields = within.split(',').filter_map(|field| field.split_once(':'));
            let fields = fields.map(|(field, _)| field.trim().to_owned());
            variants.push((snake_case(&word), fields.collect()));
        } else if indent == 8
            && let Some((_, fields)) = variants.last_mut()
        {
            fields.push(word);
        }
    }
    variants
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[test]
fn every_event_is_documented_with_its_fields_and_an_example() {
    let variants = variants(EVENTS, "Event");
    assert!(variants.len() > 20, "{variants:?}");
    for (tag, fields) in variants {
        let start = format!("| `{tag}` |");
        let row = DOCS.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("docs/events.md has no row for `{tag}`"));
        for field in fields {
            let named = [format!("`{field}`"), format!("`{field}[]`")];
            assert!(
                named.iter().any(|name| row.contains(name)),
                "docs/events.md names no field `{field}` of `{tag}`"
            );
        }
        assert!(
            tag.starts_with("phase_") || DOCS.contains(&format!("\"event\":\"{tag}\"")),
            "docs/events.md has no example of `{tag}`"
        );
    }
}

#[test]
fn every_phase_is_documented() {
    let (_, paragraph) = DOCS
        .split_once("\nPhases: ")
        .expect("the phases are listed");
    let (paragraph, _) = paragraph.split_once("\n\n").expect("the paragraph ends");
    let phases = variants(EVENTS, "Phase");
    assert!(phases.len() > 10, "{phases:?}");
    for (phase, _) in phases {
        assert!(paragraph.contains(&format!("`{phase}`")), "{phase}");
    }
}

#[test]
fn every_exit_code_is_documented() {
    let kinds = variants(ERRORS, "FailureKind");
    assert!(kinds.len() > 7, "{kinds:?}");
    for (kind, _) in kinds {
        let row = DOCS
            .lines()
            .find(|line| line.ends_with(&format!("| `{kind}` |")));
        assert!(
            row.is_some(),
            "docs/events.md has no exit code for `{kind}`"
        );
    }
}

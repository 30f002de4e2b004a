//! The documents hold: `docs/events.md` names every event with its fields, every phase and every exit code, read from the source; links
//! lead somewhere; files that are named exist.

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

/// The Markdown files of the repository, with their texts.
fn pages() -> Vec<(std::path::PathBuf, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace");
    let folders = [root.to_owned(), root.join("docs")];
    let files = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).expect("it is readable"))
        .map(|file| file.expect("it is readable").path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("it is readable");
            (path, text)
        })
        .collect()
}

/// The anchors that a page's headings have on GitHub.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = kept
            .chars()
            .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        kept.map(|letter| if letter == ' ' { '-' } else { letter })
            .collect()
    };
    headings.map(anchor).collect()
}

/// The targets of the links in a page that lead to files of the repository.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split_once(')'));
    targets
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let mut count = 0;
    for (path, text) in pages() {
        for link in links(&text) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                path.parent().expect("a folder").join(file)
            };
            assert!(target.exists(), "{}: {link}", path.display());
            if !anchor.is_empty() {
                let page = std::fs::read_to_string(&target).expect("it is readable");
                let found = anchors(&page).iter().any(|one| one == anchor);
                assert!(found, "{}: {link}", path.display());
            }
            count += 1;
        }
    }
    assert!(count > 80, "{count}");
}

#[test]
fn files_that_the_architecture_names_exist() {
    let page = include_str!("../../docs/architecture.md");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace");
    let named =
        page.split('`').skip(1).step_by(2).filter(|name| {
            name.contains('/') && !name.contains([' ', '*']) && !name.contains("NAME")
        });
    let mut count = 0;
    for name in named {
        assert!(
            root.join(name).exists(),
            "docs/architecture.md names {name}"
        );
        count += 1;
    }
    assert!(count > 25, "{count}");
}

#[test]
fn commands_in_documents_are_commands() {
    let command = <deployer::commands::Cli as clap::CommandFactory>::command();
    let count = test_support::documents::assert_commands_parse(&command);
    assert!(count > 150, "{count}");
}

#[test]
fn targets_of_make_exist() {
    let makefile = include_str!("../../Makefile");
    let mut count = 0;
    for (path, text) in pages() {
        let spans = text.split('`').skip(1).step_by(2);
        let blocks = text.lines().filter_map(|line| line.strip_prefix("    "));
        for target in spans
            .chain(blocks)
            .filter_map(|it| it.strip_prefix("make "))
        {
            let is_name = |word: &&str| {
                let is_sign = |sign: char| sign.is_ascii_lowercase() || sign == '-';
                word.chars().all(is_sign) && !word.starts_with('-')
            };
            // Variables and other commands come after them.
            for target in target.split_whitespace().take_while(is_name) {
                let exists = makefile.contains(&format!("\n{target}:"));
                assert!(exists, "{}: make {target}", path.display());
                count += 1;
            }
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn schemas_are_current() {
    let of = [
        ("config", "deployer"),
        ("events", "deployer-events"),
        ("results", "deployer-results"),
        ("logs", "deployer-logs"),
    ];
    for (name, file) in of {
        test_support::documents::assert_schema_is_current(
            env!("CARGO_BIN_EXE_deployer"),
            &["schema", name],
            file,
        );
    }
}

#[test]
fn the_site_has_every_page_once() {
    let summary = include_str!("../../docs/SUMMARY.md");
    let mut listed: Vec<&str> = links(summary);
    listed.sort_unstable();
    let pages = pages();
    let names = pages.iter().filter(|(path, _)| {
        path.parent().is_some_and(|folder| folder.ends_with("docs"))
            && !path.ends_with("SUMMARY.md")
    });
    let names = names.map(|(path, _)| path.file_name().expect("a name").to_str().expect("UTF-8"));
    let mut expected: Vec<&str> = names.chain(["../README.md"]).collect();
    expected.sort_unstable();
    assert_eq!(listed, expected);
}

#[test]
fn pictures_are_small_and_of_this_project_alone() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace");
    let shown: Vec<String> = pages().into_iter().map(|(_, text)| text).collect();
    let mut count = 0;
    for file in std::fs::read_dir(root.join("docs/pictures")).expect("it is readable") {
        let path = file.expect("it is readable").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        if name == "contents.json" {
            continue;
        }
        let content = std::fs::read(&path).expect("it is readable");
        assert!(content.len() <= 200_000, "{name}: {} bytes", content.len());
        let is_shown = shown
            .iter()
            .any(|page| page.contains(&format!("pictures/{name}")));
        assert!(is_shown, "no page shows {name}");
        if name.ends_with(".svg") {
            let text = String::from_utf8(content).expect("UTF-8");
            // For both colour schemes, for who wants nothing to move, and for who does not see it.
            for needed in [
                "prefers-color-scheme:dark",
                "prefers-reduced-motion",
                "<title>",
            ] {
                assert!(text.contains(needed), "{name} has no {needed}");
            }
            // Of the machine that drew it, or loaded from elsewhere.
            let folders = ["home", "root", "tmp", "work"].map(|folder| format!("/{folder}/"));
            let elsewhere = ["href=\"http", "url("].map(str::to_owned);
            for foreign in folders.iter().chain(&elsewhere) {
                assert!(!text.contains(foreign), "{name} has {foreign}");
            }
        }
        count += 1;
    }
    assert!(count >= 5, "{count}");
}

//! `deny.toml` holds for what is compiled here: licences, unwanted crates, sources. No network, so no known vulnerabilities: `make deny`
//! asks for those. Every dependency is used.

use std::process::Command;

use serde_json::Value;

use crate::read::items;

/// The packages that are compiled on this system, of the lock file.
fn packages() -> Vec<Value> {
    let system = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    #[expect(
        clippy::disallowed_methods,
        reason = "a test runs programs as a user does"
    )]
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", &system])
        .current_dir(crate::root())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    items(&metadata["packages"]).into_iter().cloned().collect()
}

fn rules() -> toml::Table {
    let text = std::fs::read_to_string(crate::root().join("deny.toml")).unwrap();
    text.parse().unwrap()
}

/// Whether one may be chosen of an SPDX expression with these licences. `/` is how older manifests write `OR`.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let expression = expression.replace('/', " OR ");
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    either(&mut words, allowed)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut fits = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        fits |= both(words, allowed);
    }
    fits
}

fn both(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut fits = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        fits &= one(words, allowed);
    }
    fits
}

fn one(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let fits = either(words, allowed);
        return words.next() == Some(")") && fits;
    }
    let mut name = words.next().unwrap_or_default().to_owned();
    if words.next_if_eq(&"WITH").is_some() {
        name = format!("{name} WITH {}", words.next().unwrap_or_default());
    }
    allowed.contains(&name.as_str())
}

#[test]
fn expressions() {
    let allowed = [
        "MIT",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "Unicode-3.0",
    ];
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("MIT OR GPL-3.0-only", true),
        ("GPL-2.0-only/MIT", true),
        ("MIT AND GPL-3.0-only", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(MIT OR Apache-2.0) AND GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT AND LGPL-2.1", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("MIT WITH LLVM-exception", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}

#[test]
fn what_is_compiled_keeps_the_rules() {
    let rules = rules();
    let strings = |value: &toml::Value, key: &str| -> Vec<String> {
        let values = value[key].as_array().unwrap().iter();
        let text = |value: &toml::Value| {
            let name = value.as_str().or_else(|| value.get("name")?.as_str());
            name.unwrap().to_owned()
        };
        values.map(text).collect()
    };
    let allowed = strings(&rules["licenses"], "allow");
    let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
    let unwanted = strings(&rules["bans"], "deny");
    assert_eq!(rules["sources"]["unknown-git"].as_str(), Some("deny"));
    let packages = packages();
    assert!(packages.len() > 200, "{}", packages.len());
    let registry = concat!(
        "registry+https://github.com/rust-lang/",
        "crates",
        ".io-index"
    );
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence, &allowed), "{name}: {licence}");
        assert!(!unwanted.contains(&name.to_owned()), "{name} is not wanted");
        let source = package["source"].as_str();
        assert!(
            source.is_none_or(|source| source == registry),
            "{name}: {source:?}"
        );
    }
}

/// Returns the text of all Rust files under these folders.
fn source(folders: &[std::path::PathBuf]) -> String {
    let mut text = String::new();
    let mut folders = folders.to_vec();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

/// Returns whether a word occurs that is not part of a longer identifier.
fn names(text: &str, word: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.match_indices(word).any(|(at, _)| {
        let rest = &text[at + word.len()..];
        !text[..at].ends_with(is_part) && !rest.starts_with(is_part)
    })
}

#[test]
fn every_dependency_is_used() {
    let members = packages();
    let members = members.iter().filter(|package| package["source"].is_null());
    let mut unused = Vec::new();
    let mut count = 0;
    for member in members {
        let manifest = std::path::Path::new(member["manifest_path"].as_str().unwrap());
        let folder = manifest.parent().unwrap();
        // What only tests use is a dependency of tests.
        let product = source(&[folder.join("src")]);
        let all = source(&["src", "tests", "examples", "benches"].map(|name| folder.join(name)));
        for dependency in items(&member["dependencies"]) {
            let name = dependency["rename"]
                .as_str()
                .or(dependency["name"].as_str());
            let name = name.unwrap().replace('-', "_");
            let is_of_tests = dependency["kind"].as_str() == Some("dev");
            count += 1;
            if !names(if is_of_tests { &all } else { &product }, &name) {
                unused.push(format!("{} of {}", name, member["name"]));
            }
        }
    }
    assert!(count > 50, "{count}");
    assert_eq!(unused, Vec::<String>::new());
}

#[test]
fn names_are_whole_words() {
    for (text, expected) in [
        ("use toml::Table;", true),
        ("toml", true),
        ("use toml_edit::Table;", false),
        ("use my_toml; use toml;", true),
        ("automl", false),
    ] {
        assert_eq!(names(text, "toml"), expected, "{text}");
    }
}

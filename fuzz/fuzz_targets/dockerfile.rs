//! The reader of Dockerfiles: whatever the text, it ends with a value or a message; and a value, written down as a plain
//! Dockerfile, is read as the same value.
#![no_main]

use std::fmt::Write as _;

use image_builder::Architecture;
use image_builder::dockerfile::{CopyInstruction, FinalStage, Problem};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match FinalStage::parse(text, Architecture::X86_64) {
        Ok(stage) => round_trip(&stage),
        Err(error) => {
            let lines = text.lines().count();
            assert!(
                error.line.is_none_or(|line| (1..=lines).contains(&line)),
                "{error}"
            );
            assert!(!error.to_string().is_empty());
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error}");
        }
    }
});

fn round_trip(stage: &FinalStage) {
    let Some(text) = plain(stage) else { return };
    let again = match FinalStage::parse(&text, Architecture::X86_64) {
        Ok(again) => again,
        Err(error) if error.problem == Problem::TooLong => return,
        Err(error) => panic!("{error}: {text}"),
    };
    let mut expected = stage.clone();
    let mut found = again;
    // The lines are others.
    for copy in expected.copies.iter_mut().chain(&mut found.copies) {
        copy.line = 0;
    }
    assert_eq!(found, expected, "{text}");
}

/// A Dockerfile for this, without variables. `None` where there is none: a name with a `=` comes from a variable alone.
fn plain(stage: &FinalStage) -> Option<String> {
    let mut text = stages(&stage.copies)?;
    for (name, value) in &stage.env {
        writeln!(text, "ENV {}={}", key(name)?, quoted(value)).ok()?;
    }
    for (name, value) in &stage.labels {
        writeln!(text, "LABEL {}={}", key(name)?, quoted(value)).ok()?;
    }
    for copy in &stage.copies {
        text.push_str(&copy_instruction(copy));
    }
    for port in &stage.exposed_ports {
        writeln!(text, "EXPOSE {port}").ok()?;
    }
    let words = [
        ("USER", &stage.user),
        ("STOPSIGNAL", &stage.stop_signal),
        ("WORKDIR", &stage.working_dir),
    ];
    for (keyword, word) in words {
        if let Some(word) = word {
            writeln!(text, "{keyword} {}", quoted(word)).ok()?;
        }
    }
    for (keyword, words) in [("ENTRYPOINT", &stage.entrypoint), ("CMD", &stage.cmd)] {
        if let Some(words) = words {
            writeln!(text, "{keyword} {}", serde_json::json!(words)).ok()?;
        }
    }
    Some(text)
}

/// Enough stages for every name and number that is copied from, and the final one.
fn stages(copies: &[CopyInstruction]) -> Option<String> {
    let mut text = String::new();
    let from = || copies.iter().filter_map(|copy| copy.from.as_ref());
    let numbers = from().filter_map(|name| name.parse::<usize>().ok());
    for _ in 0..numbers.map(|number| number + 1).max().unwrap_or_default() {
        text.push_str("FROM rust\n");
    }
    for name in from() {
        // At the end of a line it would continue it.
        if name.ends_with('\\') {
            return None;
        }
        writeln!(text, "FROM rust AS {name}").ok()?;
    }
    text.push_str("FROM scratch\n");
    Some(text)
}

fn copy_instruction(copy: &CopyInstruction) -> String {
    let mut text = "COPY".to_owned();
    if let Some(from) = &copy.from {
        text += &format!(" --from={from}");
    }
    if let Some(owner) = copy.owner {
        text += &format!(" --chown={}:{}", owner.user, owner.group);
    }
    if let Some(mode) = copy.mode {
        text += &format!(" --chmod={mode:o}");
    }
    let words: Vec<String> = copy
        .sources
        .iter()
        .chain([&copy.destination])
        .map(|word| escaped(word, &['"', '\'', '$', '\\']))
        .collect();
    text + &format!(" {}\n", serde_json::json!(words))
}

fn key(name: &str) -> Option<String> {
    (!name.contains('=')).then(|| quoted(name))
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", escaped(value, &['"', '$', '\\']))
}

fn escaped(value: &str, special: &[char]) -> String {
    let mut text = String::new();
    for character in value.chars() {
        if special.contains(&character) {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

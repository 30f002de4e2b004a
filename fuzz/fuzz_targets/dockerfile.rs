//! The reader of Dockerfiles: whatever the text, it ends with a value or a message; and a value, written down as a plain
//! Dockerfile, is read as the same value.
#![no_main]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use image_builder::dockerfile::{
    CopyInstruction, CopySource, Dockerfile, DockerfileErrors, FinalStage, Problem, Request, Step,
};
use image_builder::{Architecture, Hint as _};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match parse(text) {
        Ok(dockerfile) => {
            assert!(dockerfile.notes.iter().all(|note| note.line > 0));
            round_trip(&dockerfile.stage);
        }
        Err(errors) => {
            let lines = text.lines().count();
            assert!(!errors.0.is_empty());
            for error in errors.0 {
                assert!(
                    error.line.is_none_or(|line| (1..=lines).contains(&line)),
                    "{error}"
                );
                assert!(!error.to_string().is_empty());
                assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error}");
            }
        }
    }
});

fn parse(text: &str) -> Result<Dockerfile, DockerfileErrors> {
    let request = Request {
        architecture: Architecture::X86_64,
        package: "app",
        program: "app",
        stage: None,
        args: &BTreeMap::new(),
        bases: &BTreeMap::new(),
    };
    Dockerfile::parse(text, &request)
}

fn round_trip(stage: &FinalStage) {
    let Some(text) = plain(stage) else { return };
    let mut found = match parse(&text) {
        Ok(again) => again.stage,
        Err(errors) if errors.0[0].problem == Problem::TooLong => return,
        Err(errors) => panic!("{errors}: {text}"),
    };
    let mut expected = stage.clone();
    // The lines are others.
    for step in expected.steps.iter_mut().chain(&mut found.steps) {
        match step {
            Step::Copy(copy) => copy.line = 0,
            Step::Folder(folder) => folder.line = 0,
        }
    }
    assert_eq!(found, expected, "{text}");
}

/// A Dockerfile for this, without variables. `None` where there is none: a name with a `=` comes from a variable alone, and what
/// another stage or a base gives is not said here.
fn plain(stage: &FinalStage) -> Option<String> {
    if stage.base.is_some() || stage.health_check.is_some() || stage.author.is_some() {
        return None;
    }
    let mut text = "FROM scratch\n".to_owned();
    for (name, value) in &stage.env {
        writeln!(text, "ENV {}={}", key(name)?, quoted(value)).ok()?;
    }
    for (name, value) in &stage.labels {
        writeln!(text, "LABEL {}={}", key(name)?, quoted(value)).ok()?;
    }
    for step in &stage.steps {
        match step {
            Step::Copy(copy) => text.push_str(&copy_instruction(copy)?),
            Step::Folder(folder) => {
                if let Some(owner) = &folder.owner {
                    writeln!(text, "USER {}", quoted(&owner.to_string())).ok()?;
                }
                writeln!(text, "WORKDIR {}", quoted(&folder.path)).ok()?;
            }
        }
    }
    for port in &stage.exposed_ports {
        writeln!(text, "EXPOSE {port}").ok()?;
    }
    for volume in &stage.volumes {
        let volume = escaped(volume, &['"', '\'', '$', '\\']);
        writeln!(text, "VOLUME {}", serde_json::json!([volume])).ok()?;
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
    let lists = [
        ("SHELL", &stage.shell),
        ("ENTRYPOINT", &stage.entrypoint),
        ("CMD", &stage.cmd),
    ];
    for (keyword, words) in lists {
        if let Some(words) = words {
            writeln!(text, "{keyword} {}", serde_json::json!(words)).ok()?;
        }
    }
    Some(text)
}

fn copy_instruction(copy: &CopyInstruction) -> Option<String> {
    if copy.from != CopySource::Context || !copy.inline.is_empty() {
        return None;
    }
    let mut text = if copy.unpacks { "ADD" } else { "COPY" }.to_owned();
    if let Some(owner) = &copy.owner {
        let owner = owner.to_string();
        // A flag ends at white space.
        if owner.contains(char::is_whitespace) {
            return None;
        }
        text += &format!(" --chown={}", escaped(&owner, &['"', '\'', '$', '\\']));
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
    Some(text + &format!(" {}\n", serde_json::json!(words)))
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

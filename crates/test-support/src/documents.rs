//! Commands that the documents show, against the command line of a program.

use std::path::{Path, PathBuf};

use clap::Command;

/// Asserts that the program accepts every command of it that is shown: those in blocks as they are,
/// those within a sentence by their subcommands and options. Returns how many there are.
pub fn assert_commands_parse(command: &Command) -> usize {
    let mut command = command.clone();
    command.build();
    let program = command.get_name().to_owned();
    let mut count = 0;
    for (path, text) in pages() {
        let mut is_diagram = false;
        for (number, line) in text.lines().enumerate() {
            is_diagram ^= line.starts_with("```");
            if is_diagram {
                continue;
            }
            let place = format!("{}:{}", path.display(), number + 1);
            if line.starts_with("    ") {
                for words in commands(line, &program) {
                    let parsed = command.clone().try_get_matches_from(&words);
                    // `--help` and `--version` are answered in this way, too.
                    let error = parsed.err().filter(clap::Error::use_stderr);
                    assert!(error.is_none(), "{place}: {words:?}\n{}", error.unwrap());
                    count += 1;
                }
            } else {
                for span in line.split('`').skip(1).step_by(2) {
                    for words in commands(span, &program) {
                        assert_options_exist(&command, &words[1..], &place);
                        count += 1;
                    }
                }
            }
        }
    }
    count
}

/// Asserts that a file in `schemas/` is what the program prints. `INSTA_UPDATE=always`, as for
/// snapshots, writes it.
pub fn assert_schema_is_current(program: &str, arguments: &[&str], file: &str) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test runs programs as a user does"
    )]
    let output = std::process::Command::new(program)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}");
    let path = root().join("schemas").join(format!("{file}.json"));
    let committed = std::fs::read(&path).unwrap_or_default();
    if committed == output.stdout {
        return;
    }
    let is_update = std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always");
    assert!(
        is_update,
        "{} is not current: INSTA_UPDATE=always writes it",
        path.display()
    );
    std::fs::write(path, output.stdout).unwrap();
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the Markdown files of the repository that are for users, and the example of a pipeline,
/// with their texts.
fn pages() -> Vec<(PathBuf, String)> {
    let folders = [root(), root().join("docs")];
    let files = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let paths = files.map(|file| file.unwrap().path());
    let pages = paths.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    // What has been is not what is.
    let pages = pages.filter(|path| !path.ends_with("CHANGELOG.md"));
    let pages = pages.chain([root().join("examples/gitlab-ci.yml")]);
    pages
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect()
}

fn assert_options_exist(command: &Command, words: &[String], place: &str) {
    let mut command = command;
    for word in words {
        let Some(name) = word.strip_prefix("--") else {
            if let Some(subcommand) = command.find_subcommand(word) {
                command = subcommand;
            }
            continue;
        };
        if name.is_empty() {
            break;
        }
        let name = name.split('=').next().unwrap_or_default();
        let known = command.get_arguments().any(|option| {
            option.get_long() == Some(name)
                || option
                    .get_all_aliases()
                    .is_some_and(|aliases| aliases.contains(&name))
        });
        assert!(known, "{place}: `{}` has no --{name}", command.get_name());
    }
}

/// Returns the commands of a program in a line of shell, as words.
fn commands(line: &str, program: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut end = |words: &mut Vec<String>| {
        let words = std::mem::take(words);
        // Variables before it, what starts it, and the mark of an item of a list in YAML.
        let is_before =
            |word: &String| word.contains('=') || matches!(word.as_str(), "$" | "exec" | "-");
        let words: Vec<String> = words.into_iter().skip_while(is_before).collect();
        if words.first().is_some_and(|first| first == program) {
            found.push(words);
        }
    };
    let mut has_word = false;
    for sign in line.chars() {
        match (sign, quote) {
            ('\'' | '"', None) => {
                quote = Some(sign);
                has_word = true;
            }
            (sign, Some(open)) if sign == open => quote = None,
            ('#', None) if !has_word => break,
            (' ', None) if has_word => {
                words.push(std::mem::take(&mut word));
                has_word = false;
            }
            (' ', None) => {}
            // The end of a command; `2>&1` is a word of its own.
            ('|' | ';' | '&' | '<' | '>' | '(' | ')', None) => {
                if has_word && !(sign == '>' && word == "2") && word != "$" {
                    words.push(std::mem::take(&mut word));
                }
                word.clear();
                has_word = false;
                end(&mut words);
            }
            (sign, _) => {
                word.push(sign);
                has_word = true;
            }
        }
    }
    if has_word {
        words.push(word);
    }
    end(&mut words);
    found
}

#[cfg(test)]
mod tests {
    use super::commands;

    #[test]
    fn commands_are_found_in_lines_of_shell() {
        let of = |line: &str| {
            commands(line, "a")
                .iter()
                .map(|words| words.join("|"))
                .collect::<Vec<_>>()
        };
        assert_eq!(of("    a up --x 'y z'   # why"), ["a|up|--x|y z"]);
        assert_eq!(of("A=1 a up && b; a down | jq '.c'"), ["a|up", "a|down"]);
        assert_eq!(of("source <(a completions bash)"), ["a|completions|bash"]);
        assert_eq!(of("a policy >file 2>&1"), ["a|policy"]);
        assert_eq!(of("a --empty ''"), ["a|--empty|"]);
        assert_eq!(of("    - a plan"), ["a|plan"]);
        assert_eq!(of("b a"), [""; 0]);
    }
}

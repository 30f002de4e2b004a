//! Evaluation of the `COPY` and `ADD` instructions of a stage.

use super::super::error::Problem;
use super::super::lines::{Heredoc, Instruction};
use super::super::words;
use super::super::{Account, CopyInstruction, CopySource, Step};
use super::{Compiling, MAX_DEPTH, Reader};

impl Reader<'_> {
    /// Evaluates a `COPY`, or an `ADD` of local files, which differs only for archives.
    pub(super) fn copy(
        &mut self,
        instruction: &Instruction,
        keyword: &'static str,
    ) -> Result<(), Problem> {
        if is_remote(instruction) {
            return Err(Problem::Runs(keyword));
        }
        let mut copy = CopyInstruction {
            line: instruction.line,
            from: CopySource::Context,
            sources: Vec::new(),
            inline: Vec::new(),
            destination: String::new(),
            owner: None,
            mode: None,
            unpacks: keyword == "ADD",
        };
        let mut from = None;
        let rest = self.copy_flags(&instruction.arguments, &mut copy, &mut from)?;
        if copy.unpacks && from.is_some() {
            return Err(Problem::Flag {
                keyword,
                flag: "--from".to_owned(),
            });
        }
        let words = words::json_array(rest)
            .unwrap_or_else(|| rest.split_whitespace().map(ToOwned::to_owned).collect());
        // A heredoc cannot be the destination.
        let (destination, words) = words
            .split_last()
            .filter(|(last, _)| self.heredoc(instruction, last).is_none())
            .ok_or(Problem::MissingArgument(keyword))?;
        let mut paths = Vec::new();
        for word in words {
            match self.heredoc(instruction, word) {
                Some(heredoc) => {
                    let content = self.content(&heredoc)?;
                    copy.inline.push((heredoc.name, content));
                }
                // Expanded after splitting, so that a value with spaces stays one path.
                None => paths.push(self.expand(word)?),
            }
        }
        let destination = self.expand(destination)?;
        let count = paths.len() + copy.inline.len();
        if count == 0 || paths.iter().any(String::is_empty) || destination.is_empty() {
            return Err(Problem::MissingArgument(keyword));
        }
        copy.sources = paths;
        copy.destination = self.absolute(&destination);
        // `WORKDIR` has created this folder, so Docker copies into it.
        if self.folders.contains(&copy.destination) && copy.destination != "/" {
            copy.destination.push('/');
        }
        if count > 1 && !copy.destination.ends_with('/') {
            return Err(Problem::SeveralToOne(copy.destination));
        }
        // Heredocs alone need no other stage.
        if let Some(from) = from.filter(|_| !copy.sources.is_empty()) {
            copy.from = self.source(&from, &copy.sources, &words.join(" "))?;
        }
        self.result.steps.push(Step::Copy(copy));
        Ok(())
    }

    /// Returns the heredoc that a word refers to. As in BuildKit, if two have the same name, both
    /// have the content of the last one.
    fn heredoc(&self, instruction: &Instruction, word: &str) -> Option<Heredoc> {
        let mut heredoc = Heredoc::parse(word, self.file.escape)?;
        let mut heredocs = instruction.heredocs.iter();
        let last = heredocs.rfind(|other| other.name == heredoc.name)?;
        heredoc.content.clone_from(&last.content);
        Some(heredoc)
    }

    fn content(&self, heredoc: &Heredoc) -> Result<String, Problem> {
        if heredoc.is_literal {
            return Ok(heredoc.text());
        }
        self.file
            .spend(|limit| words::expand_heredoc(&heredoc.text(), limit, &|name| self.lookup(name)))
    }

    /// Parses the flags at the start, and returns the rest.
    fn copy_flags<'t>(
        &self,
        text: &'t str,
        copy: &mut CopyInstruction,
        from: &mut Option<String>,
    ) -> Result<&'t str, Problem> {
        let mut rest = text;
        while let Some(flag_text) = rest.strip_prefix("--") {
            let (flag, behind) = flag_text
                .split_once(char::is_whitespace)
                .unwrap_or((flag_text, ""));
            let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
            match name {
                "from" if value.contains('$') => {
                    return Err(Problem::CopyFromVariable(value.to_owned()));
                }
                "from" => *from = Some(value.trim_matches(['"', '\'']).to_owned()),
                "chown" => copy.owner = Some(owner(&self.expand(value)?)?),
                "chmod" => copy.mode = Some(mode(&self.expand(value)?)?),
                // Affects only Docker's cache: the content of the layer is the same.
                "link" => {}
                other => {
                    return Err(Problem::Flag {
                        keyword: if copy.unpacks { "ADD" } else { "COPY" },
                        flag: format!("--{other}"),
                    });
                }
            }
            rest = behind.trim_start();
        }
        Ok(rest)
    }

    /// Returns the source of a `COPY --from`. `text` has the paths as written.
    fn source(&self, from: &str, paths: &[String], text: &str) -> Result<CopySource, Problem> {
        let file = self.file;
        if from.is_empty() {
            return Err(Problem::MissingArgument("COPY --from"));
        }
        // An unknown stage name is the reference of an image.
        let Some(index) = file.stage(from, self.index) else {
            let stage = file.base(from);
            return Ok(CopySource::Stage(from.to_owned(), stage.into()));
        };
        if file.runs(index).is_none() {
            if self.depth == MAX_DEPTH {
                return Err(Problem::TooDeep);
            }
            let stage = file.evaluate(index, self.depth + 1);
            return Ok(CopySource::Stage(from.to_owned(), stage));
        }
        let program = file.request.program;
        let compiling = file.compiling(index);
        let (own, others): (Vec<&String>, _) = paths
            .iter()
            .partition(|path| compiling.has_program_at(path, program));
        if !own.is_empty() {
            file.programs.borrow_mut().insert(program.to_owned());
        }
        match others.first() {
            None => Ok(CopySource::Program(from.to_owned())),
            Some(path) => Err(self.not_the_program(index, path, text, &compiling)),
        }
    }

    /// Returns why a path of a stage that runs commands cannot be taken.
    fn not_the_program(
        &self,
        index: usize,
        path: &str,
        text: &str,
        compiling: &Compiling,
    ) -> Problem {
        let path = path.to_owned();
        let program = self.file.request.program.to_owned();
        if let Some(name) = self.unset_in(text) {
            return Problem::Unset {
                name: name.to_owned(),
                path: text.to_owned(),
                is_declared: self.unset.contains(name),
            };
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let is_program = name.chars().all(is_name) && !name.is_empty();
        if is_program && self.file.has_other_program(index, &path, name) {
            let name = name.to_owned();
            self.file.programs.borrow_mut().insert(name.clone());
            return Problem::OtherProgram {
                path,
                name,
                program,
            };
        }
        match &compiling.unset {
            // A file of the system is not what the variable stands for.
            Some(name) if !path.starts_with("/etc/") && !path.starts_with("/usr/share/") => {
                Problem::Unset {
                    name: name.clone(),
                    path,
                    is_declared: true,
                }
            }
            Some(_) | None if compiling.runs_cargo => Problem::NotTheProgram { path, program },
            Some(_) | None => {
                let stage = &self.file.stages[index];
                let stage = stage.name.clone().unwrap_or_else(|| index.to_string());
                Problem::FromRunningStage { stage, path }
            }
        }
    }
}

/// Returns whether an `ADD` downloads one of its sources.
pub(super) fn is_remote(instruction: &Instruction) -> bool {
    let is_address = |word: &str| word.contains("://") || word.starts_with("git@");
    let mut words = instruction.arguments.split([' ', '\t', '"', '\'', ',']);
    instruction.keyword == "ADD" && words.any(is_address)
}

/// Parses the owner. Names are looked up in the image later.
fn owner(value: &str) -> Result<Account, Problem> {
    let account = Account::parse(value);
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    let is_name = |text: &str| {
        !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(':')
    };
    let group = account.group.as_deref().unwrap_or(&account.user);
    if [account.user.as_str(), group]
        .iter()
        .all(|it| is_number(it) || is_name(it))
    {
        Ok(account)
    } else {
        Err(Problem::Owner(value.to_owned()))
    }
}

fn mode(value: &str) -> Result<u32, Problem> {
    u32::from_str_radix(value, 8)
        .ok()
        // Twelve bits: the permissions, and setuid, setgid and sticky.
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| Problem::Mode(value.to_owned()))
}

//! From instructions to the final stage: which one it is, what its variables are worth, what it asks for.

mod copy;

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};

use super::error::{DockerfileError, Problem, Undoable};
use super::lines::{Instruction, Source};
use super::words::{self, Lookup};
use super::{ExposedPort, FinalStage, Protocol};
use crate::Architecture;
use crate::oci::DEFAULT_PATH;
use crate::parts::parts;

/// The name of the empty base. Docker reserves it.
const SCRATCH: &str = "scratch";
/// All that stands in the file, with its variables replaced: at most so many bytes. Registries take no larger configuration.
const MAX_EXPANDED: usize = 1 << 20;

pub(super) fn final_stage(
    source: &Source,
    architecture: Architecture,
) -> Result<FinalStage, DockerfileError> {
    let mut file = File {
        escape: source.escape,
        global: platform_arguments(architecture),
        stages: Vec::new(),
        left: Cell::new(MAX_EXPANDED),
    };
    let last_from = source
        .instructions
        .iter()
        .rposition(|it| it.keyword == "FROM")
        .ok_or(DockerfileError {
            line: None,
            problem: Problem::NoStage,
        })?;
    let (earlier, last) = source.instructions.split_at(last_from);
    for instruction in earlier {
        file.earlier(instruction)
            .map_err(|problem| instruction.error(problem))?;
    }
    let mut stage = Stage::new(&file);
    let mut rest = last.iter();
    if let Some(from) = rest.next() {
        stage
            .start(&from.arguments)
            .map_err(|problem| from.error(problem))?;
    }
    for instruction in rest {
        stage
            .apply(instruction)
            .map_err(|problem| instruction.error(problem))?;
    }
    let result = stage.result;
    if result.entrypoint.is_none() && result.cmd.is_none() {
        return Err(DockerfileError {
            line: last.first().map(|from| from.line),
            problem: Problem::NothingToStart,
        });
    }
    Ok(result)
}

/// What Docker sets by itself for a build for this platform.
fn platform_arguments(architecture: Architecture) -> BTreeMap<String, String> {
    let arch = architecture.oci_name();
    BTreeMap::from([
        ("TARGETPLATFORM".to_owned(), format!("linux/{arch}")),
        ("TARGETOS".to_owned(), "linux".to_owned()),
        ("TARGETARCH".to_owned(), arch.to_owned()),
    ])
}

/// What is known before the final stage begins.
struct File {
    escape: char,
    /// `ARG`s before the first `FROM`.
    global: BTreeMap<String, String>,
    /// The names of the stages so far, in small letters.
    stages: Vec<Option<String>>,
    /// Bytes that variables may still become.
    left: Cell<usize>,
}

impl File {
    fn earlier(&mut self, instruction: &Instruction) -> Result<(), Problem> {
        match instruction.keyword.as_str() {
            "FROM" => {
                let (_base, name) = from_parts(&instruction.arguments)?;
                self.stages.push(name);
                Ok(())
            }
            "ARG" if self.stages.is_empty() => self.global_argument(&instruction.arguments),
            keyword if !is_known(keyword) => Err(Problem::UnknownInstruction(keyword.to_owned())),
            keyword if self.stages.is_empty() => Err(Problem::BeforeFrom(keyword.to_owned())),
            _ => Ok(()),
        }
    }

    fn expand(&self, word: &str, lookup: Lookup<'_>) -> Result<String, Problem> {
        let left = self.left.get();
        let expanded = words::expand(word, self.escape, left, lookup)?;
        self.left.set(left - expanded.len());
        Ok(expanded)
    }

    fn global_argument(&mut self, arguments: &str) -> Result<(), Problem> {
        for word in words::quoted_words(arguments, self.escape) {
            if let Some((name, default)) = word.split_once('=') {
                let value = self.expand(default, &|name| self.global.get(name).cloned())?;
                self.global.insert(name.to_owned(), value);
            }
        }
        Ok(())
    }

    fn is_stage(&self, name: &str) -> bool {
        let by_name = self
            .stages
            .iter()
            .flatten()
            .any(|stage| stage.eq_ignore_ascii_case(name));
        by_name
            || name
                .parse::<usize>()
                .is_ok_and(|index| index < self.stages.len())
    }
}

fn is_known(keyword: &str) -> bool {
    matches!(
        keyword,
        "ADD"
            | "ARG"
            | "CMD"
            | "COPY"
            | "ENTRYPOINT"
            | "ENV"
            | "EXPOSE"
            | "FROM"
            | "HEALTHCHECK"
            | "LABEL"
            | "MAINTAINER"
            | "ONBUILD"
            | "RUN"
            | "SHELL"
            | "STOPSIGNAL"
            | "USER"
            | "VOLUME"
            | "WORKDIR"
    )
}

/// `FROM [--platform=…] base [AS name]`
fn from_parts(arguments: &str) -> Result<(String, Option<String>), Problem> {
    let mut words = arguments
        .split_whitespace()
        .skip_while(|word| word.starts_with("--"));
    let base = words.next().ok_or(Problem::MissingArgument("FROM"))?;
    let name = match (words.next(), words.next()) {
        (Some(r#as), Some(name)) if r#as.eq_ignore_ascii_case("as") => Some(name.to_lowercase()),
        _ => None,
    };
    Ok((base.to_owned(), name))
}

/// The final stage while it is read.
struct Stage<'a> {
    file: &'a File,
    arguments: BTreeMap<String, String>,
    /// Folders that `WORKDIR` has made: to copy to one of them means to copy into it.
    folders: Vec<String>,
    result: FinalStage,
}

impl<'a> Stage<'a> {
    fn new(file: &'a File) -> Self {
        Self {
            file,
            arguments: BTreeMap::new(),
            folders: vec!["/".to_owned()],
            result: FinalStage::default(),
        }
    }

    fn start(&self, arguments: &str) -> Result<(), Problem> {
        let (base, _name) = from_parts(arguments)?;
        let global: Lookup<'_> = &|name| self.file.global.get(name).cloned();
        let base = self.file.expand(&base, global)?;
        if base == SCRATCH {
            Ok(())
        } else {
            Err(Problem::NotScratch(base))
        }
    }

    fn apply(&mut self, instruction: &Instruction) -> Result<(), Problem> {
        let text = instruction.arguments.as_str();
        match instruction.keyword.as_str() {
            "ARG" => self.argument(text),
            "CMD" => {
                self.result.cmd = exec_form("CMD", text)?;
                Ok(())
            }
            "COPY" => self.copy(instruction),
            "ENTRYPOINT" => {
                self.result.entrypoint = exec_form("ENTRYPOINT", text)?;
                Ok(())
            }
            "ENV" => self.env(text),
            "EXPOSE" => self.expose(text),
            "LABEL" => self.label(text),
            "STOPSIGNAL" => {
                self.result.stop_signal = Some(self.one_word("STOPSIGNAL", text)?);
                Ok(())
            }
            "USER" => {
                self.result.user = Some(self.one_word("USER", text)?);
                Ok(())
            }
            "WORKDIR" => self.work_folder(text),
            "ADD" => Err(Problem::Undoable(Undoable::Add)),
            "HEALTHCHECK" => Err(Problem::Undoable(Undoable::HealthCheck)),
            "MAINTAINER" => Err(Problem::Undoable(Undoable::Maintainer)),
            "ONBUILD" => Err(Problem::Undoable(Undoable::OnBuild)),
            "RUN" => Err(Problem::Undoable(Undoable::Run)),
            "SHELL" => Err(Problem::Undoable(Undoable::Shell)),
            "VOLUME" => Err(Problem::Undoable(Undoable::Volume)),
            other => Err(Problem::UnknownInstruction(other.to_owned())),
        }
    }

    /// `ENV` wins over `ARG`, as in Docker; and `PATH` has a value from the start, also in an empty image.
    fn lookup(&self, name: &str) -> Option<String> {
        self.result
            .env
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
            .or_else(|| self.arguments.get(name))
            .cloned()
            .or_else(|| (name == "PATH").then(|| DEFAULT_PATH.to_owned()))
    }

    fn expand(&self, word: &str) -> Result<String, Problem> {
        self.file.expand(word, &|name| self.lookup(name))
    }

    fn one_word(&self, keyword: &'static str, text: &str) -> Result<String, Problem> {
        let word = self.expand(text)?;
        if word.is_empty() {
            return Err(Problem::MissingArgument(keyword));
        }
        Ok(word)
    }

    fn argument(&mut self, text: &str) -> Result<(), Problem> {
        for word in words::quoted_words(text, self.file.escape) {
            let (name, value) = match word.split_once('=') {
                Some((name, default)) => (name.to_owned(), Some(self.expand(default)?)),
                None => (word.clone(), self.file.global.get(&word).cloned()),
            };
            if let Some(value) = value {
                self.arguments.insert(name, value);
            }
        }
        Ok(())
    }

    /// Within one instruction all values see the variables from before it.
    fn expanded_pairs(
        &self,
        keyword: &'static str,
        text: &str,
    ) -> Result<Vec<(String, String)>, Problem> {
        words::pairs(keyword, text, self.file.escape)?
            .into_iter()
            .map(|(name, value)| Ok((self.expand(&name)?, self.expand(&value)?)))
            .collect()
    }

    fn env(&mut self, text: &str) -> Result<(), Problem> {
        for (name, value) in self.expanded_pairs("ENV", text)? {
            let known = self.result.env.iter_mut().find(|(known, _)| *known == name);
            match known {
                Some((_, old)) => *old = value,
                None => self.result.env.push((name, value)),
            }
        }
        Ok(())
    }

    fn label(&mut self, text: &str) -> Result<(), Problem> {
        let labels = self.expanded_pairs("LABEL", text)?;
        self.result.labels.extend(labels);
        Ok(())
    }

    fn expose(&mut self, text: &str) -> Result<(), Problem> {
        if text.is_empty() {
            return Err(Problem::MissingArgument("EXPOSE"));
        }
        // A range may have all 65,535 of them.
        let mut known: HashSet<_> = self.result.exposed_ports.iter().copied().collect();
        for word in text.split_whitespace() {
            let word = self.expand(word)?;
            for port in ports(&word).ok_or(Problem::Port(word))? {
                if known.insert(port) {
                    self.result.exposed_ports.push(port);
                }
            }
        }
        Ok(())
    }

    fn work_folder(&mut self, text: &str) -> Result<(), Problem> {
        let folder = self.absolute(&self.one_word("WORKDIR", text)?);
        let folder = match folder.trim_end_matches('/') {
            "" => "/".to_owned(),
            trimmed => trimmed.to_owned(),
        };
        self.folders.push(folder.clone());
        self.result.working_dir = Some(folder);
        Ok(())
    }

    /// Joined to `WORKDIR` and without `.` and `..`; a `/` at the end is kept.
    fn absolute(&self, path: &str) -> String {
        let base = self.result.working_dir.as_deref().unwrap_or("/");
        let joined = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{base}/{path}")
        };
        let is_folder = joined.ends_with('/') || joined.ends_with("/.") || joined.ends_with("/..");
        // Above the root there is nothing.
        let (_above, parts) = parts(&joined);
        let clean = format!("/{}", parts.join("/"));
        if is_folder && clean != "/" {
            format!("{clean}/")
        } else {
            clean
        }
    }
}

/// What is started; `[]` takes back what was to be.
fn exec_form(keyword: &'static str, text: &str) -> Result<Option<Vec<String>>, Problem> {
    if text.is_empty() {
        return Err(Problem::MissingArgument(keyword));
    }
    let words = words::json_array(text).ok_or(Problem::ShellForm(keyword))?;
    Ok(Some(words).filter(|words| !words.is_empty()))
}

/// `8080`, `8080/udp`, `8000-8010/tcp`
fn ports(word: &str) -> Option<Vec<ExposedPort>> {
    let (numbers, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return None,
    };
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let (first, last) = (first.parse::<u16>().ok()?, last.parse::<u16>().ok()?);
    if first == 0 || first > last {
        return None;
    }
    let ports = first..=last;
    Some(
        ports
            .map(|number| ExposedPort { number, protocol })
            .collect(),
    )
}

//! Evaluation of a parsed Dockerfile: its stages, the values of their variables, and the effect of
//! each instruction.

mod build;
mod copy;
mod sources;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use super::error::{DockerfileError, DockerfileErrors, Problem};
use super::lines::{Instruction, Source};
use super::words::{self, Lookup};
use super::{
    Account, Dockerfile, ExposedPort, FinalStage, HealthCheck, Misfit, Note, Protocol, Request,
};
use super::{DEFAULT_PATH, Step, WorkFolder};
use crate::paths::components;
pub use build::CargoBuild;
pub(crate) use build::without_crt_static;
use build::{Compiling, Project};

/// Reserved name of the empty base image.
const SCRATCH: &str = "scratch";
/// Limit for the text after all variables are expanded, in bytes. Registries accept no larger
/// configuration.
const MAX_EXPANDED: usize = 1 << 20;
/// Limit for the nesting of `COPY --from` between stages.
const MAX_DEPTH: usize = 8;
/// Limit for the programs that are looked for in the stages.
const MAX_PROGRAMS: usize = 32;
/// Default shell for the shell form of `CMD` and `ENTRYPOINT`, unless `SHELL` sets another.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];
/// Names of Linux signals, without `SIG`. `RTMIN` and `RTMAX` are checked apart, since they may
/// have an offset.
const SIGNALS: [&str; 34] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];

pub(super) fn read(source: &Source, request: &Request<'_>) -> Result<Dockerfile, DockerfileErrors> {
    let file = File::split(source, request);
    // Docker ignores an argument that no `ARG` declares, which hides typing errors.
    for name in request.args.keys().filter(|name| !declares(source, name)) {
        file.report(None, Problem::UnknownArgument(name.clone()));
    }
    let last = match file.last() {
        Ok(last) => last,
        Err(problem) => {
            file.report(None, problem);
            return Err(file.into_errors());
        }
    };
    let stage = file.evaluate(last, 0);
    // A base that was not fetched may set the command.
    let is_known = stage
        .base
        .as_ref()
        .is_none_or(|it| request.bases.contains_key(it));
    let starts = stage.entrypoint.is_some() || stage.cmd.is_some();
    // Only reported if there is no other error: a `CMD` that failed to parse is missing here, too.
    if !starts && is_known && file.errors.borrow().is_empty() {
        file.report(Some(file.stages[last].line), Problem::NothingToStart);
    }
    let program = stage.copies().find_map(|copy| match &copy.from {
        super::CopySource::Program(name) => Some((file.stage(name, last)?, copy.sources.first()?)),
        super::CopySource::Context | super::CopySource::Stage(..) => None,
    });
    let compiling = program.map(|(index, path)| {
        let mut compiling = Compiling::clone(&file.compiling(index));
        compiling.take_from(path);
        compiling
    });
    let compiling = compiling.unwrap_or_default();
    if !file.errors.borrow().is_empty() {
        return Err(file.into_errors());
    }
    let triggers = file.stages[last].triggers.iter();
    let left_out = triggers.map(|trigger| Note {
        line: trigger.line,
        text: "`ONBUILD` is left out: nothing is built on this image".to_owned(),
    });
    file.notes.borrow_mut().extend(left_out);
    let mut notes = file.notes.into_inner();
    notes.extend(compiling.notes);
    notes.sort();
    notes.dedup();
    Ok(Dockerfile {
        stage: Arc::unwrap_or_clone(stage),
        build: compiling.build,
        notes,
    })
}

pub(super) fn misfit(source: &Source, request: &Request<'_>) -> Misfit {
    let file = File::split(source, request);
    let stage = file.last().map(|last| file.evaluate(last, 0));
    Misfit {
        errors: file.errors.borrow().len(),
        is_not_started: !stage.is_ok_and(|stage| stage.starts(request.program)),
    }
}

/// Returns whether an `ARG` declares this name. Docker's platform arguments need no declaration in
/// `FROM`.
fn declares(source: &Source, name: &str) -> bool {
    let arguments = source.instructions.iter().filter(|it| it.keyword == "ARG");
    let mut words = arguments.flat_map(|it| words::quoted_words(&it.arguments, source.escape));
    words.any(|word| word.split('=').next() == Some(name))
}

/// Returns the platform arguments that Docker predefines for this target.
fn platform_arguments(request: &Request<'_>) -> BTreeMap<String, String> {
    let target = request.architecture.oci_name();
    let host = crate::Architecture::of_this_machine().map_or(target, crate::Architecture::oci_name);
    [
        ("TARGETPLATFORM", format!("linux/{target}")),
        ("TARGETOS", "linux".to_owned()),
        ("TARGETARCH", target.to_owned()),
        ("TARGETVARIANT", String::new()),
        ("TARGETSTAGE", request.stage.unwrap_or("default").to_owned()),
        ("BUILDPLATFORM", format!("linux/{host}")),
        ("BUILDOS", "linux".to_owned()),
        ("BUILDARCH", host.to_owned()),
        ("BUILDVARIANT", String::new()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Stage as written: a `FROM` and the instructions after it.
struct RawStage<'a> {
    line: usize,
    /// Value of `--platform`.
    platform: Option<String>,
    base: String,
    /// Name in lower case: Docker compares stage names without regard to case.
    name: Option<String>,
    /// Starts with the triggers of the stage that this one is built on.
    instructions: Vec<&'a Instruction>,
    /// Instructions behind `ONBUILD`, for the stages that are built on this one.
    triggers: Vec<&'a Instruction>,
}

/// Stages of a Dockerfile, and the state of their evaluation.
pub(super) struct File<'a> {
    escape: char,
    request: &'a Request<'a>,
    /// `ARG`s before the first `FROM`.
    global: BTreeMap<String, String>,
    stages: Vec<RawStage<'a>>,
    /// Bytes left for expanded variables, out of `MAX_EXPANDED`.
    left: Cell<usize>,
    /// Stages that were evaluated already, by index.
    evaluated: RefCell<BTreeMap<usize, Arc<FinalStage>>>,
    /// Stages that were read for what they compile, by index, with the package and the program that
    /// were looked for.
    compiled: RefCell<BTreeMap<(usize, String, String), Rc<Compiling>>>,
    /// The same with all notes, for the image's own program.
    compiling: RefCell<BTreeMap<usize, Rc<Compiling>>>,
    /// Programs that the image takes from stages that compile.
    programs: RefCell<BTreeSet<String>>,
    errors: RefCell<Vec<DockerfileError>>,
    notes: RefCell<Vec<Note>>,
}

impl<'a> File<'a> {
    fn split(source: &'a Source, request: &'a Request<'a>) -> Self {
        let mut file = Self {
            escape: source.escape,
            request,
            global: platform_arguments(request),
            stages: Vec::new(),
            left: Cell::new(MAX_EXPANDED),
            evaluated: RefCell::default(),
            compiled: RefCell::default(),
            compiling: RefCell::default(),
            programs: RefCell::default(),
            errors: RefCell::default(),
            notes: RefCell::default(),
        };
        for instruction in &source.instructions {
            let keyword = instruction.keyword.as_str();
            let result = match (keyword, file.stages.last_mut()) {
                ("", _) => Err(Problem::MissingArgument("ONBUILD")),
                ("FROM" | "MAINTAINER" | "ONBUILD", _) if instruction.is_trigger => {
                    Err(Problem::Trigger(keyword.to_owned()))
                }
                (_, Some(stage)) if instruction.is_trigger => {
                    stage.triggers.push(instruction);
                    Ok(())
                }
                (_, None) if instruction.is_trigger => {
                    Err(Problem::BeforeFrom("ONBUILD".to_owned()))
                }
                ("FROM", _) => file.from(instruction),
                _ if !is_known(keyword) => Err(Problem::UnknownInstruction(keyword.to_owned())),
                (_, Some(stage)) => {
                    stage.instructions.push(instruction);
                    Ok(())
                }
                ("ARG", None) => file.global_argument(&instruction.arguments),
                (_, None) => Err(Problem::BeforeFrom(keyword.to_owned())),
            };
            if let Err(problem) = result {
                file.report(Some(instruction.line), problem);
            }
        }
        file
    }

    /// Returns the index of the stage that becomes the image. Like Docker, builds the last stage,
    /// and of the others only those that it needs.
    fn last(&self) -> Result<usize, Problem> {
        let count = self.stages.len();
        match self.request.stage {
            Some(name) if count > 0 => {
                let found = self.stage(name, count);
                found.ok_or_else(|| Problem::UnknownStage(name.to_owned()))
            }
            Some(_) | None => count.checked_sub(1).ok_or(Problem::NoStage),
        }
    }

    fn from(&mut self, instruction: &'a Instruction) -> Result<(), Problem> {
        let (platform, base, name) = from_parts(&instruction.arguments).unwrap_or_default();
        let lookup = |name: &str| self.global.get(name).cloned();
        let expanded = self.expand(&base, &lookup);
        // An invalid one is reported by Docker only.
        let platform = platform.and_then(|it| self.expand(&it, &lookup).ok());
        let (base, result) = match expanded {
            Ok(base) if base.is_empty() => (base, Err(Problem::MissingArgument("FROM"))),
            Ok(base) => (base, Ok(())),
            Err(problem) => (base, Err(problem)),
        };
        let parent = self.called(&base, self.stages.len());
        let triggers = parent.map(|parent| self.stages[parent].triggers.clone());
        // Added even if its base is invalid, so that the next instructions are not reported as
        // preceding `FROM`.
        self.stages.push(RawStage {
            line: instruction.line,
            platform,
            base,
            name,
            instructions: triggers.unwrap_or_default(),
            triggers: Vec::new(),
        });
        result
    }

    fn global_argument(&mut self, arguments: &str) -> Result<(), Problem> {
        for word in words::quoted_words(arguments, self.escape) {
            let (name, default) = word
                .split_once('=')
                .map_or((word.as_str(), None), |(name, default)| {
                    (name, Some(default))
                });
            let value = match (self.request.args.get(name), default) {
                (Some(given), _) => given.clone(),
                (None, Some(default)) => {
                    self.expand(default, &|name| self.global.get(name).cloned())?
                }
                (None, None) => continue,
            };
            self.global.insert(name.to_owned(), value);
        }
        Ok(())
    }

    fn report(&self, line: Option<usize>, problem: Problem) {
        let error = DockerfileError { line, problem };
        let mut errors = self.errors.borrow_mut();
        // A stage is read once for each stage that builds on it, so the same error can occur twice.
        if !errors.contains(&error) {
            errors.push(error);
        }
    }

    fn into_errors(self) -> DockerfileErrors {
        let mut errors = self.errors.into_inner();
        let programs: Vec<String> = self.programs.into_inner().into_iter().collect();
        // Whichever is meant, another one would be missing.
        if programs.len() > 1 {
            for error in &mut errors {
                if matches!(error.problem, Problem::OtherProgram { .. }) {
                    error.problem = Problem::SeveralPrograms(programs.join("`, `"));
                }
            }
        }
        errors.sort_by_key(|error| error.line);
        DockerfileErrors(errors)
    }

    fn expand(&self, word: &str, lookup: Lookup<'_>) -> Result<String, Problem> {
        self.spend(|left| words::expand(word, self.escape, left, lookup))
    }

    /// Expands a text, and counts the result against the limit of the whole file.
    fn spend(
        &self,
        expand: impl FnOnce(usize) -> Result<String, Problem>,
    ) -> Result<String, Problem> {
        let left = self.left.get();
        let expanded = expand(left)?;
        self.left.set(left - expanded.len());
        Ok(expanded)
    }

    /// Finds the stage with this name, among those before index `before`.
    fn called(&self, name: &str, before: usize) -> Option<usize> {
        let is_called = |stage: &RawStage<'_>| {
            let own = stage.name.as_ref();
            own.is_some_and(|own| own.eq_ignore_ascii_case(name))
        };
        // If two stages have the same name, the later one counts.
        self.stages[..before].iter().rposition(is_called)
    }

    /// Finds the stage with this name or number, among those before index `before`.
    fn stage(&self, name: &str, before: usize) -> Option<usize> {
        let number = || name.parse().ok().filter(|number| *number < before);
        self.called(name, before).or_else(number)
    }

    /// Returns the indices of a stage and of the stages it is built on, base first.
    fn chain(&self, index: usize) -> Vec<usize> {
        let mut chain = vec![index];
        let mut index = index;
        // A parent always precedes its stage, so this loop ends.
        while let Some(parent) = self.parent(index) {
            chain.push(parent);
            index = parent;
        }
        chain.reverse();
        chain
    }

    fn parent(&self, index: usize) -> Option<usize> {
        self.called(&self.stages[index].base, index)
    }

    /// Evaluates a stage without `RUN`, together with the stages it is built on.
    fn evaluate(&self, index: usize, depth: usize) -> Arc<FinalStage> {
        // Several instructions may copy from the same stage.
        if let Some(known) = self.evaluated.borrow().get(&index) {
            return Arc::clone(known);
        }
        let chain = self.chain(index);
        // Only the first stage of the chain has a base image; each later one continues from its
        // parent.
        let result = self.start(&self.stages[chain[0]], depth);
        let mut reader = Reader::new(self, depth, result);
        for index in chain {
            reader.enter(index);
            for instruction in &self.stages[index].instructions {
                if let Err(problem) = reader.apply(instruction) {
                    self.report(Some(instruction.line), problem);
                }
            }
        }
        let result = Arc::new(reader.result);
        let mut evaluated = self.evaluated.borrow_mut();
        evaluated.insert(index, Arc::clone(&result));
        result
    }

    /// Returns the settings of the image that a stage starts from.
    fn start(&self, stage: &RawStage<'_>, depth: usize) -> FinalStage {
        let mut result = self.base(&stage.base);
        if std::mem::take(&mut result.has_triggers) {
            let problem = Problem::Triggers(stage.base.clone());
            self.report(Some(stage.line), problem);
        }
        let wanted = self.request.architecture.oci_name();
        let other = stage.platform.as_ref().filter(|it| !is_for(it, wanted));
        let (Some(platform), Some(_)) = (other, &result.base) else {
            return result;
        };
        let wanted = format!("linux/{wanted}");
        // Of a stage that is only copied from, the files may be the same for all platforms.
        if depth == 0 {
            let platform = platform.clone();
            self.report(Some(stage.line), Problem::Platform { platform, wanted });
        } else {
            self.notes.borrow_mut().push(Note {
                line: stage.line,
                text: format!(
                    "`--platform={platform}` is left out: the files are those of the image for {wanted}"
                ),
            });
        }
        result
    }

    fn base(&self, name: &str) -> FinalStage {
        if name == SCRATCH || name.is_empty() {
            return FinalStage::default();
        }
        let known = self.request.bases.get(name);
        FinalStage {
            base: Some(name.to_owned()),
            ..known.map(|it| FinalStage::clone(it)).unwrap_or_default()
        }
    }

    /// Returns the first instruction of a stage, or of the stages it is built on, that only Docker
    /// can execute.
    fn runs(&self, index: usize) -> Option<&'a Instruction> {
        let chain = self.chain(index).into_iter();
        let mut all = chain.flat_map(|index| &self.stages[index].instructions);
        let runs = |it: &&&Instruction| it.keyword == "RUN" || copy::is_remote(it);
        all.find(runs).copied()
    }

    /// Reads the cargo options that a build stage uses. Errors in such a stage are ignored: only
    /// Docker runs it.
    fn compiling(&self, index: usize) -> Rc<Compiling> {
        if let Some(known) = self.compiling.borrow().get(&index) {
            return Rc::clone(known);
        }
        let (package, program) = (self.request.package, self.request.program);
        let mut compiling = Compiling::clone(&self.compiling_of(index, package, program));
        for (line, from) in std::mem::take(&mut compiling.copies) {
            if self.is_foreign(&from, index) {
                compiling.copied_from(line, &from);
            }
        }
        compiling.notes.extend(compiling.sources.notes());
        let compiling = Rc::new(compiling);
        let mut known = self.compiling.borrow_mut();
        known.insert(index, Rc::clone(&compiling));
        compiling
    }

    /// Returns whether a stage puts another program than that of the image at this path.
    fn has_other_program(&self, index: usize, path: &str, name: &str) -> bool {
        // Of many, whatever they are, the first few suffice: each needs another look at the stage.
        if self.compiled.borrow().len() > MAX_PROGRAMS {
            return false;
        }
        // Its package is not known here, and is often called like it.
        let packages = [self.request.package, name];
        packages.iter().any(|package| {
            let compiling = self.compiling_of(index, package, name);
            compiling.has_program_at(path, name)
        })
    }

    fn compiling_of(&self, index: usize, package: &str, program: &str) -> Rc<Compiling> {
        let key = (index, package.to_owned(), program.to_owned());
        if let Some(known) = self.compiled.borrow().get(&key) {
            return Rc::clone(known);
        }
        let project = Project {
            package,
            program,
            processor: self.request.architecture.rust_name(),
        };
        let mut compiling = Compiling::for_processor(project.processor);
        // No `COPY` is evaluated here, so the depth has no effect.
        let mut reader = Reader::new(self, MAX_DEPTH, FinalStage::default());
        for index in self.chain(index) {
            reader.enter(index);
            for instruction in &self.stages[index].instructions {
                let text = instruction.arguments.as_str();
                // Compared below, so that only variables that this instruction changes are adopted.
                let before = reader.values_of(instruction);
                match instruction.keyword.as_str() {
                    "ARG" => reader.argument(text).unwrap_or_default(),
                    "ENV" => reader.env(text).unwrap_or_default(),
                    "WORKDIR" => reader.work_folder(instruction).unwrap_or_default(),
                    "RUN" => {
                        let unset = reader.unset_in_paths(instruction);
                        compiling.unset = compiling.unset.take().or(unset);
                        compiling.run(instruction, &reader, &project);
                    }
                    "COPY" | "ADD" => match copied_stage(text) {
                        Some(from) => compiling.copies.push((instruction.line, from.to_owned())),
                        None => compiling.sources.copy(instruction, &mut reader),
                    },
                    _ => {}
                }
                for (name, before) in before {
                    let value = reader.variables.get(&name);
                    if let Some(value) = value.filter(|value| before.as_ref() != Some(value)) {
                        compiling.set(instruction.line, &name, value);
                    }
                }
            }
        }
        let compiling = Rc::new(compiling);
        let mut known = self.compiled.borrow_mut();
        known.insert(key, Rc::clone(&compiling));
        compiling
    }

    /// Returns whether a `COPY --from` brings files that the compilation may need. Stages that
    /// compile the program or, with cargo-chef, its dependencies, only save time.
    fn is_foreign(&self, from: &str, before: usize) -> bool {
        let Some(index) = self.stage(from, before) else {
            return true;
        };
        let chain = self.chain(index).into_iter();
        let mut all = chain.flat_map(|index| &self.stages[index].instructions);
        let is_chef = |text: &str| text.contains("chef prepare") || text.contains("chef cook");
        let (package, program) = (self.request.package, self.request.program);
        !(all.any(|it| it.keyword == "RUN" && is_chef(&it.arguments))
            || self.compiling_of(index, package, program).runs_cargo)
    }
}

/// Returns the stage or image of a `COPY --from`.
fn copied_stage(arguments: &str) -> Option<&str> {
    let words = arguments.split_whitespace();
    let mut flags = words.take_while(|word| word.starts_with("--"));
    let from = flags.find_map(|word| word.strip_prefix("--from="))?;
    Some(from.trim_matches(['"', '\'']))
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
            | "RUN"
            | "SHELL"
            | "STOPSIGNAL"
            | "USER"
            | "VOLUME"
            | "WORKDIR"
    )
}

/// Returns whether a platform, such as `linux/arm64/v8` or `amd64`, is that of an architecture.
fn is_for(platform: &str, wanted: &str) -> bool {
    let mut parts = platform.split('/').filter(|part| *part != "linux");
    // Names of the kernel that Docker also understands.
    let architecture = match parts.next() {
        Some("x86_64" | "x86-64") => "amd64",
        Some("aarch64") => "arm64",
        Some(name) => name,
        None => return true,
    };
    architecture == wanted
}

/// Parts of a `FROM`: platform, base, and name of the stage.
type FromParts = (Option<String>, String, Option<String>);

/// Parses `[--platform=…] base [AS name]`.
fn from_parts(arguments: &str) -> Option<FromParts> {
    let (flags, words): (Vec<&str>, Vec<&str>) = arguments
        .split_whitespace()
        .partition(|word| word.starts_with("--"));
    let mut flags = flags.into_iter();
    let platform = flags.find_map(|word| word.strip_prefix("--platform="));
    let mut words = words.into_iter();
    let base = words.next()?;
    let name = match (words.next(), words.next()) {
        (Some(r#as), Some(name)) if r#as.eq_ignore_ascii_case("as") => Some(name.to_lowercase()),
        _ => None,
    };
    Some((platform.map(ToOwned::to_owned), base.to_owned(), name))
}

/// Reader of a stage and those it is built on, with the state that their instructions change.
pub(super) struct Reader<'a> {
    file: &'a File<'a>,
    index: usize,
    /// Nesting depth of `COPY --from`, checked against `MAX_DEPTH`.
    depth: usize,
    /// Values of `ARG` and `ENV`, where the last one of a name wins. In BuildKit, a stage inherits
    /// both from its parent.
    pub(super) variables: BTreeMap<String, String>,
    /// `ARG`s without a value.
    unset: BTreeSet<String>,
    /// Folders that `WORKDIR` created. A `COPY` to one of them copies into it.
    folders: BTreeSet<String>,
    /// Set once a `CMD` was read in this stage.
    sets_cmd: bool,
    result: FinalStage,
}

impl<'a> Reader<'a> {
    fn new(file: &'a File<'a>, depth: usize, result: FinalStage) -> Self {
        Self {
            file,
            index: 0,
            depth,
            variables: result.env.iter().cloned().collect(),
            unset: BTreeSet::new(),
            folders: BTreeSet::from(["/".to_owned()]),
            sets_cmd: false,
            result,
        }
    }

    /// Starts a stage that continues from the one before.
    const fn enter(&mut self, index: usize) {
        self.index = index;
        self.sets_cmd = false;
    }

    fn apply(&mut self, instruction: &Instruction) -> Result<(), Problem> {
        let text = instruction.arguments.as_str();
        match instruction.keyword.as_str() {
            "ARG" => self.argument(text),
            "CMD" => {
                self.result.cmd = self.command("CMD", text)?;
                self.sets_cmd = true;
                Ok(())
            }
            "ADD" => self.copy(instruction, "ADD"),
            "COPY" => self.copy(instruction, "COPY"),
            "ENTRYPOINT" => {
                self.result.entrypoint = self.command("ENTRYPOINT", text)?;
                // A base's `CMD` is the arguments of the base's own `ENTRYPOINT`, so Docker clears
                // it as well.
                if !self.sets_cmd {
                    self.result.cmd = None;
                }
                Ok(())
            }
            "ENV" => self.env(text),
            "EXPOSE" => self.expose(text),
            "HEALTHCHECK" => {
                self.result.health_check = Some(HealthCheck::parse(text)?);
                Ok(())
            }
            "LABEL" => self.label(text),
            "MAINTAINER" => {
                self.result.author = Some(text.to_owned());
                Ok(())
            }
            "SHELL" => {
                let shell = words::json_array(text).filter(|words| !words.is_empty());
                self.result.shell = Some(shell.ok_or(Problem::Shell)?);
                Ok(())
            }
            "STOPSIGNAL" => {
                let signal = self.one_word("STOPSIGNAL", text)?;
                if signal.is_empty() {
                    return Err(Problem::MissingArgument("STOPSIGNAL"));
                }
                if !is_signal(&signal) {
                    return Err(Problem::Signal(signal));
                }
                self.result.stop_signal = Some(signal);
                Ok(())
            }
            "USER" => {
                let user = self.one_word("USER", text)?;
                self.result.user = Some(user).filter(|user| !user.is_empty());
                Ok(())
            }
            "VOLUME" => self.volume(text),
            "WORKDIR" => self.work_folder(instruction),
            "RUN" => Err(Problem::Runs("RUN")),
            other => Err(Problem::UnknownInstruction(other.to_owned())),
        }
    }

    /// Looks up a variable. `PATH` has a default even in an empty image.
    fn lookup(&self, name: &str) -> Option<String> {
        let value = self.variables.get(name).cloned();
        value.or_else(|| (name == "PATH").then(|| DEFAULT_PATH.to_owned()))
    }

    fn expand(&self, word: &str) -> Result<String, Problem> {
        self.file.expand(word, &|name| self.lookup(name))
    }

    /// Returns the values of the variables that an `ARG` or `ENV` sets.
    fn values_of(&self, instruction: &Instruction) -> BTreeMap<String, Option<String>> {
        if !matches!(instruction.keyword.as_str(), "ARG" | "ENV") {
            return BTreeMap::new();
        }
        let words = words::quoted_words(&instruction.arguments, self.file.escape);
        let names = words.iter().filter_map(|word| word.split('=').next());
        let named = names.map(|name| (name.to_owned(), self.variables.get(name).cloned()));
        named.collect()
    }

    /// Returns a variable without a value in a text.
    fn unset_in<'t>(&self, text: &'t str) -> Option<&'t str> {
        words::names(text).find(|name| self.lookup(name).is_none())
    }

    /// Returns an `ARG` without a value on which a `RUN` lets a program or its path depend.
    fn unset_in_paths(&self, run: &Instruction) -> Option<String> {
        let contents = run.heredocs.iter().map(|heredoc| heredoc.content.as_str());
        [run.arguments.as_str()]
            .into_iter()
            .chain(contents)
            .find_map(|script| {
                let mut before = "";
                script.split_whitespace().find_map(|word| {
                    let is_name = matches!(
                        std::mem::replace(&mut before, word),
                        "--bin" | "--package" | "-p"
                    );
                    let is_of_cargo =
                        is_name || word.contains("target/") || word.starts_with("--bin=");
                    // The others are the script's own.
                    let name = self
                        .unset_in(word)
                        .filter(|name| self.unset.contains(*name));
                    name.filter(|_| is_of_cargo).map(ToOwned::to_owned)
                })
            })
    }

    /// Expands a word of a shell script, and leaves unknown variables as they are. The script's
    /// `own` variables come first; one without a value is unknown. What is set nowhere is empty.
    pub(super) fn shell_word(&self, word: &str, own: &BTreeMap<String, Option<String>>) -> String {
        let value = |name: &str| {
            if let Some(value) = own.get(name) {
                return value.clone();
            }
            let value = self.variables.get(name).cloned();
            value.or_else(|| (!build::is_of_base(name)).then(String::new))
        };
        let known = |name: &str| Some(value(name).unwrap_or_else(|| format!("${name}")));
        // The shell's escape character is a backslash, whatever the `escape` directive says.
        let expanded = words::expand(word, '\\', MAX_EXPANDED, &known);
        expanded.unwrap_or_else(|_| word.to_owned())
    }

    /// Expands the only argument. As in Docker, it may be a variable without a value.
    fn one_word(&self, keyword: &'static str, text: &str) -> Result<String, Problem> {
        if text.is_empty() {
            return Err(Problem::MissingArgument(keyword));
        }
        self.expand(text)
    }

    fn argument(&mut self, text: &str) -> Result<(), Problem> {
        for word in words::quoted_words(text, self.file.escape) {
            let (name, value) = match word.split_once('=') {
                Some((name, default)) => (name, Some(self.expand(default)?)),
                // An `ARG` without a default takes the value of the global `ARG` of the same name.
                None => (word.as_str(), self.file.global.get(&word).cloned()),
            };
            let given = self.file.request.args.get(name).cloned();
            if let Some(value) = given.or(value) {
                self.variables.insert(name.to_owned(), value);
            } else if !self.variables.contains_key(name) {
                self.unset.insert(name.to_owned());
            }
        }
        Ok(())
    }

    /// Expands the pairs of one instruction. All values see the variables from before that
    /// instruction.
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
            self.variables.insert(name.clone(), value.clone());
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

    fn volume(&mut self, text: &str) -> Result<(), Problem> {
        let words = words::json_array(text)
            .unwrap_or_else(|| text.split_whitespace().map(ToOwned::to_owned).collect());
        if words.is_empty() {
            return Err(Problem::MissingArgument("VOLUME"));
        }
        for word in words {
            let word = self.expand(&word)?;
            if word.trim().is_empty() {
                return Err(Problem::MissingArgument("VOLUME"));
            }
            self.result.volumes.insert(word);
        }
        Ok(())
    }

    fn expose(&mut self, text: &str) -> Result<(), Problem> {
        if text.is_empty() {
            return Err(Problem::MissingArgument("EXPOSE"));
        }
        // A set, since a range may have all 65,535 ports, and `Vec::contains` would be quadratic.
        let mut known: HashSet<_> = self.result.exposed_ports.iter().copied().collect();
        for word in text.split_whitespace() {
            let expanded = self.expand(word)?;
            // As in BuildKit, the value of a variable may be several words, or none, unless it
            // stands in quotes.
            let words: Vec<&str> = if word.contains(['"', '\'']) {
                vec![&expanded]
            } else {
                expanded.split_whitespace().collect()
            };
            for word in words {
                for port in ports(word).ok_or_else(|| Problem::Port(word.to_owned()))? {
                    if known.insert(port) {
                        self.result.exposed_ports.push(port);
                    }
                }
            }
        }
        Ok(())
    }

    fn work_folder(&mut self, instruction: &Instruction) -> Result<(), Problem> {
        let folder = self.absolute(&self.one_word("WORKDIR", &instruction.arguments)?);
        let folder = match folder.trim_end_matches('/') {
            "" => "/".to_owned(),
            trimmed => trimmed.to_owned(),
        };
        if self.folders.insert(folder.clone()) {
            self.result.steps.push(Step::Folder(WorkFolder {
                line: instruction.line,
                path: folder.clone(),
                owner: self.result.user.as_deref().map(Account::parse),
            }));
        }
        self.result.working_dir = Some(folder);
        Ok(())
    }

    /// Joins a path to `WORKDIR`, without `.` and `..`. A `/` at the end is kept.
    pub(super) fn absolute(&self, path: &str) -> String {
        let base = self.result.working_dir.as_deref().unwrap_or("/");
        let joined = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{base}/{path}")
        };
        let is_folder = joined.ends_with('/') || joined.ends_with("/.") || joined.ends_with("/..");
        // `..` at the root stays at the root, as in a shell.
        let (_above, parts) = components(&joined);
        let clean = format!("/{}", parts.join("/"));
        if is_folder && clean != "/" {
            format!("{clean}/")
        } else {
            clean
        }
    }

    /// Parses `CMD` or `ENTRYPOINT`; `[]` clears it. The shell form needs a shell, so it needs a
    /// base image.
    fn command(&self, keyword: &'static str, text: &str) -> Result<Option<Vec<String>>, Problem> {
        if text.is_empty() {
            return Err(Problem::MissingArgument(keyword));
        }
        if let Some(words) = words::json_array(text) {
            return Ok(Some(words).filter(|words| !words.is_empty()));
        }
        // Docker gives it to the shell, which has no such command.
        if text.starts_with("[\"") || text.starts_with("['") {
            return Err(Problem::NotJson(keyword));
        }
        if self.result.base.is_none() {
            return Err(Problem::ShellForm(keyword));
        }
        let usual = || SHELL.map(ToOwned::to_owned).to_vec();
        let mut words = self.result.shell.clone().unwrap_or_else(usual);
        words.push(text.to_owned());
        Ok(Some(words))
    }
}

/// Returns whether Docker accepts this signal, by number or by name.
fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i32>() {
        // Docker accepts any number other than 0 without checking that the signal exists.
        return number != 0;
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let offset = |sign: char, base: &str| {
        let offset = name.strip_prefix(base);
        offset.is_some_and(|it| {
            let number = it.strip_prefix(sign).map(str::parse::<u8>);
            // Plain `RTMIN` and `RTMAX`, without an offset, are valid as well.
            it.is_empty() || matches!(number, Some(Ok(1..=15)))
        })
    };
    SIGNALS.contains(&name) || offset('+', "RTMIN") || offset('-', "RTMAX")
}

/// Parses the ports of `EXPOSE`: `8080`, `8080/udp` or `8000-8010/tcp`.
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

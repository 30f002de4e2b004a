//! Cargo options that a build stage uses, so that the native builder uses the same.

use std::collections::{BTreeMap, BTreeSet};

use super::super::flow::{Answer, Flow, is_known, matches, test};
use super::super::lines::{Heredoc, Instruction};
use super::super::shell::{Command, Step, steps};
use super::super::{Note, words};
use super::Reader;
use super::sources::{Sources, is_of_cargo};
use crate::paths::components;

/// Cargo options found in the Dockerfile. Empty if its final stage takes no program from a stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CargoBuild {
    /// Value of `--profile`; `release` for `--release`, `dev` if neither is given.
    pub profile: Option<String>,
    /// Features from `--features`, one by one.
    pub features: Vec<String>,
    /// Set by `--no-default-features`.
    pub no_default_features: bool,
    /// Set by `--all-features`.
    pub all_features: bool,
    /// Variables that the stage sets for the compiler and build scripts.
    pub environment: BTreeMap<String, String>,
    /// Flags from `RUSTFLAGS` that are valid on any machine.
    pub rustflags: Vec<String>,
}

/// Findings about a stage that runs cargo.
#[derive(Debug, Clone, Default)]
pub(super) struct Compiling {
    pub(super) build: CargoBuild,
    pub(super) notes: Vec<Note>,
    /// Set if a `cargo build` or `cargo install` of the program was found.
    pub(super) runs_cargo: bool,
    installs: bool,
    /// An `ARG` without a value on which a program or its path depends.
    pub(super) unset: Option<String>,
    pub(super) sources: Sources,
    /// Lines of `COPY --from`, with the stage or image.
    pub(super) copies: Vec<(usize, String)>,
    /// Folders that cargo uses instead of `target`.
    targets: BTreeSet<String>,
    /// Processor of the target, by Rust's name.
    processor: &'static str,
    /// Set by `RUSTFLAGS`, which cargo prefers to its other variables for flags.
    has_rustflags: bool,
    /// Paths that the program was copied to, each with the folder of the profile that it comes from.
    paths: BTreeMap<String, Option<String>>,
    /// Profile and features of each call that compiles the program.
    calls: Vec<CargoBuild>,
}

/// Variable with flags for the compiler, which may contain spaces.
const ENCODED_RUSTFLAGS: &str = "CARGO_ENCODED_RUSTFLAGS";
/// Variables that describe the build container and not the program.
const OF_THE_CONTAINER: [&str; 29] = [
    "AR",
    "BUILDARCH",
    "BUILDOS",
    "BUILDPLATFORM",
    "BUILDVARIANT",
    "CARGO",
    "CC",
    "CXX",
    "DEBIAN_FRONTEND",
    "HOME",
    "HOSTNAME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "LIBRARY_PATH",
    "PATH",
    "PWD",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "RUST_VERSION",
    "SHELL",
    "TARGETARCH",
    "TARGETOS",
    "TARGETPLATFORM",
    "TARGETSTAGE",
    "TARGETVARIANT",
    "TERM",
    "USER",
];
/// Prefixes of further variables that describe the build container.
const OF_THE_CONTAINER_PREFIXES: [&str; 14] = [
    "AR_",
    "BINDGEN_",
    "CARGO_BUILD_",
    "CARGO_HOME",
    "CARGO_INCREMENTAL",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_TARGET_",
    "CARGO_TERM_",
    "CC_",
    "CXX_",
    "PKG_CONFIG_",
    "RUSTUP_",
    "SCCACHE_",
];
/// Commands that prepare or move files and cannot change what cargo compiles. Some scripts use them
/// to write placeholder sources, so that dependencies get a layer of their own.
const HARMLESS: [&str; 77] = [
    ":",
    "[",
    "[[",
    "addgroup",
    "adduser",
    "apk",
    "apt",
    "apt-get",
    "awk",
    "basename",
    "break",
    "cat",
    "cd",
    "chgrp",
    "chmod",
    "chown",
    "command",
    "continue",
    "cp",
    "cut",
    "date",
    "diff",
    "dirname",
    "dnf",
    "dpkg",
    "du",
    "echo",
    "exit",
    "export",
    "false",
    "file",
    "find",
    "getent",
    "grep",
    "groupadd",
    "head",
    "id",
    "install",
    "ldd",
    "ln",
    "local",
    "ls",
    "microdnf",
    "mkdir",
    "mv",
    "nproc",
    "printf",
    "pwd",
    "readlink",
    "realpath",
    "return",
    "rm",
    "rustc",
    "set",
    "sha256sum",
    "shift",
    "sleep",
    "sort",
    "stat",
    "strip",
    "tail",
    "tee",
    "test",
    "touch",
    "tr",
    "trap",
    "true",
    "type",
    "umask",
    "uname",
    "uniq",
    "update-ca-certificates",
    "useradd",
    "wait",
    "wc",
    "which",
    "yum",
];
/// Cargo subcommands that do not change the program.
const HARMLESS_OF_CARGO: [&str; 18] = [
    "--print-target-triple",
    "--version",
    "-V",
    "about",
    "audit",
    "check",
    "chef",
    "clean",
    "clippy",
    "fetch",
    "fmt",
    "init",
    "metadata",
    "new",
    "test",
    "tree",
    "vendor",
    "version",
];
/// Options with a value that do not change the program, such as output folders and parallelism.
const VALUES_WITHOUT_EFFECT: [&str; 13] = [
    "--target-dir",
    "--jobs",
    "-j",
    "--message-format",
    "--color",
    "--out-dir",
    "--artifact-dir",
    "--root",
    "--path",
    "--exclude",
    "--git",
    "--version",
    "--index",
];

/// Limit for shells that call one another with `-c`.
const MAX_SHELLS: usize = 4;

/// `RUN` that is read, and what it is compared with.
struct Place<'a> {
    line: usize,
    reader: &'a Reader<'a>,
    of: &'a Project<'a>,
    /// Folder that the script went into, if it is not that of `WORKDIR`.
    folder: Option<&'a str>,
}

impl Place<'_> {
    fn absolute(&self, path: &str) -> String {
        match self.folder.filter(|_| !path.starts_with('/')) {
            Some(folder) => self.reader.absolute(&format!("{folder}/{path}")),
            None => self.reader.absolute(path),
        }
    }
}

/// Variables of a script.
#[derive(Debug, Default)]
struct Shell {
    /// Those that it sets; `None` if only running it would tell the value.
    own: BTreeMap<String, Option<String>>,
    exported: BTreeSet<String>,
}

impl Shell {
    /// Returns whether programs see this variable.
    fn is_exported(&self, name: &str, reader: &Reader<'_>) -> bool {
        self.exported.contains(name) || reader.variables.contains_key(name)
    }
}

/// Properties of the project that the stage is compared with.
pub(super) struct Project<'a> {
    pub(super) package: &'a str,
    pub(super) program: &'a str,
    /// Processor of the target, by Rust's name.
    pub(super) processor: &'static str,
}

impl Project<'_> {
    /// Returns whether a target triple is one for another processor or system.
    fn is_other_processor(&self, target: &str) -> bool {
        !target.contains('$') && !target.starts_with(&format!("{}-unknown-linux", self.processor))
    }
}

impl Compiling {
    pub(super) fn for_processor(processor: &'static str) -> Self {
        Self {
            processor,
            ..Self::default()
        }
    }

    /// Returns whether cargo, or a later command, puts the program at this path of the stage.
    pub(super) fn has_program_at(&self, path: &str, program: &str) -> bool {
        let (_, names) = components(path);
        let Some((base, folders)) = names.split_last() else {
            return false;
        };
        if self.paths.contains_key(&names.join("/")) {
            return true;
        }
        // `cargo install` puts programs into `bin`, below `--root` or cargo's home folder.
        let is_of_cargo =
            self.profile_of(folders).is_some() || self.installs && folders.last() == Some(&"bin");
        self.runs_cargo && *base == program && is_of_cargo
    }

    /// Takes the profile and the features of the call that puts the program at this path: cargo names
    /// the folder after the profile.
    pub(super) fn take_from(&mut self, path: &str) {
        let Some(folder) = self.profile_folder(path) else {
            return;
        };
        let is_it = |call: &&CargoBuild| {
            let profile = call.profile.as_deref();
            folder
                == match profile {
                    Some("dev" | "test") => "debug",
                    Some("bench") | None => "release",
                    Some(other) => other,
                }
        };
        if let Some(call) = self.calls.iter().rfind(is_it) {
            let CargoBuild {
                profile,
                features,
                no_default_features,
                all_features,
                environment: _,
                rustflags: _,
            } = call.clone();
            self.build = CargoBuild {
                profile,
                features,
                no_default_features,
                all_features,
                ..std::mem::take(&mut self.build)
            };
        } else if self.runs_cargo {
            let profile = if folder == "debug" { "dev" } else { &folder };
            self.build.profile = Some(profile.to_owned());
        }
    }

    /// Returns the folder below `target` that the program at this path comes from.
    fn profile_folder(&self, path: &str) -> Option<String> {
        let (_, names) = components(path);
        if let Some(known) = self.paths.get(&names.join("/")) {
            return known.clone();
        }
        let (_, folders) = names.split_last()?;
        self.profile_of(folders).map(ToOwned::to_owned)
    }

    /// Returns the folder of the profile, if cargo puts programs into the last of these folders.
    fn profile_of<'n>(&self, folders: &[&'n str]) -> Option<&'n str> {
        let (last, above) = folders.split_last()?;
        let is_target = |folders: &[&str]| {
            folders.last() == Some(&"target") || self.targets.contains(&folders.join("/"))
        };
        // `--target` adds a folder in between.
        let is_of_cargo =
            is_target(above) || above.split_last().is_some_and(|(_, it)| is_target(it));
        is_of_cargo.then_some(*last)
    }

    /// Adopts a variable of `ENV` or `ARG`.
    pub(super) fn set(&mut self, line: usize, name: &str, value: &str) {
        if name == "RUSTFLAGS" || name == ENCODED_RUSTFLAGS {
            self.has_rustflags = true;
            self.build.rustflags.clear();
            self.rustflags(line, name, value);
        } else if self.is_for_the_compiler(name) && !self.has_rustflags {
            self.rustflags(line, name, value);
        } else if name == "RUSTUP_TOOLCHAIN" && !is_stable(value) {
            self.toolchain(line, &format!("RUSTUP_TOOLCHAIN={value}"));
        } else if !is_of_the_container(name) {
            let environment = &mut self.build.environment;
            environment.insert(name.to_owned(), value.to_owned());
        }
    }

    fn toolchain(&mut self, line: usize, what: &str) {
        self.note(
            line,
            format!("`{what}` is not done: put the toolchain into `rust-toolchain.toml`"),
        );
    }

    /// Returns whether a variable holds flags for the compiler.
    fn has_flags(&self, name: &str) -> bool {
        name == "RUSTFLAGS" || name == ENCODED_RUSTFLAGS || self.is_for_the_compiler(name)
    }

    /// Returns whether cargo takes flags for the compiler from this variable.
    fn is_for_the_compiler(&self, name: &str) -> bool {
        let processor = self.processor.to_ascii_uppercase();
        let of_target = name.strip_prefix("CARGO_TARGET_");
        name == "CARGO_BUILD_RUSTFLAGS"
            || of_target.is_some_and(|it| it.starts_with(&processor) && it.ends_with("_RUSTFLAGS"))
    }

    fn note(&mut self, line: usize, text: String) {
        let note = Note { line, text };
        // One `RUN` may call the same command several times.
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn rustflags(&mut self, line: usize, name: &str, value: &str) {
        let all = flags(name, value);
        let mut flags = all.iter().map(String::as_str);
        while let Some(flag) = flags.next() {
            let (option, value) = match flag {
                "-C" | "--codegen" | "--cfg" | "-L" | "-l" | "-Z" => {
                    (flag, flags.next().unwrap_or_default())
                }
                _ if flag.starts_with("-C") => flag.split_at(2),
                _ if flag.starts_with("--cfg=") => ("--cfg", &flag[6..]),
                _ => (flag, ""),
            };
            if !is_known(flag) || !is_known(value) {
                let space = if option == flag && !value.is_empty() {
                    " "
                } else {
                    ""
                };
                self.note(
                    line,
                    format!("`{option}{space}{value}` of `{name}` is left out, because only the shell of the build stage knows its value; set `RUSTFLAGS` where you deploy if the program needs it"),
                );
                continue;
            }
            let setting = value.split('=').next().unwrap_or_default();
            match (option, setting) {
                // Set for every image anyway: see `encoded_rustflags`.
                ("-C" | "--codegen", "relocation-model") => {}
                ("-C" | "--codegen", "target-feature") => {
                    let others = without_crt_static(value);
                    let flag = others.map(|value| format!("-C{value}"));
                    self.build.rustflags.extend(flag);
                }
                ("-C" | "--codegen", "linker" | "link-arg" | "link-args" | "link-self-contained")
                | ("-L" | "-l", _) => self.note(
                    line,
                    format!("`{option} {value}` of `RUSTFLAGS` is for the linker of the build stage and is left out; set `RUSTFLAGS` where you deploy if this machine's needs it"),
                ),
                ("-C" | "--codegen", _) => self.build.rustflags.push(format!("-C{value}")),
                ("--cfg", _) => self.build.rustflags.push(format!("--cfg={value}")),
                _ => self.build.rustflags.push(if value.is_empty() {
                    flag.to_owned()
                } else {
                    format!("{option}{value}")
                }),
            }
        }
    }

    /// Collects cargo options and notes from a `RUN`.
    pub(super) fn run(&mut self, instruction: &Instruction, reader: &Reader<'_>, of: &Project<'_>) {
        let line = instruction.line;
        let (flags, script) = flags_and_rest(&instruction.arguments);
        self.mounts(line, &flags);
        let mut script = script.to_owned();
        if let Some(words) = words::json_array(&script) {
            // The exec form has no shell, but its words suffice to find cargo.
            script = inner_script(&words).map_or_else(|| words.join(" "), ToOwned::to_owned);
        } else if script.starts_with("<<") || is_shell(&script) && script.contains("<<") {
            let contents = instruction.heredocs.iter();
            script = contents.map(Heredoc::text).collect();
            script = script.replace('\r', "");
        }
        let at = Place {
            line,
            reader,
            of,
            folder: None,
        };
        self.script(&at, &script, 0);
    }

    /// Follows a script. `depth` counts the shells that call one another.
    fn script(&mut self, at: &Place<'_>, script: &str, depth: usize) {
        let mut flow = Flow::new();
        let mut shell = Shell::default();
        // The last one is the current one; a subshell returns to the one before.
        let mut folders = vec![at.folder.map(ToOwned::to_owned)];
        for step in steps(script) {
            let Step::Command(command) = step else {
                flow.enter(&step, &|word| at.reader.shell_word(word, &shell.own));
                if let Step::For(name) = step {
                    shell.own.insert(name, None);
                } else if step == Step::Open {
                    folders.push(folders.last().cloned().flatten());
                } else if step == Step::Close && folders.len() > 1 {
                    folders.pop();
                }
                continue;
            };
            let runs = flow.runs();
            let words: Vec<String> = command
                .words
                .iter()
                .flat_map(|it| split(at.reader.shell_word(it, &shell.own), it))
                .collect();
            let folder = folders.last().cloned().flatten();
            let at = Place {
                folder: folder.as_deref(),
                ..*at
            };
            let inner = inner_script(&words).filter(|_| depth < MAX_SHELLS);
            match (words.as_slice(), inner) {
                _ if runs == Answer::No => {}
                (_, Some(inner)) if runs == Answer::Yes => self.script(&at, inner, depth + 1),
                ([name, folder], _) if name == "cd" => {
                    let entered = is_known(folder).then(|| at.absolute(folder));
                    folders.pop();
                    folders.push(entered);
                }
                _ => {
                    let is_conditional = runs == Answer::Unknown;
                    let environment = self.variables(&at, &command, is_conditional, &mut shell);
                    self.command(&at, &words, is_conditional, environment);
                }
            }
            let is_assignment = words.is_empty().then_some(Answer::Yes);
            flow.ended(name_of(&words), test(&words).or(is_assignment));
        }
    }

    /// Evaluates the variables in front of a command, and returns all that it sees. Without a command,
    /// later ones of the script see them.
    fn variables(
        &mut self,
        at: &Place<'_>,
        command: &Command,
        is_conditional: bool,
        shell: &mut Shell,
    ) -> Vec<(String, String)> {
        let Place { line, reader, .. } = *at;
        let mut known = Vec::new();
        for (name, value) in &command.variables {
            let value = reader.shell_word(value, &shell.own);
            let is_passed_on = !command.words.is_empty()
                || command.exported.contains(name)
                || shell.is_exported(name, reader);
            let reaches_cargo =
                is_passed_on && (self.has_flags(name) || !is_of_the_container(name));
            if is_conditional && command.words.is_empty() {
                if reaches_cargo {
                    self.note(
                        line,
                        format!("`{name}` is set under a condition, which is not evaluated here: if the compiler needs it, set it where you deploy"),
                    );
                }
                shell.own.insert(name.clone(), None);
                continue;
            }
            // Flags are known one by one.
            let is_taken = is_known(&value) || self.has_flags(name);
            if reaches_cargo && !is_taken {
                self.note(
                    line,
                    format!("`{name}` has a value that only the shell of the build stage knows, and is left out: if the compiler needs it, set it where you deploy"),
                );
            }
            if command.words.is_empty() {
                shell.own.insert(name.clone(), is_taken.then_some(value));
            } else {
                known.extend(is_taken.then(|| (name.clone(), value)));
            }
        }
        shell.exported.extend(command.exported.iter().cloned());
        // A shell passes on what was exported, or was in its environment.
        let passed_on = shell.own.iter();
        let passed_on = passed_on.filter(|(name, _)| shell.is_exported(name, reader));
        let passed_on = passed_on.filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
        passed_on.chain(known).collect()
    }

    fn command(
        &mut self,
        at: &Place<'_>,
        words: &[String],
        is_conditional: bool,
        environment: Vec<(String, String)>,
    ) {
        let Place { line, .. } = *at;
        if let Some(file) = written(words).filter(|file| is_of_cargo(file)) {
            self.note(
                line,
                format!("`{file}` is not written here: put settings of cargo into `.cargo/config.toml` of the project"),
            );
        }
        // Commands may be given by their path, such as `/usr/local/cargo/bin/cargo`.
        match name_of(words) {
            // The others wrap cargo and take the same arguments.
            "cargo" | "cross" | "xx-cargo" => {
                let mut call = Call::parse(&words[1..]);
                call.environment = environment;
                call.is_conditional = is_conditional;
                self.cargo(at, &call);
            }
            "cp" | "mv" | "install" | "ln" | "strip" => self.moved(at, words),
            // What they run or show does not matter either.
            "xargs" if words[1..].iter().any(|word| HARMLESS.contains(&word.as_str())) => {}
            "sccache" if words.iter().skip(1).all(|word| word.starts_with('-')) => {}
            "rustup" if words.iter().any(|word| word == "default" || word == "override") => {
                self.toolchain(line, &words.join(" "));
            }
            "" | "rustup" => {}
            name if HARMLESS.contains(&name) || name.starts_with(['<', '>']) => {}
            name => self.note(
                line,
                format!("`{name}` is not run here: cargo alone compiles. If the program needs what it makes, use `--builder docker`"),
            ),
        }
    }

    /// Notes mounts whose content the compilation may need. Caches only affect Docker's build.
    fn mounts(&mut self, line: usize, flags: &[&str]) {
        let mounts = flags.iter().filter_map(|it| it.strip_prefix("--mount="));
        for mount in mounts {
            let value = |name: &str| {
                let fields = mount.split(',').filter_map(|field| field.split_once('='));
                let mut fields = fields.filter(|(key, _)| *key == name);
                fields.next().map(|(_, value)| value)
            };
            if value("type") == Some("secret") {
                self.note(
                    line,
                    format!("`--mount={mount}` is not done here: if the build needs a secret, set its variable where you deploy and name it in `build_environment` under `[image]` in `deployer.toml`"),
                );
            } else if let Some(from) = value("from")
                && value("type") != Some("cache")
            {
                self.note(
                    line,
                    format!("`--mount={mount}` is not done here: cargo compiles what is in this folder. If the program needs the files of `{from}`, use `--builder docker`"),
                );
            }
        }
    }

    /// Notes a `COPY --from=…` in a build stage.
    pub(super) fn copied_from(&mut self, line: usize, from: &str) {
        self.note(
            line,
            format!("`COPY --from={from}` is not done here: cargo compiles what is in this folder. If the program needs these files, use `--builder docker`"),
        );
    }

    fn cargo(&mut self, at: &Place<'_>, call: &Call) {
        let Place { line, of, .. } = *at;
        if let Some(toolchain) = &call.toolchain {
            self.toolchain(line, &format!("cargo {toolchain}"));
        }
        let installs = call.verb == "install";
        // Without `--path`, `cargo install` installs a build tool from the registry.
        if installs && call.values("--path").next().is_none() {
            return;
        }
        let compiles = matches!(
            call.verb.as_str(),
            "build" | "b" | "install" | "zigbuild" | "rustc"
        );
        if !compiles {
            if !HARMLESS_OF_CARGO.contains(&call.verb.as_str()) {
                self.note(
                    line,
                    format!("`cargo {}` is not run here: cargo alone compiles. If the program needs what it makes, use `--builder docker`", call.verb),
                );
            }
            return;
        }
        if !call.builds(of) {
            return;
        }
        // A branch for another processor is not the one that Docker takes for this image.
        let mut targets = call.values("--target");
        if call.is_conditional && targets.any(|target| of.is_other_processor(target)) {
            return;
        }
        let before = self.runs_cargo.then(|| self.build.clone());
        self.runs_cargo = true;
        self.sources.compile();
        self.installs |= installs;
        self.targets.extend(call.target_folder(at));
        for option in ["--root", "--out-dir", "--artifact-dir"] {
            for folder in call.values(option) {
                let within = if option == "--root" { "/bin" } else { "" };
                let path = at.absolute(&format!("{folder}{within}/{}", of.program));
                self.put(&path, None);
            }
        }
        for (name, value) in &call.environment {
            self.set(line, name, value);
        }
        let build = &mut self.build;
        let profile = call.values("--profile").filter(|it| is_known(it));
        let profile = profile.last().map(ToOwned::to_owned);
        // Cargo builds with `--release` only on request, but `cargo install` does so by default.
        let is_release =
            call.has("--release") || call.has("-r") || installs && !call.has("--debug");
        let usual = if is_release { "release" } else { "dev" };
        build.profile = profile.or_else(|| Some(usual.to_owned()));
        let features = call.values("--features").chain(call.values("-F"));
        let features = features.flat_map(|list| list.split([',', ' ']));
        build.features = features
            .filter(|it| !it.is_empty() && is_known(it))
            .map(ToOwned::to_owned)
            .collect();
        build.no_default_features = call.has("--no-default-features");
        build.all_features = call.has("--all-features");
        let options = |build: &CargoBuild| {
            let features = (build.no_default_features, build.all_features);
            (build.profile.clone(), build.features.clone(), features)
        };
        self.calls.push(build.clone());
        // Only one of several branches is taken, and they differ.
        if call.is_conditional && before.is_some_and(|before| options(&before) != options(build)) {
            self.note(
                line,
                format!("`cargo {}` differs by a condition, which is not evaluated here: the last one counts, unless `features` and `profile` are set under `[image]` in `deployer.toml`", call.verb),
            );
        }
        for text in call.not_taken_over(of) {
            self.note(line, text);
        }
    }

    /// Tracks the program, and the sources, when a command copies or moves them.
    fn moved(&mut self, at: &Place<'_>, words: &[String]) {
        let is_strip = name_of(words) == "strip";
        let (mut destination, mut paths) = (None, Vec::new());
        let mut rest = words[1..].iter();
        while let Some(word) = rest.next() {
            let long = word.strip_prefix("--target-directory");
            let is_short = word.starts_with('-') && !word.starts_with("--");
            if let Some(joined) = long.and_then(|it| it.strip_prefix('=')) {
                destination = Some(joined.to_owned());
            } else if long.is_some() || is_short && word.ends_with(if is_strip { 'o' } else { 't' })
            {
                destination = rest.next().cloned();
            } else if !word.starts_with('-') && !word.contains('>') {
                paths.push(word);
            }
        }
        let is_folder = destination.is_some() && !is_strip;
        let destination = match destination {
            Some(destination) => destination,
            // Without `-o`, the file stays where it is.
            None if is_strip => return,
            None => match paths.pop() {
                Some(last) => last.clone(),
                None => return,
            },
        };
        let program = at.of.program;
        let to = at.absolute(&destination);
        let is_folder = is_folder || to.ends_with('/');
        // The variable of a loop, which may stand for the program.
        let to = match to.rsplit_once('/') {
            Some((folder, name)) if !is_known(name) => format!("{folder}/{program}"),
            Some(_) | None => to,
        };
        let taken = paths
            .iter()
            .find_map(|path| self.taken(&at.absolute(path), program));
        if let Some((names, profile)) = taken {
            for name in names.iter().filter(|name| !(is_folder && name.is_empty())) {
                self.put(&format!("{to}/{name}"), profile.clone());
            }
        } else if !paths.is_empty() && !words.iter().any(|word| word.contains("target/")) {
            self.sources
                .made(at.line, words.join(" "), &to, destination.starts_with('/'));
        }
    }

    /// Returns where the program is below the destination when this path is copied: it is a file, or
    /// one of several. The destination of a file may be a file or a folder.
    fn taken(&self, path: &str, program: &str) -> Option<(Vec<String>, Option<String>)> {
        let path = path.trim_end_matches('/');
        let (folder, name) = path.rsplit_once('/')?;
        if name == program || self.paths.contains_key(path.trim_matches('/')) {
            let names = vec![name.to_owned(), String::new()];
            return Some((names, self.profile_folder(path)));
        }
        let may_be = !is_known(name) || matches(name, program) == Answer::Yes;
        let beside = format!("{folder}/{program}");
        if may_be && self.has_program_at(&beside, program) {
            let mut names = vec![program.to_owned()];
            // Several files can only go into a folder.
            names.extend((!is_known(name)).then(String::new));
            return Some((names, self.profile_folder(&beside)));
        }
        let within = format!("{path}/{program}");
        // Other folders below `target`, such as `release/build`, hold no programs.
        let is_profile = |call: &CargoBuild| call.profile.as_deref() == Some(name);
        let is_folder = matches!(name, "release" | "debug")
            || self.calls.iter().any(is_profile)
            || self.paths.contains_key(within.trim_matches('/'));
        (is_folder && self.has_program_at(&within, program)).then(|| {
            let names = vec![program.to_owned(), format!("{name}/{program}")];
            (names, self.profile_folder(&within))
        })
    }

    fn put(&mut self, path: &str, profile: Option<String>) {
        let (_, names) = components(path);
        self.paths.insert(names.join("/"), profile);
    }
}

/// Returns whether base images or the shell itself set this variable, so that its value is unknown.
pub(super) fn is_of_base(name: &str) -> bool {
    // Parameters, such as `$1` and `$?`.
    !name.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
        || matches!(
            name,
            "CARGO"
                | "CARGO_HOME"
                | "HOME"
                | "HOSTNAME"
                | "IFS"
                | "LANG"
                | "LC_ALL"
                | "LINENO"
                | "OLDPWD"
                | "PATH"
                | "PPID"
                | "PWD"
                | "RANDOM"
                | "RUSTUP_HOME"
                | "RUST_VERSION"
                | "SECONDS"
                | "SHELL"
                | "SSL_CERT_FILE"
                | "TERM"
                | "UID"
                | "USER"
        )
}

fn is_of_the_container(name: &str) -> bool {
    OF_THE_CONTAINER.contains(&name)
        || OF_THE_CONTAINER_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// Splits the flags of a `RUN` from its command.
fn flags_and_rest(text: &str) -> (Vec<&str>, &str) {
    let (mut flags, mut rest) = (Vec::new(), text);
    while rest.starts_with("--") {
        let (flag, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        flags.push(flag);
        rest = behind.trim_start();
    }
    (flags, rest)
}

/// Parsed command line of cargo.
struct Call {
    toolchain: Option<String>,
    verb: String,
    /// Words whose value only a shell can tell, such as `$(…)`.
    unknown: Vec<String>,
    /// Set within `if` or `case`.
    is_conditional: bool,
    /// Options, each with its value if one follows or is joined by `=`.
    options: Vec<(String, Option<String>)>,
    /// Variables that are set for this command.
    environment: Vec<(String, String)>,
}

impl Call {
    fn parse(words: &[String]) -> Self {
        let mut words = words.iter().peekable();
        let toolchain = words.next_if(|word| word.starts_with('+')).cloned();
        let mut call = Self {
            toolchain,
            verb: String::new(),
            unknown: Vec::new(),
            is_conditional: false,
            options: Vec::new(),
            environment: Vec::new(),
        };
        while let Some(word) = words.next() {
            // `cargo auditable build` compiles, too: the word after the wrapper is the subcommand.
            let is_wrapper = matches!(call.verb.as_str(), "" | "auditable");
            match word.strip_prefix("--").and_then(|it| it.split_once('=')) {
                Some((name, value)) => {
                    let value = Some(value.to_owned());
                    call.options.push((format!("--{name}"), value));
                }
                // Cargo passes everything behind it on to the compiler of the program.
                None if word == "--" => {
                    let rest: Vec<&str> = words.by_ref().map(String::as_str).collect();
                    if call.verb == "rustc" && !rest.is_empty() {
                        call.unknown.push(format!("-- {}", rest.join(" ")));
                    }
                }
                None if word.starts_with("--") || word == "-" => {
                    let value = words.next_if(|next| takes_value(word) && !next.starts_with('-'));
                    call.options.push((word.clone(), value.cloned()));
                }
                // Short options may be joined, as in `-rv`, and a value may follow directly: `-j4`.
                None if word.starts_with('-') => {
                    let mut letters = word.chars().skip(1);
                    while let Some(letter) = letters.next() {
                        let name = format!("-{letter}");
                        let value =
                            takes_value(&name).then(|| letters.by_ref().collect::<String>());
                        let joined = value.as_ref().filter(|it| !it.is_empty());
                        let value = match (value.is_some(), joined) {
                            (_, Some(joined)) => Some(joined.trim_start_matches('=').to_owned()),
                            (true, None) => words.next_if(|it| !it.starts_with('-')).cloned(),
                            (false, None) => None,
                        };
                        call.options.push((name, value));
                    }
                }
                None if !is_known(word) => call.unknown.push(word.clone()),
                None if is_wrapper => call.verb.clone_from(word),
                None => {}
            }
        }
        // `cargo --version` has no subcommand: the option takes its place.
        if call.verb.is_empty()
            && let Some((option, _)) = call.options.first()
        {
            call.verb.clone_from(option);
        }
        call
    }

    fn values<'a>(&'a self, option: &'a str) -> impl Iterator<Item = &'a str> {
        let given = self.options.iter().filter(move |(name, _)| name == option);
        given.filter_map(|(_, value)| value.as_deref())
    }

    /// Returns whether the program is among what this call compiles.
    fn builds(&self, of: &Project<'_>) -> bool {
        // An unexpanded variable may name the program, so it counts as a match.
        let fits = |given: &str, name: &str| given == name || !is_known(given);
        let mut programs = self.values("--bin").peekable();
        if programs.peek().is_some() {
            return programs.any(|given| fits(given, of.program)) && self.is_for_package(of);
        }
        let has_programs = self.has("--bins") || self.has("--all-targets");
        let of_other_kinds = [
            "--lib",
            "--example",
            "--examples",
            "--test",
            "--tests",
            "--bench",
            "--benches",
        ];
        let is_of_other_kind = of_other_kinds.iter().any(|option| self.has(option));
        (has_programs || !is_of_other_kind) && self.is_for_package(of)
    }

    fn is_for_package(&self, of: &Project<'_>) -> bool {
        let is_named = |given: &str| {
            // `NAME@VERSION`, or with a version behind a colon.
            let name = given.split(['@', ':']).next().unwrap_or(given);
            name == of.package || !is_known(given) || given.contains(['*', '#'])
        };
        let mut packages = self.values("--package").chain(self.values("-p")).peekable();
        let is_excluded = self.values("--exclude").any(|given| given == of.package);
        !is_excluded && (packages.peek().is_none() || packages.any(is_named))
    }

    /// Returns the folder that cargo uses instead of `target`.
    fn target_folder(&self, at: &Place<'_>) -> Option<String> {
        let given = |name: &str| {
            let own = self.environment.iter().rfind(|(own, _)| own == name);
            let value = own.map(|(_, value)| value);
            value.or_else(|| at.reader.variables.get(name)).cloned()
        };
        let option = self.values("--target-dir").last().map(ToOwned::to_owned);
        let folder = option.or_else(|| given("CARGO_TARGET_DIR"));
        let folder = folder.or_else(|| given("CARGO_BUILD_TARGET_DIR"))?;
        Some(at.absolute(&folder).trim_matches('/').to_owned())
    }

    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|(name, _)| name == option)
    }

    /// Returns a note for each option that the native builder does not pass on.
    fn not_taken_over<'a>(&'a self, of: &'a Project<'_>) -> impl Iterator<Item = String> + 'a {
        let options = self.options.iter().filter(move |(name, value)| {
            let value = value.as_deref().unwrap_or_default();
            match name.as_str() {
                // Another C library is fine: the program itself stays the same.
                "--target" => of.is_other_processor(value),
                "--manifest-path" => value.trim_start_matches("./") != "Cargo.toml",
                "--config" | "-Z" | "--example" | "--lockfile-path" => true,
                "--profile" | "--features" | "-F" => !is_known(value),
                _ => false,
            }
        });
        let options = options.map(|(name, value)| {
            let value = value.as_deref().unwrap_or_default();
            format!("{name} {value}")
        });
        options.chain(self.unknown.iter().cloned()).map(|what| {
            format!("`{what}` of `cargo {}` is not taken over; use `--builder docker` if the program needs it", self.verb)
        })
    }
}

/// Splits an expanded word into several, as a shell does outside of quotes.
fn split(expanded: String, word: &str) -> Vec<String> {
    // A word with `$(…)` is not expanded and may contain any character.
    if word.starts_with('$') && is_known(&expanded) {
        expanded.split_whitespace().map(ToOwned::to_owned).collect()
    } else {
        vec![expanded]
    }
}

/// Splits the value of a variable into the flags for the compiler. A value that only a shell knows,
/// such as `$(…)`, stays in one piece.
fn flags(name: &str, value: &str) -> Vec<String> {
    let separates = |character: char| {
        if name == ENCODED_RUSTFLAGS {
            character == '\u{1f}'
        } else {
            character.is_whitespace()
        }
    };
    let mut flags = vec![String::new()];
    let (mut depth, mut is_quoted) = (0_usize, false);
    for character in value.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '`' => is_quoted = !is_quoted,
            _ => {}
        }
        if depth == 0 && !is_quoted && separates(character) {
            flags.push(String::new());
        } else if let Some(flag) = flags.last_mut() {
            flag.push(character);
        }
    }
    flags.retain(|flag| !flag.is_empty());
    flags
}

/// Returns whether a command starts with a shell.
fn is_shell(command: &str) -> bool {
    let name = command.split_whitespace().next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or(name);
    matches!(name, "ash" | "bash" | "dash" | "sh" | "zsh")
}

/// Returns the script of a shell that is called with `-c`.
fn inner_script(words: &[String]) -> Option<&str> {
    let (shell, rest) = words.split_first()?;
    let mut before = "";
    // `-o` takes a value, as in `-euo pipefail -c`.
    let mut options = rest.iter().take_while(|word| {
        let is_value = before.ends_with('o');
        before = word.as_str();
        is_value || word.starts_with(['-', '+'])
    });
    let is_script = |word: &String| !word.starts_with("--") && word.ends_with('c');
    let position = options.position(is_script)?;
    let script = rest.get(position + 1).filter(|_| is_shell(shell));
    script.map(String::as_str)
}

/// Returns the name of a command, without its folder; empty without a command.
fn name_of(words: &[String]) -> &str {
    let name = words.first().map_or("", String::as_str);
    name.rsplit('/').next().unwrap_or(name)
}

/// Returns whether a toolchain is a release, which only its image pins.
fn is_stable(toolchain: &str) -> bool {
    toolchain.is_empty()
        || toolchain.starts_with("stable")
        || toolchain.starts_with(|first: char| first.is_ascii_digit())
}

/// Returns a setting `target-feature=…` without `crt-static`, which is decided for every image, or
/// `None` if nothing else is in it.
pub(crate) fn without_crt_static(setting: &str) -> Option<String> {
    let (name, features) = setting.split_once('=')?;
    let others = features.split(',').filter(|it| !it.ends_with("crt-static"));
    let others: Vec<&str> = others.filter(|it| !it.is_empty()).collect();
    (!others.is_empty()).then(|| format!("{name}={}", others.join(",")))
}

/// Returns the file that a command's output is written to.
fn written(words: &[String]) -> Option<&str> {
    if name_of(words) == "tee" {
        let mut files = words.iter().skip(1).filter(|word| !word.starts_with('-'));
        return files.next().map(String::as_str);
    }
    let mut words = words.iter().skip_while(|word| !word.starts_with('>'));
    let file = words.next()?.trim_start_matches('>');
    if file.is_empty() {
        words.next().map(String::as_str)
    } else {
        Some(file)
    }
}

fn takes_value(option: &str) -> bool {
    VALUES_WITHOUT_EFFECT.contains(&option)
        || matches!(
            option,
            "--features"
                | "-F"
                | "--profile"
                | "--package"
                | "-p"
                | "--bin"
                | "--example"
                | "--test"
                | "--bench"
                | "--target"
                | "--manifest-path"
                | "--config"
                | "-Z"
                | "--lockfile-path"
        )
}

//! How cargo would be called, as a table; and cargo itself on a package of one line.

use std::fs;

use super::plan::Linker;
use super::*;
use crate::Hint as _;

/// What a Dockerfile that says nothing tells cargo.
static NOTHING: CargoBuild = CargoBuild {
    profile: None,
    features: Vec::new(),
    no_default_features: false,
    all_features: false,
    environment: std::collections::BTreeMap::new(),
    rustflags: Vec::new(),
};

fn surroundings() -> Surroundings {
    Surroundings {
        cargo: "cargo".into(),
        rustc: "rustc".into(),
        rustflags: vec!["-Copt-level=1".to_owned(), "--cfg=a b".to_owned()],
        cargo_home: Some("/home/me/.cargo".into()),
        host_system: "linux".to_owned(),
        host_architecture: "x86_64".to_owned(),
        path: std::ffi::OsString::new(),
        linkers: Vec::new(),
        toolchain: None,
        allowed: Vec::new(),
        answers: Answers::default(),
    }
}

#[test]
fn an_answer_counts_for_its_toolchain_and_folder() {
    let first = surroundings();
    first.keep("--print sysroot", Path::new("/w"), "/rust");
    // Planning and compiling share what the compiler has said.
    let same = first.clone();
    let known = same.known("--print sysroot", Path::new("/w"));
    assert_eq!(known.as_deref(), Some("/rust"));
    assert_eq!(same.known("--print sysroot", Path::new("/w/member")), None);
    assert_eq!(same.known("--version", Path::new("/w")), None);
    let other = Surroundings {
        toolchain: Some("1.90".to_owned()),
        ..first
    };
    assert_eq!(other.known("--print sysroot", Path::new("/w")), None);
}

fn request(folder: &Path, architecture: Architecture) -> CompileRequest<'_> {
    CompileRequest {
        folder,
        package: "clock",
        binary: "app",
        architecture,
        target: None,
        target_dir: Path::new("target"),
        build: &NOTHING,
    }
}

/// Installed targets and programs, by name, and `NAME=` for a target whose linker the user has set.
struct Table<'a>(&'a [&'a str]);

impl Tools for Table<'_> {
    fn has_target(&self, target: &str) -> bool {
        self.0.contains(&target)
    }

    fn has_program(&self, name: &str) -> bool {
        self.0.contains(&name)
    }

    fn has_linker_for(&self, target: &str) -> bool {
        self.0.contains(&format!("{target}=").as_str())
    }
}

#[test]
fn what_is_compiled_for_and_how_it_is_linked() {
    let choose = |architecture, preferred, there: &[&str]| match plan::choose(
        architecture,
        preferred,
        &surroundings(),
        &Table(there),
    ) {
        Ok(choice) => format!("{}, {:?}", choice.target, choice.linker),
        Err(none) => format!("{none:?}"),
    };
    let here = |there: &[&str]| choose(Architecture::X86_64, None, there);
    let other = |there: &[&str]| choose(Architecture::Arm64, None, there);
    let preferring = |target, there: &[&str]| choose(Architecture::X86_64, Some(target), there);
    let (musl, gnu) = ("x86_64-unknown-linux-musl", "x86_64-unknown-linux-gnu");
    let (musl_2, gnu_2) = ("aarch64-unknown-linux-musl", "aarch64-unknown-linux-gnu");
    let zig = "cargo-zigbuild";
    insta::assert_snapshot!(
        [
            here(&[gnu, musl, zig]),
            here(&[gnu]),
            here(&[musl_2]),
            other(&[gnu, musl]),
            other(&[gnu_2, musl_2]),
            other(&[musl_2, "aarch64-linux-musl-gcc"]),
            other(&[musl_2, zig, "aarch64-linux-musl-gcc"]),
            other(&[musl_2, zig, "aarch64-unknown-linux-musl="]),
            other(&[gnu_2, "aarch64-linux-gnu-gcc"]),
            other(&[gnu_2, zig]),
            other(&[gnu_2]),
            preferring(gnu, &[gnu, musl]),
            preferring(gnu, &[musl]),
            choose(Architecture::Arm64, Some(gnu_2), &[gnu_2, musl_2]),
        ]
        .join("\n"),
        @r#"
    x86_64-unknown-linux-musl, Usual
    x86_64-unknown-linux-gnu, Usual
    NoTarget("x86_64-unknown-linux-gnu")
    NoTarget("aarch64-unknown-linux-musl")
    aarch64-unknown-linux-musl, Own
    aarch64-unknown-linux-musl, Named("aarch64-linux-musl-gcc")
    aarch64-unknown-linux-musl, Zig
    aarch64-unknown-linux-musl, Usual
    aarch64-unknown-linux-gnu, Named("aarch64-linux-gnu-gcc")
    aarch64-unknown-linux-gnu, Zig
    NoLinker("aarch64-unknown-linux-gnu")
    x86_64-unknown-linux-gnu, Usual
    NoTarget("x86_64-unknown-linux-gnu")
    NoLinker("aarch64-unknown-linux-gnu")
    "#
    );
}

#[test]
fn what_is_missing_and_the_command_that_installs_it() {
    let target = || "aarch64-unknown-linux-musl".to_owned();
    let diagnostics = [
        "error: failed to run custom build command for `ring v0.17`",
        "  error occurred in cc-rs: failed to find tool \"aarch64-linux-musl-gcc\"",
    ];
    let lines = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
    let cargo = |diagnostics: &[&str]| CompileError::Cargo {
        package: "app".to_owned(),
        diagnostics: lines(diagnostics),
    };
    let compiler = |diagnostics: &[&str]| CompileError::DoesNotCompile {
        package: "app".to_owned(),
        target: "x86_64-unknown-linux-gnu".to_owned(),
        diagnostics: lines(diagnostics),
    };
    let errors = [
        CompileError::NoTarget {
            target: target(),
            has_rustup: true,
        },
        CompileError::NoTarget {
            target: target(),
            has_rustup: false,
        },
        CompileError::NoLinker {
            target: "aarch64-unknown-linux-gnu".to_owned(),
        },
        cargo(&diagnostics),
        compiler(&[
            "error: linker `cc` not found",
            "  |",
            "  = note: No such file or directory (os error 2)",
        ]),
        compiler(&["error: linker `aarch64-linux-gnu-gcc` not found"]),
        compiler(&["error: linker `clang` not found"]),
        compiler(&[
            "error: linking with `cc` failed: exit status: 1",
            "  = note: /usr/bin/ld: cannot find -lc: No such file or directory",
        ]),
        compiler(&["          /usr/bin/ld: cannot find -lc"]),
        cargo(&[
            "Error: Failed to find zig",
            "Caused by:",
            "  cannot find binary path",
        ]),
    ];
    let told = errors.map(|error| format!("{error}\n  {}", error.hint().unwrap()));
    insta::assert_snapshot!(told.join("\n"), @"
    the compiler cannot make programs for `aarch64-unknown-linux-musl` yet
      run `rustup target add aarch64-unknown-linux-musl`
    the compiler cannot make programs for `aarch64-unknown-linux-musl` yet
      this Rust cannot be extended: install one with rustup (https://rustup.rs), then run `rustup target add aarch64-unknown-linux-musl`
    there is no linker for `aarch64-unknown-linux-gnu` on this machine
      run `rustup target add aarch64-unknown-linux-musl`, which needs none; or, for programs with C in them, `cargo install --locked cargo-zigbuild` and `pip install ziglang`
    cargo cannot build `app`
      a dependency is not Rust alone: `cargo install --locked cargo-zigbuild` and `pip install ziglang` bring a C compiler for any processor
    `app` does not compile
      install a C compiler, which links programs: `sudo apt-get install gcc`
    `app` does not compile
      install this compiler: `sudo apt-get install gcc-aarch64-linux-gnu`
    `app` does not compile
      install `clang`, or remove the setting that names it: the usual linker is `cc`, which `sudo apt-get install gcc` installs
    `app` does not compile
      the C library of this machine cannot be linked statically: `rustup target add x86_64-unknown-linux-musl` brings one that can; or install its static form, on Fedora `sudo dnf install glibc-static`
    `app` does not compile
      the C library of this machine cannot be linked statically: `rustup target add x86_64-unknown-linux-musl` brings one that can; or install its static form, on Fedora `sudo dnf install glibc-static`
    cargo cannot build `app`
      cargo-zigbuild is there, and zig is not: `pip install ziglang`
    ");
}

/// Stands in for rustc and cargo of another machine: the one knows a target, the other `makes` a program of these bytes.
fn stand_ins(folder: &Path, program: &[u8]) -> Surroundings {
    let target = "sysroot/lib/rustlib/aarch64-unknown-linux-musl/lib";
    fs::create_dir_all(folder.join(target)).unwrap();
    fs::write(folder.join("made"), program).unwrap();
    let at = folder.display();
    let artifact = format!(
        r#"{{"reason":"compiler-artifact","package_id":"path+file://{at}#clock@0.1.0","manifest_path":"{at}/Cargo.toml","target":{{"kind":["bin"],"name":"app"}},"filenames":["{at}/made"],"executable":"{at}/made","fresh":false}}"#
    );
    let metadata = format!(r#"{{"workspace_root":"{at}","packages":[]}}"#);
    let scripts = [
        ("rustc", format!("#!/bin/sh\necho {at}/sysroot\n")),
        (
            "cargo",
            format!(
                "#!/bin/sh\nif [ \"$1\" = metadata ]; then echo '{metadata}'; exit; fi\n\
                 echo \"$@\" > {at}/called\necho '{artifact}'\n"
            ),
        ),
        ("cargo-zigbuild", "#!/bin/sh\n".to_owned()),
    ];
    for (name, text) in scripts {
        test_support::programs::write(&folder.join(name), &text);
    }
    Surroundings {
        cargo: folder.join("cargo").into(),
        rustc: folder.join("rustc").into(),
        path: folder.into(),
        ..surroundings()
    }
}

#[tokio::test]
async fn for_another_processor_zig_is_called_and_what_it_makes_is_checked() {
    let mut program = crate::testing::elf(183, &[1]);
    let folder = package("fn main() {}");
    let request = request(folder.path(), Architecture::Arm64);
    let stand_ins_for = |program: &[u8]| stand_ins(folder.path(), program);
    let compiled = compile(&request, &stand_ins_for(&program), |_| ())
        .await
        .unwrap();
    assert_eq!(compiled.executable.path, folder.path().join("made"));
    let called = fs::read_to_string(folder.path().join("called")).unwrap();
    let start =
        "zigbuild --profile image --package clock --bin app --target aarch64-unknown-linux-musl";
    assert!(called.starts_with(start), "{called}");

    program[18] = 62;
    let error = compile(&request, &stand_ins_for(&program), |_| ())
        .await
        .unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "it is not made for ARM64");
}

#[test]
fn how_cargo_is_called() {
    let workspace = Path::new("/home/me/my project");
    let call = |architecture, target: &str, linker, has_lock_file| {
        // A member of the workspace, where there is a lock file of it all.
        let folder = if has_lock_file {
            workspace.join("clock")
        } else {
            workspace.to_owned()
        };
        let choice = Choice {
            target: target.to_owned(),
            linker,
        };
        let found = plan::Found {
            folder: &folder,
            workspace,
            has_lock_file,
            has_profile: true,
            outside: &[],
            sysroot: Path::new("/rustup/toolchain"),
            choice: &choice,
            configured: &["-Copt-level=0".to_owned()],
        };
        let invocation = plan::invocation(&request(&folder, architecture), &surroundings(), &found);
        let flags = invocation.encoded_rustflags.to_str().unwrap().to_owned();
        let flags: Vec<String> = flags.split('\u{1f}').map(ToOwned::to_owned).collect();
        (invocation.arguments, flags)
    };
    insta::assert_debug_snapshot!([
        call(
            Architecture::X86_64,
            "x86_64-unknown-linux-gnu",
            Linker::Usual,
            true
        ),
        call(
            Architecture::Arm64,
            "aarch64-unknown-linux-musl",
            Linker::Own,
            false
        ),
    ]);
}

#[test]
fn messages_of_cargo() {
    let artifact = r#"{"reason":"compiler-artifact","package_id":"p","manifest_path":"m","target":{"kind":["bin"],"crate_types":["bin"],"name":"app","src_path":"s"},"profile":{},"features":[],"filenames":[],"executable":"/t/app","fresh":true}"#;
    let Some(Message::Artifact(artifact)) = messages::parse(artifact) else {
        panic!("not understood");
    };
    assert!(artifact.is_program("app") && artifact.fresh);
    assert!(!artifact.is_program("other"));
    assert_eq!(artifact.executable, Some("/t/app".into()));
    // What is compiled for build scripts and macros is in another folder.
    let line = |id: &str, file: &str| {
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"{id}","manifest_path":"m","target":{{"kind":["lib"],"name":"n"}},"filenames":["{file}"],"executable":null}}"#
        )
    };
    let printed = [
        line("b", "/t/arm/deps/b.rlib"),
        "said by a build script".to_owned(),
        line("macro", "/t/deps/macro.so"),
        line("a", "/t/arm/deps/a.rlib"),
        line("b", "/t/arm/deps/b.rmeta"),
    ];
    let linked = parts(&printed.join("\n"), Path::new("/t/arm"));
    let ids: Vec<&str> = linked.iter().map(|part| &*part.package_id).collect();
    assert_eq!(ids, ["a", "b"]);
    let other = r#"{"reason":"build-finished","success":true}"#;
    assert!(matches!(messages::parse(other), Some(Message::Other)));
    assert!(messages::parse("hello from a build script").is_none());
    let waiting = |line| messages::waiting_for(line);
    let said = "    Blocking waiting for file lock on package cache";
    assert_eq!(waiting(said), Some("file lock on package cache"));
    assert_eq!(waiting("   Compiling app v0.1.0"), None);
}

/// A package that is compiled in a moment.
fn package(main: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let manifest = "[package]\nname = \"clock\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
        [[bin]]\nname = \"app\"\npath = \"main.rs\"\n[profile.image]\ninherits = \"release\"\nstrip = \"symbols\"\n[workspace]\n";
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    fs::write(folder.path().join("main.rs"), main).unwrap();
    folder
}

async fn compile_here(folder: &Path) -> (Result<Compiled, CompileError>, Vec<String>) {
    let architecture: Architecture = std::env::consts::ARCH.parse().unwrap();
    let mut events = Vec::new();
    let result = compile(
        &request(folder, architecture),
        &Surroundings::from_env(),
        |event| events.push(format!("{event:?}")),
    )
    .await;
    (result, events)
}

#[tokio::test]
async fn a_static_program_comes_out_the_same_in_any_folder() {
    let main = "fn main() { let all: Vec<String> = std::env::args().collect(); println!(\"{}\", all[1]); }";
    let (one, two) = (package(main), package(main));
    let (first, mut events) = compile_here(one.path()).await;
    let first = first.unwrap();
    let sources = first.sources.iter().map(|path| path.file_name().unwrap());
    let sources: Vec<_> = sources.collect();
    assert!(sources.contains(&"main.rs".as_ref()), "{sources:?}");
    assert_eq!(first.parts.len(), 1);
    let first = first.executable;
    // Cargo has one lock for all folders, and other tests use it too.
    events.retain(|event| !event.starts_with("Waiting"));
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events[0].starts_with("NoLockFile"), "{events:?}");
    assert_eq!(events[1], "Crate { done: 1, name: \"app\", fresh: false }");
    assert!(first.path.starts_with(one.path().canonicalize().unwrap()));
    let second = compile_here(two.path()).await.0.unwrap().executable;
    let (first, second) = (fs::read(first.path), fs::read(second.path));
    let first = first.unwrap();
    assert!(first == second.unwrap(), "the two programs differ");
    let folder = one.path().to_str().unwrap().as_bytes();
    assert!(
        !first.windows(folder.len()).any(|part| part == folder),
        "the program knows where it was made"
    );
}

#[tokio::test]
async fn flags_of_the_project_apply() {
    let program = "#[cfg(not(special))] compile_error!(\"flags are lost\");\nfn main() {}";
    let folder = package(program);
    let (result, _) = compile_here(folder.path()).await;
    assert!(
        matches!(result, Err(CompileError::DoesNotCompile { .. })),
        "{result:?}"
    );
    fs::create_dir(folder.path().join(".cargo")).unwrap();
    let settings = folder.path().join(".cargo/config.toml");
    for section in ["build", "target.'cfg(unix)'"] {
        fs::write(
            &settings,
            format!("[{section}]\nrustflags = ['--cfg', 'special']"),
        )
        .unwrap();
        let (result, _) = compile_here(folder.path()).await;
        assert!(result.is_ok(), "{section}: {result:?}");
        fs::remove_dir_all(folder.path().join("target")).unwrap();
    }
}

#[tokio::test]
async fn the_lock_file_is_that_of_the_workspace() {
    let whole = tempfile::tempdir().unwrap();
    let root = whole.path().canonicalize().unwrap();
    let write = |name: &str, text: &str| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "Cargo.toml",
        "[workspace]\nmembers = [\"services/clock\"]\nresolver = \"3\"\n[profile.image]\ninherits = \"release\"\n",
    );
    write(
        "services/clock/Cargo.toml",
        "[package]\nname = \"clock\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[[bin]]\nname = \"app\"\npath = \"main.rs\"\n",
    );
    write("services/clock/main.rs", "fn main() { panic!() }");
    write("services/.cargo/config.toml", "[term]\nquiet = false\n");
    let folder = root.join("services/clock");
    let (compiled, events) = compile_here(&folder).await;
    let compiled = compiled.unwrap();
    let lock_file = root.join("Cargo.lock");
    let expected = format!("NoLockFile {{ path: {lock_file:?} }}");
    assert!(events.contains(&expected), "{events:?}");
    assert_eq!(compiled.lock_file, lock_file);
    // Cargo has made it.
    let expected = [
        "Cargo.lock",
        "Cargo.toml",
        "services/.cargo/config.toml",
        "services/clock/Cargo.toml",
        "services/clock/main.rs",
    ];
    assert_eq!(compiled.sources, expected.map(|name| root.join(name)));
    let target = folder.join("target/image");
    assert!(compiled.executable.path.starts_with(target));
    let program = fs::read(&compiled.executable.path).unwrap();
    let place = root.to_str().unwrap().as_bytes();
    assert!(!program.windows(place.len()).any(|part| part == place));

    let (compiled, events) = compile_here(&folder).await;
    assert!(compiled.is_ok());
    assert!(events.iter().all(|event| !event.starts_with("NoLockFile")));
    // What is locked is not changed in silence.
    write(
        "services/clock/Cargo.toml",
        "[package]\nname = \"clock\"\nversion = \"0.2.0\"\nedition = \"2024\"\n[[bin]]\nname = \"app\"\npath = \"main.rs\"\n",
    );
    let error = compile_here(&folder).await.0.unwrap_err();
    assert_eq!(
        error.hint().unwrap(),
        "run `cargo update --workspace` and commit `Cargo.lock`"
    );
}

#[tokio::test]
async fn a_program_that_contains_a_path_of_this_machine() {
    let ordinary = package("fn main() { assert!(std::env::args().count() > 7, \"few\"); }");
    let compiled = compile_here(ordinary.path()).await.0.unwrap();
    assert_eq!(compiled.embedded, None);
    let tied = package("fn main() { println!(\"{}\", env!(\"CARGO_MANIFEST_DIR\")); }");
    let compiled = compile_here(tied.path()).await.0.unwrap();
    assert_eq!(compiled.embedded, Some(tied.path().canonicalize().unwrap()));
}

#[test]
fn a_path_is_found_wherever_it_stands_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("program");
    let path = "/home/somebody/clock";
    for start in [0, (1 << 20) - 5, 3 << 20] {
        let mut content = vec![b'x'; start];
        content.extend_from_slice(path.as_bytes());
        fs::write(&file, content).unwrap();
        let found = embedded(&file, [Path::new("/elsewhere/target"), Path::new(path)]);
        assert_eq!(found.as_deref(), Some(Path::new(path)), "{start}");
        assert_eq!(embedded(&file, [Path::new("/home")]), None);
    }
}

#[tokio::test]
async fn what_the_compiler_says_is_kept_from_the_first_error_on() {
    let folder = package("fn unused() {}\nfn main() { first(); second(); }");
    let error = compile_here(folder.path()).await.0.unwrap_err();
    assert_eq!(error.to_string(), "`clock` does not compile");
    let diagnostics = error.evidence();
    assert!(
        diagnostics[0].starts_with("error[E0425]"),
        "{diagnostics:?}"
    );
    assert!(diagnostics[0].contains("first"), "{diagnostics:?}");
    assert!(diagnostics.len() <= 40);
}

#[tokio::test]
async fn why_a_build_script_fails_is_said() {
    let folder = package("fn main() {}");
    let script = "fn main() {
        for number in 0..60 { println!(\"cargo:rustc-check-cfg=cfg(c{number})\"); }
        println!(\"cargo:warning=proto/a.proto was found\");
        for number in 0..60 { eprintln!(\"step {number}\"); }
        panic!(\"protoc is not installed\");
    }";
    fs::write(folder.path().join("build.rs"), script).unwrap();
    let error = compile_here(folder.path()).await.0.unwrap_err();
    let said = error.evidence();
    assert!(
        said[0].starts_with("error: failed to run custom build command"),
        "{said:?}"
    );
    assert!(said.len() <= 40, "{said:?}");
    let has = |text: &str| said.iter().any(|line| line.contains(text));
    assert!(
        has("protoc is not installed") && has("--- stderr"),
        "{said:?}"
    );
    assert!(
        has("step 59") && !has("step 3\n") && has("lines before these"),
        "{said:?}"
    );
    assert!(!has("rustc-check-cfg"), "{said:?}");
}

#[test]
fn what_a_build_script_leaves_to_read() {
    let said = |lines: &[&str]| {
        let mut diagnostics = Diagnostics::default();
        let start = [
            "warning: unused",
            "error: failed to run custom build command for `c v1`",
        ];
        start
            .iter()
            .chain(lines)
            .for_each(|line| diagnostics.push(line));
        diagnostics.kept().join("\n")
    };
    insta::assert_snapshot!(
        [
            // Without standard error, the end of the other.
            said(&["", "Caused by:", "  --- stdout", "  cargo::rustc-cfg=a", "  no compiler", "warning: build failed"]),
            // What the C compiler said.
            said(&["  --- stdout", "  hello", "  cargo:warning=a.c:1: no b.h", "  --- stderr", "", "  cc failed"]),
            // Two at once.
            said(&["  --- stderr", "  first", "error: failed to run custom build command for `d v1`", "  --- stdout", "  second"]),
        ]
        .join("\n\n"),
        @"
    error: failed to run custom build command for `c v1`

    Caused by:
      --- stdout
      no compiler
    warning: build failed

    error: failed to run custom build command for `c v1`
      --- stderr
      cargo:warning=a.c:1: no b.h

      cc failed

    error: failed to run custom build command for `c v1`
      --- stderr
      first
    error: failed to run custom build command for `d v1`
      --- stdout
      second
    "
    );
}

#[tokio::test]
async fn a_broken_manifest_is_not_the_programs_fault() {
    let folder = package("fn main() {}");
    fs::write(folder.path().join("Cargo.toml"), "[package").unwrap();
    let error = compile_here(folder.path()).await.0.unwrap_err();
    assert_eq!(error.to_string(), "cargo cannot read the project");
    assert!(error.evidence()[0].starts_with("error"), "{error:?}");
}

#[tokio::test]
async fn without_rust_the_remedy_is_rustup() {
    let folder = package("fn main() {}");
    let absent = Surroundings {
        rustc: "no-rustc-here".into(),
        ..surroundings()
    };
    let error = compile(
        &request(folder.path(), Architecture::X86_64),
        &absent,
        |_| (),
    )
    .await
    .unwrap_err();
    assert_eq!(error.to_string(), "`no-rustc-here` is not installed");
    assert_eq!(
        error.hint().unwrap(),
        "install Rust with rustup: https://rustup.rs"
    );
}

#[test]
fn the_home_of_cargo_is_found_as_cargo_finds_it() {
    let home = |text: &str| plan::cargo_home(Some(text.into()));
    let usual = plan::cargo_home(None);
    assert_eq!(home(""), usual);
    assert_eq!(home("/a/b"), Some("/a/b".into()));
    assert_eq!(
        home("rel/home"),
        Some(std::env::current_dir().unwrap().join("rel/home"))
    );
}

#[test]
fn what_the_dockerfile_tells_cargo_is_told() {
    let build = CargoBuild {
        profile: Some("dist".to_owned()),
        features: vec!["a".to_owned(), "b/c".to_owned()],
        no_default_features: true,
        all_features: true,
        rustflags: vec!["-Ctarget-cpu=x86-64-v3".to_owned()],
        ..CargoBuild::default()
    };
    let choice = Choice {
        target: "x86_64-unknown-linux-gnu".to_owned(),
        linker: Linker::Usual,
    };
    let call = |build: &CargoBuild| {
        let request = CompileRequest {
            build,
            ..request(Path::new("/w"), Architecture::X86_64)
        };
        let found = plan::Found {
            folder: Path::new("/w"),
            workspace: Path::new("/w"),
            has_lock_file: true,
            has_profile: false,
            outside: &["/elsewhere/lib".into()],
            sysroot: Path::new("/rust"),
            choice: &choice,
            configured: &["-Copt-level=0".to_owned()],
        };
        let invocation = plan::invocation(&request, &surroundings(), &found);
        let arguments = invocation.arguments.join(std::ffi::OsStr::new(" "));
        let flags = invocation.encoded_rustflags.into_string().unwrap();
        (
            arguments.into_string().unwrap(),
            flags.replace('\u{1f}', " "),
        )
    };
    let (arguments, flags) = call(&build);
    assert!(arguments.contains("--profile dist "), "{arguments}");
    assert!(
        arguments.ends_with("--features a,b/c --no-default-features --all-features"),
        "{arguments}"
    );
    assert!(!arguments.contains("--config"), "{arguments}");
    // Those of this machine stand last, and win.
    assert!(
        flags.ends_with("-Ctarget-cpu=x86-64-v3 -Copt-level=1 --cfg=a b"),
        "{flags}"
    );
    // The folder of a path dependency outside of the workspace is none of this machine's either.
    assert!(
        flags.contains("--remap-path-prefix=/elsewhere/lib=/src/../lib"),
        "{flags}"
    );
    // A project without a profile for images gets one.
    let (arguments, _) = call(&CargoBuild::default());
    assert!(arguments.contains("--profile image "), "{arguments}");
    assert!(
        arguments.ends_with("--config profile.image.inherits=\"release\""),
        "{arguments}"
    );
}

#[tokio::test]
async fn what_cargo_does_not_have_is_known_before_it_compiles() {
    let folder = package("fn main() {}");
    let manifest = fs::read_to_string(folder.path().join("Cargo.toml")).unwrap();
    let manifest = manifest.replace(
        "path = \"main.rs\"\n",
        "path = \"main.rs\"\nrequired-features = [\"server\"]\n[features]\ndefault = [\"a\"]\na = [\"b\"]\nb = []\nserver = []\n\
         [target.x.dependencies]\nlog = { version = \"0.4\", optional = true }\n",
    );
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    let surroundings = Surroundings::from_env();
    let project = project(folder.path(), &surroundings).await.unwrap();
    let program = project.choose(None, None).unwrap();
    assert_eq!(
        (program.package.as_str(), program.binary.as_str()),
        ("clock", "app")
    );
    let with = |features: &[&str], no_default_features| {
        let build = CargoBuild {
            features: features.iter().map(|&name| name.to_owned()).collect(),
            no_default_features,
            ..CargoBuild::default()
        };
        let checked = program.check_features(&build);
        checked.map_err(|error| format!("{error}: {}", error.hint().unwrap()))
    };
    assert_eq!(with(&["server", "b log", "log/std"], false), Ok(()));
    assert_eq!(
        with(&["sever"], false).unwrap_err(),
        "the package `clock` has no feature `sever`: it has `a`, `b`, `default`, `log`, `server`"
    );
    assert_eq!(
        with(&[], false).unwrap_err(),
        "the program `app` requires the feature `server`: add it: `features = [\"server\"]` under `[image]` in `deployer.toml`"
    );
    let error = project.choose(Some("clack"), None).unwrap_err();
    assert_eq!(error.evidence(), ["package clock, program app"]);
    let error = project.choose(None, Some("ap")).unwrap_err();
    assert_eq!(error.to_string(), "there is no program `ap`");

    let profile = async |name| check_profile(folder.path(), name, &surroundings).await;
    for known in ["release", "dev", "image"] {
        assert!(profile(known).await.is_ok(), "{known}");
    }
    let error = profile("dist").await.unwrap_err();
    assert_eq!(error.to_string(), "cargo has no profile `dist`");
    assert!(
        error.hint().unwrap().contains("[profile.dist]"),
        "{error:?}"
    );
    // Also one of cargo's own settings is one.
    fs::create_dir(folder.path().join(".cargo")).unwrap();
    let settings = "[profile.dist]\ninherits = \"release\"\n";
    fs::write(folder.path().join(".cargo/config.toml"), settings).unwrap();
    assert!(profile("dist").await.is_ok());
}

//! How cargo would be called, as a table; and cargo itself on a package of one line.

use std::fs;

use super::*;

fn surroundings() -> Surroundings {
    Surroundings {
        cargo: "cargo".into(),
        rustc: "rustc".into(),
        rustflags: vec!["-Copt-level=1".to_owned(), "--cfg=a b".to_owned()],
        cargo_home: Some("/home/me/.cargo".into()),
        host_system: "linux".to_owned(),
        host_architecture: "x86_64".to_owned(),
    }
}

fn request(workspace: &Path, architecture: Architecture) -> CompileRequest<'_> {
    CompileRequest {
        workspace,
        package: "clock",
        binary: "app",
        architecture,
        target_dir: Path::new("target"),
    }
}

#[test]
fn musl_when_it_is_there_else_gnu_else_a_remedy() {
    let target = |architecture, installed: &[&str]| {
        plan::target(architecture, &surroundings(), |it| installed.contains(&it))
    };
    let (musl, gnu) = ("x86_64-unknown-linux-musl", "x86_64-unknown-linux-gnu");
    assert_eq!(target(Architecture::X86_64, &[gnu, musl]).unwrap(), musl);
    assert_eq!(target(Architecture::X86_64, &[gnu]).unwrap(), gnu);
    assert_eq!(target(Architecture::X86_64, &[]).unwrap_err(), gnu);
    let error = CompileError::NoTarget {
        target: target(Architecture::Arm64, &[gnu, musl]).unwrap_err(),
    };
    assert_eq!(
        format!("{error}: {}", error.hint().unwrap()),
        "the compiler cannot make programs for `aarch64-unknown-linux-musl` yet: \
         run `rustup target add aarch64-unknown-linux-musl`"
    );
}

#[test]
fn how_cargo_is_called() {
    let workspace = Path::new("/home/me/my project");
    let call = |architecture, target, has_lock_file| {
        let found = plan::Found {
            workspace,
            has_lock_file,
            sysroot: Path::new("/rustup/toolchain"),
            target,
        };
        let invocation =
            plan::invocation(&request(workspace, architecture), &surroundings(), &found);
        let flags = invocation.encoded_rustflags.to_str().unwrap().to_owned();
        let flags: Vec<String> = flags.split('\u{1f}').map(ToOwned::to_owned).collect();
        (invocation.arguments, flags)
    };
    insta::assert_debug_snapshot!([
        call(Architecture::X86_64, "x86_64-unknown-linux-gnu", true),
        call(Architecture::Arm64, "aarch64-unknown-linux-musl", false),
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
    let other = r#"{"reason":"build-finished","success":true}"#;
    assert!(matches!(messages::parse(other), Some(Message::Other)));
    assert!(messages::parse("hello from a build script").is_none());
    assert!(messages::is_waiting(
        "    Blocking waiting for file lock on build directory"
    ));
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

async fn compile_here(folder: &Path) -> (Result<Executable, CompileError>, Vec<String>) {
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
    // Cargo has one lock for all folders, and other tests use it too.
    events.retain(|event| event != "Waiting");
    assert_eq!(events, ["Crate { done: 1, name: \"app\", fresh: false }"]);
    assert!(first.path.starts_with(one.path().canonicalize().unwrap()));
    let second = compile_here(two.path()).await.0.unwrap();
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
async fn what_the_compiler_says_is_kept_from_the_first_error_on() {
    let folder = package("fn unused() {}\nfn main() { first(); second(); }");
    let error = compile_here(folder.path()).await.0.unwrap_err();
    assert_eq!(error.to_string(), "`clock` does not compile");
    let diagnostics = error.diagnostics();
    assert!(
        diagnostics[0].starts_with("error[E0425]"),
        "{diagnostics:?}"
    );
    assert!(diagnostics[0].contains("first"), "{diagnostics:?}");
    assert!(diagnostics.len() <= 40);
}

#[tokio::test]
async fn a_broken_manifest_is_not_the_programs_fault() {
    let folder = package("fn main() {}");
    fs::write(folder.path().join("Cargo.toml"), "[package").unwrap();
    let error = compile_here(folder.path()).await.0.unwrap_err();
    assert_eq!(error.to_string(), "cargo cannot build `clock`");
    assert!(error.diagnostics()[0].starts_with("error"), "{error:?}");
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

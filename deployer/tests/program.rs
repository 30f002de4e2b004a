//! The program as it is run: what it prints where, and that nothing breaks when nobody reads it. Nothing here needs AWS or an
//! emulator.

#![expect(
    clippy::disallowed_methods,
    reason = "a test runs programs as a user does"
)]

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use test_support::programs;

/// The program in a folder without a configuration, and without what this machine says about AWS and colours.
fn program(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deployer"));
    command.args(arguments).current_dir(folder.path());
    let of_others = |name: &str| {
        ["AWS_", "DEPLOYER_", "GITHUB_", "CLICOLOR"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    };
    for (name, _) in std::env::vars().filter(|(name, _)| of_others(name)) {
        command.env_remove(name);
    }
    command.env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

fn run(command: &mut Command) -> Output {
    command.output().expect("the program can be run")
}

/// A pipe that nobody reads any more.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program prints UTF-8")
}

fn has_control_characters(text: &str) -> bool {
    text.chars()
        .any(|letter| letter.is_control() && letter != '\n')
}

/// There is no configuration: the end comes at once.
const FAILING: [&str; 1] = ["up"];

#[test]
fn nobody_reads() {
    let folder = folder();
    for arguments in [["--help"].as_slice(), &["--version"], &["up", "--help"]] {
        let status = program(&folder, arguments).stdout(closed_pipe()).status();
        assert_eq!(status.expect("it runs").code(), Some(0), "{arguments:?}");
    }
    let wrong: &[&str] = &["--no-such-flag"];
    let json: &[&str] = &["up", "--output", "json"];
    let colours: &[&str] = &["up", "--color", "always"];
    for (arguments, code) in [(FAILING.as_slice(), 3), (wrong, 2), (json, 3), (colours, 3)] {
        for github in ["false", "true"] {
            let mut command = program(&folder, arguments);
            command.env("GITHUB_ACTIONS", github);
            let status = command.stdout(closed_pipe()).stderr(closed_pipe()).status();
            assert_eq!(status.expect("it runs").code(), Some(code), "{arguments:?}");
        }
    }
}

#[test]
fn a_pipe_gets_no_control_characters() {
    let folder = folder();
    let output = run(&mut program(&folder, &FAILING));
    assert_eq!(output.status.code(), Some(3));
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with("error: "), "{stderr}");
    assert!(!has_control_characters(&stderr), "{stderr:?}");
    assert_eq!(text(&output.stdout), "");
    let help = run(&mut program(&folder, &["--help"]));
    assert!(!has_control_characters(&text(&help.stdout)));
}

#[test]
fn colours_where_they_are_asked_for() {
    let folder = folder();
    let coloured = |change: &dyn Fn(&mut Command)| {
        let mut command = program(&folder, &FAILING);
        change(&mut command);
        text(&run(&mut command).stderr).contains('\u{1b}')
    };
    assert!(coloured(&|command| {
        command.args(["--color", "always"]);
    }));
    assert!(coloured(&|command| {
        command.env("DEPLOYER_COLOR", "always").env("NO_COLOR", "1");
    }));
    assert!(!coloured(&|command| {
        command.env("CLICOLOR_FORCE", "1");
    }));
    assert!(!coloured(&|command| {
        command
            .env("DEPLOYER_COLOR", "always")
            .args(["--color", "never"]);
    }));
}

#[test]
fn json_is_alone_on_standard_output() {
    let folder = folder();
    let mut command = program(&folder, &["up", "--output", "json", "--color", "always"]);
    let output = run(command.env("GITHUB_ACTIONS", "true"));
    assert_eq!(text(&output.stderr), "");
    let stdout = text(&output.stdout);
    assert!(!has_control_characters(&stdout), "{stdout:?}");
    let event: serde_json::Value = serde_json::from_str(&stdout).expect("one line of JSON");
    assert_eq!(event.get("exit_code"), Some(&3.into()));
}

#[test]
fn github_actions() {
    let folder = folder();
    let summary = folder.path().join("summary.md");
    std::fs::write(&summary, "before\n").expect("the folder can be written to");
    let mut command = program(&folder, &FAILING);
    command
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", &summary);
    let output = run(&mut command);
    assert_eq!(output.status.code(), Some(3));
    let stderr = text(&output.stderr);
    let annotated = |line: &str| line.starts_with("::error title=deployer%3A exit code 3::");
    assert!(stderr.lines().any(annotated), "{stderr}");
    let markdown = std::fs::read_to_string(&summary).expect("the summary is there");
    assert!(
        markdown.starts_with("before\n### ❌ deployer\n"),
        "{markdown}"
    );

    // Where the summary cannot be written, the command does not mind.
    let output = run(command.env("GITHUB_STEP_SUMMARY", folder.path()));
    assert_eq!(output.status.code(), Some(3));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("::warning title=deployer::cannot write the job summary: "));
}

/// Something that cannot be written to.
fn full_disk() -> Option<Stdio> {
    let file = File::options().write(true).open("/dev/full").ok()?;
    Some(file.into())
}

#[test]
fn messages_of_the_libraries_are_an_extra() {
    let folder = folder();
    std::fs::write(folder.path().join("deployer.toml"), "stack = \"x\"\n").expect("written");
    let mut command = program(&folder, &["status", "--local"]);
    // Nobody listens there: there is no emulator.
    command.args(["--endpoint-url", "http://127.0.0.1:1"]);
    command.env("DEPLOYER_LOG", "trace");
    let told = run(&mut command);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    assert!(!told.stderr.is_empty(), "there is something to tell");
    for stderr in [Some(closed_pipe()), full_disk()].into_iter().flatten() {
        let output = run(command.stderr(stderr));
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(output.stdout, told.stdout);
    }
}

#[test]
fn a_full_disk_is_no_reason_to_fail() {
    let folder = folder();
    let Some(full) = full_disk() else { return };
    let status = program(&folder, &FAILING).stderr(full).status();
    assert_eq!(status.expect("it runs").code(), Some(3));
}

/// Secrets of whoever deploys, as a desk or a pipeline has them.
const SECRETS: [&str; 18] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "DEPLOYER_REGISTRY_PASSWORD",
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "ACTIONS_RUNTIME_TOKEN",
    "CI_JOB_JWT_V2",
    "CI_JOB_TOKEN",
    "CIRCLE_OIDC_TOKEN",
    "BITBUCKET_STEP_OIDC_TOKEN",
    "SYSTEM_ACCESSTOKEN",
    "CARGO_REGISTRY_TOKEN",
    "VAULT_TOKEN",
];

/// The value of each of them.
const SECRET: &str = "never-to-be-seen";

/// A program whose build script, Git and Docker write down their environment.
fn curious() -> TempDir {
    let folder = folder();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a writable folder");
        std::fs::write(&path, text).expect("a writable file");
        path
    };
    write(
        "Cargo.toml",
        "[package]\nname = \"curious\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         [profile.image]\ninherits = \"release\"\n[workspace]\n",
    );
    write("src/main.rs", "fn main() {}\n");
    write(
        "build.rs",
        "fn main() {\n    println!(\"cargo::rerun-if-changed=changing\");\n    \
         let all: Vec<String> = std::env::vars().map(|(name, value)| format!(\"{name}={value}\")).collect();\n    \
         std::fs::write(\"seen-by-build-script\", all.join(\"\\n\")).unwrap();\n}\n",
    );
    write(
        "deployer.toml",
        "stack = \"clock\"\n[image]\npackage = \"curious\"\n",
    );
    write(
        "Dockerfile",
        "FROM rust:1 AS build\nRUN cargo build --release\nFROM scratch\nCOPY --from=build /target/release/curious /curious\nENTRYPOINT [\"/curious\"]\n",
    );
    for name in ["git", "docker"] {
        let script = format!(
            "#!/bin/sh\nenv >> '{}/seen-by-{name}'\nexit 1\n",
            folder.path().display()
        );
        programs::write(&folder.path().join("bin").join(name), &script);
    }
    folder
}

fn build(folder: &TempDir, builder: &str) -> Output {
    let archive = [
        "image",
        "build",
        "--archive",
        "image.tar",
        "--builder",
        builder,
    ];
    let mut command = program(folder, &archive);
    for name in SECRETS {
        command.env(name, SECRET);
    }
    let path = std::env::var("PATH").expect("a PATH");
    let path = format!("{}/bin:{path}", folder.path().display());
    // Those of the cargo that runs this test are not what a user has.
    for name in ["CARGO", "CARGO_TARGET_DIR", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    run(command.env("PATH", path).env("OPENSSL_DIR", "/opt/openssl"))
}

fn seen(folder: &TempDir, by: &str) -> String {
    let file = folder.path().join(format!("seen-by-{by}"));
    let seen = std::fs::read_to_string(&file);
    assert!(seen.is_ok(), "{}: {seen:?}", file.display());
    seen.unwrap_or_default()
}

#[test]
fn a_build_sees_no_secret() {
    let folder = curious();
    let output = build(&folder, "native");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = build(&folder, "docker");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    for by in ["build-script", "git", "docker"] {
        let seen = seen(&folder, by);
        assert!(seen.contains("OPENSSL_DIR=/opt/openssl"), "{by}: {seen}");
        assert!(!seen.contains(SECRET), "{by}: {seen}");
    }
}

#[test]
fn a_build_sees_the_secrets_that_it_is_allowed() {
    let folder = curious();
    let settings = "stack = \"clock\"\n[image]\npackage = \"curious\"\n\
         build_environment = [\"AWS_SESSION_TOKEN\", \"CI_*\"]\n";
    std::fs::write(folder.path().join("deployer.toml"), settings).expect("a writable file");
    let output = build(&folder, "native");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let seen = seen(&folder, "build-script");
    let secrets = seen.lines().filter(|line| line.ends_with(SECRET));
    let mut names: Vec<&str> = secrets
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["AWS_SESSION_TOKEN", "CI_JOB_JWT_V2", "CI_JOB_TOKEN"]
    );
}

#[test]
fn a_typing_error_is_no_change() {
    let folder = folder();
    for arguments in [
        ["plan", "--exit-code", "--nonsense"].as_slice(),
        &["plan", "--exit-cod"],
    ] {
        assert_eq!(run(&mut program(&folder, arguments)).status.code(), Some(2));
    }
    let help = text(&run(&mut program(&folder, &["plan", "--help"])).stdout);
    assert!(
        help.contains("Exit code 8 if something would change"),
        "{help}"
    );
    let help = text(&run(&mut program(&folder, &["--help"])).stdout);
    assert!(help.contains("    8  with `plan --exit-code`"), "{help}");
}

#[test]
fn an_image_from_a_file_is_the_same_and_nothing_is_compiled() {
    let folder = curious();
    let output = build(&folder, "native");
    assert!(output.status.success(), "{}", text(&output.stderr));
    // Whatever would be needed to make one is gone.
    for name in ["Dockerfile", "Cargo.toml", "src/main.rs"] {
        std::fs::remove_file(folder.path().join(name)).expect("a file");
    }
    let plan = |archive: &str| {
        let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/service.yaml");
        let arguments = ["plan", "--exit-code", "--local", "--output", "json"];
        let mut command = program(&folder, &arguments);
        // Nobody listens there.
        command.args(["--endpoint-url", "http://127.0.0.1:4659"]);
        command.args(["--template", template, "--image-archive", archive]);
        run(&mut command)
    };
    let output = plan("image.tar");
    // Everything would be made: a change.
    assert_eq!(output.status.code(), Some(8), "{}", text(&output.stdout));
    let said = text(&output.stdout);
    let plan_of: Vec<serde_json::Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object"))
        .collect();
    let packed = plan_of.iter().find(|line| line["event"] == "image_packed");
    let after = plan_of.iter().find_map(|line| line["image_after"].as_str());
    assert_eq!(after, packed.expect("an event")["digest"].as_str());
    assert!(!said.contains("\"compiled\""), "{said}");

    let output = plan("deployer.toml");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
    let said = text(&output.stdout);
    assert!(said.contains("cannot use `deployer.toml`"), "{said}");
    assert!(
        said.contains("deployer image build --archive FILE"),
        "{said}"
    );
}

/// A folder with these files.
fn folder_with(files: &[(&str, &str)]) -> TempDir {
    let folder = folder();
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a writable folder");
        std::fs::write(path, content).expect("a writable file");
    }
    folder
}

/// What `image inspect` says of it, and its notes.
fn inspected(folder: &TempDir, arguments: &[&str]) -> (serde_json::Value, String) {
    let mut all = vec!["image", "inspect", "--output", "json"];
    all.extend(arguments);
    let mut command = program(folder, &all);
    for name in ["CARGO", "CARGO_TARGET_DIR", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    let output = run(&mut command);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    let image = said.lines().last().expect("an object");
    (serde_json::from_str(image).expect("JSON"), said)
}

#[test]
fn the_dockerfile_says_which_of_several_programs_is_meant() {
    let folder = folder_with(&[
        (
            "Cargo.toml",
            "[workspace]\nmembers = [\"service\"]\nresolver = \"3\"\n",
        ),
        (
            "service/Cargo.toml",
            "[package]\nname = \"service\"\nversion = \"0.1.0\"\nedition = \"2024\"\ndefault-run = \"api\"\n",
        ),
        ("service/src/bin/api.rs", "fn main() {}\n"),
        ("service/src/bin/worker.rs", "fn main() {}\n"),
        ("deploy/deployer.toml", "stack = \"clock\"\n"),
        (
            "deploy/Dockerfile",
            "FROM rust:1 AS build\nRUN cargo build --release\nFROM scratch\nCOPY --from=build /target/release/worker /\nCMD [\"/worker\"]\n",
        ),
    ]);
    let (image, _) = inspected(&folder, &["--config", "deploy/deployer.toml"]);
    let name = image["name"].as_str().expect("a name");
    assert!(name.starts_with("worker:sha256-"), "{name}");
    // Compiled where cargo does it, and not beside the settings.
    assert!(folder.path().join("target/image").is_dir());
    assert!(!folder.path().join("deploy/target").exists());
}

/// Docker as a script: a client of a version, which says how it builds, and has one base image.
fn docker(client: &str) -> String {
    format!(
        "#!/bin/sh\ncase \"$1 $3 $4 $5\" in\n\
         version*Server*) echo 20.10.24 {client} ;;\n\
         version*) echo {client} ;;\n\
         *'{{{{.Architecture}}}} localhost:1/own:1') echo amd64 ;;\n\
         build*) echo \"it builds: {client}, $DOCKER_BUILDKIT\"; exit 1 ;;\n\
         *) exit 1 ;;\nesac\n"
    )
}

/// Builds an image where these scripts are Docker, the first of them first on the `PATH`.
fn build_beside(clients: &[String], dockerfile: &str, builder: &str, cargo: &str) -> String {
    let folder = folder_with(&[
        ("deployer.toml", "stack = \"clock\"\n"),
        ("Dockerfile", dockerfile),
        (
            "Cargo.toml",
            "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
        ),
        ("src/main.rs", "fn main() {}\n"),
    ]);
    let mut path = std::env::var("PATH").expect("a PATH");
    for (number, client) in clients.iter().enumerate().rev() {
        let bin = folder.path().join(number.to_string());
        programs::write(&bin.join("docker"), client);
        path = format!("{}:{path}", bin.display());
    }
    let mut command = program(&folder, &["image", "build", "--builder", builder]);
    command.args(["--architecture", "X86_64"]);
    let output = run(command.env("PATH", path).env("CARGO", cargo));
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    text(&output.stdout) + &text(&output.stderr)
}

/// A program that is ready in the folder: none for any processor, so that it is refused at the end.
fn build_of_program(dockerfile: &str, settings: &str) -> (Option<i32>, String) {
    let folder = folder_with(&[
        ("deployer.toml", settings),
        ("Dockerfile", dockerfile),
        ("ready", "no program\n"),
    ]);
    programs::write(&folder.path().join("bin/docker"), &docker("20.10.24"));
    let path = std::env::var("PATH").expect("a PATH");
    let path = format!("{}:{path}", folder.path().join("bin").display());
    let mut command = program(&folder, &["image", "build", "--program", "ready"]);
    command.args(["--architecture", "X86_64"]);
    let output = run(command.env("PATH", path));
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(!said.contains("it builds"), "{said}");
    (output.status.code(), said)
}

#[test]
fn why_a_program_that_is_ready_cannot_be_packed() {
    let plain = "stack = \"clock\"\n";
    // Only the engine has the base image.
    let (code, said) = build_of_program(
        "FROM localhost:1/own:1\nCOPY ready /\nCMD [\"/ready\"]\n",
        plain,
    );
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("cannot fetch the image"), "{said}");
    assert!(
        said.contains("has `localhost:1/own:1`, and the native builder takes it from a registry only: push it to one, or leave out `--program`"),
        "{said}"
    );
    // Only Docker runs commands.
    let (code, said) = build_of_program(
        "FROM localhost:1/own:1\nRUN true\nCOPY ready /\nCMD [\"/ready\"]\n",
        plain,
    );
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("line 2: `RUN` in the final stage"), "{said}");
    assert!(said.contains("or leave out `--program`"), "{said}");
    // Nothing is built at all; no registry is asked.
    let uri = "stack = \"clock\"\n[image]\nuri = \"localhost:1/app:1\"\n";
    let (code, said) = build_of_program("FROM scratch\n", uri);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("`uri` under `[image]` names one that exists"),
        "{said}"
    );
    let by_docker = "stack = \"clock\"\n[image]\nbuilder = \"docker\"\n";
    let (code, said) = build_of_program("FROM scratch\n", by_docker);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("Docker compiles by itself"), "{said}");
}

fn build_beside_docker(dockerfile: &str, builder: &str, cargo: &str) -> String {
    build_beside(&[docker("20.10.24")], dockerfile, builder, cargo)
}

#[test]
fn a_docker_client_with_buildkit_is_preferred_to_one_without() {
    let file = "FROM debian\nRUN --mount=type=cache,target=/a true\nCMD [\"a\"]\n";
    let (old, new) = (docker("20.10.24"), docker("28.2.2"));
    for (clients, expected) in [
        (vec![new.clone(), old.clone()], "20.10.24, 1"),
        (vec![old, new], "20.10.24, 1"),
    ] {
        let said = build_beside(&clients, file, "auto", "cargo");
        assert!(said.contains(&format!("it builds: {expected}")), "{said}");
    }
}

#[test]
fn a_base_image_that_only_the_engine_has_is_built_on_by_it() {
    let file = |base: &str| format!("FROM localhost:1/{base}\nCOPY src /src\nCMD [\"/bin/sh\"]\n");
    let said = build_beside_docker(&file("own:1"), "auto", "cargo");
    assert!(
        said.contains("it has the base image `localhost:1/own:1`"),
        "{said}"
    );
    assert!(said.contains("it builds"), "{said}");
    for (base, builder) in [("own:1", "native"), ("other:1", "auto")] {
        let said = build_beside_docker(&file(base), builder, "cargo");
        assert!(said.contains("cannot fetch the image"), "{said}");
        assert!(!said.contains("it builds"), "{said}");
        let is_there = said.contains("push it to one, or use `--builder docker`");
        assert_eq!(is_there, base == "own:1", "{said}");
    }
}

#[test]
fn without_a_toolchain_docker_builds_or_the_message_says_so() {
    // The stack is called like the program in one case, which must not matter.
    for program in ["app", "clock"] {
        let file = format!(
            "FROM rust AS build\nRUN cargo build --release\nFROM scratch\nCOPY --from=build /target/release/{program} /app\nCMD [\"/app\"]\n"
        );
        let said = build_beside_docker(&file, "auto", "/no-such-cargo");
        assert!(said.contains("builds `"), "{said}");
        assert!(said.contains("`/no-such-cargo` is not installed"), "{said}");
        assert!(said.contains("it builds"), "{said}");
        let said = build_beside_docker(&file, "native", "/no-such-cargo");
        assert!(
            said.contains("error: `/no-such-cargo` is not installed"),
            "{said}"
        );
    }
    // What only Docker can do is said first: a toolchain would not help.
    let runs = "FROM rust AS build\nRUN cargo build --release\nFROM debian\nRUN apt-get update\nCOPY --from=build /target/release/app /app\nCMD [\"/app\"]\n";
    let said = build_beside_docker(runs, "native", "/no-such-cargo");
    assert!(
        said.contains("line 4: `RUN` in the final stage needs Docker"),
        "{said}"
    );
    assert!(!said.contains("cargo puts"), "{said}");
}

#[test]
fn a_submodule_that_is_not_checked_out_is_named() {
    let folder = folder_with(&[
        ("deployer.toml", "stack = \"clock\"\n"),
        (".git", "gitdir: elsewhere\n"),
        (
            ".gitmodules",
            "[submodule \"pages\"]\n\tpath = vendor/pages\n\turl = ../pages.git\n",
        ),
        (
            "src/main.rs",
            "fn main() { print!(include_str!(\"../vendor/pages/a.html\")) }\n",
        ),
    ]);
    std::fs::create_dir_all(folder.path().join("vendor/pages")).expect("a writable folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("a writable file");
    };
    let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    let depends = format!("{manifest}[dependencies]\npages = {{ path = \"vendor/pages\" }}\n");
    let member = format!("{manifest}[workspace]\nmembers = [\"vendor/pages\"]\n");
    let file = |copy: &str| {
        format!(
            "FROM rust AS build\nRUN cargo build --release\nFROM scratch\n\
             COPY --from=build /target/release/app /app\n{copy}CMD [\"/app\"]\n"
        )
    };
    let said = |arguments: &[&str]| {
        let mut command = program(&folder, arguments);
        for name in ["CARGO", "CARGO_TARGET_DIR", "RUSTFLAGS"] {
            command.env_remove(name);
        }
        let output = run(&mut command);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        text(&output.stdout) + &text(&output.stderr)
    };
    let named = "`vendor/pages` is a git submodule that is not checked out: run `git submodule update --init --recursive`";
    let build = ["image", "build", "--builder", "native"].as_slice();
    // cargo needs it; the compiler does; the Dockerfile does.
    for (manifest, copy, commands) in [
        (&*depends, "", [build].as_slice()),
        (&*member, "", &[build, &["init", "--config", "new.toml"]]),
        (manifest, "", &[build]),
        (manifest, "COPY vendor/pages/a.html /\n", &[build]),
        (manifest, "COPY vendor/pages /pages\n", &[build]),
    ] {
        write("Cargo.toml", manifest);
        write("Dockerfile", &file(copy));
        for arguments in commands {
            let said = said(arguments);
            assert!(said.contains(named), "{arguments:?} {copy}: {said}");
        }
    }
    let said = said(build);
    let note = format!("line 5: `COPY` takes an empty folder: {named}");
    assert!(said.contains(&note), "{said}");
}

#[test]
fn files_that_are_ready_are_packed_without_cargo() {
    let folder = folder_with(&[
        (
            "deploy/deployer.toml",
            "stack = \"clock\"\n[image]\ncontext = \"..\"\n",
        ),
        (
            "deploy/Dockerfile",
            "FROM scratch\nCOPY --chmod=0755 out/server_$TARGETARCH /server\nCOPY *.json /etc/\nEXPOSE 9300\nCMD [\"/server\"]\n",
        ),
        ("out/server_", "#!/server\n"),
        ("settings.json", "{}"),
    ]);
    let (image, said) = inspected(&folder, &["--config", "deploy/deployer.toml"]);
    assert!(said.contains("cargo does not run"), "{said}");
    let layers = image["layers"].as_array().expect("layers").iter();
    let paths: Vec<_> = layers
        .flat_map(|layer| layer["files"].as_array().expect("files"))
        .map(|file| file["path"].as_str().expect("a path"))
        .collect();
    assert_eq!(paths, ["/server", "/etc/", "/etc/settings.json"]);
    assert!(image["packages"].is_null(), "{image}");
    // An image is not always that of the service, whose port is 8080.
    assert!(!said.contains("exposes port"), "{said}");

    // With podman's names, what its ignore file excludes stays out.
    let at = |name: &str| folder.path().join(name);
    let renamed = std::fs::rename(at("deploy/Dockerfile"), at("deploy/Containerfile"));
    renamed.expect("a writable folder");
    std::fs::write(at("secret.json"), "{}").expect("written");
    std::fs::write(at(".containerignore"), "secret.json\n").expect("written");
    let (same, _) = inspected(&folder, &["--config", "deploy/deployer.toml"]);
    assert_eq!(same["layers"], image["layers"]);
}

#[test]
fn the_licences_of_what_is_linked_are_in_the_image() {
    let folder = curious();
    let mut command = program(&folder, &["image", "inspect", "--output", "json"]);
    for name in ["CARGO", "CARGO_TARGET_DIR", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    let output = run(&mut command);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let image = said.lines().last().expect("an object");
    let image: serde_json::Value = serde_json::from_str(image).expect("JSON");
    let layer = image["layers"].as_array().and_then(|layers| layers.last());
    let files = layer.expect("a layer")["files"].as_array().expect("files");
    let paths: Vec<_> = files
        .iter()
        .filter_map(|file| file["path"].as_str())
        .collect();
    assert_eq!(
        paths[..3],
        [
            "/licenses/",
            "/licenses/c-library.txt",
            "/licenses/crates.txt"
        ]
    );
    assert!(
        paths[3].starts_with("/licenses/rust-standard-library."),
        "{paths:?}"
    );
    for file in &files[1..] {
        assert_eq!(file["mode"], "0644", "{file}");
        assert!(file["bytes"].as_u64() > Some(50), "{file}");
    }
    // Rust's standard library and the C library.
    assert_eq!(image["packages"], 2);
}

/// A pipe in the folder, by its name.
fn pipe(folder: &TempDir, name: &str) -> std::path::PathBuf {
    let path = folder.path().join(name);
    let status = Command::new("mkfifo").arg(&path).status();
    assert!(status.expect("mkfifo is there").success());
    path
}

/// Waits until it has ended, and gives its exit code and what it said.
fn ended(mut child: Child) -> (Option<i32>, String) {
    let start = Instant::now();
    while child.try_wait().expect("it can be waited for").is_none() {
        if start.elapsed() > Duration::from_secs(30) {
            child.kill().expect("it is still there");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().expect("it has ended");
    assert_eq!(output.status.signal(), None, "it does not end by itself");
    (output.status.code(), text(&output.stderr))
}

/// Returns whether this process, and so what it starts, ignores SIGHUP.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = u64::from_str_radix(mask.expect("a mask").trim(), 16).expect("digits");
    mask & 1 == 1
}

#[test]
fn a_signal_ends_it_while_it_reads() {
    let folder = folder();
    let configuration = pipe(&folder, "pipe.toml");
    let dockerfile = pipe(&folder, "Dockerfile");
    let text = "stack = \"x\"\n[service]\narchitecture = \"X86_64\"\n";
    std::fs::write(folder.path().join("deployer.toml"), text).expect("written");
    let status = ["status", "--config", "pipe.toml"];
    let down = ["down", "--config", "pipe.toml"];
    let build = ["image", "build", "--config", "deployer.toml"];
    for (arguments, read) in [
        (status.as_slice(), &configuration),
        (&down, &configuration),
        (&build, &dockerfile),
    ] {
        for signal in ["INT", "TERM", "HUP"] {
            // Under `nohup`, the program inherits that it ignores this one.
            if signal == "HUP" && hangup_is_ignored() {
                continue;
            }
            let child = program(&folder, arguments)
                .stderr(Stdio::piped())
                .spawn()
                .expect("it starts");
            // Opened once somebody reads; nothing is written.
            let _open = File::options().write(true).open(read).expect("a pipe");
            let kill = Command::new("kill")
                .args(["-s", signal, &child.id().to_string()])
                .status();
            assert!(kill.expect("kill is there").success());
            let (code, stderr) = ended(child);
            assert_eq!(code, Some(130), "{signal}: {stderr}");
            let expected = if arguments == down {
                "error: interrupted\n  hint: nothing has to be undone; an operation in progress on the stack continues, and `status` with the same options shows it\n"
            } else {
                "error: interrupted\n"
            };
            // The command may have said that it started.
            let start = stderr.find("error:").expect("an error");
            assert_eq!(&stderr[start..], expected, "{arguments:?} {signal}");
        }
    }
}

#[test]
fn a_file_without_an_end_is_refused() {
    let folder = folder();
    let output = run(&mut program(&folder, &["status", "--config", "/dev/zero"]));
    assert_eq!(output.status.code(), Some(3));
    let stderr = text(&output.stderr);
    assert!(
        stderr.starts_with("error: cannot read `/dev/zero`\n  because: it is larger than 4 MiB\n"),
        "{stderr}"
    );
    let configuration = "stack = \"x\"\n[image]\ndockerfile = \"/dev/zero\"\n";
    std::fs::write(folder.path().join("deployer.toml"), configuration).expect("written");
    let output = run(&mut program(&folder, &["image", "build"]));
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("it is larger than 4 MiB"));
}

#[test]
fn a_budget_of_earlier_versions_is_refused_with_what_replaces_it() {
    let folder = folder();
    let configuration = "stack = \"x\"\ntemplate = \"service.yaml\"\n[image]\npackage = \"x\"\n";
    std::fs::write(folder.path().join("deployer.toml"), configuration).expect("written");
    let template = include_str!("../../infra/service.yaml");
    std::fs::write(folder.path().join("service.yaml"), template).expect("written");
    let with_budget = |dollars: &str| {
        let budget = format!("MonthlyBudget={dollars}");
        // Nothing is reached: the template comes first, and the address is nobody's.
        let up = [
            "up",
            "--endpoint-url",
            "http://127.0.0.1:9/",
            "--region",
            "eu-central-1",
        ];
        let arguments = [&up[..], &["--parameter", &budget]].concat();
        run(&mut program(&folder, &arguments))
    };
    let output = with_budget("50");
    assert_eq!(output.status.code(), Some(3));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("makes no budget any more"), "{stderr}");
    assert!(
        stderr.contains("--template-file infra/budget.yaml"),
        "{stderr}"
    );
    // What asked for no budget asks for none now.
    assert!(!text(&with_budget("0").stderr).contains("budget"));
}

/// Template and policy belong together with what `up` deploys, however it is told.
#[test]
fn template_and_policy_follow_the_strategy() {
    let folder = folder();
    let settings = "stack = \"clock\"\nregion = \"eu-central-1\"\n[image]\npackage = \"app\"\n";
    std::fs::write(folder.path().join("deployer.toml"), settings).expect("a file");
    for (arguments, words) in [
        (&["template"][..], "Strategy: LINEAR"),
        (
            &["policy", "--as-boundary"],
            "elasticloadbalancing:DeregisterTargets",
        ),
    ] {
        let printed = |command: &mut Command| text(&run(command).stdout);
        let usual = printed(&mut program(&folder, arguments));
        assert!(!usual.contains(words), "{arguments:?}");
        let told = printed(program(&folder, arguments).env("DEPLOYER_STRATEGY", "linear"));
        assert!(told.contains(words), "{arguments:?}");
        let flag = ["--strategy", "linear"];
        let asked = printed(&mut program(&folder, &[arguments, &flag].concat()));
        assert_eq!(asked, told);
    }
}

/// Returns what a shell offers for the word that begins so; `None` where the shell is not installed.
fn offered(shell: &str, line: &[&str]) -> Option<String> {
    let folder = folder();
    let script = run(&mut program(&folder, &["completions", shell]));
    assert_eq!(script.status.code(), Some(0), "{}", text(&script.stderr));
    let path = folder.path().join("script");
    std::fs::write(&path, &script.stdout).expect("the folder can be written to");
    let word = line.last().expect("a word");
    let before = line.iter().rev().nth(1).expect("a word before");
    let (arguments, code): (&[&str], String) = match shell {
        "bash" => (
            &["--norc", "-c"],
            format!(
                "source ./script; COMP_WORDS=({}); COMP_CWORD={}; _deployer deployer '{word}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
                line.join(" "),
                line.len() - 1
            ),
        ),
        "fish" => (
            &["--no-config", "-c"],
            format!(
                "source ./script; complete --do-complete '{}'",
                line.join(" ")
            ),
        ),
        // Completion of zsh needs a terminal.
        _ => (&["-n"], "./script".to_owned()),
    };
    let mut command = Command::new(shell);
    command.args(arguments).arg(code).current_dir(folder.path());
    let output = match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        output => output.expect("the shell runs"),
    };
    assert!(output.status.success(), "{shell}: {}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "{shell}");
    Some(text(&output.stdout))
}

#[test]
fn shells_complete_commands_options_and_values() {
    for shell in ["bash", "fish"] {
        for (line, expected) in [
            (["deployer", "roll"].as_slice(), "rollback"),
            (&["deployer", "reviewer", "gr"], "grant"),
            (&["deployer", "up", "--verify"], "--verify-timeout"),
            (&["deployer", "up", "--strategy", "bl"], "blue-green"),
        ] {
            // Bash is everywhere.
            let Some(offered) = offered(shell, line) else {
                assert_ne!(shell, "bash");
                continue;
            };
            let words = offered.split_whitespace();
            assert!(
                words.clone().any(|word| word == expected),
                "{line:?}: {offered}"
            );
            assert!(
                !words.into_iter().any(|word| word == "man-pages"),
                "{offered}"
            );
        }
    }
    assert!(offered("zsh", &["deployer", ""]).is_none_or(|said| said.is_empty()));
}

#[test]
fn shells_complete_names_that_this_machine_knows() {
    let folder = folder();
    let state = folder.path().join("state");
    let journal = |stack: &str, name: &str, digit: &str| {
        let stack = state.join("deployer").join(stack);
        std::fs::create_dir_all(&stack).expect("a folder");
        let image = format!("registry.example/a@sha256:{}", digit.repeat(64));
        let text = format!(
            "{{\"event\":\"started\"}}\nno JSON\n{{\"event\":\"succeeded\",\"summary\":{{\"image\":\"{image}\"}}}}\n"
        );
        std::fs::write(stack.join(name), text).expect("written");
    };
    journal("clock", "20261101T000000Z-up-1.jsonl", "a");
    journal("clock", "20261103T000000Z-up-1.jsonl", "b");
    journal("shop", "20261102T000000Z-up-1.jsonl", "c");
    std::fs::write(state.join("deployer/place-clock.lock"), "").expect("written");
    // An existing configuration may be wrong.
    std::fs::write(folder.path().join("deployer.toml"), "stack = 1").expect("written");
    let complete = |names: &str| {
        let output = run(program(&folder, &["complete", names]).env("XDG_STATE_HOME", &state));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert_eq!(complete("stacks"), "clock\nshop\n");
    assert_eq!(
        complete("versions"),
        "bbbbbbbbbbbb\ncccccccccccc\naaaaaaaaaaaa\n"
    );

    let script = run(&mut program(&folder, &["completions", "bash"]));
    std::fs::write(folder.path().join("script"), &script.stdout).expect("written");
    let code = "source ./script; complete -p deployer; \
        _deployer_names \"$0\" s --stack; echo \"${COMPREPLY[@]}\"; \
        _deployer_names \"$0\" '' --to; echo \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", code, env!("CARGO_BIN_EXE_deployer")]);
    let output = run(bash
        .current_dir(folder.path())
        .env("XDG_STATE_HOME", &state));
    let said = text(&output.stdout);
    assert_eq!(text(&output.stderr), "");
    let mut lines = said.lines();
    assert!(
        lines.next().expect("a line").contains("-F _deployer_names"),
        "{said}"
    );
    let rest: Vec<_> = lines.collect();
    assert_eq!(rest, ["shop", "bbbbbbbbbbbb cccccccccccc aaaaaaaaaaaa"]);

    let zsh = text(&run(&mut program(&folder, &["completions", "zsh"])).stdout);
    assert!(zsh.contains("\n_deployer_stacks() {") && zsh.contains(":NAME:_deployer_stacks'"));
    assert!(zsh.contains(":_deployer_versions'"), "{zsh}");
    let fish = text(&run(&mut program(&folder, &["completions", "fish"])).stdout);
    assert!(fish.contains("(deployer complete stacks"), "{fish}");
}

#[test]
fn every_command_has_a_man_page() {
    let folder = folder();
    // Neither needs a configuration, and an existing one may be wrong.
    std::fs::write(folder.path().join("deployer.toml"), "stack = 1").expect("written");
    let pages = folder.path().join("man1");
    let arguments = ["man-pages", "man1"];
    let output = run(&mut program(&folder, &arguments));
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("name an existing folder"));
    std::fs::create_dir(&pages).expect("a writable folder");
    let output = run(&mut program(&folder, &arguments));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let help = text(&run(&mut program(&folder, &["--help"])).stdout);
    let (_, commands) = help.split_once("Commands:\n").expect("commands");
    let (commands, _) = commands.split_once("\n\n").expect("an end");
    let names = commands.lines().filter_map(|line| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty() && name != "help").then_some(name)
    });
    let names: Vec<_> = names.chain(["image-push", "reviewer-grant"]).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let page = pages.join(format!("deployer-{name}.1"));
        let page = std::fs::read_to_string(&page).expect(name);
        assert!(page.contains(".SH SYNOPSIS"), "{name}: {page}");
    }
    let page = std::fs::read_to_string(pages.join("deployer.1")).expect("a page");
    assert!(page.contains("the check from outside failed"), "{page}");
}

//! Both builders on the example service: the whole Dockerfile, in Docker, with a stand-in for its base image that is made of this
//! machine's own tools; and its final stage alone. Both images have to be the same but for the times in their layers, and to run
//! without anything that they do not need.

#![expect(
    clippy::disallowed_methods,
    reason = "a test runs programs as a user does"
)]

mod base_image;
mod corpus;
mod supply;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Runs a program to its end; returns what it wrote to standard output.
fn run(command: &mut Command) -> String {
    println!("$ {command:?}");
    let output = command.output().expect("the program starts");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{stdout}\n{stderr}");
    stdout
}

fn docker(arguments: &[&str]) -> String {
    run(Command::new("docker").args(arguments))
        .trim()
        .to_owned()
}

fn project() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("a workspace").to_owned()
}

/// A copy of the example, with its dependencies beside it, since there is no network in the container.
struct Example {
    folder: TempDir,
    /// Removed at the end.
    images: Vec<String>,
}

impl Example {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let source = project().join("examples/greeter");
        run(Command::new("cp")
            .arg("-r")
            .arg(source.join("."))
            .arg(folder.path()));
        run(Command::new("rm")
            .arg("-rf")
            .arg(folder.path().join("target")));
        let tag = format!("deployer-test-{}", std::process::id());
        let base = format!("rust:{tag}-slim");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/builders/base.sh");
        run(Command::new(script).arg(&base));
        let example = Self {
            folder,
            images: vec![base, "deployer/greeter".to_owned()],
        };
        example.edit("Dockerfile", |text| {
            text.replace("ARG RUST_VERSION=1\n", &format!("ARG RUST_VERSION={tag}\n"))
        });
        let settings = run(Command::new("cargo")
            .args(["vendor", "--locked", "vendor"])
            .current_dir(example.folder.path()));
        let cargo = example.folder.path().join(".cargo");
        std::fs::create_dir(&cargo).expect("a new folder");
        std::fs::write(cargo.join("config.toml"), settings).expect("a writable folder");
        example
    }

    fn edit(&self, name: &str, change: impl Fn(&str) -> String) {
        let path = self.folder.path().join(name);
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let changed = change(&text);
        assert_ne!(text, changed, "{name}");
        std::fs::write(path, changed).expect("a writable file");
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deployer"));
        command.args(arguments).current_dir(self.folder.path());
        // Those of the cargo that runs this test are not what a user has.
        for (name, _) in std::env::vars().filter(|(name, _)| {
            name.starts_with("CARGO_PKG_") || name.starts_with("DEPLOYER_") || name == "CARGO"
        }) {
            command.env_remove(name);
        }
        command
            .env("CARGO_TARGET_DIR", "target")
            .env_remove("RUSTFLAGS");
        command
    }

    fn deployer(&self, arguments: &[&str]) -> String {
        run(&mut self.program(arguments))
    }

    fn inspect(&self, builder: &str) -> Value {
        let arguments = ["image", "inspect", "--builder", builder, "--output", "json"];
        let said = self.deployer(&arguments);
        serde_json::from_str(said.lines().last().expect("an object")).expect("JSON")
    }

    /// Puts the image into Docker; returns its name there.
    fn load(&mut self, builder: &str) -> String {
        let arguments = [
            "image",
            "build",
            "--load",
            "--builder",
            builder,
            "--output",
            "json",
        ];
        let said = self.deployer(&arguments);
        let event: Value =
            serde_json::from_str(said.lines().last().expect("an event")).expect("JSON");
        let name = event["loaded"].as_str().expect("a name").to_owned();
        self.images.push(name.clone());
        name
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        for image in &self.images {
            Command::new("docker")
                .args(["image", "rm", "--force", image])
                .output()
                .ok();
        }
    }
}

#[test]
fn both_builders_make_the_same_image() {
    let mut example = Example::new();
    let native = example.inspect("native");
    let docker = example.inspect("docker");
    for field in ["architecture", "os", "config", "created"] {
        let (native, docker) = (&native["config"][field], &docker["config"][field]);
        assert_eq!(native, docker, "{field}");
        assert!(!native.is_null(), "{field}");
    }
    let settings = &native["config"]["config"];
    assert_eq!(settings["User"], "65532:65532");
    assert_eq!(settings["Entrypoint"][0], "/greeter");
    assert_eq!(settings["StopSignal"], "SIGTERM");
    assert!(settings["ExposedPorts"]["8080/tcp"].is_object());
    let file = |image: &Value| {
        let file = &image["layers"][0]["files"][0];
        (
            file["path"].clone(),
            file["mode"].clone(),
            file["owner"].clone(),
        )
    };
    assert_eq!(file(&native), file(&docker));
    // Nothing was changed, and the engine kept what it made.
    assert_eq!(example.inspect("docker")["digest"], docker["digest"]);
    assert!(native["packages"].as_u64() > Some(10), "{native}");

    for builder in ["native", "docker"] {
        let image = example.load(builder);
        runs_without_rights(&image);
    }

    skopeo_reads_the_archive(&example, &native);
    a_dynamic_program_runs_on_a_base(&mut example);
    corpus::both_builders_agree(&example);
}

/// Starts it read-only, as nobody, without capabilities; looks at the process from outside.
fn runs_without_rights(image: &str) {
    let container = docker(&[
        "run",
        "--detach",
        "--read-only",
        "--user",
        "65532:65532",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
        image,
    ]);
    let facts = std::panic::catch_unwind(|| {
        let field = |format: &str| docker(&["inspect", "--format", format, &container]);
        let pid = field("{{.State.Pid}}");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.expect("a line").trim().to_owned()
        };
        assert_eq!(line("Uid:"), "65532\t65532\t65532\t65532");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(line(set), "0000000000000000", "{set}");
        }
        let mounts = std::fs::read_to_string(format!("/proc/{pid}/mounts")).expect("mounts");
        let root = mounts
            .lines()
            .find(|line| line.split(' ').nth(1) == Some("/"));
        let root = root
            .and_then(|line| line.split(' ').nth(3))
            .expect("a root");
        assert!(root.split(',').any(|option| option == "ro"), "{root}");
        let address = field("{{.NetworkSettings.IPAddress}}");
        assert_eq!(answer(&format!("http://{address}:8080/")), "hello\n");
        let began = Instant::now();
        docker(&["stop", "--time", "10", &container]);
        assert!(
            began.elapsed() < Duration::from_secs(9),
            "it does not heed SIGTERM"
        );
        assert_eq!(field("{{.State.ExitCode}}"), "0");
    });
    docker(&["rm", "--force", &container]);
    if let Err(panic) = facts {
        std::panic::resume_unwind(panic);
    }
}

fn answer(url: &str) -> String {
    let retry = ["--retry", "20", "--retry-delay", "1", "--retry-connrefused"];
    run(Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--noproxy", "*"])
        .args(retry)
        .arg(url))
}

/// A program that needs a loader and a library, which only the base has; started as the base's user, read-only.
fn a_dynamic_program_runs_on_a_base(example: &mut Example) {
    run(Command::new("cargo")
        .args(["build", "--locked", "--target-dir", "target/dynamic"])
        .env_remove("RUSTFLAGS")
        .current_dir(example.folder.path()));
    let program = example.folder.path().join("target/dynamic/debug/greeter");
    let needed = run(Command::new("ldd").arg(&program));
    let needed: Vec<PathBuf> = needed
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect();
    assert!(needed.len() > 1, "{needed:?}");
    std::fs::copy(&program, example.folder.path().join("ready")).expect("a program");
    let bases = [("with", needed.as_slice()), ("without", &[])];
    let bases = bases.map(|(name, files)| {
        let folder = example.folder.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        base_image::Base::new(&folder, files)
    });
    let dockerfile = std::fs::read_to_string(example.folder.path().join("Dockerfile"));
    let inspect = |example: &Example, base: &base_image::Base| {
        let text = format!(
            "FROM {}\nCOPY --chown=nonroot --chmod=0500 ready /greeter\nENV GREETING=hello\nUSER nonroot\n",
            base.reference
        );
        std::fs::write(example.folder.path().join("Dockerfile"), text).expect("a file");
        let output = example.program(&["image", "inspect"]).output();
        let output = output.expect("the program starts");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, said) = inspect(example, &bases[1]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("it is not static: it needs `/lib"), "{said}");
    let (code, said) = inspect(example, &bases[0]);
    assert_eq!(code, Some(0), "{said}");
    let image = example.load("native");
    runs_without_rights(&image);
    let dockerfile = dockerfile.expect("a readable file");
    std::fs::write(example.folder.path().join("Dockerfile"), dockerfile).expect("a file");
}

/// As another program reads it: the digest, and how it is started.
fn skopeo_reads_the_archive(example: &Example, image: &Value) {
    let file = example.folder.path().join("image.tar");
    let path = file.to_str().expect("UTF-8");
    example.deployer(&["image", "build", "--archive", path]);
    let ask = |arguments: &[&str], transport: &str| -> Value {
        let address = format!("{transport}:{path}");
        let said = run(Command::new("skopeo")
            .arg("inspect")
            .args(arguments)
            .arg(address));
        serde_json::from_str(&said).expect("JSON")
    };
    let seen = ask(&[], "oci-archive");
    assert_eq!(seen["Digest"], image["digest"]);
    assert_eq!(seen["Architecture"], image["config"]["architecture"]);
    for transport in ["oci-archive", "docker-archive"] {
        let seen = ask(&["--config"], transport);
        let started = &image["config"]["config"];
        for field in [
            "User",
            "Env",
            "Entrypoint",
            "Labels",
            "ExposedPorts",
            "StopSignal",
        ] {
            assert_eq!(seen["config"][field], started[field], "{transport} {field}");
        }
    }
}

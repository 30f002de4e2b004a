//! The native builder beside BuildKit: the same configuration, and the same files with the same owners and modes, for each
//! final stage of `cases.txt`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{Example, run};

/// What BuildKit takes the program from, and what the native builder does.
const FOR_DOCKER: &str = "FROM scratch AS build\nCOPY greeter /out/greeter\n";
const FOR_US: &str =
    "FROM rust AS build\nRUN cargo build --release && cp target/release/greeter /out/greeter\n";
/// What is compared of how an image is started.
const SETTINGS: [&str; 11] = [
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Healthcheck",
    "Labels",
    "Shell",
    "StopSignal",
    "User",
    "Volumes",
    "WorkingDir",
];
const IMAGE: &str = "deployer-test-corpus";

/// Mode, owner and, of a link, its target; by path.
type Files = BTreeMap<String, (String, String, String)>;

/// Compares all cases. Docker builds with BuildKit: the older builder makes folders for root alone.
pub(crate) fn both_builders_agree(example: &Example) {
    let folder = example.folder.path().join("corpus");
    context(
        &folder,
        &program(&example.folder.path().join("target/image")),
    );
    let Some(docker) = buildkit(&folder) else {
        println!("no Docker here builds with BuildKit: the corpus is left out");
        return;
    };
    let mut differences = Vec::new();
    for case in include_str!("cases.txt").split("\n---\n") {
        fs::write(
            folder.join("Dockerfile.docker"),
            format!("{FOR_DOCKER}{case}\n"),
        )
        .expect("a file");
        fs::write(
            folder.join("Dockerfile.native"),
            format!("{FOR_US}{case}\n"),
        )
        .expect("a file");
        let (theirs, ours) = (by_docker(docker, &folder), by_us(example, &folder));
        if theirs != ours {
            differences.push(format!("{case}\nDocker: {theirs:#?}\ndeployer: {ours:#?}"));
        }
    }
    Command::new(docker)
        .args(["image", "rm", "--force", IMAGE])
        .output()
        .ok();
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

/// The program that was compiled for the images before.
fn program(image: &Path) -> std::path::PathBuf {
    let targets = fs::read_dir(image).expect("a target folder").flatten();
    let mut programs = targets.map(|target| target.path().join("image/greeter"));
    programs.find(|path| path.is_file()).expect("a program")
}

fn context(folder: &Path, program: &Path) {
    fs::create_dir_all(folder.join("web/img")).expect("a folder");
    fs::copy(program, folder.join("greeter")).expect("a program");
    let files = [
        ("one", "1"),
        ("two", "22"),
        ("web/index.html", "hello"),
        ("web/img/a", "a"),
        ("run.sh", "#!/x\n"),
        ("passwd", "root:x:0:0::/:\nme:x:5:6::/home:\n"),
        ("group", "root:x:0:\nstaff:x:50:\n"),
        (".dockerignore", "*.toml\nDockerfile*\ntarget\n"),
        (
            "deployer.toml",
            "stack = \"corpus\"\n[image]\npackage = \"greeter\"\ndockerfile = \"Dockerfile.native\"\nbuilder = \"native\"\n",
        ),
    ];
    for (name, content) in files {
        fs::write(folder.join(name), content).expect("a file");
    }
    fs::set_permissions(folder.join("run.sh"), fs::Permissions::from_mode(0o755)).expect("a mode");
    symlink("index.html", folder.join("web/link")).expect("a link");
}

/// The first Docker that has BuildKit.
fn buildkit(folder: &Path) -> Option<&'static str> {
    fs::write(folder.join("Dockerfile.docker"), FOR_DOCKER).expect("a file");
    let candidates = ["docker", "/usr/bin/docker"];
    candidates.into_iter().find(|docker| {
        let output = build(docker, folder).output();
        output.is_ok_and(|output| output.status.success())
    })
}

fn build(docker: &str, folder: &Path) -> Command {
    let mut command = Command::new(docker);
    command
        .env("DOCKER_BUILDKIT", "1")
        .args(["build", "--quiet", "--tag", IMAGE, "--file"])
        .arg(folder.join("Dockerfile.docker"))
        .arg(folder);
    command
}

/// What Docker makes of it; nothing where it refuses.
fn by_docker(docker: &str, folder: &Path) -> Option<(Value, Files)> {
    if !build(docker, folder)
        .output()
        .expect("Docker")
        .status
        .success()
    {
        return None;
    }
    let inspected = run(Command::new(docker).args(["image", "inspect", IMAGE]));
    let inspected: Value = serde_json::from_str(&inspected).expect("JSON");
    let saved = folder.join("target/saved");
    fs::remove_dir_all(&saved).ok();
    fs::create_dir_all(&saved).expect("a folder");
    let archive = saved.join("image.tar");
    run(Command::new(docker)
        .args(["save", "--output"])
        .arg(&archive)
        .arg(IMAGE));
    run(Command::new("tar")
        .arg("-xf")
        .arg(&archive)
        .arg("-C")
        .arg(&saved));
    let manifest = fs::read_to_string(saved.join("manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    let mut files = Files::new();
    for layer in manifest[0]["Layers"].as_array().expect("layers") {
        let layer = saved.join(layer.as_str().expect("a name"));
        let listed = run(Command::new("tar")
            .args(["--numeric-owner", "-tvf"])
            .arg(layer));
        files.extend(listed.lines().map(listed_file));
    }
    Some((settings(&inspected[0]["Config"]), files))
}

/// Of a line of `tar -tv`.
fn listed_file(line: &str) -> (String, (String, String, String)) {
    let mut words = line.split_whitespace();
    let mut word = || words.next().expect("a word");
    let (mode, owner, _size, _day, time) = (word(), word(), word(), word(), word());
    let (_, path) = line.split_once(time).expect("a time");
    let (path, link) = path.split_once(" -> ").unwrap_or((path, ""));
    let bits = mode[1..10]
        .chars()
        .fold(0, |bits, c| bits * 2 + u32::from(c != '-'));
    let path = path.trim().trim_matches('/').to_owned();
    (
        path,
        (
            format!("{bits:04o}"),
            owner.replace('/', ":"),
            link.to_owned(),
        ),
    )
}

fn by_us(example: &Example, folder: &Path) -> Option<(Value, Files)> {
    let output = example
        .program(&[
            "image",
            "inspect",
            "--output",
            "json",
            "--program",
            "greeter",
        ])
        .current_dir(folder)
        .output()
        .expect("the program starts");
    if !output.status.success() {
        return None;
    }
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let image: Value = serde_json::from_str(said.lines().last().expect("an object")).expect("JSON");
    let layers = image["layers"].as_array().expect("layers").iter();
    let files = layers.flat_map(|layer| layer["files"].as_array().expect("files"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let files = files.map(|file| {
        let path = text(&file["path"]).trim_matches('/').to_owned();
        (
            path,
            (
                text(&file["mode"]),
                text(&file["owner"]),
                text(&file["link"]),
            ),
        )
    });
    let files = files.filter(|(path, _)| !path.starts_with("licenses"));
    Some((settings(&image["config"]["config"]), files.collect()))
}

/// The settings that both say, without what is not set, and without labels that say where an image comes from.
fn settings(config: &Value) -> Value {
    let mut kept = serde_json::Map::new();
    for name in SETTINGS {
        let mut value = config[name].clone();
        if let Some(labels) = value.as_object_mut() {
            labels.retain(|name, _| !name.starts_with("org.opencontainers.image."));
        }
        let is_empty = match &value {
            Value::Null => true,
            Value::String(text) => text.is_empty() || name == "WorkingDir" && text == "/",
            Value::Array(values) => values.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        };
        if !is_empty {
            kept.insert(name.to_owned(), value);
        }
    }
    Value::Object(kept)
}

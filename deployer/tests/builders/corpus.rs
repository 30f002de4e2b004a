//! The native builder beside BuildKit: the same configuration, and the same files with the same owners, modes and sizes, for each
//! case of `cases.txt`. A case without `FROM` is the middle of a final stage. Behind the line `===` are those that only Docker
//! builds; `docs/image.md` says why.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::base_image::Base;
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
/// The name of the base image in Docker.
const NAME: &str = "deployer-test-base:1";
/// The middle of a final stage gets these around it.
const HEAD: &str = "FROM scratch\nCOPY --from=build /out/greeter /greeter\n";
const START: &str = "ENTRYPOINT [\"/greeter\"]";
/// What stands for the name of the base image.
const BASE: &str = "@BASE@";
/// So many cases are built at once.
const WORKERS: usize = 3;

/// Mode, owner, size and, of a link, its target; by path.
type Files = BTreeMap<String, (String, String, u64, String)>;

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
    let of_base = example.folder.path().join("base");
    let base = Base::new(&of_base, &[]);
    load(docker, &of_base);
    let (both, docker_alone) = include_str!("cases.txt")
        .split_once("\n===\n")
        .expect("two parts");
    let both = both.split("\n---\n").map(|case| (case, true));
    let docker_alone = docker_alone.split("\n---\n").map(|case| (case, false));
    let cases: Vec<(&str, bool)> = both.chain(docker_alone).collect();
    let differences = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (cases, differences, next) = (&cases, &differences, &next);
            let (folder, base) = (&folder, &base.reference);
            scope.spawn(move || {
                while let Some((case, is_alike)) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let found = difference(docker, example, folder, base, worker, case, *is_alike);
                    differences.lock().expect("no panic").extend(found);
                }
            });
        }
    });
    for worker in 0..WORKERS {
        Command::new(docker)
            .args(["image", "rm", "--force", &format!("{IMAGE}-{worker}"), NAME])
            .output()
            .ok();
    }
    let differences = differences.into_inner().expect("no panic");
    println!("{} cases, {} differences", cases.len(), differences.len());
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

/// Loads the base image into Docker, from what its registry has.
fn load(docker: &str, folder: &Path) {
    let at = folder.join("v2/base");
    let manifest = fs::read_to_string(at.join("manifests/1")).expect("a manifest");
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    let saved = folder.join("saved");
    fs::create_dir_all(&saved).expect("a folder");
    for (name, blob) in [
        ("config.json", &manifest["config"]),
        ("layer.tar", &manifest["layers"][0]),
    ] {
        let blob = at
            .join("blobs")
            .join(blob["digest"].as_str().expect("a digest"));
        fs::copy(blob, saved.join(name)).expect("a file");
    }
    let listed = json!([{ "Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"] }]);
    fs::write(saved.join("manifest.json"), listed.to_string()).expect("a file");
    let archive = folder.join("base.tar");
    run(Command::new("tar")
        .arg("-cf")
        .arg(&archive)
        .arg("-C")
        .arg(&saved)
        .arg("."));
    run(Command::new(docker)
        .args(["load", "--quiet", "--input"])
        .arg(&archive));
}

/// Builds a case with both; says where they do not do what they should.
fn difference(
    docker: &str,
    example: &Example,
    folder: &Path,
    base: &str,
    worker: usize,
    case: &str,
    is_alike: bool,
) -> Option<String> {
    let text = whole(case);
    let write = |name: &str, build: &str, base: &str| {
        // A directive has to come first.
        let (directive, rest) = match text.split_once('\n') {
            Some((first, rest)) if first.starts_with("# escape") => (format!("{first}\n"), rest),
            _ => (String::new(), text.as_str()),
        };
        let text = format!("{directive}{build}{}\n", rest.replace(BASE, base));
        fs::write(folder.join(format!("Dockerfile.{name}{worker}")), text).expect("a file");
    };
    write("docker", FOR_DOCKER, NAME);
    write("native", FOR_US, base);
    let theirs = by_docker(docker, folder, worker);
    let ours = by_us(example, folder, worker);
    let is_fine = match &ours {
        Ok(_) if !is_alike => false,
        Ok(ours) => theirs.as_ref() == Some(ours),
        Err(_) => theirs.is_some() != is_alike,
    };
    (!is_fine).then(|| format!("{case}\nDocker: {theirs:#?}\ndeployer: {ours:#?}"))
}

fn whole(case: &str) -> String {
    let mut words = case
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    if words.clone().any(|word| word == "FROM") {
        return case.to_owned();
    }
    let starts = words.any(|word| {
        ["ENTRYPOINT", "CMD"]
            .iter()
            .any(|keyword| word.eq_ignore_ascii_case(keyword))
    });
    let start = if starts { "" } else { START };
    format!("{HEAD}{case}\n{start}")
}

/// The program that was compiled for the images before.
fn program(image: &Path) -> std::path::PathBuf {
    let targets = fs::read_dir(image).expect("a target folder").flatten();
    let mut programs = targets.map(|target| target.path().join("image/greeter"));
    programs.find(|path| path.is_file()).expect("a program")
}

fn context(folder: &Path, program: &Path) {
    for name in ["web/img", "deep/a/b/c", "dir.d", "empty"] {
        fs::create_dir_all(folder.join(name)).expect("a folder");
    }
    fs::copy(program, folder.join("greeter")).expect("a program");
    let files = [
        ("one", "1"),
        ("two", "22"),
        ("web/index.html", "hello"),
        ("web/img/a", "a"),
        ("deep/a/b/c/d", "deep"),
        ("dir.d/.keep", ""),
        (".hidden", "hidden"),
        ("spa ce", "space"),
        ("a.txt", "a"),
        ("b.txt", "bb"),
        ("run.sh", "#!/x\n"),
        ("passwd", "root:x:0:0::/:\nme:x:5:6::/home:\n"),
        ("group", "root:x:0:\nstaff:x:50:\n"),
        (".dockerignore", "*.toml\nDockerfile*\ntarget\n"),
    ];
    for (name, content) in files {
        fs::write(folder.join(name), content).expect("a file");
    }
    for worker in 0..WORKERS {
        let settings = format!(
            "stack = \"corpus\"\n[image]\npackage = \"greeter\"\ndockerfile = \"Dockerfile.native{worker}\"\nbuilder = \"native\"\n"
        );
        fs::write(folder.join(format!("{worker}.toml")), settings).expect("a file");
    }
    fs::set_permissions(folder.join("run.sh"), fs::Permissions::from_mode(0o755)).expect("a mode");
    symlink("index.html", folder.join("web/link")).expect("a link");
}

/// The first Docker that has BuildKit.
fn buildkit(folder: &Path) -> Option<&'static str> {
    fs::write(folder.join("Dockerfile.docker0"), FOR_DOCKER).expect("a file");
    let candidates = ["docker", "/usr/bin/docker"];
    candidates.into_iter().find(|docker| {
        let output = build(docker, folder, 0).output();
        output.is_ok_and(|output| output.status.success())
    })
}

fn build(docker: &str, folder: &Path, worker: usize) -> Command {
    let mut command = Command::new(docker);
    command
        .env("DOCKER_BUILDKIT", "1")
        .args(["build", "--quiet", "--tag"])
        .arg(format!("{IMAGE}-{worker}"))
        .arg("--file")
        .arg(folder.join(format!("Dockerfile.docker{worker}")))
        .arg(folder);
    command
}

/// What Docker makes of it; nothing where it refuses.
fn by_docker(docker: &str, folder: &Path, worker: usize) -> Option<(Value, Files)> {
    if !build(docker, folder, worker)
        .output()
        .expect("Docker")
        .status
        .success()
    {
        return None;
    }
    let image = format!("{IMAGE}-{worker}");
    let inspected = run(Command::new(docker).args(["image", "inspect", &image]));
    let inspected: Value = serde_json::from_str(&inspected).expect("JSON");
    let saved = folder.join(format!("target/saved{worker}"));
    fs::remove_dir_all(&saved).ok();
    fs::create_dir_all(&saved).expect("a folder");
    let archive = saved.join("image.tar");
    run(Command::new(docker)
        .args(["save", "--output"])
        .arg(&archive)
        .arg(&image));
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
fn listed_file(line: &str) -> (String, (String, String, u64, String)) {
    let mut words = line.split_whitespace();
    let mut word = || words.next().expect("a word");
    let (mode, owner, size, _day, time) = (word(), word(), word(), word(), word());
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
            size.parse().expect("a size"),
            link.to_owned(),
        ),
    )
}

/// What the native builder makes of it, or what it says, which has a line or a remedy.
fn by_us(example: &Example, folder: &Path, worker: usize) -> Result<(Value, Files), String> {
    let file = format!("{worker}.toml");
    let arguments = [
        "image",
        "inspect",
        "--output",
        "json",
        "--program",
        "greeter",
    ];
    let output = example
        .program(&arguments)
        .args(["--config", &file])
        .current_dir(folder)
        .output()
        .expect("the program starts");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}{stderr}");
        return Err(format!("{said}{stderr}"));
    }
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
                file["bytes"].as_u64().expect("a size"),
                text(&file["link"]),
            ),
        )
    });
    let files = files.filter(|(path, _)| !path.starts_with("licenses"));
    Ok((settings(&image["config"]["config"]), files.collect()))
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

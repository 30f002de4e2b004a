//! What is attached to an image: read and validated by programs of others, and proven by a rebuild elsewhere. The registry is
//! Debian's, which has no referrers API.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::programs;

use super::{project, run};

const MANIFEST: &str =
    "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
const DOCKERFILE: &str = "FROM rust AS build\nRUN cargo build --release && cp target/release/tiny /tiny\n\
    FROM scratch\nCOPY --from=build /tiny /tiny\nCMD [\"/tiny\"]\n";
const NOBODY: &str = "65534";

const COPY: [&str; 4] = [
    "copy",
    "--quiet",
    "--src-tls-verify=false",
    "--dest-tls-verify=false",
];

fn moves(folder: &Path) -> PathBuf {
    folder.join("moves")
}

/// A build script that copies an image once, from and to what a file says.
fn build_script(folder: &Path) -> String {
    format!(
        r#"fn main() {{
            let Ok(moves) = std::fs::read_to_string({:?}) else {{ return }};
            let copy = std::process::Command::new("skopeo").args({COPY:?}).args(moves.split(' ')).status();
            assert!(copy.unwrap().success());
            std::fs::remove_file({:?}).unwrap();
        }}"#,
        moves(folder),
        moves(folder),
    )
}

/// A registry with its content in a folder. Ends with the test.
struct Registry {
    process: Child,
    address: String,
}

impl Registry {
    fn start(folder: &Path) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        // YAML, of which JSON is a subset.
        let settings = json!({
            "version": "0.1",
            "log": { "level": "error", "accesslog": { "disabled": true } },
            "storage": { "filesystem": { "rootdirectory": folder.join("registry") } },
            "http": { "addr": format!("127.0.0.1:{port}") },
        });
        let file = folder.join("registry.json");
        fs::write(&file, settings.to_string()).expect("a file");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(file)
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry starts");
        let registry = Self {
            process,
            address: format!("localhost:{port}"),
        };
        let until = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "the registry does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A program without dependencies in a repository of its own.
struct Tiny {
    folder: TempDir,
    registry: Registry,
}

impl Tiny {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let source = folder.path().join("source");
        fs::create_dir_all(source.join("src")).expect("a folder");
        for (name, text) in [
            ("Cargo.toml", MANIFEST),
            ("Dockerfile", DOCKERFILE),
            ("deployer.toml", "stack = \"tiny\"\n"),
            (".gitignore", "target\n"),
            ("build.rs", &build_script(folder.path())),
            ("src/main.rs", "fn main() { println!(\"one\"); }\n"),
        ] {
            fs::write(source.join(name), text).expect("a file");
        }
        let registry = Registry::start(folder.path());
        let tiny = Self { folder, registry };
        run(Command::new("cargo")
            .args(["generate-lockfile", "--offline"])
            .current_dir(tiny.source()));
        tiny.git(&["init", "--quiet"]);
        tiny.git(&["config", "user.name", "n"]);
        tiny.git(&["config", "user.email", "e"]);
        let remote = "https://name:secret@example.org/tiny.git";
        tiny.git(&["remote", "add", "origin", remote]);
        tiny.commit();
        tiny
    }

    /// File with the tags that the build script moves, if it exists.
    fn moves(&self) -> PathBuf {
        moves(self.folder.path())
    }

    fn copy(&self, from: &str, to: &str) {
        let [from, to] = [from, to].map(|it| format!("docker://{it}"));
        run(Command::new("skopeo")
            .args(COPY)
            .args([from, to])
            .current_dir(self.source()));
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn git(&self, arguments: &[&str]) -> String {
        run(Command::new("git")
            .args(arguments)
            .current_dir(self.source()))
    }

    fn commit(&self) {
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "-m", "m"]);
    }

    fn write(&self, text: &str) {
        let text = format!("fn main() {{ println!(\"{text}\"); }}\n");
        fs::write(self.source().join("src/main.rs"), text).expect("a file");
    }

    /// The name of the repository in the registry.
    fn repository(&self) -> String {
        format!("{}/team/tiny", self.registry.address)
    }

    /// Builds the files of now and pushes the image; returns its address.
    fn push(&self) -> String {
        let arguments = [
            "image",
            "push",
            "--repository",
            "team/tiny",
            "--output",
            "json",
        ];
        let registry = ["--registry", &self.registry.address];
        let said = run(deployer(&self.source()).args(arguments).args(registry));
        let event: Value =
            serde_json::from_str(said.lines().last().expect("an event")).expect("JSON");
        event["pushed"].as_str().expect("an address").to_owned()
    }

    /// Verifies an image in a folder; returns the exit code and the last line.
    fn verify(folder: &Path, image: &str) -> (i32, Value) {
        ended(deployer(folder).args(["image", "verify", image, "--output", "json"]))
    }
}

/// The program under test, as a user has it: without the variables of the cargo that runs this test.
fn deployer(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deployer"));
    command.current_dir(folder);
    for (name, _) in std::env::vars().filter(|(name, _)| {
        name.starts_with("CARGO_PKG_") || name.starts_with("DEPLOYER_") || name == "CARGO"
    }) {
        command.env_remove(name);
    }
    for name in ["RUSTFLAGS", "CARGO_TARGET_DIR", "SOURCE_DATE_EPOCH"] {
        command.env_remove(name);
    }
    command
}

fn ended(command: &mut Command) -> (i32, Value) {
    println!("$ {command:?}");
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("it starts");
    let stdout = String::from_utf8_lossy(&stdout);
    let last = stdout.lines().last();
    let last = last.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&stderr)));
    println!("{last}");
    let code = status.code().expect("an exit code");
    (code, serde_json::from_str(last).expect("JSON"))
}

#[test]
fn an_image_is_proven_elsewhere_and_read_by_others() {
    let tiny = Tiny::new();
    let image = tiny.push();
    let (repository, digest) = image.split_once('@').expect("a digest");
    assert_eq!(repository, tiny.repository());
    others_read_it(&tiny, digest);
    elsewhere(&tiny, &image);
    without_certificates(&tiny);

    // A tree with changes is said to be one.
    tiny.write("two");
    let (code, failed) = Tiny::verify(&tiny.source(), &tiny.push());
    assert_eq!(code, 3);
    let cause = failed["failure"]["cause"].as_str().expect("a cause");
    assert!(cause.contains("uncommitted changes"), "{failed}");

    // Git is told to look away, so that the image claims to be built from the commit.
    tiny.git(&["update-index", "--assume-unchanged", "src/main.rs"]);
    let forged = tiny.push();
    // Its tag leads to the proven image as soon as the rebuild compiles.
    let tagged = format!("{repository}:tagged");
    tiny.copy(&forged, &tagged);
    fs::write(tiny.moves(), format!("docker://{image} docker://{tagged}")).expect("a file");
    let (code, verified) = Tiny::verify(&tiny.source(), &tagged);
    assert!(!tiny.moves().exists(), "the tag has not moved");
    assert_eq!(code, 11);
    assert_eq!(verified["same"], false);
    // The repository's branch has never been pushed.
    let warnings = verified["warnings"].as_array().expect("a list");
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    let warning = warning.as_str().expect("a text");
    assert!(warning.starts_with("no branch of `origin`"), "{warning}");
    let places: Vec<&str> = verified["differences"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["place"].as_str())
        .collect();
    assert_eq!(places, ["layer 1, /tiny"]);
}

/// A registry of this machine needs no certificates, and a machine may have none.
fn without_certificates(tiny: &Tiny) {
    let mut command = deployer(&tiny.source());
    command
        .args(["image", "push", "--output", "json"])
        .args([
            "--repository",
            "team/bare",
            "--registry",
            &tiny.registry.address,
        ])
        .env("SSL_CERT_FILE", "/dev/null")
        .env("SSL_CERT_DIR", "/dev/null");
    let (code, pushed) = ended(&mut command);
    assert_eq!(code, 0, "{pushed}");
}

/// SBOM and provenance with libraries of others, which validate them strictly; all of it is copied by skopeo.
fn others_read_it(tiny: &Tiny, digest: &str) {
    let environment = run(Command::new(project().join("scripts/environment")).arg("attestations"));
    let python = Path::new(environment.trim()).join("bin/python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/builders/validate.py");
    let found = run(Command::new(&python)
        .arg(&script)
        .args([&tiny.repository(), digest]));
    let mut found: Vec<&str> = found.lines().collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "application/vnd.cyclonedx+json",
            "https://slsa.dev/provenance/v1"
        ]
    );
    a_verdict_is_valid(&python, &script);

    let tag = digest.replace(':', "-");
    let skopeo = |arguments: &[&str]| run(Command::new("skopeo").args(arguments));
    let index = format!("docker://{}:{tag}", tiny.repository());
    let index = skopeo(&["inspect", "--raw", "--tls-verify=false", &index]);
    let index: Value = serde_json::from_str(&index).expect("JSON");
    let listed = index["manifests"].as_array().expect("a list");
    assert_eq!(listed.len(), 2);
    let attached = listed.iter().filter_map(|it| it["digest"].as_str());
    for (number, digest) in attached.chain([digest]).enumerate() {
        let from = format!("docker://{}@{digest}", tiny.repository());
        let folder = tiny.folder.path().join(format!("copy-{number}"));
        let to = format!("dir:{}", folder.display());
        skopeo(&["copy", "--quiet", "--src-tls-verify=false", &from, &to]);
        // Nothing was converted on the way.
        let manifest = fs::read(folder.join("manifest.json")).expect("a manifest");
        let digits = run(Command::new("sha256sum").arg(folder.join("manifest.json")));
        assert!(
            digest.ends_with(&digits[..64]),
            "{}",
            String::from_utf8_lossy(&manifest)
        );
    }
    let statement = fs::read_to_string(tiny.source().join("target/image/tiny.provenance.json"));
    let statement = statement.expect("a file");
    assert!(
        statement.contains("git+https://example.org/tiny.git@"),
        "{statement}"
    );
    assert!(
        !statement.contains("secret") && !statement.contains("name:"),
        "{statement}"
    );
}

/// The verdict of a deployment, as the unit tests write it.
fn a_verdict_is_valid(python: &Path, script: &Path) {
    let written = include_str!(
        "../../src/snapshots/deployer__verdict__tests__a_verdict_says_what_was_found.snap"
    );
    let (_, predicate) = written.rsplit_once("---\n").expect("a snapshot");
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), predicate).expect("a file");
    run(Command::new(python)
        .arg(script)
        .args(["-", "https://in-toto.io/attestation/test-result/v0.1"])
        .stdin(fs::File::open(file.path()).expect("a file")));
}

/// In a clone in another folder; then as another user, who sees nothing of the first one's files.
fn elsewhere(tiny: &Tiny, image: &str) {
    let clone = tiny.folder.path().join("elsewhere");
    let path = clone.to_str().expect("UTF-8");
    tiny.git(&["clone", "--quiet", "--no-hardlinks", ".", path]);
    // The labelled commit is not the last one any more.
    fs::write(tiny.source().join("README.md"), "read me").expect("a file");
    tiny.commit();
    for folder in [&tiny.source(), &clone] {
        let (code, verified) = Tiny::verify(folder, image);
        assert_eq!((code, &verified["same"]), (0, &json!(true)), "{verified}");
        assert_eq!(verified["has_provenance"], true);
        assert_eq!(verified["differences"], json!([]));
    }

    if run(Command::new("id").arg("-u")).trim() != "0" {
        println!("only root can become another user: left out");
        return;
    }
    let sysroot = run(Command::new("rustc").args(["--print", "sysroot"]));
    let (home, tools) = (
        tiny.folder.path().join("home"),
        tiny.folder.path().join("tools"),
    );
    for folder in [&home, &tools] {
        fs::create_dir(folder).expect("a folder");
    }
    let owner = format!("{NOBODY}:{NOBODY}");
    run(Command::new("chown")
        .args(["-R", &owner])
        .args([&clone, &home]));
    run(Command::new("chmod").arg("755").arg(tiny.folder.path()));
    let program = tools.join("deployer");
    programs::copy(Path::new(env!("CARGO_BIN_EXE_deployer")), &program);
    let rust = tiny.folder.path().join("rust");
    fs::create_dir(&rust).expect("a folder");
    // The toolchain may be in a folder that only its owner can enter, so it is mounted elsewhere, for this process alone.
    let script = format!(
        "mount --bind '{}' '{}' && cd '{path}' && exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups \
         env -i HOME='{}' PATH='{}/bin:/usr/bin:/bin' '{}' image verify '{image}' --output json",
        sysroot.trim(),
        rust.display(),
        home.display(),
        rust.display(),
        program.display(),
    );
    let (code, verified) = ended(Command::new("unshare").args(["--mount", "sh", "-c", &script]));
    assert_eq!((code, &verified["same"]), (0, &json!(true)), "{verified}");
}

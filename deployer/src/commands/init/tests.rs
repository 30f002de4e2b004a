//! Projects of all kinds in, files out; and what is found in sources.

use std::fs;
use std::path::Path;

use super::*;
use crate::report::initialized_in_words;

/// A cargo project in a folder of its own.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    async fn init_with(&self, init: Init, config: &str) -> Result<Initialized, Failure> {
        let shared = Shared {
            config: self.path().join(config),
            timeout: "30m".to_owned(),
            ..Shared::default()
        };
        let config = init.settings(&shared)?;
        init.run(&config).await
    }

    async fn init(&self) -> Result<Initialized, Failure> {
        self.init_with(Init::default(), "deployer.toml").await
    }
}

const HELLO: [(&str, &str); 2] = [
    (
        "Cargo.toml",
        "[package]\nname = \"hello_world\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    ),
    (
        "src/main.rs",
        "fn main() {\n    // bind(\"0.0.0.0:1\")\n    let listener = bind(\"0.0.0.0:3000\");\n}\n",
    ),
];

#[tokio::test]
async fn a_new_project() {
    let folder = Folder::new(&HELLO);
    let initialized = folder.init().await.unwrap();
    insta::assert_snapshot!(initialized_in_words(&initialized), @"
    wrote    deployer.toml, Dockerfile, .dockerignore
    stack    hello-world
    program  hello_world, of package hello_world
    port     3000 (src/main.rs:3)
    health   GET / has to answer 200
    next     deployer up --local
    then     deployer up
    ");
    insta::assert_snapshot!(folder.read("deployer.toml"), @r#"
    # What `deployer up` deploys. Flags and variables override it: `deployer up --help`.
    stack = "hello-world"
    # region = "eu-central-1"   # default: that of your AWS profile

    [service]
    port = 3000   # TCP port that the program listens on, on 0.0.0.0; it is also in the variable PORT
    health_path = "/"   # a task gets requests as soon as this path answers 200
    # tasks = 2        # 1 is enough for a test environment
    # cpu = 256        # a quarter of a vCPU
    # memory = 512     # MiB
    # writable = ["/tmp"]    # all other folders are read-only
    # egress = [443, 5432]   # TCP ports that the program may connect to

    # [service.environment]
    # RUST_LOG = "info"

    # [service.secrets]   # a name in Parameter Store, or an ARN of Secrets Manager
    # DATABASE_URL = "/hello-world/database-url"
    "#);
    insta::assert_snapshot!(folder.read("Dockerfile"), @r#"
    # Built by `deployer up`, which needs no Docker for it, and by `docker build`.
    FROM rust:1-slim AS build
    WORKDIR /src
    COPY . .
    # Static: the image below has no C library.
    RUN target="$(uname -m)-unknown-linux-gnu" \
     && RUSTFLAGS='-C target-feature=+crt-static' \
        cargo build --release --package hello_world --bin hello_world --target "$target" \
     && mkdir /out \
     && cp "target/$target/release/hello_world" /out/hello_world

    # Nothing but the program. If it needs certificates, a time zone or a shell, start from an image that has them, such as
    # gcr.io/distroless/static-debian12 or debian:12-slim. Copy files of this folder with `COPY`.
    FROM scratch
    COPY --from=build /out/hello_world /hello_world
    USER 65532:65532
    ENV PORT=3000
    EXPOSE 3000
    ENTRYPOINT ["/hello_world"]
    "#);
    assert_eq!(folder.read(".dockerignore"), "/target\n/.git\n");
    // What it wrote, it takes.
    assert!(config::read(&folder.path().join("deployer.toml")).is_ok());
    let request = image_builder::dockerfile::Request {
        architecture: image_builder::Architecture::X86_64,
        package: "hello_world",
        program: "hello_world",
        stage: None,
        args: &std::collections::BTreeMap::new(),
        bases: &std::collections::BTreeMap::new(),
    };
    let read = image_builder::dockerfile::Dockerfile::parse(&folder.read("Dockerfile"), &request);
    let read = read.unwrap();
    assert_eq!(read.notes, []);
    assert_eq!(read.build.profile.as_deref(), Some("release"));
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let folder = Folder::new(&HELLO);
    fs::write(
        folder.path().join("Dockerfile"),
        "FROM scratch\nEXPOSE 5000/tcp\n",
    )
    .unwrap();
    let initialized = folder.init().await.unwrap();
    assert_eq!(initialized.written, ["deployer.toml"]);
    assert_eq!(initialized.kept, ["Dockerfile"]);
    assert_eq!((initialized.port, initialized.edits), (5000, vec![]));
    assert_eq!(folder.read("Dockerfile"), "FROM scratch\nEXPOSE 5000/tcp\n");
    let before = folder.read("deployer.toml");
    let failure = folder.init().await.unwrap_err();
    assert_eq!(failure.kind.exit_code(), 3);
    assert!(
        failure.message.contains("is not overwritten"),
        "{failure:?}"
    );
    assert_eq!(folder.read("deployer.toml"), before);
    let other = folder
        .init_with(Init::default(), "staging.toml")
        .await
        .unwrap();
    assert_eq!(other.next[0], "deployer up --local --config staging.toml");
}

#[tokio::test]
async fn a_containerfile_is_a_dockerfile() {
    let folder = Folder::new(&HELLO);
    fs::write(folder.path().join("Containerfile"), "EXPOSE 5000\n").unwrap();
    let initialized = folder.init().await.unwrap();
    assert_eq!(initialized.kept, ["Containerfile"]);
    assert_eq!(initialized.port, 5000);
    assert!(!folder.path().join("Dockerfile").exists());
    // It is found by itself, until there is a Dockerfile.
    let file = folder.path().join("deployer.toml");
    let settings = folder.read("deployer.toml");
    assert!(!settings.contains("dockerfile"), "{settings}");
    let found = || {
        let shared = Shared {
            config: file.clone(),
            timeout: "30m".to_owned(),
            ..Shared::default()
        };
        let config = config::load(&shared, config::Overrides::default()).unwrap();
        let name = config.image.dockerfile.file_name().unwrap();
        name.to_str().unwrap().to_owned()
    };
    assert_eq!(found(), "Containerfile");
    fs::write(folder.path().join("Dockerfile"), "").unwrap();
    assert_eq!(found(), "Dockerfile");

    let folder = Folder::new(&WORKSPACE);
    fs::write(folder.path().join("api/Containerfile"), "EXPOSE 1\n").unwrap();
    let init = Init {
        package: Some("api".to_owned()),
        ..Init::default()
    };
    let initialized = folder.init_with(init, "deployer.toml").await.unwrap();
    assert_eq!(initialized.kept, ["api/Containerfile"]);
    let settings = folder.read("deployer.toml");
    let named = "dockerfile = \"api/Containerfile\"\ncontext = \".\"\n";
    assert!(settings.contains(named), "{settings}");
}

const WORKSPACE: [(&str, &str); 7] = [
    (
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"api\", \"worker\", \"lib\"]\n",
    ),
    (
        "api/Cargo.toml",
        "[package]\nname = \"api\"\nversion = \"0.1.0\"\n[features]\nserver = []\nextra = []\n\
        [[bin]]\nname = \"api\"\nrequired-features = [\"server\"]\n",
    ),
    (
        "api/src/main.rs",
        "fn main() { route(\"/healthz\"); bind(\"127.0.0.1:4000\"); }",
    ),
    (
        "worker/Cargo.toml",
        "[package]\nname = \"worker\"\nversion = \"0.1.0\"\n[[bin]]\nname = \"one\"\npath = \"main.rs\"\n[[bin]]\nname = \"two\"\npath = \"main.rs\"\n",
    ),
    ("worker/main.rs", "fn main() {}"),
    (
        "lib/Cargo.toml",
        "[package]\nname = \"lib\"\nversion = \"0.1.0\"\n",
    ),
    ("lib/src/lib.rs", ""),
];

#[tokio::test]
async fn a_workspace_of_several_programs() {
    let folder = Folder::new(&WORKSPACE);
    let failure = folder.init().await.unwrap_err();
    insta::assert_snapshot!(crate::report::in_words(&deployment::event::Event::Failed { exit_code: 3, failure }).unwrap(), @"
    error: the project has 3 programs
      | package api, program api
      | package worker, program one
      | package worker, program two
      hint: choose one: `deployer init --package api`
    ");
    assert!(!folder.path().join("deployer.toml").exists());

    let package = |name: &str| Init {
        package: Some(name.to_owned()),
        ..Init::default()
    };
    let failure = folder
        .init_with(package("worker"), "deployer.toml")
        .await
        .unwrap_err();
    assert_eq!(
        failure.hints,
        ["choose one: `deployer init --package worker --binary one`"]
    );
    let failure = folder
        .init_with(package("lib"), "deployer.toml")
        .await
        .unwrap_err();
    assert_eq!(
        failure.message,
        "there is no program to deploy, only a library"
    );
    let failure = folder
        .init_with(package("app"), "deployer.toml")
        .await
        .unwrap_err();
    assert_eq!(failure.evidence.len(), 3, "{failure:?}");

    let initialized = folder
        .init_with(package("api"), "deployer.toml")
        .await
        .unwrap();
    assert_eq!(initialized.health_path, "/healthz");
    assert_eq!(
        initialized.edits,
        ["src/main.rs:1 listens on this machine only: in a container, listen on 0.0.0.0"]
    );
    let settings = folder.read("deployer.toml");
    assert!(
        settings.contains("[image]\npackage = \"api\"\nfeatures = [\"server\"]\n"),
        "{settings}"
    );
    assert!(
        folder
            .read("Dockerfile")
            .contains("--bin api --features server ")
    );
}

#[tokio::test]
async fn a_member_of_a_workspace_names_itself() {
    let folder = Folder::new(&WORKSPACE);
    let initialized = folder
        .init_with(Init::default(), "api/deployer.toml")
        .await
        .unwrap();
    assert_eq!(initialized.written, ["deployer.toml", "Dockerfile"]);
    let settings = folder.read("api/deployer.toml");
    assert!(settings.contains("context = \"..\""), "{settings}");
    assert!(!settings.contains("package ="), "{settings}");
}

#[tokio::test]
async fn without_a_project_the_remedy_is_one() {
    let folder = Folder::new(&[]);
    let failure = folder.init().await.unwrap_err();
    assert_eq!(failure.message, "cargo cannot read the project");
    assert!(failure.hints[0].contains("cargo init"), "{failure:?}");
}

#[test]
fn names_of_stacks() {
    let name = |package: &str| files::stack_name(package).map(String::from);
    assert_eq!(name("my_service").unwrap(), "my-service");
    assert_eq!(name("_x_").unwrap(), "x");
    assert_eq!(name(&"a".repeat(64)).unwrap().len(), 32);
    assert_eq!(name("1st").unwrap_err().kind.exit_code(), 3);
}

#[test]
fn addresses_in_sources() {
    let port = |line: &str| {
        let found = listen::listen(&[("src/main.rs".to_owned(), line.to_owned())]);
        let port = found.port.map(|port| port.number);
        port.map(|port| (port, found.loopback.is_some()))
    };
    let table = [
        (
            "TcpListener::bind(\"0.0.0.0:3000\").await",
            Some((3000, false)),
        ),
        (
            "TcpListener::bind(\"127.0.0.1:3000\").await",
            Some((3000, true)),
        ),
        (
            "TcpListener::bind(\"localhost:3000\").await",
            Some((3000, true)),
        ),
        ("let addr = \"[::]:8000\".parse()", Some((8000, false))),
        (
            "SocketAddr::from(([127, 0, 0, 1], 3000));",
            Some((3000, true)),
        ),
        (
            "warp::serve(hello).run(([0, 0, 0, 0], 3030))",
            Some((3030, false)),
        ),
        (
            "HttpServer::new(app).bind((\"127.0.0.1\", 8080))?",
            Some((8080, true)),
        ),
        ("bind((Ipv4Addr::UNSPECIFIED, 8_443))", Some((8443, false))),
        (
            "SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 80)",
            Some((80, true)),
        ),
        (
            "bind(format!(\"0.0.0.0:{}\", env::var(\"PORT\")?))",
            Some((8080, false)),
        ),
        // Not where it listens.
        ("Redis::connect(\"127.0.0.1:6379\")", None),
        ("bind(\"127.0.0.1:0\")", None),
        ("// bind(\"0.0.0.0:3000\")", None),
        ("let sizes = [1, 2, 3, 4]; let addr = 5;", None),
    ];
    for (line, expected) in table {
        assert_eq!(port(line), expected, "{line}");
    }
}

#[test]
fn ports_that_a_dockerfile_exposes() {
    let table = [
        (
            "FROM a\nEXPOSE 1\nFROM b\nexpose 53/udp 8080/tcp 9\n",
            Some(8080),
        ),
        ("FROM a\nEXPOSE $PORT\n", None),
        ("FROM a\n", None),
    ];
    for (text, expected) in table {
        assert_eq!(listen::exposed(text), expected, "{text}");
    }
}

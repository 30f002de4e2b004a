//! Each kind of credentials deploys. Who gives them out is on this machine; all other calls go to the emulator, as to AWS: without
//! `--local`.

use std::path::{Path, PathBuf};

use crate::endpoint::Endpoint;
use crate::profiles::{self, Keys, LATER};
use crate::run::{Surroundings, credentials};

/// Runs `deployer up --profile NAME` for each kind where that version runs already.
pub(crate) fn deploy(surroundings: &Surroundings) {
    let port = surroundings.port;
    let (key, secret) = credentials(port);
    let endpoint = Endpoint::giving(&key, &secret);
    let home = tempfile::tempdir().expect("a folder");
    let keys = Keys {
        profile: &key,
        process: &key,
        login: &key,
        secret: &secret,
    };
    profiles::write(home.path(), &keys, LATER);
    let surroundings = with_home(surroundings, home.path()).with("AWS_ENDPOINT_URL", &endpoint.url);
    let emulator = format!("http://127.0.0.1:{port}");
    let registry = format!("localhost:{port}");
    let connect_to = format!("127.0.0.1:{port}");
    for (profile, asked) in [
        ("keys", None),
        ("role", Some("AssumeRole")),
        ("process", None),
        ("sso", Some("GET /federation/credentials")),
        ("web", Some("AssumeRoleWithWebIdentity")),
        ("login", None),
        ("renewed", Some("POST /v1/token")),
    ] {
        let up = surroundings.deployer(&[
            "up",
            "--profile",
            profile,
            "--region",
            "us-east-1",
            "--endpoint-url",
            &emulator,
            "--registry",
            &registry,
            "--connect-to",
            &connect_to,
        ]);
        up.succeeded();
        assert!(up.stdout.contains("Nothing changed"), "{}", up.stdout);
        let asked = asked.map(|asked| endpoint.count(asked));
        assert_eq!(asked.unwrap_or(1), 1, "{profile}");
    }
    let log = std::fs::read_to_string(home.path().join("process.log")).expect("it was run");
    assert_eq!(log.lines().count(), 1, "the process is run once");
}

/// The same with this home, and with the tools of the real one.
fn with_home(surroundings: &Surroundings, home: &Path) -> Surroundings {
    let mut surroundings = surroundings.without_aws();
    for (name, usual) in [
        ("CARGO_HOME", ".cargo"),
        ("RUSTUP_HOME", ".rustup"),
        ("XDG_CACHE_HOME", ".cache"),
    ] {
        surroundings = surroundings.with(name, &folder(name, usual).to_string_lossy());
    }
    surroundings
        .with("HOME", &home.to_string_lossy())
        .with("AWS_CONFIG_FILE", "")
        .with("AWS_SHARED_CREDENTIALS_FILE", "")
}

/// A folder of the tools: named by this variable, or this one of the home.
fn folder(variable: &str, usual: &str) -> PathBuf {
    let home = std::env::home_dir().expect("a home");
    std::env::var_os(variable).map_or_else(|| home.join(usual), PathBuf::from)
}

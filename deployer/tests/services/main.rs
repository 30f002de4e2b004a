//! Services of others, deployed from their published, unchanged source: only `deployer.toml` and the Dockerfile are ours. `make services`
//! runs it: cargo fetches each by version and hash, and compiles some hundred crates without optimization.
//!
//! `SERVICES=dufs` runs those of this name alone.

#![expect(
    clippy::disallowed_methods,
    reason = "a test runs programs as a user does"
)]

#[expect(dead_code, reason = "shared with the end-to-end test")]
#[path = "../end_to_end/copy.rs"]
mod copy;
#[expect(dead_code, reason = "shared with the end-to-end test")]
#[path = "../end_to_end/load.rs"]
mod load;
#[expect(dead_code, reason = "shared with the end-to-end test")]
#[path = "../end_to_end/outside.rs"]
mod outside;
#[expect(dead_code, reason = "shared with the end-to-end test")]
#[path = "../end_to_end/run.rs"]
mod run;

use std::path::{Path, PathBuf};
use std::process::Command;

use copy::{project, target};
use outside::Outside;
use run::{CleanUp, Surroundings};

/// A published service.
struct Service {
    name: &'static str,
    version: &'static str,
    /// SHA-256 of what the registry gives, as `Cargo.lock` has it.
    checksum: &'static str,
    /// Secrets: name in Parameter Store, and value.
    secrets: &'static [(&'static str, &'static str)],
    /// Arguments of curl that use the service, after each deployment, and what the response has.
    uses: &'static [(&'static [&'static str], &'static str)],
}

const SERVICES: [Service; 3] = [
    Service {
        name: "simple-http-server",
        version: "0.8.1",
        checksum: "e4c2ecf52ca7e046c1dc0eab68b9853c73171b2fc2296c97c0736f04d18b1db1",
        secrets: &[],
        uses: &[(&["URL"], "README.md"), (&["URL/README.md"], "Simple")],
    },
    Service {
        name: "dufs",
        version: "0.47.0",
        checksum: "9b018685b1843d30d6fa75be02062e3356d7821b1cd65ca0bc45a6c5f71c463b",
        secrets: &[],
        uses: &[
            (&["--upload-file", "deployer.toml", "URL/mine.txt"], ""),
            (&["URL/mine.txt"], "DUFS_ALLOW_UPLOAD"),
        ],
    },
    Service {
        name: "rustypaste",
        version: "0.18.1",
        checksum: "d45fd772e85967a1227947a868e72c803cdd6d883c81bafe75ea685d546a33c2",
        secrets: &[("/pastes/auth-token", "let-me-paste")],
        uses: &[
            (&["URL"], "pastes"),
            (
                &[
                    "--header",
                    "Authorization: let-me-paste",
                    "--form",
                    "file=@deployer.toml",
                    "URL",
                ],
                "http",
            ),
        ],
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn published_services() {
    let wanted = std::env::var("SERVICES").unwrap_or_default();
    for service in SERVICES {
        if wanted.is_empty() || wanted.split(',').any(|name| name == service.name) {
            println!("\n==== {} {}", service.name, service.version);
            deploy(&service).await;
        }
    }
}

async fn deploy(service: &Service) {
    // Not within this workspace.
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = source(service, temporary.path());
    let surroundings = Surroundings::in_folder(&folder)
        // Beside this project's own, which is optimized.
        .with("CARGO_TARGET_DIR", &target().join("services").to_string_lossy())
        .with("CARGO_PROFILE_IMAGE_OPT_LEVEL", "0")
        .with("CARGO_PROFILE_IMAGE_LTO", "off")
        .with("CARGO_PROFILE_IMAGE_CODEGEN_UNITS", "256");
    let _clean_up = CleanUp(&surroundings);
    let outside = Outside::new(&surroundings);
    surroundings.deployer(&["doctor", "--local"]).succeeded();
    for (name, value) in service.secrets {
        // Here as on AWS: without its secrets it does not start.
        let failed = surroundings.deployer(&["up", "--local"]);
        failed.failed_with(3, &[name]);
        surroundings.put_parameter(name, value);
    }
    surroundings.deployer(&["up", "--local"]).succeeded();
    use_it(service, &surroundings, &outside).await;
    let (first, tasks) = (
        outside.image().await,
        outside.running_containers().await.len(),
    );

    println!("==== {}: changed under load", service.name);
    let url = outside.url().await;
    let url = url.trim_end_matches("now");
    let load = load::Load::start_any(url.to_owned(), outside.port());
    load.wait_for_requests(50).await;
    let text = std::fs::read_to_string(folder.join("Dockerfile")).expect("ours");
    let changed = text.replace("EXPOSE", "LABEL changed=yes\nEXPOSE");
    std::fs::write(folder.join("Dockerfile"), changed).expect("a writable file");
    surroundings.deployer(&["up", "--local"]).succeeded();
    let at_the_end = load.requests();
    load.wait_for_requests(at_the_end + 50).await;
    use_it(service, &surroundings, &outside).await;
    outside.wait_for_running_containers(tasks).await;
    assert_ne!(outside.image().await, first, "nothing was deployed");
    surroundings.deployer(&["rollback", "--local"]).succeeded();
    let result = load.stop().await;
    println!(
        "{} requests, failed: {:?}",
        result.requests, result.failures
    );
    assert!(result.failures.is_empty(), "{:?}", result.failures);
    use_it(service, &surroundings, &outside).await;
    outside.wait_for_running_containers(tasks).await;
    assert_eq!(outside.image().await, first, "it was not rolled back");

    surroundings.deployer(&["down", "--local"]).succeeded();
    assert!(!outside.emulator_answers().await, "the emulator still runs");
    assert_eq!(outside.containers().await, Vec::<String>::new());
    assert_eq!(outside.images().await, Vec::<String>::new());
}

async fn use_it(service: &Service, surroundings: &Surroundings, outside: &Outside) {
    let url = outside.url().await;
    let url = url.trim_end_matches("/now").trim_end_matches('/');
    for (arguments, expected) in service.uses {
        let arguments = arguments.iter().map(|it| it.replace("URL", url));
        let arguments: Vec<String> = ["--silent", "--show-error", "--fail", "--max-time", "10"]
            .map(ToOwned::to_owned)
            .into_iter()
            .chain(arguments)
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let answer = surroundings.finish("curl", &arguments);
        answer.succeeded();
        assert!(answer.stdout.contains(expected), "{expected}");
    }
}

/// Fetches the source, as cargo gets it, and puts our two files beside it.
fn source(service: &Service, folder: &Path) -> PathBuf {
    let Service {
        name,
        version,
        checksum,
        ..
    } = service;
    let fetching = folder.join("fetch");
    std::fs::create_dir_all(fetching.join("src")).expect("a folder");
    std::fs::write(fetching.join("src/lib.rs"), "").expect("a writable file");
    let manifest = format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[dependencies]\n{name} = \"={version}\"\n[workspace]\n"
    );
    std::fs::write(fetching.join("Cargo.toml"), manifest).expect("a writable file");
    let fetched = Command::new("cargo")
        .arg("fetch")
        .current_dir(&fetching)
        .status();
    assert!(fetched.is_ok_and(|status| status.success()));
    let lock = std::fs::read_to_string(fetching.join("Cargo.lock")).expect("a lock file");
    let entry = lock
        .split("[[package]]")
        .find(|it| it.contains(&format!("name = \"{name}\"\n")));
    let expected = format!("checksum = \"{checksum}\"");
    let entry = entry.expect("it is locked");
    assert!(
        entry.contains(&expected),
        "the registry gives something else: {entry}"
    );
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let registries = home.expect("a home").join("registry/src");
    let registries = std::fs::read_dir(registries).expect("it was fetched");
    let mut sources = registries.map(|registry| {
        let registry = registry.expect("a readable folder").path();
        registry.join(format!("{name}-{version}"))
    });
    let source = &sources.find(|it| it.exists()).expect("it was fetched");
    let place = folder.join(name);
    let ours = project().join("deployer/tests/services").join(name);
    for from in [source, &ours] {
        let copied = Command::new("cp").arg("-rT").args([from, &place]).status();
        assert!(copied.is_ok_and(|status| status.success()));
    }
    place
}

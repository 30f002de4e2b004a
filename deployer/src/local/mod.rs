//! Life cycle of the AWS emulator that `--local` uses. Only this module knows its peculiarities.

mod credentials;
mod docker;
mod emulator;
mod health;
mod install;
#[cfg(test)]
pub(crate) mod testing;

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;
use url::Url;

use deployment::error::Failure;

pub(crate) use credentials::access_key;
pub use emulator::{Emulator, Presence, Stopped};

/// Version of the emulator that is installed and tested. `local-emulator/requirements.txt` pins its
/// content, and the addition rejects any other version.
pub const EMULATOR_VERSION: &str = "1.5.33";

/// Time limit for waiting for another run, a little longer than an installation may take.
const LOCK_LIMIT: std::time::Duration = std::time::Duration::from_mins(12);

/// Requirements for pip, with hashes.
const REQUIREMENTS: &str = include_str!("../../../local-emulator/requirements.txt");

/// Embeds files of `local-emulator`, each with its path there.
macro_rules! embed {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../../local-emulator/", $path)))),+]
    };
}

/// Addition to the emulator, a Python program. The first file is the entry point.
const ADDITION: &[(&str, &str)] = embed![
    "start.py",
    "local_emulator/__init__.py",
    "local_emulator/access.py",
    "local_emulator/addition.py",
    "local_emulator/cloudformation.py",
    "local_emulator/container_secrets.py",
    "local_emulator/containers.py",
    "local_emulator/credentials.py",
    "local_emulator/docker_calls.py",
    "local_emulator/fargate.py",
    "local_emulator/forwarding.py",
    "local_emulator/guard.py",
    "local_emulator/health.py",
    "local_emulator/health_checks.py",
    "local_emulator/lifecycle.py",
    "local_emulator/load_balancer.py",
    "local_emulator/numbers.py",
    "local_emulator/registry.py",
    "local_emulator/rollout.py",
    "local_emulator/sandbox.py",
    "local_emulator/service_deployments.py",
    "local_emulator/service_scheduler.py",
    "local_emulator/traffic.py",
    "local_emulator/upstream.py",
];

/// Returns the folder for reproducible files: `$XDG_CACHE_HOME/deployer`, usually
/// `~/.cache/deployer`.
fn cache_folder() -> Result<PathBuf, Failure> {
    let strategy = etcetera::choose_base_strategy().map_err(|error| {
        Failure::preflight("there is no folder for the emulator")
            .because(error)
            .hint("set `HOME` or `XDG_CACHE_HOME`")
    })?;
    Ok(strategy.cache_dir().join("deployer"))
}

/// Returns the path of a file for the emulator at this port, in the cache folder.
fn file_of(folder: &Path, port: u16, extension: &str) -> PathBuf {
    folder.join(format!("emulator-{port}.{extension}"))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::preflight(format!("cannot write `{}`", path.display()))
        .because(error)
        .hint("the emulator is kept in the cache folder: free some space, or set `XDG_CACHE_HOME` to a folder of your own")
}

/// Returns a client for servers on this machine: plain HTTP, and never through a proxy.
fn http_client() -> reqwest::ClientBuilder {
    // The provider is global. Installing it again fails, without consequences.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Loading the system's certificates would take longer than the responses do.
    reqwest::Client::builder().tls_certs_only([]).no_proxy()
}

/// Returns the address at which a browser or curl on this machine reaches a load balancer of the
/// emulator.
///
/// The public name ends in `amazonaws.com` and resolves nowhere. The emulator also answers to
/// `<load balancer>.alb.localhost`, and names under `localhost` resolve to this machine.
pub fn reachable_url(public: &str, endpoint: &Url) -> Option<String> {
    let public = Url::parse(public).ok()?;
    let first_label = public.host_str()?.split('.').next()?;
    let (load_balancer, _id) = first_label.rsplit_once('-')?;
    let port = endpoint.port_or_known_default()?;
    Some(format!(
        "http://{load_balancer}.alb.localhost:{port}{}",
        public.path()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pinned_version_is_the_one_that_is_named() {
        assert!(REQUIREMENTS.contains(&format!("\nministack=={EMULATOR_VERSION} ")));
        let unpinned = REQUIREMENTS
            .lines()
            .filter(|line| !line.starts_with(['#', ' ']) && !line.is_empty())
            .find(|line| !line.contains("==") || !line.ends_with('\\'));
        assert_eq!(unpinned, None);
        let addition = ADDITION
            .iter()
            .find(|(path, _)| path.ends_with("/upstream.py"));
        assert!(
            addition
                .unwrap()
                .1
                .contains(&format!("\nVERSION = \"{EMULATOR_VERSION}\"\n"))
        );
    }

    #[test]
    fn the_whole_addition_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../local-emulator");
        let mut files = vec!["start.py".to_owned()];
        for entry in std::fs::read_dir(folder.join("local_emulator")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name != "__pycache__" {
                files.push(format!("local_emulator/{name}"));
            }
        }
        let mut embedded: Vec<_> = ADDITION.iter().map(|(path, _)| *path).collect();
        embedded.sort_unstable();
        files.sort_unstable();
        assert_eq!(embedded, files);
    }

    #[test]
    fn reachable_urls() {
        let endpoint = Url::parse("http://127.0.0.1:4566").unwrap();
        assert_eq!(
            reachable_url(
                "http://clock-LoadB-1A2B-0f9e8d7c.us-east-1.elb.amazonaws.com/now",
                &endpoint
            )
            .unwrap(),
            "http://clock-loadb-1a2b.alb.localhost:4566/now"
        );
        assert_eq!(reachable_url("nonsense", &endpoint), None);
    }
}

//! Credentials from the configuration files of Docker and podman, and from their credential
//! helpers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use process::Program;
use serde_json::Value;

use crate::push::Credentials;

/// Name of Docker Hub in the configuration files.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// Time limit for a credential helper, which may prompt for a keyring.
const HELPER_LIMIT: Duration = Duration::from_secs(30);

/// Configuration files in which `docker login` and `podman login` store credentials. The first one
/// with an entry for a registry counts.
#[derive(Debug, Clone, Default)]
pub struct DockerCredentials {
    files: Vec<PathBuf>,
    /// Registry whose credentials were given explicitly.
    known: Option<(String, Credentials)>,
}

impl DockerCredentials {
    /// Returns the files that Docker and podman read for this user.
    pub fn of_this_user() -> Self {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let home = std::env::home_dir();
        let docker = variable("DOCKER_CONFIG").or_else(|| Some(home.as_ref()?.join(".docker")));
        let runtime = variable("XDG_RUNTIME_DIR").map(|it| it.join("containers/auth.json"));
        let files = [
            variable("REGISTRY_AUTH_FILE"),
            docker.map(|folder| folder.join("config.json")),
            runtime,
        ];
        Self::in_files(files.into_iter().flatten())
    }

    /// Creates credentials from these files.
    pub fn in_files(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            files: files.into_iter().collect(),
            known: None,
        }
    }

    /// Adds credentials for one registry, which override those of the files.
    #[must_use]
    pub fn with(mut self, registry: &str, credentials: Credentials) -> Self {
        self.known = Some((registry.to_owned(), credentials));
        self
    }

    /// Returns the credentials for a registry, or `Anonymous` if no file has any.
    pub(super) async fn of(&self, registry: &str) -> Credentials {
        if let Some((_, known)) = self.known.as_ref().filter(|(name, _)| name == registry) {
            return known.clone();
        }
        for file in &self.files {
            if let Some(found) = of_file(file, registry).await {
                return found;
            }
        }
        Credentials::Anonymous
    }
}

async fn of_file(file: &Path, registry: &str) -> Option<Credentials> {
    let text = support::input::text(file, support::input::WRITTEN_BY_HAND).ok()?;
    let config: Value = serde_json::from_str(&text).ok()?;
    let name = if registry == "docker.io" {
        DOCKER_HUB
    } else {
        registry
    };
    // As in Docker: a helper for this registry precedes the general one, and both precede the file.
    let helper = config["credHelpers"][name].as_str();
    if let Some(helper) = helper.or(config["credsStore"].as_str())
        && let Some(found) = of_helper(helper, name).await
    {
        return Some(found);
    }
    // Some tools store the registry with a scheme, others without.
    let of_https = format!("https://{name}");
    let auth = [name, &of_https]
        .into_iter()
        .find_map(|name| config["auths"][name]["auth"].as_str())?;
    let decoded = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Credentials::Basic {
        user: user.to_owned(),
        // As in Docker: some entries are padded with NUL bytes.
        password: password.trim_end_matches('\0').to_owned(),
    })
}

/// Asks `docker-credential-NAME`, which reads the registry from standard input.
async fn of_helper(helper: &str, registry: &str) -> Option<Credentials> {
    // The name comes from a file and becomes part of a command, so `/` must not be in it.
    let may_stand_in_one = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !helper.chars().all(may_stand_in_one) {
        return None;
    }
    let ask = Program::new(format!("docker-credential-{helper}"))
        .arg("get")
        .input(registry);
    let answer = ask.output(HELPER_LIMIT).await.ok()?;
    if !answer.status.success() {
        return None;
    }
    let answer: Value = serde_json::from_str(&answer.stdout).ok()?;
    let field = |name: &str| answer[name].as_str().map(ToOwned::to_owned);
    Some(Credentials::Basic {
        user: field("Username")?,
        password: field("Secret")?,
    })
}

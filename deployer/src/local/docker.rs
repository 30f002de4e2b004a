//! The Docker engine: is it there, and what has the emulator left in it? Spoken to over its own HTTP interface.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;

use crate::error::Failure;
use crate::image::cause::innermost;

/// Where the engine listens unless `DOCKER_HOST` says otherwise.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// A Docker engine.
pub(super) struct Docker {
    client: Client,
    base: String,
    address: String,
}

/// A container, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    id: String,
}

/// An image, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    #[serde(default)]
    repo_digests: Option<Vec<String>>,
}

/// How removing went.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// So many are gone.
    pub(super) removed: usize,
    /// So many are there still.
    pub(super) refused: usize,
}

impl Docker {
    /// Finds the engine and makes sure that it answers. `host` is the value of `DOCKER_HOST`.
    pub(super) async fn connect(host: Option<String>) -> Result<Self, Failure> {
        let address = host.unwrap_or_else(|| format!("unix://{DEFAULT_SOCKET}"));
        let mut builder = super::http_client().timeout(Duration::from_secs(30));
        let base = if let Some(path) = address.strip_prefix("unix://") {
            builder = builder.unix_socket(PathBuf::from(path));
            "http://docker".to_owned()
        } else if let Some(rest) = address.strip_prefix("tcp://") {
            format!("http://{rest}")
        } else {
            return Err(Failure::preflight(format!("`DOCKER_HOST` is `{address}`"))
                .hint("only `unix://…` and `tcp://…` are supported"));
        };
        let client = builder.build().map_err(|error| {
            Failure::preflight("cannot prepare a connection to Docker").because(error)
        })?;
        let docker = Self {
            client,
            base,
            address,
        };
        docker.ping().await?;
        Ok(docker)
    }

    async fn ping(&self) -> Result<(), Failure> {
        let answer = self
            .client
            .get(format!("{}/_ping", self.base))
            .timeout(Duration::from_secs(10))
            .send()
            .await
            .and_then(Response::error_for_status);
        match answer {
            Ok(_) => Ok(()),
            Err(error) => {
                let cause = innermost(&error).to_string();
                let failure =
                    Failure::preflight(format!("no Docker engine answers at {}", self.address));
                Err(if cause.contains("ermission denied") {
                    failure
                        .because(cause)
                        .hint("run this as root, or join the group: `sudo usermod -aG docker $USER`, then log in again")
                } else {
                    failure
                        .because(cause)
                        .hint("`--local` runs the service in real containers: `make bootstrap` installs and starts Docker")
                        .hint("if Docker is installed: `sudo systemctl start docker`, or `sudo dockerd` where there is no systemd")
                        .hint("if it listens elsewhere: set `DOCKER_HOST`")
                })
            }
        }
    }

    /// Removes all containers with these labels (`key=value`), running or not.
    pub(super) async fn remove_containers(
        &self,
        labels: &[String],
    ) -> Result<Removal, reqwest::Error> {
        let filters = serde_json::json!({ "label": labels }).to_string();
        let containers: Vec<Container> = self
            .client
            .get(format!("{}/containers/json", self.base))
            .query(&[("all", "true"), ("filters", &filters)])
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let mut removal = Removal::default();
        for container in &containers {
            let answer = self
                .client
                .delete(format!("{}/containers/{}", self.base, container.id))
                .query(&[("force", "true"), ("v", "true")])
                .send()
                .await?;
            if answer.status().is_success() {
                removal.removed += 1;
            } else if answer.status() != StatusCode::NOT_FOUND {
                removal.refused += 1;
            }
        }
        Ok(removal)
    }

    /// Removes the images whose address (`NAME@DIGEST`) belongs to what is to be removed.
    ///
    /// By that address and without force: an image that has other names or is in use stays, under those.
    pub(super) async fn remove_images(
        &self,
        belongs: impl Fn(&str) -> bool,
    ) -> Result<(), reqwest::Error> {
        let images: Vec<Image> = self
            .client
            .get(format!("{}/images/json", self.base))
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        let references = images
            .into_iter()
            .flat_map(|image| image.repo_digests.unwrap_or_default());
        for reference in references.filter(|reference| belongs(reference)) {
            self.client
                .delete(format!("{}/images/{reference}", self.base))
                .send()
                .await?;
        }
        Ok(())
    }
}

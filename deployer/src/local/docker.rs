//! Client for the Docker engine's HTTP API: checks that it runs, and removes what the emulator left
//! behind.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;

use deployment::error::Failure;
use support::cause::innermost;

/// Default address of the engine, if `DOCKER_HOST` is not set.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// Client of one Docker engine.
pub(super) struct Docker {
    client: Client,
    base: String,
    address: String,
}

/// Container, reduced to the fields in use.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    id: String,
}

/// Image, reduced to the fields in use.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    // Docker may send `null` for an image without digests.
    #[serde(default)]
    repo_digests: Option<Vec<String>>,
}

/// Result of a removal.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// Number of removed containers.
    pub(super) removed: usize,
    /// Number of containers that could not be removed.
    pub(super) refused: usize,
}

impl Docker {
    /// Connects to the engine and checks that it answers. `host` is the value of `DOCKER_HOST`.
    pub(super) async fn connect(host: Option<String>) -> Result<Self, Failure> {
        let address = host.unwrap_or_else(|| format!("unix://{DEFAULT_SOCKET}"));
        let mut builder = super::http_client().timeout(Duration::from_secs(30));
        let base = if let Some(path) = address.strip_prefix("unix://") {
            builder = builder.unix_socket(PathBuf::from(path));
            // The host is ignored for a socket, but HTTP requires one.
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
                // The case of the first letter depends on the source of the message.
                Err(if cause.contains("ermission denied") {
                    failure
                        .because(cause)
                        .hint(permission_hint(is_listed_in_group()))
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

    /// Removes all containers with these labels (`key=value`), whether they run or not.
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
                // `v` also removes anonymous volumes, which nothing else would refer to.
                .query(&[("force", "true"), ("v", "true")])
                .send()
                .await?;
            if answer.status().is_success() {
                removal.removed += 1;
            // 404: it was removed meanwhile, for example by its own emulator.
            } else if answer.status() != StatusCode::NOT_FOUND {
                removal.refused += 1;
            }
        }
        Ok(removal)
    }

    /// Removes the images whose reference (`NAME@DIGEST`) belongs to the stack.
    ///
    /// Removes them by reference and without force, so that an image with other names or in use
    /// keeps those.
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
            // The status is ignored: an image in use stays.
            self.client
                .delete(format!("{}/images/{reference}", self.base))
                .send()
                .await?;
        }
        Ok(())
    }
}

/// Returns a hint for getting permission. `listed` is set if the user is in the group, but the
/// login session is older.
fn permission_hint(listed: bool) -> &'static str {
    if listed {
        "you are in the group `docker`, but this login is older than that: `newgrp docker`, or log in again"
    } else {
        "run this as root, or join the group: `sudo usermod -aG docker $USER && newgrp docker`"
    }
}

/// Returns whether this user is in the group `docker` according to the files of this machine.
fn is_listed_in_group() -> bool {
    // The groups of this process are those of the login session, and may be older than these files.
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    is_listed(
        &read("/etc/passwd"),
        &read("/etc/group"),
        rustix::process::getuid().as_raw(),
    )
}

fn is_listed(passwd: &str, group: &str, uid: u32) -> bool {
    let uid = uid.to_string();
    let user = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then_some(name)
    });
    let members = group.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == "docker").then(|| fields.nth(2))?
    });
    user.zip(members)
        .is_some_and(|(user, members)| members.split(',').any(|member| member == user))
}

#[cfg(test)]
mod tests {
    use super::{is_listed, permission_hint};

    #[test]
    fn a_member_with_an_older_login_is_not_told_to_join_again() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\ndev:x:1001:1001::/home/dev:/bin/bash\ndeva:x:1002:1002::/:/bin/sh\n";
        let group = "root:x:0:\nusers:x:100:deva\ndocker:x:103:other,dev\n";
        assert!(is_listed(passwd, group, 1001));
        for uid in [0, 1002, 1003] {
            assert!(!is_listed(passwd, group, uid), "{uid}");
        }
        assert!(!is_listed(passwd, "users:x:100:dev\n", 1001));
        assert!(!is_listed("", "docker\n", 1001));
        assert!(permission_hint(true).contains("newgrp docker"));
        assert!(!permission_hint(true).contains("usermod"));
        assert!(permission_hint(false).contains("usermod"));
    }
}

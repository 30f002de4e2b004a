//! The Docker engine: is it there, and what has the emulator left in it? Spoken to over its own HTTP interface.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;

use deployment::error::Failure;
use support::cause::innermost;

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

/// Says how to get permission. `listed`: whether the user is in the group, but this login is older than that.
fn permission_hint(listed: bool) -> &'static str {
    if listed {
        "you are in the group `docker`, but this login is older than that: `newgrp docker`, or log in again"
    } else {
        "run this as root, or join the group: `sudo usermod -aG docker $USER && newgrp docker`"
    }
}

/// Returns whether this user is in the group `docker` according to the files of this machine.
fn is_listed_in_group() -> bool {
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

//! Place that the run deploys to, and how the programs are called there.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Place of a run. Kept in its record, so that a later run can delete what this one left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
pub(crate) struct Place {
    /// Run on this machine, on the AWS emulator.
    #[arg(long)]
    pub(crate) local: bool,
    /// Send AWS calls to this address: an emulator or a proxy.
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL")]
    pub(crate) endpoint_url: Option<String>,
    /// AWS region.
    #[arg(long, env = "AWS_REGION")]
    pub(crate) region: Option<String>,
    /// Profile of the AWS configuration files.
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Refuse credentials of any other AWS account.
    #[arg(long, value_name = "DIGITS", env = "DEPLOYER_ACCOUNT")]
    pub(crate) account: Option<String>,
}

/// Port of the emulator if no endpoint is given.
const PORT: u16 = 4566;

impl Place {
    /// Returns the arguments of commands of the deployer that call AWS.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        if self.local {
            arguments.push("--local".to_owned());
        }
        for (name, value) in [
            ("--endpoint-url", &self.endpoint_url),
            ("--region", &self.region),
            ("--profile", &self.profile),
            ("--account", &self.account),
        ] {
            if let Some(value) = value {
                arguments.extend([name.to_owned(), value.clone()]);
            }
        }
        arguments
    }

    /// Returns the emulator's port with `--local`.
    pub(crate) fn port(&self) -> Option<u16> {
        let endpoint = self.endpoint_url.as_deref().unwrap_or_default();
        let port = endpoint.trim_end_matches('/').rsplit(':').next();
        self.local
            .then(|| port.and_then(|port| port.parse().ok()).unwrap_or(PORT))
    }

    /// Returns the variables with which the AWS command line works here.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = Vec::new();
        if let Some(port) = self.port() {
            let home = |name: &str| std::env::var_os(name).map(PathBuf::from);
            let cache = home("XDG_CACHE_HOME")
                .or_else(|| home("HOME").map(|home| home.join(".cache")))
                .unwrap_or_else(|| Path::new("/").to_owned());
            let file = cache.join(format!("deployer/emulator-{port}.credentials"));
            variables.extend([
                ("AWS_SHARED_CREDENTIALS_FILE", file.display().to_string()),
                ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
                ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
                ("AWS_PROFILE", "default".to_owned()),
            ]);
            return variables;
        }
        for (name, value) in [
            ("AWS_ENDPOINT_URL", &self.endpoint_url),
            // Version 1 of the command line reads no other.
            ("AWS_DEFAULT_REGION", &self.region),
            ("AWS_PROFILE", &self.profile),
        ] {
            variables.extend(value.clone().map(|value| (name, value)));
        }
        variables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(local: bool, endpoint_url: Option<&str>) -> Place {
        Place {
            local,
            endpoint_url: endpoint_url.map(str::to_owned),
            region: None,
            profile: Some("work".to_owned()),
            account: None,
        }
    }

    #[test]
    fn the_port_is_the_emulators() {
        assert_eq!(place(true, None).port(), Some(4566));
        let elsewhere = place(true, Some("http://127.0.0.1:4740/"));
        assert_eq!(elsewhere.port(), Some(4740));
        assert_eq!(place(false, Some("http://127.0.0.1:4740")).port(), None);
    }

    #[test]
    fn arguments_name_the_place_only() {
        assert_eq!(place(false, None).arguments(), ["--profile", "work"]);
        assert_eq!(
            place(true, Some("http://127.0.0.1:1")).arguments(),
            [
                "--local",
                "--endpoint-url",
                "http://127.0.0.1:1",
                "--profile",
                "work"
            ]
        );
    }
}

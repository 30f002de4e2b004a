//! How to reach AWS, or the emulator.

use std::sync::OnceLock;
use std::time::Duration;

use deployment::names::HostPort;
use url::Url;

use crate::origin::Found;

/// How to reach AWS, or what stands in for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The emulator on this machine, or AWS (or whatever `endpoint_url` names)?
    pub local: bool,
    /// Region; absent: what the profile says.
    pub region: Option<String>,
    /// Profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Where that profile was named.
    pub profile_source: ProfileSource,
    /// Where AWS calls go, if not to AWS.
    pub endpoint_url: Option<Url>,
    /// Where images go, if not to the address that ECR gives.
    pub registry: Option<HostPort>,
    /// Where the check connects, if not where the public name points.
    pub connect_to: Option<HostPort>,
    /// The HTTP proxy that the check goes through. It may name a password.
    pub check_proxy: Option<Url>,
    /// How often to look.
    pub pace: Pace,
    /// What is known once credentials are found.
    pub found: OnceLock<Found>,
}

/// Where a profile is named. It decides what comes first: the profile, or access keys in the environment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProfileSource {
    /// `--profile`.
    #[default]
    Flag,
    /// `AWS_PROFILE`.
    Environment,
    /// `AWS_PROFILE`, and there are access keys in the environment beside it.
    BehindKeys,
    /// `profile` in `deployer.toml`.
    File,
}

impl ProfileSource {
    /// Returns whether the profile comes before access keys in the environment, as in the AWS CLI.
    pub const fn beats_environment_keys(self) -> bool {
        match self {
            Self::Flag | Self::File => true,
            Self::Environment | Self::BehindKeys => false,
        }
    }
}

impl Access {
    /// Returns what reaches AWS itself, with the region and the credentials of the environment.
    pub const fn remote() -> Self {
        Self {
            local: false,
            region: None,
            profile: None,
            profile_source: ProfileSource::Flag,
            endpoint_url: None,
            registry: None,
            connect_to: None,
            check_proxy: None,
            pace: Pace::REMOTE,
            found: OnceLock::new(),
        }
    }

    /// Is the registry the one whose login AWS, or the emulator, gives out? One elsewhere is told nothing.
    pub fn logs_in_to_registry(&self) -> bool {
        let Some(registry) = &self.registry else {
            return true;
        };
        // Not by the port: either may be reached through a proxy.
        let endpoint = self.endpoint_url.as_ref().and_then(Url::host_str);
        endpoint.is_some_and(is_loopback) && is_loopback(&registry.host)
    }

    /// Remembers where credentials were found; the first time counts.
    pub fn remember(&self, found: Found) {
        // They are found once per run.
        self.found.set(found).ok();
    }
}

/// How often to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Pause between two looks.
    pub poll: Duration,
    /// Longest pause, reached by doubling while looks fail.
    pub slowest: Duration,
}

impl Pace {
    /// What AWS bears well.
    pub const REMOTE: Self = Self {
        poll: Duration::from_millis(2500),
        slowest: Duration::from_secs(15),
    };
    /// What an emulator on this machine bears well.
    pub const LOCAL: Self = Self {
        poll: Duration::from_millis(250),
        slowest: Duration::from_secs(2),
    };

    /// Pause before a call that failed is made again; it doubles from there.
    pub fn first_pause(self) -> Duration {
        self.poll / 5
    }
}

/// An access key that is not found in the usual places: the emulator's.
#[derive(Clone)]
pub struct AccessKey {
    /// Identifier.
    pub id: String,
    /// Secret part; never shown.
    pub secret: String,
}

/// Is this host, by its name alone, this machine?
pub fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

//! Settings for reaching AWS, or the emulator.

use std::sync::OnceLock;
use std::time::Duration;

use deployment::names::{HostPort, RegistryHost};
use url::Url;

use crate::origin::Found;

/// Settings for reaching AWS or a substitute for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Set for the emulator on this machine; otherwise AWS or whatever `endpoint_url` names.
    pub local: bool,
    /// Region; `None` leaves it to the profile.
    pub region: Option<String>,
    /// Profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Place where that profile was named.
    pub profile_source: ProfileSource,
    /// Endpoint of all AWS calls, if not AWS's own.
    pub endpoint_url: Option<Url>,
    /// Image registry, if not the one that ECR names.
    pub registry: Option<RegistryHost>,
    /// Address that the check connects to, if not the public one of the service.
    pub connect_to: Option<HostPort>,
    /// HTTP proxy of the check. The URL may contain a password.
    pub check_proxy: Option<Url>,
    /// Polling intervals.
    pub pace: Pace,
    /// Origin and region, known once credentials are found.
    pub found: OnceLock<Found>,
}

/// Place where a profile is named. It decides between the profile and access keys in the
/// environment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProfileSource {
    /// `--profile`.
    #[default]
    Flag,
    /// `AWS_PROFILE`.
    Environment,
    /// `AWS_PROFILE`, with access keys in the environment as well.
    BehindKeys,
    /// `profile` in `deployer.toml`.
    File,
}

impl ProfileSource {
    /// Returns whether the profile takes precedence over access keys in the environment, as in the
    /// AWS CLI.
    pub const fn beats_environment_keys(self) -> bool {
        match self {
            Self::Flag | Self::File => true,
            Self::Environment | Self::BehindKeys => false,
        }
    }
}

impl Access {
    /// Returns the settings for AWS itself, with region and credentials from the environment.
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

    /// Returns whether the registry may get the login that AWS or the emulator issues.
    ///
    /// A registry elsewhere must not see it.
    pub fn logs_in_to_registry(&self) -> bool {
        let Some(registry) = &self.registry else {
            return true;
        };
        // Ports are not compared, because either may be reached through a proxy.
        let endpoint = self.endpoint_url.as_ref().and_then(Url::host_str);
        endpoint.is_some_and(is_loopback) && is_loopback(&registry.host)
    }

    /// Stores the origin of the credentials; only the first call has an effect.
    pub fn remember(&self, found: Found) {
        // Credentials are fetched once per run, so that a second value cannot differ.
        self.found.set(found).ok();
    }
}

/// Polling intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Pause between two polls.
    pub poll: Duration,
    /// Maximum pause, reached by doubling while polls fail.
    pub slowest: Duration,
}

impl Pace {
    /// Intervals for AWS, long enough to avoid throttling.
    pub const REMOTE: Self = Self {
        poll: Duration::from_millis(2500),
        slowest: Duration::from_secs(15),
    };
    /// Intervals for an emulator on this machine.
    pub const LOCAL: Self = Self {
        poll: Duration::from_millis(250),
        slowest: Duration::from_secs(2),
    };

    /// Returns the pause before the next poll of a subject that changes soon.
    pub fn soon(self) -> Duration {
        self.poll / 10
    }

    /// Returns the pause before the first retry of a failed call. Later ones double it.
    pub fn first_pause(self) -> Duration {
        self.poll / 5
    }
}

/// Access key from outside the usual places: the emulator's.
#[derive(Clone)]
pub struct AccessKey {
    /// Access key ID.
    pub id: String,
    /// Secret access key; never shown.
    pub secret: String,
}

/// Returns whether this host is the local machine, judged by its name only.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            // The host of a URL has brackets around an IPv6 address; that of a registry does not.
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

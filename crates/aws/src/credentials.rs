//! Credentials: found once, in the order of the AWS CLI, and renewed when they expire.

mod failure;
mod origin;

use std::sync::Mutex;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::future;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_sts::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};

use super::error;
use crate::access::Access;
use crate::origin::Origin;
use deployment::error::Failure;

pub(super) use failure::unknown_profile;
pub(super) use origin::{Environment, origin};

/// Pauses between attempts to fetch credentials, if their source does not respond.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Returns the provider of this profile, which takes precedence over keys in the environment.
///
/// As in the AWS CLI, a profile without credentials falls back to those of the container or the
/// instance.
#[expect(
    clippy::disallowed_types,
    reason = "one of the files that configure SDK clients"
)]
pub(super) fn of_profile(
    profile: &str,
    files: &EnvConfigFiles,
    config: &aws_config::SdkConfig,
) -> SharedCredentialsProvider {
    // A provider that is built outside the loader inherits nothing from it. It panics without an
    // HTTP client, and assumes no roles without a region.
    let mut settings = ProviderConfig::without_region()
        .with_behavior_version(Some(BehaviorVersion::latest()))
        .with_region(config.region().cloned())
        .with_use_fips(config.use_fips())
        .with_use_dual_stack(config.use_dual_stack());
    if let Some(client) = config.http_client() {
        settings = settings.with_http_client(client);
    }
    if let Some(retries) = config.retry_config() {
        settings = settings.with_retry_config(retries.clone());
    }
    if let Some(timeouts) = config.timeout_config() {
        settings = settings.with_timeout_config(timeouts.clone());
    }
    let of_profile = ProfileFileCredentialsProvider::builder()
        .configure(&settings)
        .profile_files(files.clone())
        .profile_name(profile)
        .build();
    let of_container = EcsCredentialsProvider::builder()
        .configure(&settings)
        .build();
    let of_machine = ImdsCredentialsProvider::builder()
        .configure(&settings)
        .build();
    SharedCredentialsProvider::new(
        CredentialsProviderChain::first_try("Profile", of_profile)
            .or_else("EcsContainer", of_container)
            .or_else("Ec2InstanceMetadata", of_machine),
    )
}

/// Fetches credentials once, so that their absence is one clear error and not the failure of a
/// later call.
pub(super) async fn fetch(
    access: &Access,
    provider: &SharedCredentialsProvider,
    origin: &Origin,
) -> Result<Credentials, Failure> {
    let mut pauses = PAUSES.iter();
    loop {
        match (provider.provide_credentials().await, pauses.next()) {
            (Ok(credentials), _) => return Ok(credentials),
            (Err(error), Some(pause)) if error::is_passing(&error) => {
                tokio::time::sleep(*pause).await;
            }
            (Err(error), _) => return Err(failure::failure(access, &error, origin)),
        }
    }
}

/// Provider that returns the credentials that were fetched at the start, and fetches others only
/// after they expire.
///
/// Users who enter an MFA code, touch a security key or open a password manager do so once.
#[derive(Debug)]
pub(super) struct Fetched {
    first: Mutex<Option<Credentials>>,
    provider: SharedCredentialsProvider,
}

impl Fetched {
    pub(super) fn new(first: Credentials, provider: SharedCredentialsProvider) -> Self {
        Self {
            first: Mutex::new(Some(first)),
            provider,
        }
    }

    /// Returns the first credentials: once if they expire, and always if they do not.
    ///
    /// The SDK asks for credentials without expiry every 15 minutes.
    fn first(&self) -> Option<Credentials> {
        // After a panic of another thread, the credentials are fetched again.
        let mut first = self.first.lock().ok()?;
        match first.as_ref() {
            Some(credentials) if credentials.expiry().is_none() => Some(credentials.clone()),
            // The SDK's identity cache keeps them until they are about to expire. The next call
            // needs new ones.
            Some(_) => first.take(),
            None => None,
        }
    }
}

impl ProvideCredentials for Fetched {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        match self.first() {
            Some(credentials) => future::ProvideCredentials::ready(Ok(credentials)),
            None => self.provider.provide_credentials(),
        }
    }
}

//! Credentials: found once, where the AWS CLI finds them, and renewed when they end.

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

/// Before asking once more whoever gives out credentials and did not answer.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// The provider of this profile, which comes before keys in the environment. As in the AWS CLI, a profile without credentials
/// means those of the container or the machine.
#[expect(
    clippy::disallowed_types,
    reason = "one of the files that configure SDK clients"
)]
pub(super) fn of_profile(
    profile: &str,
    files: &EnvConfigFiles,
    config: &aws_config::SdkConfig,
) -> SharedCredentialsProvider {
    // A provider that is built outside the loader gets nothing from it. It panics without an HTTP client, and roles are not
    // assumed without a region.
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

/// Fetches credentials once, so that their absence is one clear message and not the failure of some later call.
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

/// Gives out credentials that were fetched already, and asks for others only once those end. Whoever types a code, touches a key
/// or opens a password manager for them does so once.
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

    /// The first ones: once where they end, and always where they do not. The SDK asks every quarter of an hour for those.
    fn first(&self) -> Option<Credentials> {
        let mut first = self.first.lock().ok()?;
        match first.as_ref() {
            Some(credentials) if credentials.expiry().is_none() => Some(credentials.clone()),
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

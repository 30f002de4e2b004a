//! AWS adapter: the only crate that names the SDK.

pub mod access;
mod account;
mod api;
mod cloudformation;
mod cloudwatchlogs;
mod credentials;
mod deployments;
mod ecr;
mod ecs;
mod elasticloadbalancingv2;
mod endpoint;
mod error;
mod files;
mod http;
mod iam;
mod limited;
pub mod origin;
pub mod remote;
mod secrets;
mod sense;
mod sts;
pub mod trust;

#[cfg(test)]
mod tests;

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_sts::config::{Credentials, SharedCredentialsProvider};

use crate::access::{Access, AccessKey};
use crate::origin::{Found, Origin};
use api::Api;
use credentials::{Environment, Fetched};
use deployment::error::{Failure, FailureKind};
use files::Files;
use sense::Sense;

/// Settings that are read before any request is sent.
struct Sources {
    files: Files,
    /// Origin of the credentials.
    origin: Origin,
    /// Certificates to trust instead of this machine's.
    roots: Vec<String>,
}

impl Sources {
    async fn read(access: &Access, profile: &str) -> Result<Self, Failure> {
        // The emulator has credentials of its own, so that AWS's configuration files are not read.
        if access.local {
            return Ok(Self {
                files: Files::none().await?,
                origin: Origin::Environment,
                roots: Vec::new(),
            });
        }
        let files = Files::read(profile).await?;
        let origin = credentials::origin(access, &files.profiles, Environment::read())
            .map_err(|unknown| credentials::unknown_profile(access, &unknown))?;
        let roots = trust::bundle(&files.profiles).await?;
        Ok(Self {
            files,
            origin,
            roots,
        })
    }
}

/// Clients of all AWS services in use.
#[expect(
    clippy::disallowed_types,
    reason = "this is the place where SDK clients live"
)]
pub struct Aws {
    cloudformation: aws_sdk_cloudformation::Client,
    cloudwatchlogs: Api,
    ecr: aws_sdk_ecr::Client,
    ecs: aws_sdk_ecs::Client,
    elasticloadbalancingv2: Api,
    iam: Api,
    secretsmanager: Api,
    ssm: Api,
    sts: aws_sdk_sts::Client,
    region: String,
    endpoint: Option<String>,
}

/// Builds a client of this service with response validation.
///
/// It never retries a call: retries are up to the caller, who has to know that there was a first
/// attempt.
macro_rules! client {
    ($service:ident, $config:expr, $sense:expr) => {
        $service::Client::from_conf(
            $service::config::Builder::from($config)
                .interceptor($sense)
                .retry_config(RetryConfig::disabled())
                .build(),
        )
    };
}

impl Aws {
    /// Finds region and credentials and prepares the clients.
    ///
    /// Nothing is sent to AWS, unless the credentials come from there.
    #[expect(
        clippy::disallowed_types,
        reason = "this is the place where SDK clients live"
    )]
    pub async fn connect(access: &Access, key: Option<AccessKey>) -> Result<Self, Failure> {
        let profile = access.profile.as_deref().unwrap_or("default");
        let Sources {
            files,
            origin,
            roots,
        } = Sources::read(access, profile).await?;
        let endpoint = access.endpoint_url.as_ref();
        // The emulator is called without TLS. Loading the certificates would take as long as its
        // responses.
        let is_plain = access.local && endpoint.is_some_and(|url| url.scheme() == "http");
        let trusted = if is_plain {
            trust::nothing()
        } else {
            trust::context(&roots)
        };
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_attempt_timeout(Duration::from_secs(30))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http::client(access.local, trusted))
            .timeout_config(timeouts)
            // For credential providers only: the service clients disable retries.
            .retry_config(RetryConfig::standard().with_max_attempts(5))
            .profile_files(files.text.clone())
            .profile_name(profile);
        if let Some(region) = &access.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(url) = endpoint {
            loader = loader.endpoint_url(url.as_str());
        }
        if let Some(key) = key {
            loader = loader
                .credentials_provider(Credentials::new(key.id, key.secret, None, None, "local"));
        }
        let config = loader.load().await;
        let region = config
            .region()
            .map(ToString::to_string)
            .ok_or_else(no_region)?;
        // The SDK's default chain puts keys in the environment before the profile. The AWS CLI does
        // not, if `--profile` is given.
        let provider = match (&access.profile, config.credentials_provider()) {
            (Some(profile), _) if access.profile_source.beats_environment_keys() => {
                credentials::of_profile(profile, &files.text, &config)
            }
            (_, Some(provider)) => provider,
            (_, None) => {
                return Err(Failure::new(FailureKind::Unexpected, "no credentials"));
            }
        };
        let first = credentials::fetch(access, &provider, &origin).await?;
        // The emulator's key has no origin that a hint could name.
        if !access.local {
            access.remember(Found {
                origin,
                region: region.clone(),
                end: first.expiry().map(Into::into),
                roots,
            });
        }
        let provider = SharedCredentialsProvider::new(Fetched::new(first, provider));
        let config = config.into_builder().credentials_provider(provider).build();
        Ok(Self {
            cloudformation: client!(aws_sdk_cloudformation, &config, Sense::Xml),
            cloudwatchlogs: Api::new(api::LOGS, &config).await?,
            ecr: client!(aws_sdk_ecr, &config, Sense::Json),
            ecs: client!(aws_sdk_ecs, &config, Sense::Json),
            elasticloadbalancingv2: Api::new(api::ELB, &config).await?,
            iam: Api::new(api::IAM, &config).await?,
            secretsmanager: Api::new(api::SECRETS, &config).await?,
            ssm: Api::new(api::PARAMETERS, &config).await?,
            sts: client!(aws_sdk_sts, &config, Sense::Xml),
            endpoint: endpoint::of_cloudformation(&config),
            region,
        })
    }

    /// Returns the client for ECR in another region.
    #[expect(
        clippy::disallowed_types,
        reason = "this is the place where SDK clients live"
    )]
    fn ecr_in(&self, region: &str) -> aws_sdk_ecr::Client {
        let Self { ecr, .. } = self;
        let config = ecr.config().to_builder();
        let config = config.region(Region::new(region.to_owned()));
        aws_sdk_ecr::Client::from_conf(config.build())
    }

    /// Returns the endpoint of CloudFormation if it is not AWS's: of the command line, the
    /// environment or the profile.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// Returns the region of all calls.
    pub fn region(&self) -> &str {
        &self.region
    }
}

fn no_region() -> Failure {
    Failure::preflight("no AWS region is set")
        .hint("name it: `--region eu-central-1`, `AWS_REGION`, `region` in `deployer.toml`, or in your AWS profile")
        .hint("without an AWS account: `deployer up --local` runs everything on this machine")
}

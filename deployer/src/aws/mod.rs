//! The world as AWS offers it: the only files that name an SDK crate.

mod account;
mod cloudformation;
mod cloudwatchlogs;
pub(crate) mod credentials;
mod deployments;
mod ecr;
mod ecs;
mod elasticloadbalancingv2;
mod error;
mod iam;
mod sense;
mod sts;

#[cfg(test)]
mod tests;

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_sts::config::{Credentials, ProvideCredentials as _, SharedCredentialsProvider};
use aws_sdk_sts::config::{RuntimeComponents, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder as HttpClientBuilder, Connector};

use crate::config::Access;
use crate::error::Failure;
use crate::local;
use sense::Sense;

/// Before asking once more whoever gives out credentials and did not answer.
const CREDENTIALS_PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Clients for everything that the program asks of AWS.
#[expect(
    clippy::disallowed_types,
    reason = "this is the place where SDK clients live"
)]
pub struct Aws {
    cloudformation: aws_sdk_cloudformation::Client,
    cloudwatchlogs: aws_sdk_cloudwatchlogs::Client,
    ecr: aws_sdk_ecr::Client,
    ecs: aws_sdk_ecs::Client,
    elasticloadbalancingv2: aws_sdk_elasticloadbalancingv2::Client,
    iam: aws_sdk_iam::Client,
    sts: aws_sdk_sts::Client,
    region: String,
}

/// A client of this service that takes no nonsense for an answer. It never repeats a call by itself: whoever does has to know
/// that there was a first time (see `crate::steady`).
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
    /// Finds region and credentials and prepares the clients; nothing is sent to AWS yet, unless the credentials come
    /// from there.
    #[expect(
        clippy::disallowed_types,
        reason = "this is the place where SDK clients live"
    )]
    pub async fn connect(access: &Access) -> Result<Self, Failure> {
        let https = http_client(access.local);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_attempt_timeout(Duration::from_secs(30))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(https)
            .timeout_config(timeouts)
            // For whoever gives out the credentials.
            .retry_config(RetryConfig::standard().with_max_attempts(5));
        if let Some(region) = &access.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &access.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(url) = &access.endpoint_url {
            loader = loader.endpoint_url(url.as_str());
        }
        if access.local {
            let keys = local::Credentials::of_emulator_at(access.endpoint_url.as_ref());
            loader = loader.credentials_provider(Credentials::new(
                keys.key_id,
                keys.secret,
                None,
                None,
                "local",
            ));
        }
        let config = credentials::of_profile_first(access, loader.load().await);
        let region = config
            .region()
            .map(ToString::to_string)
            .ok_or_else(no_region)?;
        let provider = config
            .credentials_provider()
            .ok_or_else(|| credentials::failure(access, "no provider", ""))?;
        prove_credentials(access, &provider).await?;
        Ok(Self {
            cloudformation: client!(aws_sdk_cloudformation, &config, Sense::Xml),
            cloudwatchlogs: client!(aws_sdk_cloudwatchlogs, &config, Sense::Json),
            ecr: client!(aws_sdk_ecr, &config, Sense::Json),
            ecs: client!(aws_sdk_ecs, &config, Sense::Json),
            elasticloadbalancingv2: client!(aws_sdk_elasticloadbalancingv2, &config, Sense::Xml),
            iam: client!(aws_sdk_iam, &config, Sense::Xml),
            sts: client!(aws_sdk_sts, &config, Sense::Xml),
            region,
        })
    }

    /// The region that calls go to.
    pub fn region(&self) -> &str {
        &self.region
    }
}

/// The HTTP client of all services. One TLS stack for the whole program: rustls over ring. Proxies as the environment
/// names them, but never on the way to this machine.
fn http_client(local: bool) -> SharedHttpClient {
    HttpClientBuilder::new().build_with_connector_fn(move |settings, components| {
        let proxies = if local {
            ProxyConfig::disabled()
        } else {
            ProxyConfig::from_env()
        };
        let mut builder = Connector::builder().proxy_config(proxies);
        if let Some(settings) = settings {
            builder = builder.connector_settings(settings.clone());
        }
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build()
    })
}

/// Fetches credentials once, so that their absence is one clear message and not the failure of some later call.
async fn prove_credentials(
    access: &Access,
    provider: &SharedCredentialsProvider,
) -> Result<(), Failure> {
    let mut pauses = CREDENTIALS_PAUSES.iter();
    loop {
        match (provider.provide_credentials().await, pauses.next()) {
            (Ok(_), _) => return Ok(()),
            (Err(error), Some(pause)) if error::is_passing(&error) => {
                tokio::time::sleep(*pause).await;
            }
            (Err(error), _) => {
                return Err(credentials::failure(
                    access,
                    &error::chain(&error),
                    &credentials::read_aws_config(),
                ));
            }
        }
    }
}

fn no_region() -> Failure {
    Failure::preflight("no AWS region is set")
        .hint("name it: `--region eu-central-1`, `AWS_REGION`, `region` in `deployer.toml`, or in your AWS profile")
        .hint("without an AWS account: `deployer up --local` runs everything on this machine")
}

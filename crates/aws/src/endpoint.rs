//! Endpoints of the services that are called without an SDK crate.

use aws_sdk_cloudformation::config::endpoint::{
    DefaultResolver, Params, ParamsBuilder, ResolveEndpoint as _,
};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_types::region::{Region, SigningRegion};
use aws_types::service_config::ServiceConfigKey;

use url::Url;

use deployment::error::Failure;
use deployment::partition::Partition;

/// AWS service and its protocol.
#[derive(Debug, Clone, Copy)]
pub(super) struct Service {
    /// Name in host names and in signatures.
    pub(super) name: &'static str,
    /// Name in `AWS_ENDPOINT_URL_…` and in a profile's `services` section.
    pub(super) id: &'static str,
    /// Set if it has a single endpoint in each partition.
    pub(super) is_global: bool,
    pub(super) protocol: Protocol,
}

/// Wire protocols, as AWS's service models name them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Protocol {
    /// `awsQuery`: form-encoded requests, XML responses.
    Query { version: &'static str },
    /// `awsJson1_1`: JSON requests and responses, with the operation in a header.
    Json { target: &'static str },
}

/// URL of a service, and the region that its requests are signed for.
pub(super) struct Endpoint {
    pub(super) url: String,
    pub(super) signing_region: SigningRegion,
}

/// Rewrites of IAM's host names, which differ from those of regional services.
///
/// IAM has one region in each partition.
const GLOBAL: [(&str, &str); 6] = [
    (".us-east-1.amazonaws.com", ".amazonaws.com"),
    // Before the shorter pattern below, because the first match is used.
    ("-fips.us-gov-west-1.", ".us-gov."),
    (".us-gov-west-1.", ".us-gov."),
    (".us-east-1.api.", ".global.api."),
    (".cn-north-1.api.", ".global.api."),
    (".eusc-de-east-1.api.", ".global.api."),
];

/// Returns the endpoint of a service: the configured one, or else AWS's.
#[expect(
    clippy::disallowed_types,
    reason = "one of the files that configure SDK clients"
)]
pub(super) async fn of(
    service: Service,
    config: &aws_config::SdkConfig,
) -> Result<Endpoint, Failure> {
    let wanted = Params::builder()
        .set_use_fips(config.use_fips())
        .set_use_dual_stack(config.use_dual_stack());
    let region = config.region().map(AsRef::as_ref).unwrap_or_default();
    let found = resolve(service, region, configured(service.id, config), wanted).await;
    found.map_err(|cause| {
        Failure::preflight(format!("there is no endpoint for {}", service.id))
            .because(super::error::chain(cause.as_ref()))
    })
}

/// Resolves an endpoint with the rules of CloudFormation.
///
/// Regional services differ only in their names. The rules also refuse combinations of options that
/// do not work.
async fn resolve(
    service: Service,
    region: &str,
    configured: Option<String>,
    wanted: ParamsBuilder,
) -> Result<Endpoint, BoxError> {
    let region = match configured {
        // A global service accepts only signatures for its own region.
        None if service.is_global => Partition::of_region(region).global_region(),
        None | Some(_) => region,
    };
    let wanted = wanted.region(region).set_endpoint(configured.clone());
    let sibling = DefaultResolver::new()
        .resolve_endpoint(&wanted.build()?)
        .await?;
    Ok(Endpoint {
        // The rules have checked a configured endpoint: FIPS and dual stack exclude it.
        url: configured.unwrap_or_else(|| named(service, sibling.url())),
        signing_region: Region::new(region.to_owned()).into(),
    })
}

/// Turns the URL of CloudFormation in a region into that of another service.
fn named(service: Service, url: &str) -> String {
    let url = url.replacen("cloudformation", service.name, 1);
    let rewrite = GLOBAL
        .iter()
        .find(|(regional, _)| service.is_global && url.contains(regional));
    match rewrite {
        Some((regional, global)) => url.replacen(regional, global, 1),
        None => url,
    }
}

/// Returns the endpoint of CloudFormation if it is not AWS's, without a password that it may contain.
#[expect(
    clippy::disallowed_types,
    reason = "one of the files that configure SDK clients"
)]
pub(super) fn of_cloudformation(config: &aws_config::SdkConfig) -> Option<String> {
    let endpoint = configured("CloudFormation", config)?;
    let Ok(mut url) = endpoint.parse::<Url>() else {
        return Some(endpoint);
    };
    // Refused for a URL without a host, which cannot contain one.
    let _ = url.set_password(None);
    Some(url.to_string())
}

/// Returns the endpoint from the command line, the environment or the profile, in the SDK's order
/// of precedence. `id` is the service's name there.
#[expect(
    clippy::disallowed_types,
    reason = "one of the files that configure SDK clients"
)]
fn configured(id: &'static str, config: &aws_config::SdkConfig) -> Option<String> {
    let of_all = config.endpoint_url().map(str::to_owned);
    // An endpoint in the program's own settings applies to all services.
    if config.get_origin("endpoint_url").is_client_config() {
        return of_all;
    }
    let key = ServiceConfigKey::builder()
        .service_id(id)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    let of_service = key
        .ok()
        .and_then(|key| config.service_config()?.load_config(key));
    // As in the SDK, the endpoint of one service takes precedence over that of all.
    of_service.or(of_all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ELB, IAM, LOGS};

    /// Service, region of the caller, FIPS and dual stack, host, and region of the signature. Hosts are those of the SDK
    /// crates' own endpoint tests.
    const EXPECTED: &str = "
        logs eu-central-1   -         logs.eu-central-1.amazonaws.com                    eu-central-1
        logs eu-central-1   fips      logs-fips.eu-central-1.amazonaws.com               eu-central-1
        logs eu-central-1   dual      logs.eu-central-1.api.aws                          eu-central-1
        logs cn-northwest-1 -         logs.cn-northwest-1.amazonaws.com.cn               cn-northwest-1
        logs us-gov-east-1  fips      logs.us-gov-east-1.amazonaws.com                   us-gov-east-1
        elb  eusc-de-east-1 -         elasticloadbalancing.eusc-de-east-1.amazonaws.eu   eusc-de-east-1
        elb  us-iso-west-1  -         elasticloadbalancing.us-iso-west-1.c2s.ic.gov      us-iso-west-1
        iam  eu-central-1   -         iam.amazonaws.com                                  us-east-1
        iam  eu-central-1   fips      iam-fips.amazonaws.com                             us-east-1
        iam  us-east-1      dual      iam.global.api.aws                                 us-east-1
        iam  us-east-1      fips+dual iam-fips.global.api.aws                            us-east-1
        iam  cn-northwest-1 -         iam.cn-north-1.amazonaws.com.cn                    cn-north-1
        iam  cn-north-1     dual      iam.global.api.amazonwebservices.com.cn            cn-north-1
        iam  us-gov-east-1  -         iam.us-gov.amazonaws.com                           us-gov-west-1
        iam  us-gov-west-1  fips      iam.us-gov.amazonaws.com                           us-gov-west-1
        iam  us-gov-west-1  fips+dual iam.us-gov.api.aws                                 us-gov-west-1
        iam  eusc-de-east-1 -         iam.eusc-de-east-1.amazonaws.eu                    eusc-de-east-1
        iam  us-iso-west-1  -         iam.us-iso-east-1.c2s.ic.gov                       us-iso-east-1
        iam  us-isob-east-1 -         iam.us-isob-east-1.sc2s.sgov.gov                   us-isob-east-1
        iam  eu-isoe-west-1 -         iam.eu-isoe-west-1.cloud.adc-e.uk                  eu-isoe-west-1
        iam  us-isof-east-1 -         iam.us-isof-south-1.csp.hci.ic.gov                 us-isof-south-1";

    #[tokio::test]
    async fn every_partition_has_its_endpoints() {
        for line in EXPECTED.trim().lines() {
            let mut words = line.split_whitespace();
            let [service, region, variant, host, signing_region] =
                std::array::from_fn(|_| words.next().unwrap());
            let service = match service {
                "logs" => LOGS,
                "elb" => ELB,
                _ => IAM,
            };
            let wanted = Params::builder()
                .use_fips(variant.contains("fips"))
                .use_dual_stack(variant.contains("dual"));
            let found = resolve(service, region, None, wanted).await.unwrap();
            assert_eq!(found.url, format!("https://{host}"), "{line}");
            assert_eq!(found.signing_region.as_ref(), signing_region, "{line}");
        }
    }

    #[tokio::test]
    async fn a_configured_endpoint_keeps_the_region() {
        let url = "http://127.0.0.1:4566/cloudformation".to_owned();
        let resolve = |wanted| resolve(IAM, "eu-central-1", Some(url.clone()), wanted);
        let found = resolve(Params::builder()).await.unwrap();
        assert_eq!(found.url, url);
        assert_eq!(found.signing_region.as_ref(), "eu-central-1");
        // The SDK crates refuse this, too.
        let refused = resolve(Params::builder().use_fips(true)).await.err();
        let refused = refused.map(|error| error.to_string()).unwrap();
        assert!(refused.contains("FIPS and custom endpoint"), "{refused}");
    }
}

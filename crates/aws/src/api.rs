//! Client for services with too few operations in use to compile their SDK crates.
//!
//! The SDK's runtime does the same as for its generated crates: it signs with the same credentials,
//! corrects clock skew, applies timeouts, and sends through the same HTTP client. Only the wire
//! protocols are implemented here.

use std::fmt::Debug;

use aws_config::BehaviorVersion;
use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::invocation_id::InvocationIdInterceptor;
use aws_runtime::request_info::RequestInfoInterceptor;
use aws_runtime::service_clock_skew::ServiceClockSkewInterceptor;
use aws_runtime::user_agent::{ApiMetadata, UserAgentInterceptor};
use aws_smithy_runtime::client::http::connection_poisoning::ConnectionPoisoningInterceptor;
use aws_smithy_runtime::client::orchestrator::endpoints::StaticUriEndpointResolver;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{
    HttpStatusCodeClassifier, TransientErrorClassifier,
};
use aws_smithy_runtime::client::retries::strategy::NeverRetryStrategy;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::AuthSchemeOptionResolverParams;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::endpoint::EndpointResolverParams;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::{SharedRuntimePlugin, StaticRuntimePlugin};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::ErrorMetadata;
use aws_types::SigningName;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::endpoint::{self, Endpoint, Protocol, Service};
use super::error;
use super::sense::Sense;
use crate::remote::Remote;
use deployment::error::Failure;

pub(super) const ELB: Service = Service {
    name: "elasticloadbalancing",
    id: "Elastic Load Balancing v2",
    is_global: false,
    protocol: Protocol::Query {
        version: "2015-12-01",
    },
};
pub(super) const IAM: Service = Service {
    name: "iam",
    id: "IAM",
    is_global: true,
    protocol: Protocol::Query {
        version: "2010-05-08",
    },
};
pub(super) const LOGS: Service = Service {
    name: "logs",
    id: "CloudWatch Logs",
    is_global: false,
    protocol: Protocol::Json {
        target: "Logs_20140328",
    },
};

pub(super) const PARAMETERS: Service = Service {
    name: "ssm",
    id: "SSM",
    is_global: false,
    protocol: Protocol::Json {
        target: "AmazonSSM",
    },
};
pub(super) const SECRETS: Service = Service {
    name: "secretsmanager",
    id: "Secrets Manager",
    is_global: false,
    protocol: Protocol::Json {
        target: "secretsmanager",
    },
};

/// Client of one service. Like the SDK clients here, it never retries a call.
#[derive(Debug)]
pub(super) struct Api {
    service: Service,
    settings: SharedRuntimePlugin,
}

impl Api {
    /// Creates the client with region, credentials, endpoints and timeouts from the shared
    /// configuration.
    #[expect(
        clippy::disallowed_types,
        reason = "one of the files that configure SDK clients"
    )]
    pub(super) async fn new(
        service: Service,
        config: &aws_config::SdkConfig,
    ) -> Result<Self, Failure> {
        let Endpoint {
            url,
            signing_region,
        } = endpoint::of(service, config).await?;
        let mut layer = Layer::new("settings");
        layer.store_put(ApiMetadata::new(service.name, env!("CARGO_PKG_VERSION")));
        // The runtime requires the parameters of both resolvers, although the static ones ignore
        // them.
        layer.store_put(AuthSchemeOptionResolverParams::new(()));
        layer.store_put(EndpointResolverParams::new(()));
        layer.store_put(SigV4OperationSigningConfig {
            region: Some(signing_region),
            name: Some(SigningName::from_static(service.name)),
            ..SigV4OperationSigningConfig::default()
        });
        if let Some(timeouts) = config.timeout_config() {
            layer.store_put(timeouts.clone());
        }
        if let Some(name) = config.app_name() {
            layer.store_put(name.clone());
        }
        let sense = match service.protocol {
            Protocol::Query { .. } => Sense::Xml,
            Protocol::Json { .. } => Sense::Json,
        };
        let components = RuntimeComponentsBuilder::new("settings")
            .with_http_client(config.http_client())
            .with_identity_cache(config.identity_cache())
            .with_sleep_impl(config.sleep_impl())
            .with_time_source(config.time_source())
            .with_endpoint_resolver(Some(StaticUriEndpointResolver::uri(url)))
            .with_retry_strategy(Some(NeverRetryStrategy::new()))
            .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![
                SCHEME_ID,
            ])))
            .with_auth_scheme(SigV4AuthScheme::new())
            .with_interceptor(ServiceClockSkewInterceptor::new())
            .with_interceptor(RequestInfoInterceptor::new())
            .with_interceptor(UserAgentInterceptor::new())
            .with_interceptor(InvocationIdInterceptor::new())
            .with_interceptor(ConnectionPoisoningInterceptor::new())
            // Nothing is retried: the classifiers tell the interceptor above which connections not
            // to use again.
            .with_retry_classifier(TransientErrorClassifier::<ErrorMetadata>::new())
            .with_retry_classifier(HttpStatusCodeClassifier::default())
            .with_interceptor(sense);
        let components = match config.credentials_provider() {
            Some(provider) => components.with_identity_resolver(SCHEME_ID, provider),
            None => components,
        };
        let settings = StaticRuntimePlugin::new()
            .with_config(layer.freeze())
            .with_runtime_components(components);
        Ok(Self {
            service,
            settings: SharedRuntimePlugin::new(settings),
        })
    }

    /// Calls an operation. `input` has the members of the API reference.
    pub(super) async fn call<T>(&self, operation: &'static str, input: Value) -> Remote<T>
    where
        T: DeserializeOwned + Debug + Send + Sync + 'static,
    {
        let protocol = self.service.protocol;
        Operation::builder()
            .service_name(self.service.name)
            .operation_name(operation)
            .behavior_version(BehaviorVersion::latest())
            .runtime_plugin(self.settings.clone())
            .serializer(move |input| protocol.request(operation, &input))
            .deserializer(move |response| protocol.read::<T>(response))
            .build()
            .invoke(input)
            .await
            .map_err(error::of(operation))
    }
}

impl Protocol {
    fn request(self, operation: &str, input: &Value) -> Result<HttpRequest, BoxError> {
        let body = match self {
            Self::Query { version } => form(operation, version, input.as_object()),
            Self::Json { .. } => input.to_string(),
        };
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST")?;
        // The endpoint resolver adds scheme and host.
        request.set_uri("/")?;
        let headers = request.headers_mut();
        match self {
            Self::Query { .. } => {
                headers.insert("content-type", "application/x-www-form-urlencoded");
            }
            Self::Json { target } => {
                headers.insert("content-type", "application/x-amz-json-1.1");
                headers.insert("x-amz-target", format!("{target}.{operation}"));
            }
        }
        Ok(request)
    }

    /// Reads a response. `Sense` checks separately that a successful one is the service's.
    fn read<T: DeserializeOwned>(
        self,
        response: &HttpResponse,
    ) -> Result<T, OrchestratorError<ErrorMetadata>> {
        let body = response.body().bytes().unwrap_or_default();
        if response.status().is_success() {
            let read: Result<T, BoxError> = match self {
                Self::Query { .. } => quick_xml::de::from_reader(body).map_err(Into::into),
                Self::Json { .. } => serde_json::from_slice(body).map_err(Into::into),
            };
            return read.map_err(OrchestratorError::other);
        }
        let Refusal { code, message } = match self {
            Self::Query { .. } => refusal_in_xml(body),
            Self::Json { .. } => refusal_in_json(body),
        };
        // The header takes precedence over the body, as in the SDK.
        let header = response.headers().get("x-amzn-errortype");
        let mut metadata = ErrorMetadata::builder();
        if let Some(code) = header.or(code.as_deref()) {
            metadata = metadata.code(plain(code));
        }
        let message =
            message.unwrap_or_else(|| format!("HTTP status {}", response.status().as_u16()));
        Err(OrchestratorError::operation(
            metadata.message(message).build(),
        ))
    }
}

fn form(operation: &str, version: &str, input: Option<&Map<String, Value>>) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", operation);
    form.append_pair("Version", version);
    for (name, value) in input.into_iter().flatten() {
        match value.as_str() {
            Some(text) => form.append_pair(name, text),
            // Numbers and booleans, which the query protocol writes like JSON.
            None => form.append_pair(name, &value.to_string()),
        };
    }
    form.finish()
}

/// Returns an error code without prefix and suffix: `aws.logs#NotFound:http://…` becomes
/// `NotFound`.
fn plain(code: &str) -> &str {
    let code = code.split(':').next().unwrap_or(code);
    code.rsplit('#').next().unwrap_or(code)
}

/// Error response of a service.
#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(rename = "Code")]
    code: Option<String>,
    #[serde(rename = "Message")]
    message: Option<String>,
}

fn refusal_in_xml(body: &[u8]) -> Refusal {
    #[derive(Debug, Deserialize)]
    struct ErrorResponse {
        #[serde(rename = "Error")]
        error: Refusal,
    }
    quick_xml::de::from_reader(body).map_or_else(
        // A proxy may respond with HTML: the HTTP status then becomes the message.
        |_no_xml| Refusal::default(),
        |ErrorResponse { error }| error,
    )
}

fn refusal_in_json(body: &[u8]) -> Refusal {
    // Anything but JSON gives neither code nor message: the header and the HTTP status then decide.
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |names: &[&str]| {
        let mut texts = names.iter().filter_map(|name| body.get(name)?.as_str());
        texts.next().map(str::to_owned)
    };
    Refusal {
        // `awsJson1_1` names the code `__type`; services differ in the case of `message`.
        code: text(&["code", "__type"]),
        message: text(&["message", "Message", "errorMessage"]),
    }
}

//! HTTP client of all services. The whole program uses one TLS stack: rustls with ring.

use std::error::Error;

use aws_sdk_sts::config::{RuntimeComponents, SharedHttpClient};
use aws_sdk_sts::error::ConnectorError;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;

use super::error::Untrusted;

/// Builds the client. Proxies come from the environment, except for connections to this machine.
pub(super) fn client(local: bool, trusted: TlsContext) -> SharedHttpClient {
    let inner = Builder::new().build_with_connector_fn(move |settings, components| {
        // A proxy on another host cannot reach this machine's loopback address.
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
            .tls_context(trusted.clone())
            .build()
    });
    SharedHttpClient::new(Checked(inner))
}

/// Maximum size of a response, bytes. AWS pages have at most about one megabyte.
const LARGEST: usize = 16 << 20;

/// Client or connector that reports untrusted certificates and limits the size of responses.
///
/// The SDK would report a TLS error as a broken connection, which callers retry.
#[derive(Debug)]
struct Checked<T>(T);

impl HttpClient for Checked<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Checked(self.0.http_connector(settings, components)))
    }
}

impl HttpConnector for Checked<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        // Copied, because `call` consumes the request.
        let host = request.uri().to_owned();
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let response = answer.await.map_err(|error| match refusal(&error) {
                Some(cause) => {
                    let host = host_of(&host);
                    ConnectorError::other(Untrusted { host, cause }.into(), None)
                }
                None => error,
            })?;
            Ok(response.map(|body| SdkBody::from_body_1_x(Limited::new(body, LARGEST))))
        })
    }
}

fn host_of(uri: &str) -> String {
    url::Url::parse(uri)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_else(|| uri.to_owned())
}

/// Returns the problem of the server's certificate, if that is the cause.
fn refusal(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(cause)) = error.downcast_ref() {
            return Some(cause.to_string());
        }
        // `io::Error::source` skips the error that it wraps, so that it is inspected separately.
        let held = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if let Some(cause) = held.and_then(|held| refusal(held)) {
            return Some(cause);
        }
        next = error.source();
    }
    None
}

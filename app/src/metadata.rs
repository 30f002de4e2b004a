//! The ECS task id, from the task metadata endpoint version 4.
//!
//! One request over plain HTTP to a link-local address, at start-up. It never has to work: without an
//! answer the instance gets a random name.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::http::uri::Scheme;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

/// Longest time the request may take, connecting and reading included.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(2);

/// Most bytes of the answer that are read. A task of ten containers describes itself in about 20 KiB.
const BODY_LIMIT: usize = 1024 * 1024;

/// Why the task id is not known.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// The address in the environment is not of the form `http://<IP address>[:port]/path`.
    /// Names are not looked up: the agent gives an address, and a resolver would be linked for nothing.
    #[error("`{uri}` is not an http address with an IP address as host")]
    Address {
        /// What was found.
        uri: String,
    },
    /// No complete answer within the time limit.
    #[error("no answer from the task metadata endpoint within {} ms", .limit.as_millis())]
    Timeout {
        /// The time limit.
        limit: Duration,
    },
    /// No TCP connection.
    #[error("cannot connect to the task metadata endpoint: {0}")]
    Connect(#[source] std::io::Error),
    /// The connection broke or did not speak HTTP.
    #[error("cannot exchange a request with the task metadata endpoint: {0}")]
    Exchange(#[source] hyper::Error),
    /// An answer other than 200.
    #[error("the task metadata endpoint answered {status}")]
    Status {
        /// The status.
        status: StatusCode,
    },
    /// The body broke off or is longer than 1 MiB.
    #[error("cannot read the task metadata: {0}")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The body is not JSON or has no `TaskARN`.
    #[error("cannot understand the task metadata: {0}")]
    Json(#[source] serde_json::Error),
    /// `TaskARN` is not the ARN of a task.
    #[error("`{arn}` is not the ARN of a task")]
    TaskArn {
        /// What was found.
        arn: String,
    },
}

/// Asks the endpoint at `base`, the value of `ECS_CONTAINER_METADATA_URI_V4`, for the id of the task
/// this process belongs to.
pub async fn fetch_task_id(base: &str, limit: Duration) -> Result<String, MetadataError> {
    tokio::time::timeout(limit, async {
        let body = fetch(&endpoint(base)?).await?;
        parse_task(&body)
    })
    .await
    .unwrap_or(Err(MetadataError::Timeout { limit }))
}

/// Where to connect and what to ask for there.
#[derive(Debug, PartialEq, Eq)]
struct Endpoint {
    address: SocketAddr,
    authority: String,
    path: String,
}

fn endpoint(base: &str) -> Result<Endpoint, MetadataError> {
    let parse = || {
        let uri: Uri = base.parse().ok()?;
        let authority = uri.authority()?;
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let host: IpAddr = host.parse().ok()?;
        (uri.scheme() == Some(&Scheme::HTTP) && uri.query().is_none()).then(|| Endpoint {
            address: SocketAddr::new(host, authority.port_u16().unwrap_or(80)),
            authority: authority.to_string(),
            path: format!("{}/task", uri.path().trim_end_matches('/')),
        })
    };
    parse().ok_or_else(|| MetadataError::Address {
        uri: base.to_owned(),
    })
}

async fn fetch(endpoint: &Endpoint) -> Result<Bytes, MetadataError> {
    let request = Request::get(&endpoint.path)
        .header(HOST, &endpoint.authority)
        .body(Empty::<Bytes>::new())
        .map_err(|_| MetadataError::Address {
            uri: endpoint.authority.clone(),
        })?;
    let stream = TcpStream::connect(endpoint.address)
        .await
        .map_err(MetadataError::Connect)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(MetadataError::Exchange)?;
    let exchange = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(MetadataError::Exchange)?;
        read_body(response).await
    };
    // Driven side by side rather than spawned: when the time is up, both are dropped together.
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        body = &mut exchange => body,
        // The end of the connection is not the end of the answer, which may wait in a channel.
        _ = connection => exchange.await,
    }
}

async fn read_body(response: Response<Incoming>) -> Result<Bytes, MetadataError> {
    if response.status() != StatusCode::OK {
        return Err(MetadataError::Status {
            status: response.status(),
        });
    }
    let body = Limited::new(response.into_body(), BODY_LIMIT);
    Ok(body
        .collect()
        .await
        .map_err(MetadataError::Body)?
        .to_bytes())
}

fn parse_task(body: &[u8]) -> Result<String, MetadataError> {
    #[derive(Deserialize)]
    struct Task {
        #[serde(rename = "TaskARN")]
        arn: String,
    }
    let Task { arn } = serde_json::from_slice(body).map_err(MetadataError::Json)?;
    match task_id(&arn) {
        Some(id) => Ok(id.to_owned()),
        None => Err(MetadataError::TaskArn { arn }),
    }
}

/// The last segment of `arn:<partition>:ecs:<region>:<account>:task/<cluster>/<id>`; the cluster is
/// missing in ARNs of the old, short form.
fn task_id(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    let is_ecs = parts.next() == Some("arn") && parts.nth(1) == Some("ecs");
    let (_, id) = parts
        .nth(2)?
        .strip_prefix("task/")
        .map(|path| path.rsplit_once('/').unwrap_or(("", path)))?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (is_ecs && (1..=64).contains(&id.len()) && id.bytes().all(allowed)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_id_is_the_last_segment_of_the_arn() {
        let table = [
            (
                "arn:aws:ecs:us-west-2:111122223333:task/default/158d1c8083dd49d6b527399fd6414f5c",
                "158d1c8083dd49d6b527399fd6414f5c",
            ),
            (
                "arn:aws-cn:ecs:cn-north-1:111122223333:task/my-cluster/0a1b",
                "0a1b",
            ),
            (
                "arn:aws:ecs:us-west-2:111122223333:task/c5cba4eb-5dad-405e-96db-71ef8eefe6a8",
                "c5cba4eb-5dad-405e-96db-71ef8eefe6a8",
            ),
        ];
        for (arn, expected) in table {
            assert_eq!(task_id(arn), Some(expected));
        }
        let wrong = [
            "",
            "158d1c8083dd49d6b527399fd6414f5c",
            "arn:aws:ecs:us-west-2:111122223333:task/default/",
            "arn:aws:ecs:us-west-2:111122223333:task",
            "arn:aws:ecs:us-west-2:111122223333:service/default/web",
            "arn:aws:ec2:us-west-2:111122223333:task/default/0a1b",
            "arn:aws:ecs:us-west-2:111122223333:task/default/a b",
            "arn:aws:ecs:us-west-2:111122223333:task/default/\"",
        ];
        for arn in wrong {
            assert_eq!(task_id(arn), None, "{arn:?}");
        }
        assert_eq!(
            task_id(&format!("arn:aws:ecs:r:1:task/{}", "a".repeat(65))),
            None
        );
    }

    #[test]
    fn metadata_is_json_with_a_task_arn() {
        let body = br#"{"Cluster":"default","TaskARN":"arn:aws:ecs:r:1:task/default/0a1b","Containers":[]}"#;
        assert_eq!(parse_task(body).unwrap(), "0a1b");
        for body in ["", "{}", "[]", "<html>", r#"{"TaskARN":null}"#] {
            assert!(
                matches!(parse_task(body.as_bytes()), Err(MetadataError::Json(_))),
                "{body}"
            );
        }
        assert!(matches!(
            parse_task(br#"{"TaskARN":"x"}"#),
            Err(MetadataError::TaskArn { .. })
        ));
    }

    #[test]
    fn endpoint_is_the_base_address_and_task() {
        let found = endpoint("http://169.254.170.2/v4/0a1b-2c").unwrap();
        assert_eq!(found.address, "169.254.170.2:80".parse().unwrap());
        assert_eq!(
            (found.authority.as_str(), found.path.as_str()),
            ("169.254.170.2", "/v4/0a1b-2c/task")
        );

        let found = endpoint("http://[fd00:ec2::1]:8000/").unwrap();
        assert_eq!(found.address, "[fd00:ec2::1]:8000".parse().unwrap());
        assert_eq!(found.path, "/task");

        for base in [
            "",
            "/v4",
            "169.254.170.2",
            "https://169.254.170.2/v4",
            "http://localhost/v4",
            "http://1.2.3.4/v4?x",
        ] {
            assert!(
                matches!(endpoint(base), Err(MetadataError::Address { .. })),
                "{base:?}"
            );
        }
    }
}

//! Client of the ECS task metadata endpoint, version 4, for the task id and the quality of the
//! clock.
//!
//! It sends HTTP/1.0 requests to a link-local address: an answer is a head and all bytes until the
//! connection ends, which takes a few lines on a socket. hyper's client would be a twentieth of the
//! program. The service works without the endpoint.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use warp::http::Uri;
use warp::http::uri::Scheme;

use crate::clock::{ClockReading, Synchronization};

/// Maximum time of a request, including connecting and reading.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(2);

/// Pause between two attempts at start-up.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Maximum size of an answer. A task of ten containers describes itself in about 20 KiB.
const ANSWER_LIMIT: u64 = 1024 * 1024;

/// Maximum number of headers of an answer.
const HEADER_LIMIT: usize = 64;

/// Reason why the metadata is unknown.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// The address in the environment is not of the form `http://<IP address>[:port]/path`.
    /// The agent sets an address, so no resolver is linked.
    #[error("`{uri}` is not an http address with an IP address as host")]
    Address {
        /// Value found.
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
    Connect(#[source] io::Error),
    /// The connection broke.
    #[error("cannot exchange a request with the task metadata endpoint: {0}")]
    Exchange(#[source] io::Error),
    /// The answer is not HTTP, is chunked (which HTTP/1.0 excludes), or is incomplete.
    #[error("the task metadata endpoint gave no complete HTTP answer")]
    NotHttp,
    /// The answer is longer than 1 MiB.
    #[error("the task metadata endpoint answered with more than {ANSWER_LIMIT} bytes")]
    TooLong,
    /// An answer other than 200.
    #[error("the task metadata endpoint answered {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// The body is not JSON or has no `TaskARN`.
    #[error("cannot understand the task metadata: {0}")]
    Json(#[source] serde_json::Error),
    /// `TaskARN` is not the ARN of a task.
    #[error("`{arn}` is not the ARN of a task")]
    TaskArn {
        /// Value found.
        arn: String,
    },
}

/// Address of the task metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    address: SocketAddr,
    authority: String,
    path: String,
}

/// Answer of the endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    body: Vec<u8>,
}

impl Endpoint {
    /// Parses the base address, the value of `ECS_CONTAINER_METADATA_URI_V4`.
    pub fn parse(base: &str) -> Result<Self, MetadataError> {
        let parse = || {
            let uri: Uri = base.parse().ok()?;
            let authority = uri.authority()?;
            let host = authority
                .host()
                // `Uri` keeps the brackets of an IPv6 host, which `IpAddr` rejects.
                .trim_start_matches('[')
                .trim_end_matches(']');
            let host: IpAddr = host.parse().ok()?;
            (uri.scheme() == Some(&Scheme::HTTP) && uri.query().is_none()).then(|| Self {
                address: SocketAddr::new(host, authority.port_u16().unwrap_or(80)),
                authority: authority.to_string(),
                path: format!("{}/task", uri.path().trim_end_matches('/')),
            })
        };
        parse().ok_or_else(|| MetadataError::Address {
            uri: base.to_owned(),
        })
    }

    /// Requests the metadata of the task of this process, within `limit`.
    pub async fn fetch(&self, limit: Duration) -> Result<Metadata, MetadataError> {
        let answer = tokio::time::timeout(limit, self.exchange())
            .await
            .unwrap_or(Err(MetadataError::Timeout { limit }))?;
        Ok(Metadata {
            body: body(answer)?,
        })
    }

    /// Requests the metadata and retries after a failure, within [`TIME_LIMIT`] in total. The name
    /// from the answer is kept for the life of the process: one that changed later would count as
    /// two instances.
    pub(crate) async fn fetch_at_start(&self) -> Result<Metadata, MetadataError> {
        let deadline = Instant::now() + TIME_LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.fetch(left).await {
                Err(_) if Instant::now() + RETRY_PAUSE < deadline => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    async fn exchange(&self) -> Result<Vec<u8>, MetadataError> {
        let mut stream = TcpStream::connect(self.address)
            .await
            .map_err(MetadataError::Connect)?;
        let request = format!(
            "GET {} HTTP/1.0\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.path, self.authority
        );
        stream
            .write_all(request.as_bytes())
            .await
            .map_err(MetadataError::Exchange)?;
        let mut answer = Vec::new();
        stream
            // One byte more tells an answer that is too long from one of exactly the limit.
            .take(ANSWER_LIMIT + 1)
            .read_to_end(&mut answer)
            .await
            .map_err(MetadataError::Exchange)?;
        Ok(answer)
    }
}

/// Extracts the body of an answer, which extends to the end of the connection.
fn body(mut answer: Vec<u8>) -> Result<Vec<u8>, MetadataError> {
    if answer.len() as u64 > ANSWER_LIMIT {
        return Err(MetadataError::TooLong);
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(head_length)) = head.parse(&answer) else {
        return Err(MetadataError::NotHttp);
    };
    let status = head.code.unwrap_or_default();
    if status != 200 {
        return Err(MetadataError::Status { status });
    }
    let header = |name: &str| {
        let found = head
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    };
    let expected = header("content-length").map(str::parse::<usize>);
    let found = answer.len() - head_length;
    let is_complete = expected.is_none_or(|expected| expected.is_ok_and(|length| length <= found));
    if header("transfer-encoding").is_some() || !is_complete {
        return Err(MetadataError::NotHttp);
    }
    answer.drain(..head_length);
    Ok(answer)
}

impl Metadata {
    /// Returns the id of the task.
    pub fn task_id(&self) -> Result<String, MetadataError> {
        #[derive(Deserialize)]
        struct Task {
            #[serde(rename = "TaskARN")]
            arn: String,
        }
        let Task { arn } = serde_json::from_slice(&self.body).map_err(MetadataError::Json)?;
        match task_id(&arn) {
            Some(id) => Ok(id.to_owned()),
            None => Err(MetadataError::TaskArn { arn }),
        }
    }

    /// Returns the reading of the clock, if there is a valid one.
    ///
    /// Fargate reports it for the task. It used to report it for each container; all share one
    /// clock.
    pub fn clock(&self) -> Option<ClockReading> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Task {
            clock_drift: Option<ClockDrift>,
            containers: Option<Vec<Container>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Container {
            clock_drift: Option<ClockDrift>,
        }
        let task: Task = serde_json::from_slice(&self.body).ok()?;
        task.clock_drift
            .or_else(|| {
                let mut containers = task.containers.into_iter().flatten();
                containers.find_map(|one| one.clock_drift)
            })?
            .reading()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ClockDrift {
    /// Milliseconds.
    clock_error_bound: Option<f64>,
    reference_timestamp: Option<String>,
    clock_synchronization_status: String,
}

impl ClockDrift {
    fn reading(self) -> Option<ClockReading> {
        let status = Synchronization::parse(&self.clock_synchronization_status)?;
        let error_bound = self.clock_error_bound.and_then(whole_microseconds);
        // An unsynchronised clock may have no error bound.
        if status == Synchronization::Synchronized && error_bound.is_none() {
            return None;
        }
        Some(ClockReading {
            status,
            error_bound,
            reference: self.reference_timestamp.unwrap_or_default(),
        })
    }
}

/// Rounds milliseconds up to microseconds: only 0 is no error at all.
fn whole_microseconds(milliseconds: f64) -> Option<Duration> {
    let bound = Duration::try_from_secs_f64(milliseconds / 1000.0).ok()?;
    let microseconds = bound.as_nanos().div_ceil(1000);
    // Less than half a nanosecond was rounded to zero.
    let least = u128::from(milliseconds > 0.0);
    Some(Duration::from_micros(
        u64::try_from(microseconds.max(least)).ok()?,
    ))
}

/// Returns the last segment of `arn:<partition>:ecs:<region>:<account>:task/<cluster>/<id>`; the
/// cluster is missing in ARNs of the old, short form.
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

    fn metadata(body: &str) -> Metadata {
        Metadata {
            body: body.as_bytes().to_vec(),
        }
    }

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
        let body =
            r#"{"Cluster":"default","TaskARN":"arn:aws:ecs:r:1:task/default/0a1b","ClockDrift":7}"#;
        assert_eq!(metadata(body).task_id().unwrap(), "0a1b");
        for body in ["", "{}", "[]", "<html>", r#"{"TaskARN":null}"#] {
            assert!(
                matches!(metadata(body).task_id(), Err(MetadataError::Json(_))),
                "{body}"
            );
        }
        assert!(matches!(
            metadata(r#"{"TaskARN":"x"}"#).task_id(),
            Err(MetadataError::TaskArn { .. })
        ));
    }

    #[test]
    fn the_clock_is_told_of_the_task_or_of_a_container() {
        let drift = r#""ClockDrift":{"ClockErrorBound":0.5458234999999999,"ReferenceTimestamp":"2021-09-07T16:57:44Z","ClockSynchronizationStatus":"SYNCHRONIZED"}"#;
        let expected = ClockReading {
            status: Synchronization::Synchronized,
            error_bound: Some(Duration::from_micros(546)),
            reference: "2021-09-07T16:57:44Z".to_owned(),
        };
        for body in [
            format!(r#"{{"Containers":[{{"Name":"a"}}],{drift}}}"#),
            format!(r#"{{"TaskARN":"x","Containers":[{{"Name":"a"}},{{{drift}}}]}}"#),
            format!(r#"{{"TaskARN":"x","Containers":null,{drift}}}"#),
        ] {
            assert_eq!(metadata(&body).clock().as_ref(), Some(&expected), "{body}");
        }
    }

    #[test]
    fn an_error_bound_is_rounded_up() {
        for (milliseconds, microseconds) in [
            ("0", 0),
            ("-0.0", 0),
            ("1e-320", 1),
            ("1e-9", 1),
            ("0.0009", 1),
            ("0.001", 1),
            ("0.0011", 2),
            ("0.057", 57),
            ("3", 3000),
        ] {
            let found = whole_microseconds(milliseconds.parse().unwrap());
            assert_eq!(
                found,
                Some(Duration::from_micros(microseconds)),
                "{milliseconds}"
            );
        }
    }

    #[test]
    fn a_clock_that_is_not_understood_is_not_told() {
        let drift = |bound: &str, status: &str| {
            format!(
                r#"{{"ClockDrift":{{"ClockErrorBound":{bound},"ClockSynchronizationStatus":{status}}}}}"#
            )
        };
        // An unsynchronised clock is reported even without an error bound.
        let three = Some(Duration::from_millis(3));
        for (bound, expected) in [("3", three), ("null", None), ("-1", None), ("1e300", None)] {
            let reading = metadata(&drift(bound, "\"NOT_SYNCHRONIZED\"")).clock();
            assert_eq!(
                reading.map(|reading| (reading.status, reading.error_bound)),
                Some((Synchronization::NotSynchronized, expected)),
                "{bound}"
            );
        }
        for body in [
            String::new(),
            "{}".to_owned(),
            r#"{"Containers":[]}"#.to_owned(),
            r#"{"ClockDrift":null}"#.to_owned(),
            drift("-1", "\"SYNCHRONIZED\""),
            drift("1e300", "\"SYNCHRONIZED\""),
            drift("null", "\"SYNCHRONIZED\""),
            drift("\"1\"", "\"SYNCHRONIZED\""),
            drift("1", "\"PERHAPS\""),
            drift("1", "null"),
        ] {
            assert_eq!(metadata(&body).clock(), None, "{body}");
        }
    }

    #[test]
    fn endpoint_is_the_base_address_and_task() {
        let found = Endpoint::parse("http://169.254.170.2/v4/0a1b-2c").unwrap();
        assert_eq!(found.address, "169.254.170.2:80".parse().unwrap());
        assert_eq!(
            (found.authority.as_str(), found.path.as_str()),
            ("169.254.170.2", "/v4/0a1b-2c/task")
        );

        let found = Endpoint::parse("http://[fd00:ec2::1]:8000/").unwrap();
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
                matches!(Endpoint::parse(base), Err(MetadataError::Address { .. })),
                "{base:?}"
            );
        }
    }

    #[test]
    fn an_answer_has_a_head_and_a_whole_body() {
        let read = |answer: &str| body(answer.as_bytes().to_vec());
        assert_eq!(read("HTTP/1.0 200 OK\r\n\r\n{}").unwrap(), b"{}");
        assert_eq!(
            read("HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 2\r\n\r\n{}").unwrap(),
            b"{}"
        );
        for answer in [
            "",
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        ] {
            assert!(
                matches!(read(answer), Err(MetadataError::NotHttp)),
                "{answer:?}"
            );
        }
        assert!(matches!(
            read("HTTP/1.1 503 Busy\r\n\r\n"),
            Err(MetadataError::Status { status: 503 })
        ));
    }
}

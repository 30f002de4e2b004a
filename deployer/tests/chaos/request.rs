//! What goes through the proxy: just enough of HTTP/1.1, one request after the other.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request, whole.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// How the body of a request is to be understood, and its errors to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// CloudFormation, STS, load balancers.
    Query,
    /// ECS, ECR, logs.
    Json,
    /// Images.
    Registry,
}

impl Request {
    /// Reads one request; `None` when the client closed the connection, or broke off.
    pub(crate) async fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        let end_of_head = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let body = bytes.split_off(end_of_head + 4);
        let head = String::from_utf8_lossy(&bytes).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let mut first = lines.next()?.split(' ');
        let mut request = Self {
            method: first.next()?.to_owned(),
            path: first.next()?.to_owned(),
            headers: lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect(),
            body,
        };
        assert!(
            request.header("transfer-encoding").is_none(),
            "the proxy does not read chunks"
        );
        let length: usize = request
            .header("content-length")
            .map_or(0, |length| length.parse().expect("a length"));
        while request.body.len() < length {
            if stream.read_buf(&mut request.body).await.ok()? == 0 {
                return None;
            }
        }
        Some(request)
    }

    /// Appends a call of AWS to the file `AWS_REQUESTS`, for scripts/check-requests.py.
    pub(crate) fn keep(&self) {
        let of_aws = matches!(self.call(), Some((_, Protocol::Query | Protocol::Json)));
        let Some(path) = std::env::var_os("AWS_REQUESTS").filter(|_| of_aws) else {
            return;
        };
        let kept = serde_json::json!({
            "authorization": self.header("authorization"),
            "target": self.header("x-amz-target"),
            "body": String::from_utf8_lossy(&self.body),
        });
        let file = std::fs::File::options()
            .append(true)
            .create(true)
            .open(path);
        let mut file = file.expect("a file that can be written to");
        // One write, because requests come at the same time.
        std::io::Write::write_all(&mut file, format!("{kept}\n").as_bytes()).expect("room");
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The call that this is, and its protocol; `None` when it is not one of ours: Docker pulls, requests to the service.
    pub(crate) fn call(&self) -> Option<(String, Protocol)> {
        let agent = self.header("user-agent").unwrap_or_default();
        let host = self.header("host").unwrap_or_default();
        let of_docker = agent.starts_with("docker/") || agent.starts_with("containerd");
        let of_service = host.contains(".alb.localhost") || host.contains("amazonaws.com");
        if of_docker || of_service {
            return None;
        }
        if let Some(path) = self.path.strip_prefix("/v2/") {
            let what = ["manifests", "uploads", "blobs"]
                .into_iter()
                .find(|what| path.contains(what))
                .unwrap_or("registry");
            return Some((format!("{} {what}", self.method), Protocol::Registry));
        }
        if let Some(target) = self.header("x-amz-target") {
            let name = target.rsplit('.').next()?;
            return Some((name.to_owned(), Protocol::Json));
        }
        let body = String::from_utf8_lossy(&self.body);
        let action = body
            .split('&')
            .find_map(|pair| pair.strip_prefix("Action="))?;
        Some((action.to_owned(), Protocol::Query))
    }
}

/// An answer, whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &str, body: &str) -> Self {
        let length = ("content-length".to_owned(), body.len().to_string());
        let kind = ("content-type".to_owned(), content_type.to_owned());
        Self {
            status,
            headers: vec![kind, length],
            body: body.as_bytes().to_vec(),
        }
    }

    /// Sends it to its last byte, and no more than that of the body which fits the method. The connection stays as it is.
    pub(crate) async fn write(&self, stream: &mut TcpStream, method: &str) -> std::io::Result<()> {
        let mut text = format!("HTTP/1.1 {} X\r\n", self.status);
        for (name, value) in &self.headers {
            text.extend([name, ": ", value, "\r\n"]);
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        if method != "HEAD" {
            bytes.extend_from_slice(&self.body);
        }
        stream.write_all(&bytes).await
    }
}

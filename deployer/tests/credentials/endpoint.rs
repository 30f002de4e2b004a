//! An endpoint on this machine that plays everything that gives out credentials (STS, the SSO portal, the sign-in service), and
//! CloudFormation, which tells with which access key it was asked.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A request that came in.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The action of a query API, or method and path.
    pub(crate) call: String,
    /// The access key that signed it; empty where none did.
    pub(crate) key: String,
    /// All of its body.
    pub(crate) body: String,
}

/// Status line and body of an answer.
pub(crate) type Answer = (u16, String);

/// Access key and secret that are given out instead of ones that tell who gave them.
type Given = Option<(String, String)>;

/// What comes before the usual answer: `None` leaves it to that.
type Script = dyn Fn(&Request) -> Option<Answer> + Send + Sync;

/// The endpoint; it lives as long as the test's process.
pub(crate) struct Endpoint {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Endpoint {
    /// Starts one in which everything goes well.
    pub(crate) fn start() -> Self {
        Self::scripted(|_| None)
    }

    /// Starts one that gives out this access key only.
    pub(crate) fn giving(key: &str, secret: &str) -> Self {
        let given = Some((key.to_owned(), secret.to_owned()));
        Self::scripted(move |request| Some(usual(request, &given)))
    }

    /// Starts one in which everything goes well, and that is spoken to with TLS.
    pub(crate) fn secured(config: rustls::ServerConfig) -> Self {
        Self::listening(|_| None, Some(Arc::new(config)))
    }

    /// Starts one that gives these answers first.
    pub(crate) fn scripted(
        script: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        Self::listening(script, None)
    }

    fn listening(
        script: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Script> = Arc::new(script);
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                let tls = tls.clone().map(rustls::ServerConnection::new);
                // A client that goes away is no fault of the test.
                thread::spawn(move || match tls {
                    Some(Ok(tls)) => {
                        let stream = rustls::StreamOwned::new(tls, stream);
                        serve(stream, &seen, script.as_ref()).ok()
                    }
                    Some(Err(_)) => None,
                    None => serve(stream, &seen, script.as_ref()).ok(),
                });
            }
        });
        Self {
            url: format!("{scheme}://{address}"),
            requests,
        }
    }

    /// All requests so far, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How often this was called.
    pub(crate) fn count(&self, call: &str) -> usize {
        let requests = self.requests();
        requests
            .iter()
            .filter(|request| request.call == call)
            .count()
    }

    /// The access keys that CloudFormation was asked with, each once.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<_> = self
            .requests()
            .into_iter()
            .filter(|request| request.call == "DescribeStacks")
            .map(|request| request.key)
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }
}

fn serve(
    mut stream: impl Read + Write,
    requests: &Mutex<Vec<Request>>,
    script: &Script,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(&mut stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let (mut length, mut key) = (0, String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "authorization" => {
                if let Some((_, rest)) = value.split_once("Credential=") {
                    key.clear();
                    key.push_str(rest.split('/').next().unwrap_or_default());
                }
            }
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let action = body
        .split('&')
        .find_map(|pair| pair.strip_prefix("Action="));
    let path = first.split('?').next().unwrap_or_default();
    let path = path.strip_suffix(" HTTP/1.1\r\n").unwrap_or(path);
    let request = Request {
        call: action.unwrap_or(path).to_owned(),
        key,
        body,
    };
    requests
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(request.clone());
    let (status, body) = script(&request).unwrap_or_else(|| usual(&request, &None));
    write!(
        stream,
        "HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    stream.flush()
}

/// The answer when everything goes well.
fn usual(request: &Request, given: &Given) -> Answer {
    let keys = |usual: &str| match given {
        Some(keys) => keys.clone(),
        None => (usual.to_owned(), "secret".to_owned()),
    };
    match request.call.as_str() {
        call @ ("AssumeRole" | "AssumeRoleWithWebIdentity") => {
            let (key, secret) = keys(&format!("ASIA{call}"));
            let body = format!(
                "<{call}Response><{call}Result><Credentials><AccessKeyId>{key}</AccessKeyId>\
                <SecretAccessKey>{secret}</SecretAccessKey><SessionToken>token</SessionToken>\
                <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
                <AssumedRoleUser><AssumedRoleId>A:s</AssumedRoleId>\
                <Arn>arn:aws:sts::123456789012:assumed-role/deploy/s</Arn></AssumedRoleUser>\
                </{call}Result></{call}Response>"
            );
            (200, body)
        }
        "GetCallerIdentity" => (
            200,
            "<GetCallerIdentityResponse><GetCallerIdentityResult>\
            <Arn>arn:aws:iam::123456789012:user/somebody</Arn><UserId>A</UserId>\
            <Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
                .to_owned(),
        ),
        "DescribeStacks" => error(400, "ValidationError", "Stack with id clock does not exist"),
        "GET /federation/credentials" => {
            let (key, secret) = keys("ASIASSO");
            let body = format!(
                r#"{{"roleCredentials": {{"accessKeyId": "{key}", "secretAccessKey": "{secret}",
                "sessionToken": "token", "expiration": 4070908800000}}}}"#
            );
            (200, body)
        }
        "POST /v1/token" => {
            let (key, secret) = keys("ASIARENEWED");
            let body = format!(
                r#"{{"accessToken": {{"accessKeyId": "{key}", "secretAccessKey": "{secret}",
                "sessionToken": "token"}}, "tokenType": "aws_sigv4", "expiresIn": 900,
                "refreshToken": "again"}}"#
            );
            (200, body)
        }
        _ => error(400, "ValidationError", "not in this script"),
    }
}

/// An error as query APIs tell it.
pub(crate) fn error(status: u16, code: &str, message: &str) -> Answer {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>\
        </Error><RequestId>r</RequestId></ErrorResponse>"
    );
    (status, body)
}

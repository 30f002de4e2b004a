//! The smallest registry that takes an image. One request per connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::digest::digest as digest_of;

/// What it says instead of what it should.
#[derive(Clone)]
pub(super) enum Answer {
    /// This status and this body, this often.
    Status(u16, String, Times),
    /// That it is busy, with this `Retry-After`, once.
    Busy(&'static str),
    /// The digest of a manifest, from now on.
    Digest(String),
    /// Breaks the connection, once.
    Hangup,
    /// Takes what is sent, and does not say where to, once.
    TakenInSilence,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    Once,
    Always,
}

impl Answer {
    pub(super) fn once(status: u16, body: &str) -> Self {
        Self::Status(status, body.to_owned(), Times::Once)
    }

    pub(super) fn always(status: u16, body: &str) -> Self {
        Self::Status(status, body.to_owned(), Times::Always)
    }

    pub(super) fn digest(digest: &str) -> Self {
        Self::Digest(digest.to_owned())
    }

    fn stays(&self) -> bool {
        matches!(self, Self::Status(_, _, Times::Always) | Self::Digest(_))
    }
}

#[derive(Default)]
struct State {
    blobs: BTreeMap<String, Vec<u8>>,
    /// By tag and by digest.
    manifests: BTreeMap<String, Vec<u8>>,
    requests: Vec<String>,
    login: Option<String>,
    /// Until when it takes no requests, and what it says of that.
    busy_until: Option<(Instant, String)>,
    /// Set if it has the referrers API: entries on each page.
    lists_referrers: Option<usize>,
    /// Repository whose layers may be mounted.
    mounts_from: Option<String>,
    /// How many tokens were given, how many more requests the last one is good for, and a new one.
    tokens: Option<(u32, u32, u32)>,
    /// In addresses that it sends.
    name: String,
    /// Method, part of the path, and what comes next.
    answers: Vec<(String, String, Vec<Answer>)>,
}

pub(super) struct FakeRegistry {
    port: u16,
    state: Arc<Mutex<State>>,
    server: tokio::task::JoinHandle<()>,
}

struct Request {
    method: String,
    path: String,
    query: String,
    authorization: String,
    is_named: bool,
    body: Vec<u8>,
}

struct Response {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Response {
    fn new(status: u16, headers: &str) -> Self {
        Self {
            status,
            headers: headers.to_owned(),
            body: Vec::new(),
        }
    }

    fn error(status: u16, code: &str) -> Self {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{code}"}}]}}"#);
        Self {
            body: body.into_bytes(),
            ..Self::new(status, "")
        }
    }
}

impl FakeRegistry {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self {
            port,
            state,
            server,
        }
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Closes the port.
    pub(super) async fn stop(&self) {
        self.server.abort();
        while !self.server.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn answer(&self, method: &str, path: &str, answers: &[Answer]) {
        let answers = answers.to_vec();
        let entry = (method.to_owned(), path.to_owned(), answers);
        self.state().answers.push(entry);
    }

    /// No more special answers.
    pub(super) fn behave(&self) {
        self.state().answers.clear();
    }

    pub(super) fn require_login(&self, user: &str, password: &str) {
        use base64::Engine as _;
        let login = format!("{user}:{password}");
        let encoded = base64::engine::general_purpose::STANDARD.encode(login);
        self.state().login = Some(format!("Basic {encoded}"));
    }

    /// Wants a token, which it gives to everybody and which is good for so many requests.
    pub(super) fn give_tokens(&self, requests: u32) {
        self.state().tokens = Some((0, 0, requests));
        self.state().name = format!("http://{}", self.address());
    }

    /// Sends addresses with a name in them.
    pub(super) fn call_itself(&self, host: &str) {
        self.state().name = format!("http://{host}:{}", self.port);
    }

    pub(super) fn put_manifest(&self, tag: &str, content: &str) {
        let mut state = self.state();
        state.manifests.insert(tag.to_owned(), content.into());
    }

    /// Takes no requests for a while, and says this in `Retry-After`.
    pub(super) fn be_busy(&self, time: Duration, told: &str) {
        self.state().busy_until = Some((Instant::now() + time, told.to_owned()));
    }

    /// From now on, it has the referrers API, with so many entries on each page.
    pub(super) fn list_referrers(&self, on_each_page: usize) {
        self.state().lists_referrers = Some(on_each_page);
    }

    /// Mounts layers of this repository.
    pub(super) fn mount_from(&self, name: &str) {
        self.state().mounts_from = Some(name.to_owned());
    }

    pub(super) fn blobs(&self) -> usize {
        self.state().blobs.len()
    }

    pub(super) fn manifest(&self, reference: &str) -> Option<Vec<u8>> {
        self.state().manifests.get(reference).cloned()
    }

    pub(super) fn forget_manifests(&self) {
        let mut state = self.state();
        state.manifests.clear();
        state.requests.clear();
    }

    /// One layer, and all manifests, are not there any more.
    pub(super) fn take_one_blob_away(&self) {
        self.forget_manifests();
        self.state().blobs.pop_first();
    }

    /// Takes what was asked since the last time.
    pub(super) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().requests)
    }

    pub(super) fn requests_that_send(&self) -> Vec<String> {
        let mut requests = self.requests();
        requests.retain(|request| !request.starts_with("GET") && !request.starts_with("HEAD"));
        requests
    }
}

impl State {
    fn respond(&mut self, request: Request) -> Option<Response> {
        self.requests
            .push(format!("{} {}", request.method, request.path));
        // As firewalls of large registries do with programs that do not say who they are.
        if !request.is_named {
            return Some(Response::new(403, ""));
        }
        if self
            .login
            .as_ref()
            .is_some_and(|login| *login != request.authorization)
        {
            let headers = "WWW-Authenticate: Basic realm=\"here\"\r\n";
            return Some(Response::new(401, headers));
        }
        if let Some(response) = self.token(&request) {
            return Some(response);
        }
        let busy = self.busy_until.as_ref();
        if let Some((_, told)) = busy.filter(|(until, _)| Instant::now() < *until) {
            let headers = format!("Retry-After: {told}\r\n");
            return Some(Response::new(429, &headers));
        }
        match self.special(&request) {
            Some(Answer::Status(status, body, _)) => Some(Response {
                body: body.into_bytes(),
                ..Response::new(status, "")
            }),
            Some(Answer::Busy(told)) => {
                Some(Response::new(503, &format!("Retry-After: {told}\r\n")))
            }
            Some(Answer::Digest(digest)) => Some(Response::new(
                200,
                &format!("Docker-Content-Digest: {digest}\r\n"),
            )),
            Some(Answer::Hangup) => None,
            Some(Answer::TakenInSilence) => {
                self.behave(request);
                Some(Response::new(201, ""))
            }
            None => Some(self.behave(request)),
        }
    }

    fn token(&mut self, request: &Request) -> Option<Response> {
        let (count, left, requests) = self.tokens.as_mut()?;
        if request.path == "/token" {
            *count += 1;
            *left = *requests;
            let body = format!(r#"{{"token":"{count}","expires_in":3600}}"#);
            return Some(Response {
                body: body.into_bytes(),
                ..Response::new(200, "")
            });
        }
        if request.authorization == format!("Bearer {count}") && *left > 0 {
            *left -= 1;
            return None;
        }
        let realm = format!("{}/token", self.name);
        let headers = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"x\"\r\n");
        Some(Response::new(401, &headers))
    }

    fn special(&mut self, request: &Request) -> Option<Answer> {
        let target = format!("{}?{}", request.path, request.query);
        let (_, _, answers) = self.answers.iter_mut().find(|(method, path, answers)| {
            *method == request.method && target.contains(path) && !answers.is_empty()
        })?;
        let answer = answers.first()?.clone();
        if !answer.stays() {
            answers.remove(0);
        }
        Some(answer)
    }

    fn behave(&mut self, request: Request) -> Response {
        let path = request.path.strip_prefix("/v2/team/app");
        let last = request.path.rsplit('/').next().unwrap().to_owned();
        match (request.method.as_str(), path) {
            ("GET", None) => Response::new(200, ""),
            ("POST", Some("/blobs/uploads/")) if self.mounts(&request.query) => {
                Response::new(201, "Location: /there\r\n")
            }
            ("POST", Some("/blobs/uploads/")) => {
                let location = format!("{}/v2/team/app/blobs/uploads/1?state=a", self.name);
                Response::new(202, &format!("Location: {location}\r\n"))
            }
            ("PUT", Some("/blobs/uploads/1")) => {
                let digest = digest_of(&request.body);
                let named = request.query.replace("%3A", ":");
                assert_eq!(named, format!("state=a&digest={digest}"));
                self.blobs.insert(digest, request.body);
                Response::new(201, "Location: /there\r\n")
            }
            ("HEAD", Some(path)) if path.starts_with("/blobs/") => {
                let status = if self.blobs.contains_key(&last) {
                    200
                } else {
                    404
                };
                Response::new(status, "")
            }
            ("GET", Some(path)) if path.starts_with("/blobs/") => match self.blobs.get(&last) {
                Some(blob) => Response {
                    body: blob.clone(),
                    ..Response::new(200, "")
                },
                None => Response::error(404, "BLOB_UNKNOWN"),
            },
            ("PUT", Some(path)) if path.starts_with("/manifests/") => {
                let digest = digest_of(&request.body);
                self.manifests.insert(digest, request.body.clone());
                self.manifests.insert(last, request.body);
                // Without a location, as ECR.
                Response::new(201, "")
            }
            (_, Some(path)) if path.starts_with("/manifests/") => match self.manifests.get(&last) {
                Some(manifest) => Response {
                    body: manifest.clone(),
                    ..Response::new(
                        200,
                        &format!("Docker-Content-Digest: {}\r\n", digest_of(manifest)),
                    )
                },
                None => Response::error(404, "MANIFEST_UNKNOWN"),
            },
            ("GET", Some(path)) if path.starts_with("/referrers/") => {
                self.referrers(&last, &request)
            }
            _ => Response::error(405, "UNSUPPORTED"),
        }
    }

    /// Mounts a layer if that is allowed. A registry answers as for an upload if not.
    fn mounts(&mut self, query: &str) -> bool {
        let query = query.replace("%3A", ":").replace("%2F", "/");
        let from = self.mounts_from.as_deref();
        let mounted = query
            .strip_prefix("mount=")
            .and_then(|it| it.split_once("&from="));
        let mounted = mounted.filter(|(_, name)| from == Some(name));
        if let Some((digest, _)) = mounted {
            self.blobs.insert(digest.to_owned(), Vec::new());
        }
        mounted.is_some()
    }

    fn referrers(&self, image: &str, request: &Request) -> Response {
        let Some(on_each_page) = self.lists_referrers else {
            return Response::new(404, "");
        };
        let manifests = self.manifests.iter().filter_map(|(name, content)| {
            let manifest: Value = serde_json::from_slice(content).ok()?;
            let is_listed = name.starts_with("sha256:") && manifest["subject"]["digest"] == image;
            is_listed.then(|| {
                json!({
                    "mediaType": manifest["mediaType"],
                    "digest": name,
                    "size": content.len(),
                    "artifactType": manifest["artifactType"],
                    "annotations": manifest["annotations"],
                })
            })
        });
        let all: Vec<Value> = manifests.collect();
        let skipped = request.query.strip_prefix("last=");
        let skipped = skipped.map_or(0, |it| it.parse().unwrap());
        let page: Vec<&Value> = all.iter().skip(skipped).take(on_each_page).collect();
        let next = skipped + page.len();
        let link = if next < all.len() {
            format!("Link: <{}?last={next}>; rel=\"next\"\r\n", request.path)
        } else {
            String::new()
        };
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": page,
        });
        Response {
            body: index.to_string().into_bytes(),
            ..Response::new(200, &link)
        }
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut stream = BufReader::new(stream);
    let Some(request) = read(&mut stream).await else {
        return;
    };
    let is_head = request.method == "HEAD";
    let Some(response) = state.lock().unwrap().respond(request) else {
        return;
    };
    let head = format!(
        "HTTP/1.1 {} -\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n",
        response.status,
        response.body.len(),
        response.headers
    );
    let mut bytes = Bytes::from(head).to_vec();
    if !is_head {
        bytes.extend(response.body);
    }
    // The other side may have gone.
    stream.write_all(&bytes).await.ok();
    stream.shutdown().await.ok();
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let header = |name: &str| {
        lines.iter().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let mut words = lines.first()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        authorization: header("authorization").unwrap_or_default(),
        is_named: header("user-agent").is_some_and(|name| name.starts_with("deployer/")),
        body,
    })
}

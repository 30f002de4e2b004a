//! Stands between the deployer and the emulator, and lets things go wrong.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};

use crate::fault::Fault;
use crate::plan::{Ledger, Plan};
use crate::request::{Answer, Request};

/// Longer than the deployer waits for an answer.
const LONGER_THAN_ANYBODY_WAITS: Duration = Duration::from_mins(5);

/// The proxy; ends with the test.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    emulator: u16,
    client: reqwest::Client,
    plan: Mutex<Plan>,
    /// What has happened so far, shared by all proxies.
    ledger: Arc<Mutex<Ledger>>,
    log: Mutex<Log>,
    /// How the deployer logs in to the registry: Docker, which knows the emulator at another port, is logged in here.
    login: Mutex<Option<String>>,
}

struct Log {
    began: Instant,
    lines: Vec<String>,
}

impl Proxy {
    pub(crate) async fn start(emulator: u16, ledger: Arc<Mutex<Ledger>>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        let client = reqwest::Client::builder()
            .no_proxy()
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .build()
            .expect("a client");
        let shared = Arc::new(Shared {
            emulator,
            client,
            plan: Mutex::new(Plan::Clean),
            ledger,
            log: Mutex::new(Log {
                began: Instant::now(),
                lines: Vec::new(),
            }),
            login: Mutex::new(None),
        });
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(Arc::clone(&serving), stream));
            }
        });
        Self { port, shared }
    }

    /// From now on this goes wrong; the log begins again.
    pub(crate) fn follow(&self, plan: Plan) {
        *self.shared.plan.lock().expect("unpoisoned") = plan;
        let mut log = self.shared.log.lock().expect("unpoisoned");
        log.began = Instant::now();
        log.lines.clear();
    }

    /// What went through since then, a line a request.
    pub(crate) fn log(&self) -> String {
        self.shared.log.lock().expect("unpoisoned").lines.join("\n")
    }
}

/// Takes one request after the other, as long as nothing happens to the connection.
async fn serve(shared: Arc<Shared>, mut stream: TcpStream) {
    let mut requests = 0;
    while let Some(request) = Request::read(&mut stream).await {
        requests += 1;
        request.keep();
        let answer = match request.call() {
            None => shared.forward(&request).await,
            Some((call, protocol)) => match shared.next_fault(&call, requests > 1) {
                None => shared.forward(&request).await,
                Some(fault) => {
                    let real = if fault.is_forwarded() {
                        Some(shared.forward(&request).await)
                    } else {
                        None
                    };
                    match fault.answer(protocol) {
                        Some(answer) => answer,
                        None => return break_off(fault, real, &request.method, stream).await,
                    }
                }
            },
        };
        if answer.write(&mut stream, &request.method).await.is_err() {
            return;
        }
    }
}

/// What happens to the connection, where that is what goes wrong.
async fn break_off(fault: Fault, real: Option<Answer>, method: &str, mut stream: TcpStream) {
    match (fault, real) {
        (Fault::Hang, _) => tokio::time::sleep(LONGER_THAN_ANYBODY_WAITS).await,
        (Fault::Truncated, Some(mut answer)) => {
            let promised = answer.body.len() + 64;
            answer.body.truncate(promised / 2);
            answer.headers.retain(|(name, _)| name != "content-length");
            let length = ("content-length".to_owned(), promised.to_string());
            answer.headers.push(length);
            // Who went away does not want it.
            let _ = answer.write(&mut stream, method).await;
        }
        (_, _) => stream.set_zero_linger().expect("a socket"),
    }
}

impl Shared {
    /// What happens to this call, for the log too; `later`: it is not the first of its connection.
    fn next_fault(&self, call: &str, later: bool) -> Option<Fault> {
        let mut ledger = self.ledger.lock().expect("unpoisoned");
        let fault = self
            .plan
            .lock()
            .expect("unpoisoned")
            .next(call, &mut ledger);
        ledger.later += usize::from(later);
        ledger.later_faults += usize::from(later && fault.is_some());
        let mut log = self.log.lock().expect("unpoisoned");
        let seconds = log.began.elapsed().as_secs_f64();
        let shown = fault.map_or_else(|| "-".to_owned(), |fault| format!("{fault:?}"));
        log.lines.push(format!("{seconds:8.3} {call}: {shown}"));
        fault
    }

    /// The login that a request to the registry lacks, once it is known.
    fn login(&self, request: &Request) -> Option<String> {
        if !request.path.starts_with("/v2/") {
            return None;
        }
        let mut known = self.login.lock().expect("unpoisoned");
        match request.header("authorization") {
            Some(login) => {
                *known = Some(login.to_owned());
                None
            }
            None => known.clone(),
        }
    }

    async fn forward(&self, request: &Request) -> Answer {
        let url = format!("http://127.0.0.1:{}{}", self.emulator, request.path);
        let method = request.method.parse().expect("a method");
        let mut forwarded = self.client.request(method, url);
        for (name, value) in &request.headers {
            if !matches!(name.as_str(), "connection" | "content-length") {
                forwarded = forwarded.header(name, value);
            }
        }
        if let Some(login) = self.login(request) {
            forwarded = forwarded.header("authorization", login);
        }
        if !request.body.is_empty() || request.header("content-length").is_some() {
            forwarded = forwarded.body(request.body.clone());
        }
        let answer = match forwarded.send().await {
            Ok(answer) => answer,
            Err(error) => return Answer::new(502, "text/plain", &format!("{error:?}")),
        };
        let status = answer.status().as_u16();
        let mut headers: Vec<(String, String)> = answer
            .headers()
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "connection" | "transfer-encoding"))
            .map(|(name, value)| {
                let value = value.to_str().expect("plain headers");
                (name.as_str().to_owned(), value.to_owned())
            })
            .collect();
        let body = match answer.bytes().await {
            Ok(body) => body.to_vec(),
            Err(error) => return Answer::new(502, "text/plain", &format!("{error:?}")),
        };
        if request.method != "HEAD" {
            headers.retain(|(name, _)| name != "content-length");
            headers.push(("content-length".to_owned(), body.len().to_string()));
        }
        Answer {
            status,
            headers,
            body,
        }
    }
}

//! Constant load from outside, in which every request has to succeed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;

/// Clients: half of them keep their connections, half open new ones.
const CLIENTS: usize = 4;
/// Pause of each client between two requests.
const PAUSE: Duration = Duration::from_millis(50);
/// Failures that are described; all are counted.
const SHOWN: usize = 5;

#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    requests: AtomicUsize,
    failed: AtomicUsize,
    failures: Mutex<Vec<String>>,
    versions: Mutex<BTreeSet<String>>,
}

/// Load that goes on until it is stopped or dropped.
pub(crate) struct Load {
    seen: Arc<Seen>,
    clients: JoinSet<()>,
}

/// Result of a load.
#[derive(Debug, Default)]
pub(crate) struct LoadResult {
    pub(crate) requests: usize,
    pub(crate) failed: usize,
    /// The first failures.
    pub(crate) failures: Vec<String>,
    /// Versions that answered.
    pub(crate) versions: BTreeSet<String>,
}

impl Load {
    /// Starts the load. `local_port`: names are found on this machine, at this port.
    pub(crate) fn start(url: &str, local_port: Option<u16>) -> Result<Self, String> {
        let seen = Arc::new(Seen::default());
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let client = client(url, local_port, number % 2 == 0)?;
            clients.spawn(send(client, url.to_owned(), Arc::clone(&seen)));
        }
        Ok(Self { seen, clients })
    }

    /// Stops the load and waits for the responses of requests that are under way.
    pub(crate) async fn stop(mut self) -> LoadResult {
        self.seen.stop.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        let seen = &self.seen;
        let failures = seen.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let versions = seen.versions.lock().unwrap_or_else(PoisonError::into_inner);
        LoadResult {
            requests: seen.requests.load(Ordering::Relaxed),
            failed: seen.failed.load(Ordering::Relaxed),
            failures: failures.clone(),
            versions: versions.clone(),
        }
    }
}

fn client(
    url: &str,
    local_port: Option<u16>,
    keeps_connections: bool,
) -> Result<reqwest::Client, String> {
    let parsed = reqwest::Url::parse(url).map_err(|error| format!("`{url}`: {error}"))?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Proxies of the environment and retries would hide failures.
    let mut client = reqwest::Client::builder()
        .no_proxy()
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(if keeps_connections { 4 } else { 0 })
        .timeout(Duration::from_secs(10));
    if let (Some(port), Some(host)) = (local_port, parsed.host_str()) {
        client = client.resolve(host, SocketAddr::from(([127, 0, 0, 1], port)));
    }
    client
        .build()
        .map_err(|error| format!("no HTTP client: {error}"))
}

async fn send(client: reqwest::Client, url: String, seen: Arc<Seen>) {
    while !seen.stop.load(Ordering::Relaxed) {
        let result = request(&client, &url).await;
        seen.requests.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(version) => {
                let mut versions = seen.versions.lock().unwrap_or_else(PoisonError::into_inner);
                versions.insert(version);
            }
            Err(failure) => {
                seen.failed.fetch_add(1, Ordering::Relaxed);
                let mut failures = seen.failures.lock().unwrap_or_else(PoisonError::into_inner);
                if failures.len() < SHOWN {
                    let time = chrono::Utc::now().format("%T%.3fZ");
                    failures.push(format!("{time} {failure}"));
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Sends one request and returns the version that answered.
async fn request(client: &reqwest::Client, url: &str) -> Result<String, String> {
    let response = client.get(url).send().await.map_err(described)?;
    let status = response.status();
    if !status.is_success() {
        return Err(status.to_string());
    }
    let body: Value = response.json().await.map_err(described)?;
    let version = body["version"].as_str();
    version
        .map(str::to_owned)
        .ok_or_else(|| "no version in the response".to_owned())
}

/// Describes an error with its causes, which reqwest leaves out.
#[expect(clippy::needless_pass_by_value, reason = "a function for map_err")]
fn described(error: reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

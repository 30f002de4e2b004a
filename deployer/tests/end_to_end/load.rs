//! A constant load of requests, each of which has to be answered.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;

/// Requests that are under way at the same time: half of them on connections that are kept, half on new ones.
const CLIENTS: usize = 4;
/// Pause of each client between two requests.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    requests: AtomicUsize,
    failures: Mutex<Vec<String>>,
    versions: Mutex<BTreeSet<String>>,
}

/// A load that goes on until it is stopped.
pub(crate) struct Load {
    seen: Arc<Seen>,
    clients: Vec<JoinHandle<()>>,
}

/// What came of it.
pub(crate) struct LoadResult {
    pub(crate) requests: usize,
    pub(crate) failures: Vec<String>,
    pub(crate) versions: BTreeSet<String>,
}

impl Load {
    pub(crate) fn start(url: String, port: u16) -> Self {
        Self::reading(url, port, true)
    }

    /// The same at a service of any kind: a success is enough.
    pub(crate) fn start_any(url: String, port: u16) -> Self {
        Self::reading(url, port, false)
    }

    fn reading(url: String, port: u16, versions: bool) -> Self {
        let seen = Arc::new(Seen::default());
        let clients = (0..CLIENTS)
            .map(|number| {
                tokio::spawn(run(
                    client(&url, port, number % 2 == 0),
                    url.clone(),
                    seen.clone(),
                    versions,
                ))
            })
            .collect();
        Self { seen, clients }
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::Relaxed)
    }

    /// Waits until so many requests were made in all; they are, within a minute.
    pub(crate) async fn wait_for_requests(&self, count: usize) {
        let reached = async {
            while self.requests() < count {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), reached)
            .await
            .expect("requests are made");
    }

    pub(crate) async fn stop(self) -> LoadResult {
        self.seen.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("a client that did not panic");
        }
        LoadResult {
            requests: self.seen.requests.load(Ordering::Relaxed),
            failures: self.seen.failures.lock().expect("unpoisoned").clone(),
            versions: self.seen.versions.lock().expect("unpoisoned").clone(),
        }
    }
}

/// A client that finds names under `localhost` on this machine, and does not repeat requests behind our back.
pub(crate) fn client(url: &str, port: u16, keep_connections: bool) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let host = reqwest::Url::parse(url)
        .expect("a URL")
        .host_str()
        .expect("a host")
        .to_owned();
    reqwest::Client::builder()
        .no_proxy()
        .retry(reqwest::retry::never())
        .resolve(&host, SocketAddr::from(([127, 0, 0, 1], port)))
        .pool_max_idle_per_host(if keep_connections { 4 } else { 0 })
        .timeout(Duration::from_secs(10))
        .build()
        .expect("a client")
}

async fn run(client: reqwest::Client, url: String, seen: Arc<Seen>, versions: bool) {
    while !seen.stop.load(Ordering::Relaxed) {
        let failure = match client.get(&url).send().await {
            Ok(answer) if answer.status().is_success() && !versions => {
                answer.bytes().await.err().map(|error| format!("{error:?}"))
            }
            Ok(answer) if answer.status().is_success() => {
                match answer.json::<serde_json::Value>().await {
                    Ok(body) => {
                        let version = body["version"].as_str().unwrap_or("none").to_owned();
                        seen.versions.lock().expect("unpoisoned").insert(version);
                        None
                    }
                    Err(error) => Some(format!("{error:?}")),
                }
            }
            Ok(answer) => {
                let status = answer.status();
                Some(format!(
                    "{status}: {}",
                    answer.text().await.unwrap_or_default()
                ))
            }
            Err(error) => Some(format!("{error:?}")),
        };
        seen.requests.fetch_add(1, Ordering::Relaxed);
        // With the time, by which it is found in what was written meanwhile.
        let failure =
            failure.map(|failure| format!("{} {failure}", chrono::Utc::now().format("%T%.3fZ")));
        seen.failures.lock().expect("unpoisoned").extend(failure);
        tokio::time::sleep(PAUSE).await;
    }
}

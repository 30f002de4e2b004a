//! Tells a web address of changes. A slow or dead receiver delays no check, and no change is lost: of each target the newest one is
//! kept until it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clock::{Failure, Report};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use serde::Serialize;
use support::pause::jittered;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use url::{Host, Url};

use crate::output::note;
use crate::series::{Finding, Outage, State};

/// The format of the messages; raised when a reader would have to change.
const FORMAT: u32 = 1;
/// For one attempt.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Messages on their way at the same time, each about another target.
const AT_ONCE: usize = 8;
/// Before the second attempt; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Attempts for a message when the program has nothing else to do any more.
const ATTEMPTS: u32 = 5;
/// Failed attempts in a row, of a message and of all, that are worth a note.
const WORTH_A_NOTE: u32 = 4;
/// For what is under way when a signal ends the program.
const FAREWELL: Duration = Duration::from_secs(1);

/// A message.
#[derive(Debug, Serialize)]
struct Message<'a> {
    event: &'static str,
    format: u32,
    url: &'a str,
    at: &'a str,
    /// `null` for the first check.
    before: Option<State>,
    state: State,
    cause: Option<&'a str>,
    /// The outage that is over.
    outage: Option<&'a Outage>,
    report: &'a Report,
}

/// What is still to be told about a target.
#[derive(Debug)]
struct Untold {
    message: Arc<str>,
    /// Of this message.
    attempts: u32,
    /// When to try next.
    due: Instant,
    /// An attempt is under way.
    sending: bool,
}

/// The messages that wait, by target.
#[derive(Debug, Default)]
struct Queue {
    untold: Mutex<BTreeMap<usize, Untold>>,
    changed: Notify,
}

/// Why an attempt failed.
#[derive(Debug)]
struct Refusal {
    detail: String,
    /// When the receiver wants to be asked again.
    after: Option<Duration>,
}

/// Sends messages.
pub(crate) struct Webhook {
    queue: Arc<Queue>,
    sender: JoinHandle<()>,
}

impl Webhook {
    pub(crate) fn new(url: Url) -> Result<Self, Failure> {
        let client = client(&url)?;
        let queue = Arc::new(Queue::default());
        let sender = tokio::spawn(send_all(client, url, Arc::clone(&queue)));
        Ok(Self { queue, sender })
    }

    pub(crate) fn send(&self, target: usize, finding: &Finding) {
        let message = Message {
            event: "state_change",
            format: FORMAT,
            url: &finding.report.url,
            at: &finding.report.started_at,
            before: finding.before,
            state: finding.state,
            cause: finding.report.cause.as_deref(),
            outage: finding.outage.as_ref(),
            report: &finding.report,
        };
        if let Ok(message) = serde_json::to_string(&message) {
            self.queue.push(target, message.into());
        }
    }

    /// Waits until everything is told or was tried often enough; only for a moment if the end is urgent.
    pub(crate) async fn close(self, is_urgent: bool) {
        let all_told = async {
            while !self.queue.is_settled() {
                self.queue.changed.notified().await;
            }
        };
        if is_urgent {
            let _ = timeout(FAREWELL, all_told).await;
        } else {
            all_told.await;
        }
        self.sender.abort();
        match self.queue.lock().len() {
            0 => {}
            1 => note("the webhook was not told of the last change"),
            several => note(&format!(
                "the webhook was not told of the last {several} changes"
            )),
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Untold>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a message in place of an older one about the same target.
    fn push(&self, target: usize, message: Arc<str>) {
        let mut untold = self.lock();
        let now = Instant::now();
        untold
            .entry(target)
            .and_modify(|known| {
                known.message = Arc::clone(&message);
                known.attempts = 0;
            })
            .or_insert(Untold {
                message,
                attempts: 0,
                due: now,
                sending: false,
            });
        drop(untold);
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// The message that has waited longest of those whose time has come.
    fn next(&self, now: Instant) -> Option<(usize, Arc<str>)> {
        let mut untold = self.lock();
        let due = untold
            .iter_mut()
            .filter(|(_, it)| !it.sending && it.due <= now);
        let (target, untold) = due.min_by_key(|(_, it)| it.due)?;
        untold.sending = true;
        Some((*target, Arc::clone(&untold.message)))
    }

    /// When the next message is due.
    fn due(&self) -> Option<Instant> {
        let untold = self.lock();
        let waiting = untold.values().filter(|it| !it.sending);
        waiting.map(|it| it.due).min()
    }

    /// Notes how an attempt ended: gives the number of failed ones.
    fn tried(&self, target: usize, message: &Arc<str>, refusal: Option<&Refusal>) -> u32 {
        let mut untold = self.lock();
        let mut failed = 0;
        if let Some(known) = untold.get_mut(&target) {
            known.sending = false;
            let is_newest = Arc::ptr_eq(&known.message, message);
            match refusal {
                None if is_newest => {
                    untold.remove(&target);
                }
                None => known.due = Instant::now(),
                Some(refusal) => {
                    known.attempts += 1;
                    failed = known.attempts;
                    let doubled = FIRST_PAUSE.saturating_mul(1 << (failed - 1).min(16));
                    let pause = refusal.after.unwrap_or_default().max(doubled);
                    known.due = Instant::now() + jittered(pause.min(LONGEST_PAUSE));
                }
            }
        }
        drop(untold);
        self.changed.notify_waiters();
        failed
    }

    /// Whether all was told, or tried so often that it is no use to wait for it.
    fn is_settled(&self) -> bool {
        let untold = self.lock();
        untold
            .values()
            .all(|it| !it.sending && it.attempts >= ATTEMPTS)
    }
}

async fn send_all(client: Client, url: Url, queue: Arc<Queue>) {
    let mut under_way = FuturesUnordered::new();
    let mut is_noted = false;
    let mut failures = 0;
    loop {
        while under_way.len() < AT_ONCE
            && let Some((target, message)) = queue.next(Instant::now())
        {
            let (client, url) = (&client, &url);
            under_way.push(async move {
                let result = post(client, url, message.to_string()).await;
                (target, message, result)
            });
        }
        let due = queue.due().filter(|_| under_way.len() < AT_ONCE);
        let wait = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some((target, message, result)) = under_way.next() => {
                let failed = queue.tried(target, &message, result.as_ref().err());
                failures = if result.is_ok() { 0 } else { failures + 1 };
                match result {
                    Ok(_) if std::mem::take(&mut is_noted) => note("the webhook takes changes again"),
                    Err(refusal) if failed.min(failures) >= WORTH_A_NOTE && !is_noted => {
                        is_noted = true;
                        note(&format!("the webhook takes no changes: {}; still retrying", refusal.detail));
                    }
                    Ok(_) | Err(_) => {}
                }
            }
            () = wait => {}
            () = queue.changed.notified() => {}
        }
    }
}

/// Sends a message that says nothing but that it is a test: gives the answer's status.
pub(crate) async fn test(url: &Url) -> Result<StatusCode, String> {
    let client = client(url).map_err(|failure| failure.to_string())?;
    let message = serde_json::json!({ "event": "test", "format": FORMAT });
    post(&client, url, message.to_string())
        .await
        .map_err(|refusal| refusal.detail)
}

/// Uses the proxies of the environment, but for this machine.
fn client(url: &Url) -> Result<Client, Failure> {
    let mut builder = probe::connection::client_builder(url.scheme(), None, None)?.timeout(TIMEOUT);
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if is_here {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| probe::not_built(&error))
}

/// The error never holds the address, which may well be a secret.
async fn post(client: &Client, url: &Url, message: String) -> Result<StatusCode, Refusal> {
    let answer = client
        .post(url.clone())
        .header(CONTENT_TYPE, "application/json")
        .body(message)
        .send()
        .await;
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(answer.status()),
        Ok(answer) => Err(Refusal {
            detail: format!("answered {}", answer.status()),
            after: retry_after(&answer),
        }),
        Err(error) => Err(Refusal {
            detail: probe::innermost_detail(&error.without_url()),
            after: None,
        }),
    }
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_newest_message_of_each_target_is_kept_until_it_is_told() {
        let queue = Queue::default();
        for target in 0..1_000 {
            queue.push(target, "down".into());
        }
        let (target, first) = queue.next(Instant::now()).unwrap();
        // While it is under way, news come, and it fails.
        queue.push(target, "up".into());
        let refusal = Refusal {
            detail: String::new(),
            after: None,
        };
        assert_eq!(queue.tried(target, &first, Some(&refusal)), 1);
        assert_eq!(queue.lock().len(), 1_000);
        assert!(queue.due().unwrap() <= Instant::now());
        let mut told = Vec::new();
        while let Some((target, message)) = queue.next(Instant::now()) {
            told.push(target);
            queue.tried(target, &message, None);
        }
        assert_eq!(told.len(), 999);
        tokio::time::advance(FIRST_PAUSE * 2).await;
        let (again, second) = queue.next(Instant::now()).unwrap();
        assert_eq!((again, &*second), (target, "up"));
        queue.tried(again, &second, None);
        assert!(queue.is_settled());
    }
}

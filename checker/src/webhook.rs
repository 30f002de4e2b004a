//! Webhook for state changes. A slow or dead receiver delays no check. The newest change of each
//! target is kept until it is delivered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clock::{Failure, Report};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use serde::Serialize;
use support::pause::jittered;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use url::{Host, Url};

use crate::output::note;
use crate::series::{Finding, Outage, State};

/// Format version of the messages. Incremented when readers have to change.
const FORMAT: u32 = 1;
/// Timeout of one attempt.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of concurrent messages, each about another target.
const AT_ONCE: usize = 8;
/// Pause before the second attempt, doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Number of attempts per message, and of failed attempts in a row, before an otherwise finished
/// program gives up. A receiver that takes others may still take this one.
const ATTEMPTS: u32 = 5;
/// Number of failed attempts in a row, of a message and in total, before a note.
const WORTH_A_NOTE: u32 = 4;
/// Time for pending messages when a signal ends the program.
const FAREWELL: Duration = Duration::from_secs(1);

/// Message to the receiver.
#[derive(Debug, Serialize)]
struct Message<'a> {
    event: &'static str,
    format: u32,
    url: &'a str,
    at: &'a str,
    /// State before; `null` for the first check.
    before: Option<State>,
    state: State,
    cause: Option<&'a str>,
    /// Outage that is over.
    outage: Option<&'a Outage>,
    report: &'a Report,
}

/// Undelivered message about a target.
#[derive(Debug)]
struct Untold {
    message: Arc<str>,
    /// Number of failed attempts for this message.
    attempts: u32,
    /// Time of the next attempt.
    due: Instant,
    /// Set while an attempt is running.
    sending: bool,
}

/// Queue of undelivered messages by target.
#[derive(Debug, Default)]
struct Queue {
    untold: Mutex<BTreeMap<usize, Untold>>,
    changed: Notify,
    /// Number of failed attempts in a row, of all messages.
    failures: AtomicU32,
}

/// Failure of an attempt.
#[derive(Debug)]
struct Refusal {
    detail: String,
    /// Delay that the receiver asked for in `Retry-After`.
    after: Option<Duration>,
}

/// Sender of state changes.
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

    /// Waits until everything is delivered or was tried often enough. If `is_urgent`, waits for at
    /// most a second.
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

    /// Queues a message, replacing an older one about the same target.
    fn push(&self, target: usize, message: Arc<str>) {
        let mut untold = self.lock();
        let now = Instant::now();
        untold
            .entry(target)
            .and_modify(|known| {
                known.message = Arc::clone(&message);
                // A newer message gets the full number of attempts.
                known.attempts = 0;
            })
            // An existing entry keeps its due time, so that changes do not bypass the backoff.
            .or_insert(Untold {
                message,
                attempts: 0,
                due: now,
                sending: false,
            });
        drop(untold);
        // `notify_waiters` wakes `close`; `notify_one` stores a permit in case the sender is not
        // waiting yet.
        self.changed.notify_waiters();
        self.changed.notify_one();
    }

    /// Returns the message that has been due for the longest time.
    fn next(&self, now: Instant) -> Option<(usize, Arc<str>)> {
        let mut untold = self.lock();
        let due = untold
            .iter_mut()
            .filter(|(_, it)| !it.sending && it.due <= now);
        let (target, untold) = due.min_by_key(|(_, it)| it.due)?;
        untold.sending = true;
        Some((*target, Arc::clone(&untold.message)))
    }

    /// Returns the time at which the next message is due.
    fn due(&self) -> Option<Instant> {
        let untold = self.lock();
        let waiting = untold.values().filter(|it| !it.sending);
        waiting.map(|it| it.due).min()
    }

    /// Records the result of an attempt and returns the number of failed ones.
    fn tried(&self, target: usize, message: &Arc<str>, refusal: Option<&Refusal>) -> u32 {
        match refusal {
            Some(_) => self.failures.fetch_add(1, Ordering::Relaxed),
            None => self.failures.swap(0, Ordering::Relaxed),
        };
        let mut untold = self.lock();
        let mut failed = 0;
        if let Some(known) = untold.get_mut(&target) {
            known.sending = false;
            // A newer message may have replaced this one while it was sent, and still has to be
            // delivered.
            let is_newest = Arc::ptr_eq(&known.message, message);
            match refusal {
                None if is_newest => {
                    untold.remove(&target);
                }
                // The receiver is reachable, so the newer message follows without a pause.
                None => known.due = Instant::now(),
                Some(refusal) => {
                    known.attempts += 1;
                    failed = known.attempts;
                    // Caps the exponent: a shift by 32 or more would overflow.
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

    /// Returns whether everything is delivered, or was tried too often to wait for it.
    fn is_settled(&self) -> bool {
        let is_dead = self.failures.load(Ordering::Relaxed) >= ATTEMPTS;
        let untold = self.lock();
        untold
            .values()
            .all(|it| is_dead && !it.sending && it.attempts >= ATTEMPTS)
    }
}

async fn send_all(client: Client, url: Url, queue: Arc<Queue>) {
    let mut under_way = FuturesUnordered::new();
    let mut is_noted = false;
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
                let failures = queue.failures.load(Ordering::Relaxed);
                match result {
                    Ok(_) if std::mem::take(&mut is_noted) => note("the webhook takes changes again"),
                    // Both counts have to be high: other messages may still be accepted.
                    Err(refusal) if failed.min(failures) >= WORTH_A_NOTE && !is_noted => {
                        is_noted = true;
                        note(&format!("the webhook takes no changes: {}; still retrying", refusal.detail));
                    }
                    Ok(_) | Err(_) => {}
                }
            }
            () = wait => {}
            // Only wakes the loop, which collects the messages that are due.
            () = queue.changed.notified() => {}
        }
    }
}

/// Sends a test message and returns the response's status.
pub(crate) async fn test(url: &Url) -> Result<StatusCode, String> {
    let client = client(url).map_err(|failure| failure.to_string())?;
    let message = serde_json::json!({ "event": "test", "format": FORMAT });
    post(&client, url, message.to_string())
        .await
        .map_err(|refusal| refusal.detail)
}

/// Creates the client. It uses the environment's proxies, except for the local host.
fn client(url: &Url) -> Result<Client, Failure> {
    probe::install_tls_provider();
    let mut builder = Client::builder()
        .user_agent(concat!("checker/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        // Failed messages are sent again with the backoff of this module.
        .retry(reqwest::retry::never())
        .http1_only()
        .timeout(TIMEOUT);
    builder = if url.scheme() == "http" {
        // Reading the system's certificates takes tens of milliseconds, and fails where there are
        // none.
        builder.tls_certs_only([])
    } else {
        builder.tls_backend_preconfigured((*probe::tls(None, None)?).clone())
    };
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if is_here {
        // A proxy would resolve `localhost` to itself.
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| Failure::Client {
        detail: probe::innermost_detail(&error),
    })
}

/// Sends a message. Errors never contain the address, which may be a secret.
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
            // Errors of reqwest contain the URL unless it is removed.
            detail: probe::innermost_detail(&error.without_url()),
            after: None,
        }),
    }
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    // An HTTP date is ignored, so the usual backoff applies.
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

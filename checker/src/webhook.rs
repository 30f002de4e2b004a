//! Tells a web address of changes. A slow or dead receiver delays no check: there is a queue, and it is bounded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clock::{Failure, Report};
use probe::connection;
use reqwest::Client;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use url::Url;

use crate::output::note;
use crate::series::{Finding, Outage, State};

/// The format of the messages; raised when a reader would have to change.
const FORMAT: u32 = 1;
/// Messages that wait. When there are more, the oldest go: what holds now is worth more.
const KEPT: usize = 256;
/// For one attempt.
const PATIENCE: Duration = Duration::from_secs(10);
/// Before the next attempt: doubled each time.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// For what is under way when the program ends.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often to look meanwhile.
const LOOK: Duration = Duration::from_millis(10);

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

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<VecDeque<String>>,
    changed: Notify,
}

/// Sends messages.
pub(crate) struct Webhook {
    queue: Arc<Queue>,
    sender: JoinHandle<()>,
}

impl Webhook {
    pub(crate) fn new(url: Url) -> Result<Self, Failure> {
        let client = connection::client_builder(url.scheme())?
            .timeout(PATIENCE)
            .build()
            .map_err(|error| probe::not_built(&error))?;
        let queue = Arc::new(Queue::default());
        let sender = tokio::spawn(send(client, url, Arc::clone(&queue)));
        Ok(Self { queue, sender })
    }

    pub(crate) fn send(&self, finding: &Finding) {
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
        let Ok(message) = serde_json::to_string(&message) else {
            return;
        };
        if self.queue.push(message) {
            note("the webhook cannot keep up: the oldest change is not told");
        }
    }

    /// Waits a moment for what is still to be sent.
    pub(crate) async fn close(self) {
        let all_sent = async {
            while !self.queue.is_empty() {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(FAREWELL, all_sent).await.is_err() {
            note("the last changes could not be told to the webhook");
        }
        self.sender.abort();
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<String>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another one had to go for it.
    fn push(&self, message: String) -> bool {
        let mut waiting = self.lock();
        waiting.push_back(message);
        let too_many = waiting.len() > KEPT;
        if too_many {
            waiting.pop_front();
        }
        drop(waiting);
        self.changed.notify_one();
        too_many
    }

    fn first(&self) -> Option<String> {
        self.lock().front().cloned()
    }

    /// It was sent, or given up.
    fn done(&self, message: &str) {
        let mut waiting = self.lock();
        if waiting.front().is_some_and(|first| first == message) {
            waiting.pop_front();
        }
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

async fn send(client: Client, url: Url, queue: Arc<Queue>) {
    loop {
        let Some(message) = queue.first() else {
            queue.changed.notified().await;
            continue;
        };
        if let Err(failure) = deliver(&client, &url, &message).await {
            note(&format!(
                "a change could not be told to the webhook: {failure}"
            ));
        }
        queue.done(&message);
    }
}

/// The error never holds the address, which may well be a secret.
async fn deliver(client: &Client, url: &Url, message: &str) -> Result<(), String> {
    let mut pauses = PAUSES.iter();
    loop {
        let attempt = client
            .post(url.clone())
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(message.to_owned())
            .send()
            .await;
        let (failure, is_final) = match attempt {
            Ok(response) if response.status().is_success() => return Ok(()),
            // It understands and does not want it: so it will next time.
            Ok(response) => (
                format!("answered {}", response.status()),
                response.status().is_client_error() && response.status().as_u16() != 429,
            ),
            Err(error) => (probe::innermost_detail(&error.without_url()), false),
        };
        match pauses.next() {
            Some(pause) if !is_final => tokio::time::sleep(*pause).await,
            Some(_) | None => return Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_bounded_and_loses_the_oldest() {
        let queue = Queue::default();
        for number in 0..KEPT {
            assert!(!queue.push(number.to_string()));
        }
        assert!(queue.push("last".to_owned()));
        assert_eq!(queue.first().unwrap(), "1");
        // What has gone already is not taken for the first.
        queue.done("0");
        assert_eq!(queue.first().unwrap(), "1");
        queue.done("1");
        assert_eq!(queue.lock().len(), KEPT - 1);
        assert_eq!(queue.lock().back().unwrap(), "last");
    }
}

//! A request as it went over the line, and what is kept of it: pure.

use std::net::SocketAddr;
use std::time::Duration;

use crate::answer::{Answer, AnswerError};
use crate::failure::Failure;
use crate::observation::{Answered, Echo, Observation, Source};
use crate::reading::Reading;
use crate::settings::Settings;
use crate::timestamp::Timestamp;

/// A request and what came of it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Just before sending.
    pub sent: Reading,
    /// When the body had arrived, or hope was given up.
    pub received: Reading,
    /// For how long this program was delayed meanwhile.
    pub stall: Duration,
    /// Whether the connection had been used before.
    pub warm: bool,
    /// The one that was asked, if it was one only.
    pub address: Option<SocketAddr>,
    /// As sent.
    pub nonce: String,
    /// The answer, or why there is none.
    pub result: Result<Received, Failure>,
}

/// A successful answer, unread.
#[derive(Debug, Clone)]
pub struct Received {
    /// Whether it has an `Age` header.
    pub aged: bool,
    /// The `Date` header.
    pub date: Option<String>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Exchange {
    /// Reads the answer.
    pub fn observe(self, settings: &Settings) -> Observation {
        let nonce = self.nonce;
        Observation {
            sent: self.sent,
            received: self.received,
            stall: self.stall,
            warm: self.warm,
            address: self.address,
            result: self
                .result
                .and_then(|received| read(&received, &nonce, settings)),
        }
    }
}

fn read(received: &Received, nonce: &str, settings: &Settings) -> Result<Answered, Failure> {
    let (answer, source) = match Answer::parse(&received.body, &settings.field) {
        Ok(answer) => (answer, Source::Body),
        Err(error) => match date_header(received, settings) {
            // Whoever it is may be told all the same, and whether it is an answer to this request.
            Some(now) => (
                Answer::without_time(&received.body, now),
                Source::DateHeader,
            ),
            None => return Err(error.into()),
        },
    };
    let echo = match &answer.nonce {
        None => Echo::None,
        Some(echo) if echo == nonce => Echo::Same,
        Some(_) => Echo::Other,
    };
    Ok(Answered {
        now: answer.now,
        instance: answer.instance,
        version: answer.version,
        echo,
        aged: received.aged,
        source,
    })
}

/// The last resort, if it is allowed.
fn date_header(received: &Received, settings: &Settings) -> Option<Timestamp> {
    let date = received.date.as_ref().filter(|_| settings.date_header)?;
    Timestamp::parse_date_header(date).ok()
}

impl From<AnswerError> for Failure {
    fn from(error: AnswerError) -> Self {
        Self::NoTimestamp(error)
    }
}

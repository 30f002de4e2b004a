//! Request and response as sent over the network, and their reduction to an observation. Pure.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::answer::{Answer, AnswerError, Names};
use crate::excerpt::excerpt;
use crate::expected::Expected;
use crate::failure::Failure;
use crate::observation::{Answered, Echo, Observation, Source};
use crate::reading::Reading;
use crate::settings::{Kind, Settings};
use crate::timestamp::Timestamp;

/// Request with its result.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Local time just before sending.
    pub sent: Reading,
    /// Local time when the body had arrived, or the request was abandoned.
    pub received: Reading,
    /// Time for which this process was delayed during the request.
    pub stall: Duration,
    /// Set if the connection had been used before.
    pub warm: bool,
    /// Address that was asked, if it was a single one.
    pub address: Option<SocketAddr>,
    /// Nonce sent with the request.
    pub nonce: String,
    /// Response, or the reason that there is none.
    pub result: Result<Received, Failure>,
}

/// Response before its body is parsed.
#[derive(Debug, Clone, Default)]
pub struct Received {
    /// HTTP status code.
    pub status: u16,
    /// Seconds in the `Age` header, if present.
    pub age: Option<u64>,
    /// The `Date` header.
    pub date: Option<String>,
    /// The `Content-Encoding`, if the body is encoded.
    pub encoding: Option<String>,
    /// Expiry of the service's certificate, seconds since 1970.
    pub expires: Option<i64>,
    /// The body, or its beginning.
    pub body: Vec<u8>,
    /// Set if the body is longer than [`Kind::longest_body`].
    pub is_cut: bool,
}

impl Exchange {
    /// Parses the response and returns the observation.
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
    received.refuse_unexpected(settings)?;
    let status = Some(received.status);
    if settings.kind == Kind::Http {
        let names = Names::of(&received.body);
        return Ok(Answered {
            now: None,
            instance: names.instance,
            version: names.version,
            echo: Echo::None,
            // Varnish and Fastly send `Age: 0` with responses that come from no cache.
            aged: received.age.is_some_and(|age| age > 0),
            source: Source::Unread,
            status,
            expires: received.expires,
        });
    }
    let (answer, source) = match Answer::parse(&received.body, &settings.field) {
        Ok(answer) => (answer, Source::Body),
        Err(error) => match date_header(received, settings) {
            // The body may still name the instance and echo the nonce.
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
        now: Some(answer.now),
        instance: answer.instance,
        version: answer.version,
        // Any `Age` counts for a clock: a response cached for less than a second is rounded to 0
        // and still too old.
        echo,
        aged: received.age.is_some(),
        source,
        status,
        expires: received.expires,
    })
}

/// Returns the time of the `Date` header if the settings allow it as a fallback.
fn date_header(received: &Received, settings: &Settings) -> Option<Timestamp> {
    let date = received.date.as_ref().filter(|_| settings.date_header)?;
    Timestamp::parse_date_header(date).ok()
}

impl From<AnswerError> for Failure {
    fn from(error: AnswerError) -> Self {
        Self::NoTimestamp(error)
    }
}

impl Received {
    /// Rejects a response whose body is not as expected, whatever its time. Its status was checked
    /// before the body was read.
    pub fn refuse_unexpected(&self, settings: &Settings) -> Result<(), Failure> {
        let Expected { contains, json, .. } = &settings.expected;
        let unexpected = |detail: String| Err(Failure::Unexpected { detail });
        // Only bodies that are parsed need to be unencoded; a plain HTTP check ignores its body.
        let is_read = settings.kind == Kind::Clock || contains.is_some() || !json.is_empty();
        if let Some(encoding) = self.encoding.as_ref().filter(|_| is_read) {
            let encoding = encoding.clone();
            return Err(Failure::Encoded { encoding });
        }
        if self.is_cut && settings.kind == Kind::Clock {
            return Err(Failure::TooLarge);
        }
        if let Some(text) = contains {
            let is_there = |part: &[u8]| part == text.as_bytes();
            if !self.body.windows(text.len()).any(is_there) {
                return unexpected(format!(
                    "`{}` is not in its body, {}",
                    excerpt(text),
                    self.beginning()
                ));
            }
        }
        if json.is_empty() {
            return Ok(());
        }
        // Cut JSON would be reported as invalid, which is misleading.
        if self.is_cut {
            return unexpected("its body is too long to be read as JSON".to_owned());
        }
        // RFC 8259 lets readers ignore a byte order mark.
        let text = std::str::from_utf8(&self.body).unwrap_or_default();
        let text = text.trim_start_matches('\u{feff}');
        let Ok(whole) = serde_json::from_str::<&RawValue>(text.trim()) else {
            return unexpected(format!("its body is not valid JSON, {}", self.beginning()));
        };
        match json.iter().find_map(|value| value.difference(whole)) {
            Some(difference) => unexpected(difference),
            None => Ok(()),
        }
    }

    fn beginning(&self) -> String {
        // 1024 bytes are enough for an excerpt, whatever the length of its characters.
        let start = self.body.get(..1024).unwrap_or(&self.body);
        match excerpt(String::from_utf8_lossy(start).trim()).as_str() {
            "" => "which is empty".to_owned(),
            start => format!("which begins with `{start}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expected::JsonValue;

    /// What is wrong with a body.
    fn refused(body: &str, json: &[&str], contains: Option<&str>) -> Option<String> {
        let settings = Settings {
            kind: Kind::Http,
            expected: Expected {
                contains: contains.map(str::to_owned),
                json: json.iter().map(|text| text.parse().unwrap()).collect(),
                ..Expected::default()
            },
            ..Settings::default()
        };
        let received = Received {
            body: body.as_bytes().to_vec(),
            ..Received::default()
        };
        let refused = received.refuse_unexpected(&settings).err();
        refused.map(|failure| failure.to_string())
    }

    #[test]
    fn values_are_compared_by_what_they_mean() {
        let body =
            r#"{"status":"ok","n":5,"x":1.50,"up":true,"none":null,"db":{"a/b":["x"]},"t":"5"}"#;
        for good in [
            "/status=ok",
            "status=ok",
            "/n=5",
            "/n=5.0",
            "/x=1.5",
            "/up=true",
            "/none=null",
            "/db/a~1b/0=x",
            "/t=5",
        ] {
            assert_eq!(refused(body, &[good], None), None, "{good}");
        }
        for (wrong, why) in [
            ("/status=OK", "`/status` is `ok`, not `OK`"),
            ("/n=6", "`/n` is `5`, not `6`"),
            ("/t=5.0", "`/t` is `5`, not `5.0`"),
            ("/up=false", "`/up` is `true`, not `false`"),
            ("/missing=1", "its body has nothing at `/missing`"),
            ("/db=x", "`/db` is neither text nor number"),
        ] {
            let expected = format!("the answer is not as expected: {why}");
            assert_eq!(refused(body, &["/status=ok", wrong], None), Some(expected));
        }
        assert_eq!(
            refused("<html>", &["/a=1"], None).unwrap(),
            "the answer is not as expected: its body is not valid JSON, which begins with `<html>`"
        );
        assert_eq!(refused("\u{feff} {\"a\":1}\n", &["/a=1"], None), None);
        for text in ["", "/a", "=x", "/a=", "/a~2=1"] {
            assert!(text.parse::<JsonValue>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_text_is_looked_for_as_it_is() {
        assert_eq!(refused("we are réady.", &[], Some("réady")), None);
        assert_eq!(
            refused("maintenance\u{1b}[2J", &[], Some("ready")).unwrap(),
            "the answer is not as expected: `ready` is not in its body, which begins with `maintenance`"
        );
        assert!(
            refused("", &[], Some("ready"))
                .unwrap()
                .ends_with("which is empty")
        );
    }

    #[test]
    fn what_is_not_read_may_be_anything() {
        let settings = |kind| Settings {
            kind,
            ..Settings::default()
        };
        let received = Received {
            encoding: Some("gzip".to_owned()),
            is_cut: true,
            ..Received::default()
        };
        assert_eq!(received.refuse_unexpected(&settings(Kind::Http)), Ok(()));
        assert!(received.refuse_unexpected(&settings(Kind::Clock)).is_err());
    }
}

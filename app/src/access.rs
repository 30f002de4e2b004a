//! Which requests are logged, and what is said about them.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use warp::http::{Method, StatusCode, Uri};

use crate::log;
use crate::timestamp;

/// Most bytes of a method or path that are logged: a client chooses how long they are.
const LONGEST_TEXT: usize = 256;

/// Which requests are logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sampling {
    /// None, the default: load balancers and log services have their own records, and a log service
    /// charges by the byte.
    #[default]
    Off,
    /// The first of every so many.
    OneIn(NonZeroU32),
}

impl Sampling {
    /// Reads `off`, `all` or `1/N`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "all" => Some(Self::OneIn(NonZeroU32::MIN)),
            _ => {
                let number = text.strip_prefix("1/")?;
                let plain = number.bytes().all(|byte| byte.is_ascii_digit());
                number.parse().ok().filter(|_| plain).map(Self::OneIn)
            }
        }
    }

    /// The text that [`Self::parse`] takes.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::OneIn(NonZeroU32::MIN) => "all".to_owned(),
            Self::OneIn(number) => format!("1/{number}"),
        }
    }
}

/// Picks the requests that are logged.
#[derive(Debug)]
pub(crate) struct AccessLog {
    sampling: Sampling,
    /// Requests since the last one that was picked.
    passed: AtomicU32,
}

/// A request that was picked, while it is answered.
#[derive(Debug)]
pub(crate) struct Pending {
    begun: Instant,
    at: SystemTime,
    method: Method,
    uri: Uri,
    client: IpAddr,
}

/// A request that was picked and answered.
#[derive(Debug)]
pub(crate) struct Request {
    pending: Pending,
    status: StatusCode,
    bytes: u64,
    duration: Duration,
}

impl AccessLog {
    pub(crate) fn new(sampling: Sampling) -> Self {
        Self {
            sampling,
            passed: AtomicU32::new(0),
        }
    }

    /// Takes note of a request if it is to be logged. `client` is the other end of the connection. In a
    /// box, so that the answers to those that are not logged are not larger for it.
    pub(crate) fn pick(&self, method: &Method, uri: &Uri, client: IpAddr) -> Option<Box<Pending>> {
        let Sampling::OneIn(number) = self.sampling else {
            return None;
        };
        // Wraps after four thousand million requests: one share is then shorter.
        let before = self.passed.fetch_add(1, Ordering::Relaxed);
        before.is_multiple_of(number.get()).then(|| {
            Box::new(Pending {
                begun: Instant::now(),
                at: SystemTime::now(),
                method: method.clone(),
                uri: uri.clone(),
                client,
            })
        })
    }
}

impl Pending {
    /// Logs the request, answered with `status` and a body of `bytes`.
    pub(crate) fn answered(self, status: StatusCode, bytes: u64) {
        // The answer to HEAD has the length of the body, but no body.
        let bytes = if self.method == Method::HEAD {
            0
        } else {
            bytes
        };
        log::request(Box::new(Request {
            duration: self.begun.elapsed(),
            pending: self,
            status,
            bytes,
        }));
    }
}

impl Request {
    /// The line for the log.
    pub(crate) fn line(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            time: &'a str,
            level: &'a str,
            message: &'a str,
            method: &'a str,
            path: &'a str,
            status: u16,
            bytes: u64,
            microseconds: u64,
            client: &'a str,
        }
        let line = Line {
            time: &timestamp::format(self.pending.at),
            level: "info",
            message: "request",
            method: shorten(self.pending.method.as_str()),
            path: shorten(self.pending.uri.path()),
            status: self.status.as_u16(),
            bytes: self.bytes,
            microseconds: u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX),
            client: &self.pending.client.to_canonical().to_string(),
        };
        // Text and numbers can always be written as JSON.
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        text
    }
}

fn shorten(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn sampling_is_off_all_or_a_share() {
        let number = |number| Some(Sampling::OneIn(NonZeroU32::new(number).unwrap()));
        for (text, expected) in [
            ("off", Some(Sampling::Off)),
            ("all", number(1)),
            ("1/1", number(1)),
            ("1/100", number(100)),
            ("1/4294967295", number(u32::MAX)),
            ("1/4294967296", None),
            ("1/0", None),
            ("1/+5", None),
            ("1/", None),
            ("2/3", None),
            ("0.1", None),
            ("ALL", None),
            ("", None),
        ] {
            assert_eq!(Sampling::parse(text), expected, "{text:?}");
        }
        for text in ["off", "all", "1/100"] {
            assert_eq!(Sampling::parse(text).unwrap().text(), text);
        }
    }

    fn picked(sampling: &str, requests: usize) -> Vec<usize> {
        let log = AccessLog::new(Sampling::parse(sampling).unwrap());
        let client = [127, 0, 0, 1].into();
        (0..requests)
            .filter(|_| {
                log.pick(&Method::GET, &Uri::from_static("/"), client)
                    .is_some()
            })
            .collect()
    }

    #[test]
    fn the_first_of_every_so_many_is_picked() {
        assert_eq!(picked("off", 10), Vec::<usize>::new());
        assert_eq!(picked("all", 3), [0, 1, 2]);
        assert_eq!(picked("1/4", 10), [0, 4, 8]);
    }

    #[test]
    fn a_request_is_one_json_object_of_bounded_length() {
        let mut request = Request {
            pending: Pending {
                begun: Instant::now(),
                at: UNIX_EPOCH + Duration::new(1_795_341_845, 123_456_000),
                method: Method::GET,
                uri: Uri::from_static("/now?nonce=secret"),
                client: "::ffff:192.0.2.1".parse().unwrap(),
            },
            status: StatusCode::OK,
            bytes: 102,
            duration: Duration::from_micros(57),
        };
        assert_eq!(
            request.line(),
            "{\"time\":\"2026-11-22T10:04:05.123456Z\",\"level\":\"info\",\"message\":\"request\",\"method\":\"GET\",\"path\":\"/now\",\"status\":200,\"bytes\":102,\"microseconds\":57,\"client\":\"192.0.2.1\"}\n"
        );
        request.pending.uri = format!("/{}", "é".repeat(5000)).parse().unwrap();
        request.pending.method = Method::from_bytes("M".repeat(5000).as_bytes()).unwrap();
        assert!(request.line().len() < 1024, "{}", request.line());
    }
}

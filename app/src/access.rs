//! Access log: which requests are logged, and with which fields.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use warp::http::{Method, StatusCode, Uri};

use crate::log::Value::{Number, Text};
use crate::log::{self, Level};

/// Maximum number of bytes of a method or path that are logged: a client chooses how long they are.
const LONGEST_TEXT: usize = 256;

/// Share of the requests that is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sampling {
    /// None, the default: load balancers have their own records, and a log service charges by the
    /// byte.
    #[default]
    Off,
    /// The first of every so many.
    OneIn(NonZeroU32),
}

impl Sampling {
    /// Parses `off`, `all` or `1/N`.
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

    /// Returns the text that [`Self::parse`] accepts.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::OneIn(NonZeroU32::MIN) => "all".to_owned(),
            Self::OneIn(number) => format!("1/{number}"),
        }
    }
}

/// Selects the requests that are logged.
#[derive(Debug)]
pub(crate) struct AccessLog {
    sampling: Sampling,
    /// Requests since the last one that was selected.
    passed: AtomicU32,
}

/// A selected request, while it is answered.
#[derive(Debug)]
pub(crate) struct Pending {
    started: Instant,
    at: SystemTime,
    method: Method,
    uri: Uri,
    client: IpAddr,
}

impl AccessLog {
    pub(crate) fn new(sampling: Sampling) -> Self {
        Self {
            sampling,
            passed: AtomicU32::new(0),
        }
    }

    /// Records a request if it is to be logged. `client` is the other end of the connection. The
    /// box keeps the answers to all other requests small.
    pub(crate) fn select(
        &self,
        method: &Method,
        uri: &Uri,
        client: IpAddr,
    ) -> Option<Box<Pending>> {
        let Sampling::OneIn(number) = self.sampling else {
            return None;
        };
        // Wraps after four thousand million requests: one share is then shorter.
        let before = self.passed.fetch_add(1, Ordering::Relaxed);
        before.is_multiple_of(number.get()).then(|| {
            Box::new(Pending {
                started: Instant::now(),
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
    pub(crate) fn answered(&self, status: StatusCode, bytes: u64) {
        // The answer to HEAD has the length of the body, but no body.
        let is_head = self.method == Method::HEAD;
        let line = self.line(
            status,
            if is_head { 0 } else { bytes },
            self.started.elapsed(),
        );
        log::enqueue(Level::Info, line);
    }

    fn line(&self, status: StatusCode, bytes: u64, duration: Duration) -> String {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let fields = [
            ("method", Text(shorten(self.method.as_str()))),
            ("path", Text(shorten(self.uri.path()))),
            ("status", Number(status.as_u16().into())),
            ("bytes", Number(bytes)),
            ("microseconds", Number(microseconds)),
            ("client", Text(&self.client.to_canonical().to_string())),
        ];
        log::line(self.at, Level::Info, "request", &fields)
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

    fn selected(sampling: &str, requests: usize) -> Vec<usize> {
        let log = AccessLog::new(Sampling::parse(sampling).unwrap());
        let uri = Uri::from_static("/");
        let select = |_: &usize| {
            log.select(&Method::GET, &uri, [127, 0, 0, 1].into())
                .is_some()
        };
        (0..requests).filter(select).collect()
    }

    #[test]
    fn the_first_of_every_so_many_is_selected() {
        assert_eq!(selected("off", 10), Vec::<usize>::new());
        assert_eq!(selected("all", 3), [0, 1, 2]);
        assert_eq!(selected("1/4", 10), [0, 4, 8]);
    }

    #[test]
    fn a_request_is_one_json_object_of_bounded_length() {
        let mut request = Pending {
            started: Instant::now(),
            at: UNIX_EPOCH + Duration::new(1_795_341_845, 123_456_000),
            method: Method::GET,
            uri: Uri::from_static("/now?nonce=secret"),
            client: "::ffff:192.0.2.1".parse().unwrap(),
        };
        let duration = Duration::from_micros(57);
        assert_eq!(
            request.line(StatusCode::OK, 102, duration),
            "{\"time\":\"2026-11-22T10:04:05.123456Z\",\"level\":\"info\",\"message\":\"request\",\"method\":\"GET\",\"path\":\"/now\",\"status\":200,\"bytes\":102,\"microseconds\":57,\"client\":\"192.0.2.1\"}\n"
        );
        request.uri = format!("/{}", "é".repeat(5000)).parse().unwrap();
        request.method = Method::from_bytes("M".repeat(5000).as_bytes()).unwrap();
        let line = request.line(StatusCode::OK, 102, duration);
        assert!(line.len() < 1024, "{line}");
    }
}

//! The body of `/now`.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::health::Health;
use crate::identity::Identity;
use crate::nonce::Nonce;
use crate::timestamp::{LENGTH, Timestamp};

/// What the body is made of. Put together by hand from parts that were made into JSON once: it is in
/// every answer, and escaping the same two names again would be a tenth of the work of all of it.
#[derive(Debug)]
pub(crate) struct NowBody {
    /// From the end of the timestamp to that of the version, without the quote that ends it.
    middle: String,
    health: Arc<Health>,
}

const START: &[u8] = br#"{"now":""#;
const NONCE: &[u8] = br#","nonce":""#;
const CLOCK: &[u8] = br#","clock":"#;

impl NowBody {
    pub(crate) fn new(identity: &Identity, health: Arc<Health>) -> Self {
        Self {
            middle: format!(
                r#"","instance":{},"version":{}"#,
                quoted(&identity.instance),
                quoted(&identity.version)
            ),
            health,
        }
    }

    /// The body, as JSON. `now` is read from the clock when all else is known.
    pub(crate) fn json(
        &self,
        nonce: Option<&Nonce>,
        now: impl FnOnce() -> DateTime<Utc>,
    ) -> Vec<u8> {
        let nonce = nonce.map(|nonce| nonce.as_str().as_bytes());
        let clock = self.health.clock();
        let clock = Some(clock.json.as_bytes()).filter(|json| !json.is_empty());
        // One allocation of exactly this length: what has room left would be allocated again to be shared.
        let nonce_length = nonce.map_or(0, |nonce| NONCE.len() + nonce.len() + 1);
        let clock_length = clock.map_or(0, |clock| CLOCK.len() + clock.len());
        let length = START.len() + LENGTH + self.middle.len() + nonce_length + clock_length + 1;
        let mut body = Vec::with_capacity(length);
        body.extend_from_slice(START);
        body.extend_from_slice(Timestamp::new(now()).as_bytes());
        body.extend_from_slice(self.middle.as_bytes());
        if let Some(nonce) = nonce {
            body.extend_from_slice(NONCE);
            // Its characters need no escaping.
            body.extend_from_slice(nonce);
            body.push(b'"');
        }
        if let Some(clock) = clock {
            body.extend_from_slice(CLOCK);
            body.extend_from_slice(clock);
        }
        body.push(b'}');
        body
    }

    /// The bare timestamp.
    pub(crate) fn text(now: DateTime<Utc>) -> Vec<u8> {
        let mut body = Vec::with_capacity(LENGTH + 1);
        body.extend_from_slice(Timestamp::new(now).as_bytes());
        body.push(b'\n');
        body
    }
}

/// The text as JSON. Text can always be written so.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ClockReading, Synchronization};
    use std::time::Duration;

    fn body(nonce: Option<&str>, clock: bool) -> String {
        let health = Arc::new(Health::default());
        if clock {
            let reading = ClockReading {
                status: Synchronization::Synchronized,
                error_bound: Some(Duration::from_micros(550)),
                reference: String::new(),
            };
            health.set_clock(Some(&reading), None);
        }
        let identity = Identity {
            version: "1+\"x\"".to_owned(),
            instance: "a\\b".to_owned(),
        };
        let now = DateTime::from_timestamp(1_795_341_845, 123_456_000).unwrap();
        let nonce = nonce.map(|nonce| Nonce::try_from(nonce.to_owned()).unwrap());
        let body = NowBody::new(&identity, health).json(nonce.as_ref(), || now);
        assert_eq!(body.len(), body.capacity());
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn the_parts_make_one_json_object() {
        let plain = r#"{"now":"2026-11-22T10:04:05.123456Z","instance":"a\\b","version":"1+\"x\"""#;
        assert_eq!(body(None, false), format!("{plain}}}"));
        assert_eq!(
            body(Some("n-1"), false),
            format!(r#"{plain},"nonce":"n-1"}}"#)
        );
        let clock = r#""clock":{"status":"SYNCHRONIZED","error_bound_ms":0.550}"#;
        assert_eq!(body(None, true), format!("{plain},{clock}}}"));
        assert_eq!(
            body(Some("n"), true),
            format!(r#"{plain},"nonce":"n",{clock}}}"#)
        );
        assert!(serde_json::from_str::<serde_json::Value>(&body(Some("n"), true)).is_ok());
    }
}

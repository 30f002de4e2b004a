//! Waits as long as a registry asks for.
//!
//! The registry client drops the headers of an error response. So the registry is asked once more,
//! at its base path, which answers in the same way while it limits or sheds load.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Url};

/// Longest time that is waited on request.
const LONGEST: Duration = Duration::from_mins(1);
/// Time limit for the question.
const LIMIT: Duration = Duration::from_secs(10);

/// Returns whether a response with this status may say when to come back.
pub(super) fn may_say_when(status: Option<u16>) -> bool {
    matches!(status, Some(429 | 503))
}

/// Returns how long the registry asks to wait, if it does.
pub(super) async fn told(registry: &str, is_local: bool, roots: &[String]) -> Option<Duration> {
    let scheme = if is_local { "http" } else { "https" };
    let url: Url = format!("{scheme}://{registry}/v2/").parse().ok()?;
    let certificates = roots
        .iter()
        .filter_map(|pem| reqwest::Certificate::from_pem(pem.as_bytes()).ok());
    let client = Client::builder()
        .timeout(LIMIT)
        .tls_certs_merge(certificates);
    let client = if is_local { client.no_proxy() } else { client };
    let response = client.build().ok()?.head(url).send().await.ok()?;
    let is_busy = may_say_when(Some(response.status().as_u16()));
    is_busy.then(|| wait(response.headers(), Utc::now()))?
}

/// Parses the header, which has seconds or a date.
fn wait(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let date = DateTime::parse_from_rfc2822(text).ok()?;
        // A date in the past asks for nothing.
        (date.to_utc() - now).to_std().ok()?
    };
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        for (text, seconds) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("3600", Some(60)),
            ("Tue, 14 Nov 2023 22:13:27 GMT", Some(7)),
            ("Tue, 14 Nov 2023 22:13:13 GMT", None),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(wait(&headers, now), expected, "{text}");
        }
        assert_eq!(wait(&HeaderMap::new(), now), None);
    }
}

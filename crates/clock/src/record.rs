//! Record of everything a check observed, to be judged immediately or later with other limits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::observation::Observation;
use crate::reading::Reading;
use crate::reference::{NtpSample, one_or_many};
use crate::units::as_milliseconds;

/// Record of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// URL that was requested, without the nonce.
    pub url: String,
    /// Host and port connected to instead of the URL's.
    pub connect_to: Option<String>,
    /// Start of the check.
    pub started: Reading,
    /// End of the check.
    pub finished: Reading,
    /// Time for which this process was delayed during the name resolution.
    #[serde(default, rename = "stall_ms", with = "as_milliseconds")]
    pub stall: Duration,
    /// Failure that prevented all requests.
    pub failure: Option<Failure>,
    /// Answers of the time servers during the check.
    #[serde(
        default,
        rename = "reference",
        skip_serializing_if = "Vec::is_empty",
        with = "one_or_many"
    )]
    pub references: Vec<NtpSample>,
    /// Requests, in the order in which they ended.
    pub observations: Vec<Observation>,
}

impl Record {
    /// Creates the empty record of a check that has just started.
    pub fn new(url: String, connect_to: Option<String>, started: Reading) -> Self {
        Self {
            url,
            connect_to,
            started,
            // Replaced when the check ends.
            finished: started,
            stall: Duration::ZERO,
            failure: None,
            references: Vec::new(),
            observations: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_servers_survive_the_log() {
        let started = Reading {
            wall: 0,
            monotonic: 0,
            suspended: 0,
        };
        let sample = |server: &str| NtpSample {
            server: server.to_owned(),
            statement: Err("silent".to_owned()),
        };
        for servers in [&["a"][..], &["a", "b"], &[]] {
            let mut record = Record::new("http://a.test/".to_owned(), None, started);
            record.references = servers.iter().map(|server| sample(server)).collect();
            let line = serde_json::to_string(&record).unwrap();
            // As earlier versions have written it.
            assert_eq!(
                line.contains("\"reference\":{"),
                servers.len() == 1,
                "{line}"
            );
            assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
        }
    }
}

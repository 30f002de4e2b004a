//! Record of everything a check observed, to be judged immediately or later with other limits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::observation::Observation;
use crate::reading::Reading;
use crate::reference::{NtpSample, one_or_many};
use crate::units::as_milliseconds;

/// What one check saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What was asked, without the nonce.
    pub url: String,
    /// Where the connection went instead of the URL's host and port.
    pub connect_to: Option<String>,
    /// When it began.
    pub started: Reading,
    /// When it ended.
    pub finished: Reading,
    /// For how long this program was delayed while the name was resolved.
    #[serde(default, rename = "stall_ms", with = "as_milliseconds")]
    pub stall: Duration,
    /// Why nothing could be asked.
    pub failure: Option<Failure>,
    /// What time servers said meanwhile.
    #[serde(
        default,
        rename = "reference",
        skip_serializing_if = "Vec::is_empty",
        with = "one_or_many"
    )]
    pub references: Vec<NtpSample>,
    /// The requests, in the order of their ends.
    pub observations: Vec<Observation>,
}

impl Record {
    /// Creates the empty record of a check that has just started.
    pub fn new(url: String, connect_to: Option<String>, started: Reading) -> Self {
        Self {
            url,
            connect_to,
            started,
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

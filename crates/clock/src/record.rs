//! All that a check saw, for judging it: at once, or again later with other limits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::observation::Observation;
use crate::reading::Reading;
use crate::reference::NtpSample;
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
    /// What a time server said meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<NtpSample>,
    /// The requests, in the order of their ends.
    pub observations: Vec<Observation>,
}

impl Record {
    /// An empty record of a check that has just started.
    pub fn new(url: String, connect_to: Option<String>, started: Reading) -> Self {
        Self {
            url,
            connect_to,
            started,
            finished: started,
            stall: Duration::ZERO,
            failure: None,
            reference: None,
            observations: Vec::new(),
        }
    }
}

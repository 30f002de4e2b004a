//! All that a check saw, for judging it: at once, or again later with other limits.

use serde::{Deserialize, Serialize};

use crate::clock::Reading;
use crate::evidence::Evidence;
use crate::failure::Failure;
use crate::observation::Observation;
use crate::reference::Testimony;
use crate::report::Report;
use crate::settings::Settings;
use crate::target::Target;

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
    /// Why nothing could be asked.
    pub failure: Option<Failure>,
    /// What a time server said meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Testimony>,
    /// The requests, in the order of their ends.
    pub observations: Vec<Observation>,
}

impl Record {
    pub(crate) fn new(target: &Target, started: Reading) -> Self {
        Self {
            url: target.url().to_string(),
            connect_to: target.connect_to().map(ToString::to_string),
            started,
            finished: started,
            failure: None,
            reference: None,
            observations: Vec::new(),
        }
    }

    /// What follows from it.
    pub fn judge(&self, settings: &Settings) -> Report {
        let mut evidence = Evidence::new(settings);
        for observation in &self.observations {
            // Only while asking is it of interest what to ask next.
            let _ = evidence.add(observation);
        }
        if let Some(failure) = &self.failure {
            evidence.fail(failure.clone());
        }
        Report::new(self, settings, &evidence)
    }
}

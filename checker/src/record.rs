//! All that a check saw, for judging it: at once, or again later with other limits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Reading;
use crate::evidence::Evidence;
use crate::failure::Failure;
use crate::observation::Observation;
use crate::reference::Testimony;
use crate::report::Report;
use crate::settings::Settings;
use crate::stall::STALL;
use crate::target::Target;
use crate::units::as_milliseconds;
use crate::verdict::Reason;

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
    /// For how long this program was held up while the name was resolved.
    #[serde(default, rename = "stall_ms", with = "as_milliseconds")]
    pub stall: Duration,
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
            stall: Duration::ZERO,
            failure: None,
            reference: None,
            observations: Vec::new(),
        }
    }

    /// Why this program may have waited in vain without anybody else's fault.
    fn excuse(&self) -> Option<Reason> {
        if self.started.slept_until(self.finished) {
            Some(Reason::Suspended)
        } else {
            (self.stall > STALL).then_some(Reason::CheckerOverloaded)
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
            match self.excuse().filter(|_| failure.is_timeout()) {
                Some(reason) => evidence.give_up(reason),
                None => evidence.fail(failure.clone()),
            }
        }
        Report::new(self, settings, &evidence)
    }
}

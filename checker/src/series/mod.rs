//! History of a target's checks: states, outages, drift. Pure.

mod axis;
mod drift;
mod state;
mod suspects;
mod tally;
mod track;
mod uptime;

pub(crate) use drift::{Crossing, Trend};
pub(crate) use state::{Hysteresis, State};
pub(crate) use tally::Summary;
pub(crate) use track::{Finding, SharedTrack, Tick, Track, locked};
#[cfg(test)]
pub(crate) use uptime::Downtime;
pub(crate) use uptime::Outage;

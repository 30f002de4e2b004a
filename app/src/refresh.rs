//! Keeps the reported state of the clock up to date, concurrently with requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use crate::clock::{ClockPolicy, ClockReading, ClockWatch};
use crate::health::Health;
use crate::log::{self, Value::Text};
use crate::metadata::{self, Endpoint};

/// Time between two questions to the platform.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// Asks `endpoint` about the clock after every `interval` and updates `health`. Never ends. `first`
/// is the reading that is already known.
pub async fn watch_clock(
    endpoint: Endpoint,
    policy: ClockPolicy,
    interval: Duration,
    first: Option<ClockReading>,
    health: Arc<Health>,
) {
    let mut watch = ClockWatch::new(policy);
    watch.learn(Instant::now(), first);
    publish(&watch, &health);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
    // After the machine was suspended, one question is enough.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut fails = false;
    loop {
        ticks.tick().await;
        let reading = match endpoint.fetch(metadata::TIME_LIMIT).await {
            Ok(answer) => {
                fails = false;
                answer.clock()
            }
            Err(error) => {
                // One line for a series of failures.
                if !std::mem::replace(&mut fails, true) {
                    let reason = error.to_string();
                    log::warn(
                        "cannot ask the platform about the clock",
                        &[("reason", Text(&reason))],
                    );
                }
                None
            }
        };
        watch.learn(Instant::now(), reading);
        publish(&watch, &health);
    }
}

fn publish(watch: &ClockWatch, health: &Health) {
    let now = Instant::now();
    let fault = watch.fault(now);
    let before = health.set_clock(watch.told(now), fault);
    match (before, fault) {
        (before, Some(fault)) if before != Some(fault) => log::warn(
            "the clock is not good enough, /health answers 503",
            &[("reason", Text(fault.reason()))],
        ),
        (Some(_), None) => log::info("the clock is not known to be bad any more", &[]),
        _ => {}
    }
}

//! Keeps what is told of the clock up to date, beside the requests and never in their way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use crate::clock::{ClockPolicy, ClockReading, ClockWatch};
use crate::health::Health;
use crate::log::{self, Value};
use crate::metadata::{self, Endpoint};

/// How often the platform is asked.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// Asks `endpoint` about the clock every `interval`, beginning after the first one, and tells `health`.
/// Never ends. `first` is what is known already.
pub async fn watch_clock(
    endpoint: Endpoint,
    policy: ClockPolicy,
    interval: Duration,
    first: Option<ClockReading>,
    health: Arc<Health>,
) {
    let mut watch = ClockWatch::new(policy);
    watch.learn(Instant::now(), first);
    tell(&watch, &health);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
    // After a pause of the machine one question is enough.
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
                // One line for a row of failures.
                if !std::mem::replace(&mut fails, true) {
                    let reason = error.to_string();
                    log::warn(
                        "cannot ask the platform about the clock",
                        &[("reason", Value::Text(&reason))],
                    );
                }
                None
            }
        };
        watch.learn(Instant::now(), reading);
        tell(&watch, &health);
    }
}

fn tell(watch: &ClockWatch, health: &Health) {
    let now = Instant::now();
    let fault = watch.fault(now);
    let before = health.set_clock(watch.told(now), fault);
    match (before, fault) {
        (before, Some(fault)) if before != Some(fault) => log::warn(
            "the clock is not good enough, /health answers 503",
            &[("reason", Value::Text(fault.reason()))],
        ),
        (Some(_), None) => log::info("the clock is not known to be bad any more", &[]),
        _ => {}
    }
}

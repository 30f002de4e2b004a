//! What the service knows of its own condition, shared between those who find out and those who answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::clock::{ClockFault, ClockReading};

/// The condition of the service.
#[derive(Debug, Default)]
pub struct Health {
    draining: AtomicBool,
    clock: RwLock<Clock>,
}

/// What is told of the clock at present.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// The reading as JSON, written once and told many times. Empty when nothing is told.
    pub(crate) json: String,
    /// Why it is not good enough, if so.
    pub(crate) fault: Option<ClockFault>,
}

/// What `/health` answers.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Send requests.
    Good,
    /// Send none: we are about to stop.
    Draining,
    /// Send none as long as this lasts.
    BadClock(ClockFault),
}

impl Health {
    /// From now on, the service wants no more requests.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Replaces what is told of the clock; gives the fault that was told before.
    pub(crate) fn set_clock(
        &self,
        reading: Option<&ClockReading>,
        fault: Option<ClockFault>,
    ) -> Option<ClockFault> {
        let json = reading.map(ToString::to_string).unwrap_or_default();
        let mut clock = self.clock.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *clock, Clock { json, fault }).fault
    }

    /// What is told of the clock.
    pub(crate) fn clock(&self) -> RwLockReadGuard<'_, Clock> {
        self.clock.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does it want no more requests?
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// What matters most to whoever wants to send requests.
    pub(crate) fn condition(&self) -> Condition {
        if self.is_draining() {
            return Condition::Draining;
        }
        self.clock()
            .fault
            .map_or(Condition::Good, Condition::BadClock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Synchronization;

    #[test]
    fn draining_outweighs_the_clock() {
        let health = Health::default();
        assert_eq!(health.condition(), Condition::Good);

        let reading = ClockReading {
            status: Synchronization::NotSynchronized,
            error_bound: Some(std::time::Duration::from_millis(1)),
            reference: String::new(),
        };
        let fault = Some(ClockFault::NotSynchronized);
        assert_eq!(health.set_clock(Some(&reading), fault), None);
        assert_eq!(
            health.condition(),
            Condition::BadClock(ClockFault::NotSynchronized)
        );
        assert_eq!(
            health.clock().json,
            r#"{"status":"NOT_SYNCHRONIZED","error_bound_ms":1.000}"#
        );

        health.drain();
        assert_eq!(health.condition(), Condition::Draining);
        assert_eq!(health.set_clock(None, None), fault);
        assert_eq!(health.clock().json, "");
        assert_eq!(health.condition(), Condition::Draining);
    }
}

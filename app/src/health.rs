//! Condition of the service, shared between the tasks that determine it and the routes that report
//! it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::clock::{ClockFault, ClockReading};

/// Condition of the service.
#[derive(Debug, Default)]
pub struct Health {
    draining: AtomicBool,
    clock: RwLock<Clock>,
}

/// Reported state of the clock.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// Reading as JSON, written once and reported many times. Empty if nothing is reported.
    pub(crate) json: String,
    /// Reason why it is not good enough, if any.
    pub(crate) fault: Option<ClockFault>,
}

/// Answer of `/health`.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Accepts requests.
    Good,
    /// Wants no more requests, because it is about to stop.
    Draining,
    /// Wants no requests as long as this lasts.
    BadClock(ClockFault),
}

impl Health {
    /// Reports from now on that the service wants no more requests.
    pub(crate) fn drain(&self) {
        // Relaxed, because the flag publishes no other memory.
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Replaces the reported state of the clock and returns the previous fault.
    pub(crate) fn set_clock(
        &self,
        reading: Option<&ClockReading>,
        fault: Option<ClockFault>,
    ) -> Option<ClockFault> {
        // Formatted before the lock is taken, because requests wait for the lock.
        let json = reading.map(ToString::to_string).unwrap_or_default();
        let mut clock = self.clock.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *clock, Clock { json, fault }).fault
    }

    /// Returns the reported state of the clock.
    pub(crate) fn clock(&self) -> RwLockReadGuard<'_, Clock> {
        self.clock.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the service wants no more requests.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Returns the condition that matters most to a load balancer.
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

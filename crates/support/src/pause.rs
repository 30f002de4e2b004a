//! Delays between attempts.

use std::time::Duration;

/// Returns a delay that is up to 10 % longer or shorter, so that several programs do not retry in
/// lockstep.
pub fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.9..1.1))
}

//! Pauses between attempts.

use std::time::Duration;

/// A pause that is up to a tenth longer or shorter, so that several programs do not march in step.
pub fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.9..1.1))
}

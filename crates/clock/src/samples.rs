//! Exchanges for tests.

use std::time::Duration;

use crate::exchange::{Exchange, Received};
use crate::observation::Observation;
use crate::reading::Reading;
use crate::settings::Settings;
use crate::units::{MILLISECOND, Nanoseconds, SECOND};

/// Returns a request sent at `at` ms and answered after 2 ms with `body`.
pub(crate) fn answered(at: Nanoseconds, body: &str) -> Observation {
    exchange(at, body).observe(&Settings::default())
}

pub(crate) fn exchange(at: Nanoseconds, body: &str) -> Exchange {
    let reading = |milliseconds: Nanoseconds| Reading {
        wall: 1_795_305_600 * SECOND + milliseconds * MILLISECOND,
        monotonic: milliseconds * MILLISECOND,
        suspended: 0,
    };
    Exchange {
        sent: reading(at),
        received: reading(at + 2),
        stall: Duration::ZERO,
        warm: true,
        address: None,
        nonce: "n".to_owned(),
        result: Ok(Received {
            status: 200,
            body: body.as_bytes().to_vec(),
            ..Received::default()
        }),
    }
}

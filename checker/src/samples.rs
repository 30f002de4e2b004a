//! Reports and records for tests.

use std::time::Duration;

use clock::units::{MILLISECOND, Nanoseconds, SECOND};
use clock::{
    Answered, Echo, InstanceReport, Kind, Observation, Reading, Reason, Record, Report, Source,
    Timestamp, Verdict,
};

pub(crate) const fn undecided(reason: Reason) -> Verdict {
    Verdict::Indeterminate { reason }
}

pub(crate) fn instance(name: &str, offset_ms: f64) -> InstanceReport {
    InstanceReport {
        instance: Some(name.to_owned()),
        address: None,
        version: Some("0.1.0".to_owned()),
        verdict: Verdict::Ok,
        lo_ms: Some(offset_ms - 0.9),
        hi_ms: Some(offset_ms + 0.9),
        offset_ms: Some(offset_ms),
        uncertainty_ms: Some(0.9),
        samples: 2,
    }
}

/// Returns the report of one check of one instance.
pub(crate) fn report(verdict: Verdict) -> Report {
    Report {
        started_at: "2026-11-22T10:04:05.123Z".to_owned(),
        url: "http://example.test/now".to_owned(),
        connect_to: None,
        kind: Kind::Clock,
        verdict,
        cause: None,
        failure: None,
        status: Some(200),
        max_skew_ms: 1_000.0,
        latency_ms: Some(1.8),
        connect_latency_ms: Some(2.5),
        requests: 2,
        discarded: 0,
        instances: vec![instance("a", 0.4)],
        addresses: Vec::new(),
        instances_apart_ms: None,
        warnings: Vec::new(),
        notes: Vec::new(),
        certificate: None,
        reference: None,
    }
}

/// Returns the report of a check without a clock.
pub(crate) fn without_clock() -> Report {
    Report {
        kind: Kind::Http,
        connect_latency_ms: Some(1.8),
        requests: 1,
        instances: Vec::new(),
        ..report(Verdict::Ok)
    }
}

/// Returns the report of a check without an answer.
pub(crate) fn down() -> Report {
    Report {
        latency_ms: None,
        connect_latency_ms: None,
        instances: Vec::new(),
        cause: Some("connection refused by 192.0.2.1:80".to_owned()),
        ..report(Verdict::Down)
    }
}

/// Returns a request sent at `at` ms and answered after 2 ms by a right clock.
pub(crate) fn answered(at: Nanoseconds) -> Observation {
    let reading = |milliseconds: Nanoseconds| Reading {
        wall: 1_795_305_600 * SECOND + milliseconds * MILLISECOND,
        monotonic: milliseconds * MILLISECOND,
        suspended: 0,
    };
    Observation {
        sent: reading(at),
        received: reading(at + 2),
        stall: Duration::ZERO,
        warm: true,
        address: None,
        result: Ok(Answered {
            now: Some(Timestamp {
                nanoseconds: reading(at + 1).wall,
                resolution: MILLISECOND,
            }),
            instance: Some("a".to_owned()),
            version: None,
            echo: Echo::Same,
            aged: false,
            source: Source::Body,
            status: Some(200),
            expires: None,
        }),
    }
}

/// Returns the record of a check that has just started.
pub(crate) fn record(started: Reading) -> Record {
    Record::new("http://a.test/now".to_owned(), None, started)
}

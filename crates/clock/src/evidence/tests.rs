use super::*;
use crate::exchange::Received;
use crate::samples::{answered, exchange};

/// An answer at `at` ms from a clock that is `offset` ms ahead.
fn answer(at: i64, instance: &str, version: &str, offset: i64) -> Observation {
    let now = chrono::DateTime::from_timestamp_millis(1_795_305_600_000 + at + 1 + offset)
        .unwrap()
        .format("%Y-%m-%dT%H:%M:%S%.6fZ");
    answered(
        at.into(),
        &format!(r#"{{"now":"{now}","instance":"{instance}","version":"{version}","nonce":"n"}}"#),
    )
}

fn cold(exchange: Observation) -> Observation {
    Observation {
        warm: false,
        ..exchange
    }
}

const SAME: Next = Next::SameConnection(Duration::ZERO);

fn expecting(version: Option<&str>, instances: Option<u32>) -> Settings {
    Settings {
        expect_version: version.map(str::to_owned),
        expect_instances: instances,
        ..Settings::default()
    }
}

#[test]
fn ok_needs_a_second_request_on_the_warm_connection() {
    let settings = Settings::default();
    let mut evidence = Evidence::new(&settings);
    assert_eq!(evidence.add(&cold(answer(3, "a", "1", 0))), SAME);
    assert_eq!(evidence.add(&answer(13, "a", "1", 0)), Next::Stop);
    assert_eq!(evidence.verdict(), Verdict::Ok);
}

#[test]
fn the_second_instance_is_judged_by_its_own_answers() {
    let settings = Settings::default();
    for offset in [1_100, -2_100, 3_600_000] {
        let mut evidence = Evidence::new(&settings);
        assert_eq!(evidence.add(&cold(answer(3, "a", "1", 0))), SAME);
        assert_eq!(evidence.add(&answer(13, "b", "1", offset)), Next::Stop);
        assert_eq!(evidence.verdict(), Verdict::Skewed);
    }
}

#[test]
fn a_clock_that_is_behind_is_asked_whether_it_stands_still() {
    let settings = Settings::default();
    // Within a second of the limit, a clock that is right and ticks once a second looks the same.
    for (later, is_skewed) in [(-1_300, true), (-1_310, false)] {
        let mut evidence = Evidence::new(&settings);
        let next = evidence.add(&cold(answer(3, "a", "1", -1_300)));
        assert_eq!(evidence.verdict(), Verdict::Skewed);
        assert_ne!(next, Next::Stop);
        let next = evidence.add(&answer(13, "a", "1", later));
        assert_eq!(evidence.verdict() == Verdict::Skewed, is_skewed);
        assert_eq!(next == Next::Stop, is_skewed);
    }
}

/// An answer at `at` ms from an address, of a clock of whole seconds without a name that is `offset` ms ahead.
fn nameless(at: i64, address: SocketAddr, offset: i64) -> Observation {
    let now = chrono::DateTime::from_timestamp_millis(1_795_305_600_000 + at + 1 + offset)
        .unwrap()
        .format("%Y-%m-%dT%H:%M:%SZ");
    let mut answer = answered(at.into(), &now.to_string());
    answer.address = Some(address);
    answer
}

#[test]
fn clocks_without_a_name_at_two_addresses_are_two() {
    let address = |last| SocketAddr::from(([192, 0, 2, last], 80));
    let settings = Settings::default();
    // Asked in the same moment, the two agree on an offset that is allowed, and that neither of them has.
    let mut evidence = Evidence::new(&settings);
    let _ = evidence.add(&cold(nameless(301, address(2), 1_300)));
    // This one is known to be right, so that it is the other one that has to be asked.
    assert_eq!(
        evidence.add(&cold(nameless(300, address(1), 0))),
        Next::NewConnection
    );
    assert_eq!(
        (evidence.instances.len(), evidence.distinct_instances()),
        (2, 1)
    );
    assert_eq!(evidence.doubtful(), [address(2)].into());
    evidence.turn_to(Some(address(2)));
    let Next::SameConnection(pause) = evidence.next() else {
        panic!("{:?}", evidence.next());
    };
    // It is off by more than a second, and by less than two: seen where its seconds change.
    assert!(pause > Duration::ZERO);
}

#[test]
fn every_answer_has_to_come_from_the_expected_version() {
    let settings = expecting(Some("2"), None);
    let mut evidence = Evidence::new(&settings);
    assert_eq!(evidence.add(&cold(answer(3, "a", "2", 0))), SAME);
    assert_eq!(evidence.add(&answer(13, "b", "1", 0)), Next::Stop);
    assert_eq!(
        evidence.verdict(),
        Verdict::Indeterminate {
            reason: Reason::UnexpectedVersion
        }
    );
    assert_eq!(evidence.unexpected_version.as_deref(), Some("1"));
}

#[test]
fn missing_instances_are_looked_for_on_new_connections_within_a_budget() {
    let settings = expecting(None, Some(2));
    let mut evidence = Evidence::new(&settings);
    let mut warm = false;
    let mut connections = 0;
    for request in 1..=32 {
        let mut exchange = answer(request * 10 + 3, "a", "1", 0);
        exchange.warm = warm;
        connections += u32::from(!warm);
        match evidence.add(&exchange) {
            Next::SameConnection(_) => warm = true,
            Next::NewConnection => warm = false,
            Next::Stop => assert_eq!(request, 32),
        }
    }
    assert_eq!(connections, 16);
    assert_eq!(
        evidence.verdict(),
        Verdict::Indeterminate {
            reason: Reason::MissingInstances
        }
    );
}

#[test]
fn a_local_step_between_requests_forgets_what_was_measured() {
    let settings = Settings::default();
    let mut evidence = Evidence::new(&settings);
    assert_eq!(evidence.add(&cold(answer(3, "a", "1", 0))), SAME);
    let mut after_step = answer(13, "a", "1", 0);
    for reading in [&mut after_step.sent, &mut after_step.received] {
        reading.wall -= 20 * crate::units::MILLISECOND;
    }
    assert_eq!(evidence.add(&after_step), Next::Stop);
    let instance = &evidence.instances[&Owner::Named("a".to_owned())];
    assert_eq!(instance.clock.samples(), 1);
    assert_eq!(evidence.verdict(), Verdict::Ok);
}

#[test]
fn a_lost_connection_is_replaced_a_failing_new_one_is_down() {
    let settings = Settings::default();
    let mut evidence = Evidence::new(&settings);
    let mut broken = answer(13, "a", "1", 0);
    broken.result = Err(Failure::Broken {
        peer: "127.0.0.1:1".to_owned(),
        detail: "connection closed".to_owned(),
    });
    assert_eq!(evidence.add(&cold(answer(3, "a", "1", 0))), SAME);
    assert_eq!(evidence.add(&broken), Next::NewConnection);
    assert_eq!(evidence.add(&cold(broken)), Next::Stop);
    assert_eq!(evidence.verdict(), Verdict::Down);
}

#[test]
fn after_a_timeout_of_its_own_making_the_checker_asks_again() {
    let settings = Settings::default();
    let mut evidence = Evidence::new(&settings);
    let mut late = cold(answer(3, "a", "1", 0));
    late.stall = std::time::Duration::from_secs(3);
    late.result = Err(Failure::TimedOut {
        after: settings.timeout,
    });
    assert_eq!(evidence.add(&late), Next::NewConnection);
    assert_eq!(
        evidence.verdict(),
        Verdict::Indeterminate {
            reason: Reason::CheckerOverloaded
        }
    );
}

#[test]
fn an_address_that_nothing_is_known_of_is_not_a_dead_one() {
    let settings = Settings::default();
    let address = |last| SocketAddr::from(([192, 0, 2, last], 80));
    let at = |last, result| Observation {
        address: Some(address(last)),
        result,
        ..cold(answer(3, "a", "1", 0))
    };
    let refused = at(
        2,
        Err(Failure::Refused {
            peer: "it".to_owned(),
        }),
    );
    let late = Observation {
        stall: Duration::from_secs(3),
        ..at(
            1,
            Err(Failure::TimedOut {
                after: settings.timeout,
            }),
        )
    };
    let leap = at(
        1,
        Err(Failure::NoTimestamp(
            crate::answer::Answer::parse(b"2016-12-31T23:59:60Z", &settings.field).unwrap_err(),
        )),
    );
    for (untold, reason) in [
        (late, Reason::CheckerOverloaded),
        (leap, Reason::LeapWindow),
    ] {
        for order in [[&untold, &refused], [&refused, &untold]] {
            let mut evidence = Evidence::new(&settings);
            let _ = evidence.add(order[0]);
            assert_ne!(evidence.add(order[1]), Next::Stop);
            assert_eq!(evidence.verdict(), Verdict::Indeterminate { reason });
        }
    }
}

#[test]
fn a_dead_address_beside_a_live_one_is_a_warning_all_dead_is_down() {
    let settings = Settings::default();
    let address = |last| SocketAddr::from(([192, 0, 2, last], 80));
    let refused = |last| {
        let mut refused = cold(answer(3, "a", "1", 0));
        refused.address = Some(address(last));
        refused.result = Err(Failure::Refused {
            peer: address(last).to_string(),
        });
        refused
    };
    let mut evidence = Evidence::new(&settings);
    let _ = evidence.add(&refused(1));
    let mut live = cold(answer(4, "a", "1", 0));
    live.address = Some(address(2));
    assert_eq!(evidence.add(&live), SAME);
    live = answer(14, "a", "1", 0);
    live.address = Some(address(2));
    assert_eq!(evidence.add(&live), Next::Stop);
    assert_eq!(evidence.verdict(), Verdict::Ok);
    assert_eq!(evidence.warnings(), BTreeSet::from([Warning::AddressDead]));

    let mut evidence = Evidence::new(&settings);
    let _ = evidence.add(&refused(1));
    assert_eq!(evidence.add(&refused(2)), Next::Stop);
    assert_eq!(evidence.verdict(), Verdict::Down);
    assert!(evidence.warnings().is_empty());
}

#[test]
fn many_addresses_leave_enough_requests_for_the_clock() {
    let settings = Settings::default();
    let mut evidence = Evidence::new(&settings);
    for last in 1..=16_u8 {
        let mut coarse = cold(answer(3, "a", "1", 0));
        coarse.address = Some(SocketAddr::from(([192, 0, 2, last], 80)));
        // Undecided: it took too long.
        coarse.received.wall += 3 * crate::units::SECOND;
        coarse.received.monotonic += 3 * crate::units::SECOND;
        assert_ne!(evidence.add(&coarse), Next::Stop, "{last}");
    }
}

#[test]
fn a_clock_beyond_the_warning_limit_is_right_and_worth_a_warning() {
    let settings = Settings {
        warn_skew: Some(Duration::from_millis(500)),
        ..Settings::default()
    };
    for (offset, warned) in [(0, false), (480, false), (520, true), (-520, true)] {
        let mut evidence = Evidence::new(&settings);
        let _ = evidence.add(&cold(answer(3, "a", "1", offset)));
        let _ = evidence.add(&answer(13, "a", "1", offset));
        assert_eq!(evidence.verdict(), Verdict::Ok);
        let expected = warned.then_some(Warning::Skew).into_iter().collect();
        assert_eq!(evidence.warnings(), expected, "{offset}");
    }
}

#[test]
fn what_is_wrong_with_this_machine_says_nothing_about_the_service() {
    let settings = Settings::default();
    let address = |last| SocketAddr::from(([192, 0, 2, last], 80));
    let failed = |last, failure| {
        let mut failed = cold(answer(3, "a", "1", 0));
        failed.address = Some(address(last));
        failed.result = Err(failure);
        failed
    };
    let no_route = |last: u8| Failure::NoRoute {
        peer: address(last).to_string(),
    };
    let refused = Failure::Refused {
        peer: "192.0.2.2:80".to_owned(),
    };
    let undecided = |reason| Verdict::Indeterminate { reason };

    let mut evidence = Evidence::new(&settings);
    assert_eq!(evidence.add(&failed(1, no_route(1))), Next::Stop);
    assert_eq!(evidence.verdict(), undecided(Reason::NoNetwork));
    // The other address shows that there is a network.
    let _ = evidence.add(&failed(2, refused));
    assert_eq!(evidence.verdict(), Verdict::Down);

    for (failure, reason) in [
        (
            Failure::Resolver {
                host: "a.test".to_owned(),
                detail: "temporary failure in name resolution".to_owned(),
            },
            Reason::Resolver,
        ),
        (
            Failure::CertificateStore {
                detail: "/none".to_owned(),
            },
            Reason::CertificateStore,
        ),
    ] {
        let mut evidence = Evidence::new(&settings);
        evidence.fail(failure);
        assert_eq!(evidence.verdict(), undecided(reason));
    }
}

#[test]
fn the_spread_of_instances_is_bounded() {
    let settings = Settings::default();
    let mut evidence = Evidence::new(&settings);
    assert_eq!(evidence.spread(), None);
    for (at, instance, offset) in [(3, "a", 0), (13, "b", 700), (23, "c", -200)] {
        let _ = evidence.add(&answer(at, instance, "1", offset));
    }
    let spread = evidence.spread().unwrap();
    let apart = 900 * crate::units::MILLISECOND;
    assert!(spread.lo < apart && apart < spread.hi, "{spread:?}");
    // Either may tick as coarsely as is assumed of a clock that showed one value.
    assert!(spread.width() < 510 * crate::units::MILLISECOND);
}

fn without_clock(instances: Option<u32>) -> Settings {
    Settings {
        kind: Kind::Http,
        ..expecting(None, instances)
    }
}

/// An answer without a time, at `at` ms.
fn plain(at: i64, body: &str) -> Observation {
    cold(exchange(at.into(), body).observe(&without_clock(None)))
}

#[test]
fn without_a_clock_one_answer_is_enough() {
    let settings = without_clock(None);
    let mut evidence = Evidence::new(&settings);
    assert_eq!(evidence.add(&plain(3, "<html>")), Next::Stop);
    assert_eq!(evidence.verdict(), Verdict::Ok);
    // Nobody who says who it is, and nothing that weakens that.
    assert!(evidence.instances.is_empty() && evidence.notes.is_empty());
    assert_eq!(evidence.status, Some(200));
}

#[test]
fn without_a_clock_nothing_is_skewed() {
    let settings = without_clock(None);
    let body = r#"{"now":"1999-01-01T00:00:00Z","instance":"a","version":"2"}"#;
    let mut evidence = Evidence::new(&settings);
    let _ = evidence.add(&plain(3, body));
    assert_eq!(evidence.verdict(), Verdict::Ok);
    let instance = evidence.instances.values().next().unwrap();
    assert_eq!(instance.version.as_deref(), Some("2"));

    let mut broken = plain(3, body);
    broken.result = Err(Failure::TimedOut {
        after: Duration::from_secs(5),
    });
    let mut evidence = Evidence::new(&settings);
    assert_eq!(evidence.add(&broken), Next::Stop);
    assert_eq!(evidence.verdict(), Verdict::Down);
    // Delays of its own are no proof.
    broken.stall = Duration::from_secs(3);
    let mut evidence = Evidence::new(&settings);
    assert_ne!(evidence.add(&broken), Next::Stop);
    let overloaded = Verdict::Indeterminate {
        reason: Reason::CheckerOverloaded,
    };
    assert_eq!(evidence.verdict(), overloaded);
    let _ = evidence.add(&plain(20_000, body));
    assert_eq!(evidence.verdict(), Verdict::Ok);
}

#[test]
fn instances_can_be_expected_of_answers_that_name_them() {
    let settings = without_clock(Some(2));
    let named = |at, name: &str| plain(at, &format!(r#"{{"instance":"{name}"}}"#));
    let mut evidence = Evidence::new(&settings);
    assert_eq!(evidence.add(&named(3, "a")), SAME);
    assert_eq!(evidence.add(&named(13, "b")), Next::Stop);
    assert_eq!(evidence.verdict(), Verdict::Ok);
    let mut evidence = Evidence::new(&settings);
    for at in 0..32 {
        let _ = evidence.add(&plain(at * 10 + 3, "ok"));
    }
    assert_eq!(evidence.next(), Next::Stop);
    let missing = Verdict::Indeterminate {
        reason: Reason::MissingInstances,
    };
    assert_eq!(evidence.verdict(), missing);
}

#[test]
fn a_cache_is_told_of() {
    let settings = without_clock(None);
    for (age, notes) in [(0, vec![]), (7, vec![Note::Cached])] {
        let mut from_cache = exchange(3, "ok");
        from_cache.result = from_cache.result.map(|received| Received {
            age: Some(age),
            ..received
        });
        let mut evidence = Evidence::new(&settings);
        let _ = evidence.add(&from_cache.observe(&settings));
        assert_eq!(evidence.verdict(), Verdict::Ok);
        assert_eq!(evidence.notes.into_iter().collect::<Vec<_>>(), notes);
    }
}

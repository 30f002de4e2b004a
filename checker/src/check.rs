//! One check: the loop that asks until the evidence says stop.

use crate::clock::{Clock, SystemClock};
use crate::connection::Connection;
use crate::evidence::{Evidence, Next};
use crate::failure::Failure;
use crate::report::Report;
use crate::settings::Settings;
use crate::target::{Route, Target};

/// Judges a target once, by the machine's clock. Whatever goes wrong is in the report. Dropping the future aborts the check.
pub async fn check(target: &Target, settings: &Settings) -> Report {
    check_with_clock(target, settings, &SystemClock::new()).await
}

/// The same by another clock.
pub async fn check_with_clock(target: &Target, settings: &Settings, clock: &dyn Clock) -> Report {
    let started = clock.read();
    let mut evidence = Evidence::new(settings);
    let route = tokio::time::timeout(settings.timeout, target.route())
        .await
        .unwrap_or_else(|_| {
            Err(Failure::Resolve {
                host: target.endpoint().0.to_string(),
                detail: "no answer from the resolver in time".to_owned(),
            })
        });
    let sampled = match route {
        Ok(route) => sample(&route, settings, clock, &mut evidence).await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = sampled {
        evidence.fail(failure);
    }
    Report::new(target, settings, started, &evidence)
}

async fn sample(
    route: &Route,
    settings: &Settings,
    clock: &dyn Clock,
    evidence: &mut Evidence<'_>,
) -> Result<(), Failure> {
    let mut connections = 0;
    loop {
        let mut connection = Connection::new(route, settings, connections)?;
        connections += 1;
        loop {
            let exchange = connection.ask(clock).await;
            match evidence.add(&exchange) {
                Next::SameConnection => {}
                Next::NewConnection => break,
                Next::Stop => return Ok(()),
            }
        }
    }
}

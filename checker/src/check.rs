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

/// Asks a target once, on a connection of its own: does it answer at all? Its clock is not looked at.
pub async fn knock(target: &Target, settings: &Settings) -> Result<(), Failure> {
    let asked = async {
        let route = target.route().await?;
        Connection::new(&route, settings, 0)?
            .ask(&SystemClock::new())
            .await
            .result
    };
    // Resolving the name has the time of a request, too.
    match tokio::time::timeout(settings.timeout * 2, asked).await {
        Ok(Ok(_received)) => Ok(()),
        Ok(Err(failure)) => Err(failure),
        Err(_elapsed) => Err(Failure::Resolve {
            host: target.endpoint().0.to_string(),
            detail: "no answer from the resolver in time".to_owned(),
        }),
    }
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

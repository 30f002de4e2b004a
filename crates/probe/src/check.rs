//! Loop of one check: sends requests until the evidence is sufficient.

use std::net::SocketAddr;

use clock::{Clock, Contact, Evidence, Failure, Next, Observation, Record, Report, Settings};
use futures_util::future::join_all;

use crate::connection::{Client, Connection};
use crate::stall::watched;
use crate::system_clock::SystemClock;
use crate::target::{Route, Target};

/// Judges a target once by the host's clock. Every problem is part of the report. Dropping the
/// future aborts the check.
pub async fn check(target: &Target, settings: &Settings) -> Report {
    check_with_clock(target, settings, &SystemClock::new()).await
}

/// Judges a target once by another clock.
pub async fn check_with_clock(target: &Target, settings: &Settings, clock: &dyn Clock) -> Report {
    record(target, settings, clock).await.judge(settings)
}

/// Runs a check and returns the record from which it can be judged.
pub async fn record(target: &Target, settings: &Settings, clock: &dyn Clock) -> Record {
    let mut record = Record::new(
        target.url().to_string(),
        target.connect_to().map(ToString::to_string),
        clock.read(),
    );
    // Watched like a request, because a delayed process may cause a resolver timeout itself.
    let (route, stall) = watched(settings.timeout, target.route(settings)).await;
    let route = route.unwrap_or_else(|| Err(target.unresolved_in_time(settings)));
    record.stall = stall;
    record.failure = match &route {
        Ok(route) => match Client::new(route, settings) {
            Ok(client) => {
                let mut asking = Asking {
                    client: &client,
                    route,
                    settings,
                    clock,
                    evidence: Evidence::new(settings),
                    observations: &mut record.observations,
                };
                asking.run().await;
                None
            }
            Err(failure) => Some(failure),
        },
        Err(failure) => Some(failure.clone()),
    };
    record.finished = clock.read();
    record
}

/// Sends one request on a new connection and verifies that the response is as expected. Ignores the
/// clock.
pub async fn knock(target: &Target, settings: &Settings) -> Result<(), Failure> {
    let (route, _) = watched(settings.timeout, target.route(settings)).await;
    let route = route.unwrap_or_else(|| Err(target.unresolved_in_time(settings)))?;
    Client::new(&route, settings)?
        .connection(&route.addresses)
        .ask(&SystemClock::new())
        .await
        .result?
        .refuse_unexpected(settings)
}

/// State of a running check.
struct Asking<'a> {
    client: &'a Client<'a>,
    route: &'a Route,
    settings: &'a Settings,
    clock: &'a dyn Clock,
    evidence: Evidence<'a>,
    observations: &'a mut Vec<Observation>,
}

impl<'a> Asking<'a> {
    async fn run(&mut self) {
        let mut connection = self.first_contact().await;
        if let Some(open) = &connection {
            self.evidence.turn_to(open.address());
        }
        let mut next = self.evidence.next();
        let mut number = 0;
        loop {
            match next {
                Next::Stop => return,
                Next::SameConnection(pause) => {
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                }
                Next::NewConnection => connection = None,
            }
            let mut open = if let Some(open) = connection.take() {
                open
            } else {
                // Counts up, so that repeated new connections reach different addresses.
                number += 1;
                self.client.connection(self.address(number))
            };
            next = self.ask(&mut open).await;
            connection = Some(open);
        }
    }

    /// Asks every address once and returns the first connection that answered. All are asked at the
    /// same time, because each dead one may take the whole timeout.
    async fn first_contact(&mut self) -> Option<Connection<'a>> {
        if self.route.are_interchangeable() {
            return self.first_that_answers().await;
        }
        let (client, clock) = (self.client, self.clock);
        let asked = self.route.addresses.chunks(1).map(async |address| {
            let mut connection = client.connection(address);
            let exchange = connection.ask(clock).await;
            (connection, exchange)
        });
        let mut answers = join_all(asked).await;
        // Evidence expects observations in the order of their ends.
        answers.sort_by_key(|(_, exchange)| exchange.received.monotonic);
        let mut first = None;
        for (connection, exchange) in answers {
            if exchange.result.is_ok() {
                first.get_or_insert(connection);
            }
            // The advice does not matter yet: every address is asked once in any case.
            let _ = self.add(exchange.observe(self.settings));
        }
        first
    }

    async fn first_that_answers(&mut self) -> Option<Connection<'a>> {
        for address in self.route.addresses.chunks(1) {
            let mut connection = self.client.connection(address);
            let exchange = connection.ask(self.clock).await;
            // A service often listens on IPv4 or IPv6 only, so one refused loopback address is no
            // failure.
            let refused = exchange
                .result
                .as_ref()
                .is_err_and(Failure::is_about_the_address);
            let _ = self.add(exchange.observe(self.settings));
            if !refused {
                return Some(connection);
            }
        }
        None
    }

    async fn ask(&mut self, connection: &mut Connection<'_>) -> Next {
        let observation = connection.ask(self.clock).await.observe(self.settings);
        self.add(observation)
    }

    fn add(&mut self, observation: Observation) -> Next {
        let next = self.evidence.add(&observation);
        self.observations.push(observation);
        next
    }

    /// Chooses the next address in turn: one whose clock is in doubt, one that has answered, one
    /// that is unknown, or any.
    fn address(&self, number: usize) -> &'a [SocketAddr] {
        let doubtful = self.evidence.doubtful();
        let is = |address: &SocketAddr, contact: &Contact| {
            self.evidence.addresses.get(address) == Some(contact)
        };
        let wanted: [&dyn Fn(&SocketAddr) -> bool; 4] = [
            &|address| doubtful.contains(address),
            &|address| is(address, &Contact::Live),
            &|address| is(address, &Contact::Unknown),
            &|_| true,
        ];
        let choices = wanted.map(|wanted| {
            let all = self.route.addresses.chunks(1);
            all.filter(|one| one.iter().all(wanted)).collect::<Vec<_>>()
        });
        let choice = choices.iter().find(|choice| !choice.is_empty());
        choice
            .and_then(|choice| choice.get(number % choice.len()).copied())
            .unwrap_or_default()
    }
}

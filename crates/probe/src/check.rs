//! Loop of one check: sends requests until the evidence is sufficient.

use std::net::SocketAddr;

use clock::{Clock, Contact, Evidence, Failure, Next, Observation, Record, Report, Settings};
use futures_util::future::join_all;

use crate::connection::Connection;
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
    let (route, stall) = watched(target.route(settings)).await;
    record.stall = stall;
    record.failure = match route {
        Ok(route) => {
            let mut asking = Asking {
                route: &route,
                settings,
                clock,
                evidence: Evidence::new(settings),
                observations: &mut record.observations,
            };
            asking.run().await.err()
        }
        Err(failure) => Some(failure),
    };
    record.finished = clock.read();
    record
}

/// Sends one request on a new connection and verifies that the response is as expected. Ignores the
/// clock.
pub async fn knock(target: &Target, settings: &Settings) -> Result<(), Failure> {
    let route = target.route(settings).await?;
    Connection::new(&route, settings)?
        .ask(&SystemClock::new())
        .await
        .result?
        .refuse_unexpected(settings)
}

/// State of a running check.
struct Asking<'a> {
    route: &'a Route,
    settings: &'a Settings,
    clock: &'a dyn Clock,
    evidence: Evidence<'a>,
    observations: &'a mut Vec<Observation>,
}

impl Asking<'_> {
    async fn run(&mut self) -> Result<(), Failure> {
        let mut connection = self.first_contact().await?;
        if let Some(open) = &connection {
            self.evidence.turn_to(open.address());
        }
        let mut next = self.evidence.next();
        let mut number = 0;
        loop {
            match next {
                Next::Stop => return Ok(()),
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
                self.connect(self.address(number))?
            };
            next = self.ask(&mut open).await;
            connection = Some(open);
        }
    }

    /// Asks every address once and returns the first connection that answered. All are asked at the
    /// same time, because each dead one may take the whole timeout.
    async fn first_contact(&mut self) -> Result<Option<Connection>, Failure> {
        if self.route.are_interchangeable() {
            return self.first_that_answers().await;
        }
        let mut connections = Vec::new();
        for address in &self.route.addresses {
            connections.push(self.connect(*address)?);
        }
        let clock = self.clock;
        let asked = connections.into_iter().map(async |mut connection| {
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
        Ok(first)
    }

    async fn first_that_answers(&mut self) -> Result<Option<Connection>, Failure> {
        for address in &self.route.addresses {
            let mut connection = self.connect(*address)?;
            let exchange = connection.ask(self.clock).await;
            // A service often listens on IPv4 or IPv6 only, so one refused loopback address is no
            // failure.
            let refused = exchange
                .result
                .as_ref()
                .is_err_and(Failure::is_about_the_address);
            let _ = self.add(exchange.observe(self.settings));
            if !refused {
                return Ok(Some(connection));
            }
        }
        Ok(None)
    }

    async fn ask(&mut self, connection: &mut Connection) -> Next {
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
    fn address(&self, number: usize) -> SocketAddr {
        let doubtful = self.evidence.doubtful();
        let that_are = |contact: &Contact| {
            let found =
                |address: &&SocketAddr| self.evidence.addresses.get(address) == Some(contact);
            self.route.addresses.iter().filter(found).copied().collect()
        };
        let choices: [Vec<SocketAddr>; 4] = [
            doubtful.into_iter().collect(),
            that_are(&Contact::Live),
            that_are(&Contact::Unknown),
            self.route.addresses.clone(),
        ];
        let choice = choices.iter().find(|choice| !choice.is_empty());
        choice
            .and_then(|choice| choice.get(number % choice.len()).copied())
            .unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    fn connect(&self, address: SocketAddr) -> Result<Connection, Failure> {
        Connection::new(&self.route.only(address), self.settings)
    }
}

/// Persistent connection for repeated requests, like that of a check once it is warm.
pub struct Probe {
    connection: Connection,
    settings: Settings,
    clock: SystemClock,
}

impl Probe {
    /// Resolves the target. The connection is opened by the first request.
    pub async fn new(target: &Target, settings: &Settings) -> Result<Self, Failure> {
        let route = target.route(settings).await?;
        Ok(Self {
            connection: Connection::new(&route, settings)?,
            settings: settings.clone(),
            clock: SystemClock::new(),
        })
    }

    /// Sends one request.
    pub async fn ask(&mut self) -> Observation {
        self.connection
            .ask(&self.clock)
            .await
            .observe(&self.settings)
    }
}

//! SNTP client that respects the rate limits of public time servers.

mod packet;

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use clock::{Bounds, Clock, Family, NtpSample, OffsetInterval, Reading, Settings, excerpt};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::sntp::packet::{LENGTH, Reply, question};

const PORT: u16 = 123;
/// Minimum time between two queries, as public servers demand.
const REST: Duration = Duration::from_secs(64);
/// Requests per query. The response with the tightest bounds counts.
const QUESTIONS: u32 = 3;
/// Timeout of one response.
const PATIENCE: Duration = Duration::from_secs(2);

/// Address of a time server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    host: String,
    port: u16,
}

/// Error for a text that is not `HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read `{text}` as the HOST[:PORT] of a time server")]
pub struct ServerError {
    text: String,
}

impl FromStr for Server {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        let invalid = || ServerError {
            text: excerpt(text),
        };
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => match rest.split_once(']').ok_or_else(invalid)? {
                (host, "") => (host, None),
                (host, port) => (host, Some(port.strip_prefix(':').ok_or_else(invalid)?)),
            },
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = port.map_or(Ok(PORT), str::parse).map_err(|_| invalid())?;
        let strange = |character: char| character.is_whitespace() || "/@?#[]".contains(character);
        if host.is_empty() || port == 0 || host.contains(strange) {
            return Err(invalid());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.host)?;
        match self.port {
            PORT => Ok(()),
            port => write!(formatter, ":{port}"),
        }
    }
}

/// Client of one time server, with its last result.
#[derive(Debug)]
pub struct Witness {
    server: Server,
    family: Family,
    last: Option<(Reading, Result<Statement, String>)>,
}

/// Bounds given by a server, and the moment of the response.
#[derive(Debug, Clone, Copy)]
struct Statement {
    stratum: u8,
    interval: OffsetInterval,
    at: Reading,
}

impl Witness {
    /// Creates a client that has not asked yet.
    pub fn new(server: Server, settings: &Settings) -> Self {
        Self {
            server,
            family: settings.family,
            last: None,
        }
    }

    /// Returns the offset of the server's clock from the local one now. Uses the last result,
    /// widened by its age, unless it is too old or the local clock has been set since.
    pub async fn ask(&mut self, clock: &dyn Clock) -> NtpSample {
        let now = clock.read();
        let is_recent = |asked: &Reading| {
            asked.interruption(now).is_none() && asked.until(now) < clock::units::nanoseconds(REST)
        };
        if self
            .last
            .as_ref()
            .is_none_or(|(asked, _)| !is_recent(asked))
        {
            // Failures are kept, too, so that a dead server is not asked with every check.
            self.last = Some((now, self.question(clock).await));
        }
        let now = clock.read();
        let statement = match &self.last {
            Some((_, Ok(statement))) => {
                let age = now.monotonic - statement.at.monotonic;
                let interval = statement.interval.widened(age);
                Ok(Bounds {
                    stratum: statement.stratum,
                    lo: interval.lo,
                    hi: interval.hi,
                })
            }
            Some((_, Err(failure))) => Err(failure.clone()),
            None => Err("it was not asked".to_owned()),
        };
        NtpSample {
            server: self.server.to_string(),
            statement,
        }
    }

    async fn question(&self, clock: &dyn Clock) -> Result<Statement, String> {
        let addresses = tokio::net::lookup_host((self.server.host.as_str(), self.server.port));
        let address = timeout(PATIENCE, addresses)
            .await
            .map_err(|_| "no answer from the resolver in time".to_owned())?
            .map_err(|error| crate::error_text::detail(&error))?
            .find(|address| self.family.has(address.ip()))
            .ok_or_else(|| "it has no address".to_owned())?;
        let mut best: Option<Statement> = None;
        let mut failure = "no answer in time".to_owned();
        for _ in 0..QUESTIONS {
            match timeout(PATIENCE, exchange(address, clock)).await {
                Ok(Ok(statement)) => {
                    let tighter =
                        |known: &Statement| statement.interval.width() < known.interval.width();
                    if best.as_ref().is_none_or(tighter) {
                        best = Some(statement);
                    }
                }
                Ok(Err(error)) => failure = error,
                // A server that does not answer once is unlikely to answer the next request.
                Err(_) => break,
            }
        }
        best.ok_or(failure)
    }
}

async fn exchange(address: SocketAddr, clock: &dyn Clock) -> Result<Statement, String> {
    let detail = |error: std::io::Error| crate::error_text::detail(&error);
    let any: SocketAddr = if address.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    // A new port for each request, connected so that the kernel drops packets from other addresses.
    let socket = UdpSocket::bind(any).await.map_err(detail)?;
    socket.connect(address).await.map_err(detail)?;
    let token = rand::random();
    let sent = clock.read();
    socket.send(&question(token)).await.map_err(detail)?;
    let mut packet = [0; LENGTH];
    let length = socket.recv(&mut packet).await.map_err(detail)?;
    let received = clock.read();
    // The offset would refer to two different local clocks.
    if sent.interruption(received).is_some() {
        return Err("the local clock was set meanwhile".to_owned());
    }
    let reply = Reply::parse(
        packet.get(..length).unwrap_or_default(),
        token,
        received.wall,
    )
    .map_err(|error| error.to_string())?;
    Ok(Statement {
        stratum: reply.stratum,
        interval: reply.interval(sent, received),
        at: received,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sntp::packet::tests::answer;
    use crate::system_clock::SystemClock;
    use clock::units::SECOND;

    #[test]
    fn addresses_are_read() {
        for (text, host, port) in [
            ("time.example.test", "time.example.test", 123),
            ("10.0.0.1:1123", "10.0.0.1", 1123),
            ("[fd00::1]", "fd00::1", 123),
            ("[fd00::1]:99", "fd00::1", 99),
        ] {
            let server: Server = text.parse().unwrap();
            assert_eq!((server.host.as_str(), server.port), (host, port));
        }
        for text in [
            "", ":1", "a:", "a:x", "a:0", "a:1:2", "[a", "[a]b", "ntp://a", "a b",
        ] {
            assert!(text.parse::<Server>().is_err(), "{text}");
        }
    }

    /// A server whose clock is this far ahead.
    async fn serve(ahead: clock::units::Nanoseconds) -> Server {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap().to_string().parse().unwrap();
        tokio::spawn(async move {
            let clock = SystemClock::new();
            let mut packet = [0; LENGTH];
            loop {
                let (length, from) = socket.recv_from(&mut packet).await.unwrap();
                assert_eq!(length, LENGTH);
                let token = u64::from_be_bytes(packet[40..48].try_into().unwrap());
                let now = clock.read().wall + ahead;
                socket
                    .send_to(&answer(token, now, now), from)
                    .await
                    .unwrap();
            }
        });
        server
    }

    #[tokio::test]
    async fn a_server_is_asked_once_and_remembered() {
        let clock = SystemClock::new();
        for ahead in [0, 5 * SECOND] {
            let mut witness = Witness::new(serve(ahead).await, &Settings::default());
            let bounds = witness.ask(&clock).await.statement.unwrap();
            assert_eq!(bounds.stratum, 2);
            assert!(bounds.lo < ahead && ahead < bounds.hi, "{bounds:?}");
            let later = witness.ask(&clock).await.statement.unwrap();
            assert!(later.lo <= bounds.lo && bounds.hi <= later.hi);
        }
    }

    #[tokio::test]
    async fn one_that_is_not_there_says_so() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = socket.local_addr().unwrap().to_string().parse().unwrap();
        drop(socket);
        let mut witness = Witness::new(server, &Settings::default());
        let sample = witness.ask(&SystemClock::new()).await;
        assert_eq!(sample.statement.unwrap_err(), "connection refused");
    }
}

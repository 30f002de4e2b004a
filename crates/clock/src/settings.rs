//! How a check measures, and what it expects.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::expected::Expected;
use crate::field::Field;

/// Settings of a check. `Settings::default()` is what the program uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What makes an answer good.
    pub kind: Kind,
    /// What every answer has to be, whatever its time.
    pub expected: Expected,
    /// For resolving the name, and for each request from connecting to the last byte.
    pub timeout: Duration,
    /// Θ: a clock that is further off, in either direction, is wrong.
    pub max_skew: Duration,
    /// Requests at most, when nothing is decided earlier. At least 1; below 2 there is no measurement on a warm connection.
    pub samples: u32,
    /// The version that every answer has to come from.
    pub expect_version: Option<String>,
    /// A clock that is proven to be further off than this is worth a warning.
    pub warn_skew: Option<Duration>,
    /// Days that a certificate has to be valid for; fewer are worth a warning.
    pub warn_certificate: Option<u32>,
    /// Where in a JSON body the timestamp is.
    pub field: Field,
    /// Whether the `Date` header will do where the body has no timestamp.
    pub date_header: bool,
    /// Which addresses to ask.
    pub family: Family,
    /// How many distinct instances have to be seen, and judged OK. Up to [`Settings::REQUESTS_PER_INSTANCE`] requests for each.
    pub expect_instances: Option<u32>,
    /// The HTTP proxy to ask through, which then resolves the name. The time spent there is part of each measured round trip, so
    /// bounds stay proven. Takes the place of `--connect-to`.
    pub proxy: Option<Url>,
    /// What is sent with every request, beside what HTTP needs.
    pub headers: Vec<Header>,
    /// A file with the authorities to trust, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// What this program shows of itself in TLS.
    pub identity: Option<Identity>,
}

/// Files with a client certificate and its key, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and those of the authorities in between.
    pub certificate: PathBuf,
    /// Its private key; may be the same file.
    pub key: PathBuf,
}

/// A header of a request. Its value may be a secret, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// As in `Authorization`.
    pub name: String,
    /// Never printed.
    pub value: String,
}

impl fmt::Debug for Header {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: …", self.name)
    }
}

impl Settings {
    /// How long a check looks for each expected instance. Of two instances behind random routing, one stays unseen in one check of 2³¹.
    pub const REQUESTS_PER_INSTANCE: u32 = 16;

    /// Requests after which a check ends undecided.
    pub(crate) fn budget(&self) -> u32 {
        let wanted = self.expect_instances.unwrap_or_default();
        self.samples
            .max(1)
            .max(wanted.saturating_mul(Self::REQUESTS_PER_INSTANCE))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kind: Kind::Clock,
            expected: Expected::default(),
            timeout: Duration::from_secs(5),
            max_skew: Duration::from_secs(1),
            samples: 8,
            expect_version: None,
            warn_skew: None,
            warn_certificate: None,
            field: Field::default(),
            date_header: false,
            family: Family::Any,
            expect_instances: None,
            proxy: None,
            headers: Vec::new(),
            ca_file: None,
            identity: None,
        }
    }
}

/// What a check proves of a service that answers as expected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// That its clock is right, too.
    #[default]
    Clock,
    /// Nothing else: answers need no time.
    Http,
}

impl Kind {
    /// Bytes of a body that are read. A longer one is no answer to the question for the time.
    pub const fn longest_body(self) -> usize {
        match self {
            Self::Clock => 64 << 10,
            Self::Http => 1 << 20,
        }
    }
}

/// The Internet protocol to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Family {
    /// Whatever there is.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    /// Whether an address is of it.
    pub fn has(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

//! Settings of a check: how it measures and what it expects.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::expected::Expected;
use crate::field::Field;

/// Settings of a check. `Settings::default()` has the program's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Kind of check, which defines a good answer.
    pub kind: Kind,
    /// Expectations of every answer, whatever its time.
    pub expected: Expected,
    /// Timeout of the name resolution, and of each request from connecting to the last byte.
    pub timeout: Duration,
    /// Limit Θ: a clock that is further off, in either direction, is wrong.
    pub max_skew: Duration,
    /// Maximum number of requests if nothing is decided earlier. At least 1; below 2 no measurement
    /// uses a warm connection.
    pub samples: u32,
    /// Version that every answer has to come from.
    pub expect_version: Option<String>,
    /// Offset above which a clock gives a warning.
    pub warn_skew: Option<Duration>,
    /// Days that a certificate has to be valid for; fewer give a warning.
    pub warn_certificate: Option<u32>,
    /// JSON pointer to the timestamp in a JSON body.
    pub field: Field,
    /// Permission to use the `Date` header if the body has no timestamp.
    pub date_header: bool,
    /// Address family to use.
    pub family: Family,
    /// Number of distinct instances that have to answer and be judged OK. Each gets up to
    /// [`Settings::REQUESTS_PER_INSTANCE`] requests.
    pub expect_instances: Option<u32>,
    /// HTTP proxy, which then resolves the name. The time spent there is part of each measured
    /// round trip, so bounds stay proven. Replaces `--connect-to`.
    pub proxy: Option<Url>,
    /// Headers sent with every request, in addition to those of HTTP.
    pub headers: Vec<Header>,
    /// File with the certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Client certificate for TLS.
    pub identity: Option<Identity>,
}

/// PEM files with a client certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Certificate with its intermediate authorities.
    pub certificate: PathBuf,
    /// Private key; may be in the same file.
    pub key: PathBuf,
}

/// Request header. Its value may be a secret, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// Name, such as `Authorization`.
    pub name: String,
    /// Value, never printed.
    pub value: String,
}

impl fmt::Debug for Header {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value may be a secret, which must not reach a log through `{:?}`.
        write!(formatter, "{}: …", self.name)
    }
}

impl Settings {
    /// Requests per expected instance. Of two instances behind random routing, one stays unseen in
    /// one check of 2³¹.
    pub const REQUESTS_PER_INSTANCE: u32 = 16;

    /// Returns the number of requests after which a check ends undecided.
    pub(crate) fn budget(&self) -> u32 {
        let wanted = self.expect_instances.unwrap_or_default();
        self.samples
            // With zero samples, a check would end without a request.
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

/// Kind of check.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The service is up and its clock is right.
    #[default]
    Clock,
    /// The service is up. Answers need no time.
    Http,
}

impl Kind {
    /// Returns the maximum number of body bytes read. A longer body is no answer to a request for
    /// the time.
    pub const fn longest_body(self) -> usize {
        match self {
            Self::Clock => 64 << 10,
            Self::Http => 1 << 20,
        }
    }
}

/// Internet protocol to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Family {
    /// Any address.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    /// Returns whether an address belongs to the family.
    pub fn has(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

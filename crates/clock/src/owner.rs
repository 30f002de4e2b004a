//! Owner of a clock, as far as answers identify it.

use std::net::SocketAddr;

/// Owner of a clock. Answers of different owners are never combined.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// Nameless instance at this address, if a single address was asked. Several behind one address
    /// cannot be told apart.
    Nameless(Option<SocketAddr>),
    /// Instance with this name.
    Named(String),
}

impl Owner {
    /// Returns the owner of an answer with this name, if any, from this address.
    pub(crate) fn of(name: Option<&String>, address: Option<SocketAddr>) -> Self {
        name.map_or(Self::Nameless(address), |name| Self::Named(name.clone()))
    }

    pub(crate) fn name(&self) -> Option<&String> {
        match self {
            Self::Named(name) => Some(name),
            Self::Nameless(_) => None,
        }
    }

    /// Returns the address at which it has to be asked; `None` if it has a name and any address
    /// will do.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Named(_) => None,
            Self::Nameless(address) => *address,
        }
    }
}

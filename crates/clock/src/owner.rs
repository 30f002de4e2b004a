//! Whose clock an answer tells.

use std::net::SocketAddr;

/// Whose clock it is: answers of different ones are never taken together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// One that gives no name: whoever answers at this address, if one alone was asked. Several behind one address cannot be
    /// told apart.
    Nameless(Option<SocketAddr>),
    /// The instance with this name.
    Named(String),
}

impl Owner {
    /// Of an answer from an address that names an instance, or none.
    pub(crate) fn of(name: Option<&String>, address: Option<SocketAddr>) -> Self {
        name.map_or(Self::Nameless(address), |name| Self::Named(name.clone()))
    }

    pub(crate) fn name(&self) -> Option<&String> {
        match self {
            Self::Named(name) => Some(name),
            Self::Nameless(_) => None,
        }
    }

    /// Where it has to be asked: anywhere, if it has a name.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Named(_) => None,
            Self::Nameless(address) => *address,
        }
    }
}

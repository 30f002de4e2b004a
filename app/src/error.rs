//! Failures at start-up: message, hint and exit code.

use std::io;
use std::num::NonZeroU16;

/// A failure that ends the process before it serves.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An environment variable has an invalid value.
    #[error("`{name}` is not {expected}: {value:?}")]
    InvalidSetting {
        /// Name of the variable.
        name: &'static str,
        /// Expected kind of value.
        expected: &'static str,
        /// Value found.
        value: String,
        /// Hint.
        hint: &'static str,
    },
    /// Another program listens on the port.
    #[error("port {port} is already in use")]
    AddressInUse {
        /// The port wanted.
        port: NonZeroU16,
    },
    /// The port cannot be bound for another reason.
    #[error("cannot listen on port {port}: {source}")]
    Bind {
        /// The port wanted.
        port: NonZeroU16,
        /// Error of the operating system.
        source: io::Error,
    },
    /// Handlers for SIGTERM and SIGINT cannot be installed.
    #[error("cannot install signal handlers: {0}")]
    Signals(#[source] io::Error),
    /// The runtime cannot be started.
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] io::Error),
}

impl Error {
    /// Returns 2 if an environment variable has to be changed, and 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::InvalidSetting { .. } => 2,
            Self::AddressInUse { .. } | Self::Bind { .. } | Self::Signals(_) | Self::Runtime(_) => {
                1
            }
        }
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::InvalidSetting { hint, .. } => hint,
            Self::AddressInUse { .. } => {
                "stop the program that listens there, or set PORT to a free port"
            }
            Self::Bind { .. } => "set PORT to a port this user may bind, such as 8080",
            Self::Signals(_) | Self::Runtime(_) => {
                "check the limits on processes, threads and open files"
            }
        }
    }
}

//! Why the service cannot start: message, remedy and exit code, apart from one another.

use std::io;
use std::num::NonZeroU16;

/// A failure that ends the process before it serves.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An environment variable is set, but to something that it cannot be.
    #[error("`{name}` is not {expected}: {value:?}")]
    InvalidSetting {
        /// The variable.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
        /// What was found.
        value: String,
        /// What to do.
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
        /// What the operating system says.
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
    /// 2 when the caller has to change the environment variable, 1 when the machine is in the way.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::InvalidSetting { .. } => 2,
            Self::AddressInUse { .. } | Self::Bind { .. } | Self::Signals(_) | Self::Runtime(_) => {
                1
            }
        }
    }

    /// What to do about it.
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

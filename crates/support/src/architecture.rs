//! Processor architectures that a service can run on.

use std::fmt;
use std::str::FromStr;

/// Processor architecture of a service, by ECS's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// Intel and AMD, 64-bit.
    X86_64,
    /// ARM 64-bit, such as Graviton.
    Arm64,
}

/// Error for a name other than `X86_64` and `ARM64`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an architecture: use X86_64 or ARM64")]
pub struct UnknownArchitecture(String);

impl Architecture {
    /// Returns the name in image configurations.
    pub const fn oci_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Returns the name in Rust's target triples, which is also that of Linux.
    pub const fn rust_name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }
}

impl Architecture {
    /// Returns the architecture of this machine, if services can run on it.
    pub fn of_this_machine() -> Option<Self> {
        std::env::consts::ARCH.parse().ok()
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::X86_64 => "X86_64",
            Self::Arm64 => "ARM64",
        })
    }
}

/// Accepts the names of ECS, of OCI images and of Linux.
impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "x86_64" | "amd64" => Ok(Self::X86_64),
            "arm64" | "aarch64" => Ok(Self::Arm64),
            _ => Err(UnknownArchitecture(text.to_owned())),
        }
    }
}

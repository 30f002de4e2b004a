//! Service manager notifications: systemd's `sd_notify` protocol.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Connection to the service manager, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// Reads the variables set by the service manager: `NOTIFY_SOCKET`, `WATCHDOG_USEC`,
    /// `WATCHDOG_PID`.
    pub(crate) fn from_environment() -> Self {
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        // Child processes inherit the variables, so the process id says whom they concern.
        let is_ours = number("WATCHDOG_PID").is_none_or(|id| id == u64::from(std::process::id()));
        let limit = number("WATCHDOG_USEC").filter(|limit| *limit > 0 && is_ours);
        Self {
            socket: env::var_os("NOTIFY_SOCKET").and_then(|name| connected(&name)),
            watchdog: limit.map(Duration::from_micros),
        }
    }

    /// Returns the interval of watchdog notifications.
    pub(crate) fn period(&self) -> Option<Duration> {
        // Half of the limit, as `sd_watchdog_enabled` advises.
        self.watchdog
            .filter(|_| self.socket.is_some())
            .map(|limit| limit / 2)
    }

    /// Reports that checks begin.
    pub(crate) fn ready(&self) {
        self.send("READY=1");
    }

    /// Reports that checks continue.
    pub(crate) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// Reports that shutdown has started.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // The service manager is gone; there is nobody to report that to.
            let _ = socket.send(message.as_bytes());
        }
    }
}

/// Connects to a path, or to an abstract socket if the name starts with `@`.
fn connected(name: &OsString) -> Option<UnixDatagram> {
    let address = match name.as_bytes().split_first()? {
        (b'@', name) => of_name(name)?,
        _ => SocketAddr::from_pathname(name).ok()?,
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect_addr(&address).ok()?;
    // A service manager that stalls must not block the checks.
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

#[cfg(target_os = "linux")]
fn of_name(name: &[u8]) -> Option<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name).ok()
}

#[cfg(not(target_os = "linux"))]
fn of_name(_: &[u8]) -> Option<SocketAddr> {
    None
}

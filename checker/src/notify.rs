//! Tells a service manager that the program is ready and at work: systemd's `sd_notify` protocol.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A service manager, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// Finds it by the variables that it sets: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    pub(crate) fn from_environment() -> Self {
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|id| id == u64::from(std::process::id()));
        let limit = number("WATCHDOG_USEC").filter(|limit| *limit > 0 && is_ours);
        Self {
            socket: env::var_os("NOTIFY_SOCKET").and_then(|name| connected(&name)),
            watchdog: limit.map(Duration::from_micros),
        }
    }

    /// Returns how often the watchdog wants to hear that the program is alive.
    pub(crate) fn period(&self) -> Option<Duration> {
        // Half of the limit, as `sd_watchdog_enabled` advises.
        self.watchdog
            .filter(|_| self.socket.is_some())
            .map(|limit| limit / 2)
    }

    /// Tells that checks begin.
    pub(crate) fn ready(&self) {
        self.send("READY=1");
    }

    /// Tells that checks go on.
    pub(crate) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// Tells that the end has started.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket {
            // Nobody who could be told.
            let _ = socket.send(message.as_bytes());
        }
    }
}

/// A path, or with an `@` in front a name without a file.
fn connected(name: &OsString) -> Option<UnixDatagram> {
    let address = match name.as_bytes().split_first()? {
        (b'@', name) => of_name(name)?,
        _ => SocketAddr::from_pathname(name).ok()?,
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect_addr(&address).ok()?;
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

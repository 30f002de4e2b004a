//! Detects a running emulator from its health endpoint and the process table.

use std::path::Path;

use async_trait::async_trait;
use url::Url;

use super::super::health::{Guard, Health};
use super::Emulator;
use crate::poll::Poller;
use aws::remote::Remote;
use deployment::event::Sink;

/// Presence of the emulator, as far as it is certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// The emulator accepts this user's requests, whoever started it.
    Running {
        /// Version that the emulator reports.
        version: String,
        /// Set if it accepts no other credentials.
        guarded: bool,
    },
    /// No server listens at its address, and no process of this program is left.
    Absent,
}

/// Combined result of the health endpoint and the process table.
#[derive(Debug, PartialEq, Eq)]
enum Sighting {
    Certain(Presence),
    /// A process of this program exists but does not respond: it starts, ends, or is busy.
    Unclear,
    /// Another program uses the address.
    Stranger(String),
    /// The emulator requires other credentials than this user's.
    Foreign,
}

fn judge(health: Health, own_process: bool) -> Sighting {
    match (health, own_process) {
        (Health::Emulator { guard, version }, _) => match guard {
            Guard::Foreign => Sighting::Foreign,
            Guard::Ours | Guard::None => Sighting::Certain(Presence::Running {
                version,
                guarded: guard == Guard::Ours,
            }),
        },
        // A busy emulator may time out, which looks like another program.
        (Health::Nobody | Health::SomethingElse(_), true) => Sighting::Unclear,
        (Health::Nobody, false) => Sighting::Certain(Presence::Absent),
        (Health::SomethingElse(what), false) => Sighting::Stranger(what),
    }
}

/// Result of the detection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Certain(Presence),
    Stranger(String),
    /// The emulator requires other credentials than this user's.
    Foreign,
    /// The emulator of this user listens here instead.
    Elsewhere(Url),
}

/// Poller for an emulator that may run. Completes when the state of the address is certain.
pub(super) struct Looking<'a> {
    emulator: &'a Emulator,
    sink: &'a Sink,
    told: bool,
    doubt: Doubt,
}

/// Filter for results that count only twice in a row. An emulator may start or end between the two
/// observations.
#[derive(Debug, Default)]
struct Doubt {
    before: bool,
}

impl Doubt {
    /// Records an observation; returns the result if it is certain.
    fn take(&mut self, sighting: Sighting) -> Option<Found> {
        let found = match sighting {
            Sighting::Certain(presence) => return Some(Found::Certain(presence)),
            Sighting::Unclear => {
                // The process of this program explains the previous observation, which no longer
                // counts.
                self.before = false;
                return None;
            }
            Sighting::Stranger(what) => Found::Stranger(what),
            Sighting::Foreign => Found::Foreign,
        };
        std::mem::replace(&mut self.before, true).then_some(found)
    }
}

impl<'a> Looking<'a> {
    pub(super) fn new(emulator: &'a Emulator, sink: &'a Sink) -> Self {
        Self {
            emulator,
            sink,
            told: false,
            doubt: Doubt::default(),
        }
    }

    /// Returns the address of an emulator that responds at its usual address instead of the
    /// configured one.
    async fn elsewhere(&self) -> Option<Url> {
        let usual = self.emulator.usual_address()?;
        let health = self.emulator.health_at(&usual).await;
        matches!(health, Health::Emulator { .. }).then_some(usual)
    }
}

#[async_trait]
impl Poller for Looking<'_> {
    type End = Found;

    async fn poll(&mut self) -> Remote<Option<Found>> {
        let health = self.emulator.health_at(self.emulator.address()).await;
        let sighting = judge(health, self.emulator.own_process().is_some());
        if sighting == Sighting::Unclear {
            // It was started for another address of the same port, and waiting would not help.
            if let Some(usual) = self.elsewhere().await {
                return Ok(Some(Found::Elsewhere(usual)));
            }
            if !self.told {
                self.told = true;
                self.sink
                    .note("the emulator is there, but does not answer yet: waiting for it");
            }
        }
        Ok(self.doubt.take(sighting))
    }
}

/// Returns the process id of the emulator that any run of this program with this cache folder started
/// for this port.
///
/// The process table identifies it by its program, arguments and environment. A PID file would be
/// unreliable: a run that was killed after the start has written none, and the number may be
/// reused.
pub(super) fn own_process(folder: &Path, port: u16) -> Option<u32> {
    let port = format!("GATEWAY_PORT={port}");
    let is_ours = |pid: &u32| {
        let arguments = read_list(*pid, "cmdline");
        // The Python that is installed there, or else what it runs: the addition. Compared by folder,
        // because other versions are in other subfolders.
        let mut program = arguments.iter().take(2).map(Path::new);
        program.any(|path| path.starts_with(folder))
            && arguments
                .iter()
                .any(|argument| argument == "ministack" || argument == "ministack.app:app")
            && read_list(*pid, "environ").contains(&port)
    };
    // Without procfs, as on macOS, no process is found.
    std::fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(is_ours)
}

/// Reads a list from procfs: the arguments (`cmdline`) or variables (`environ`) of a process.
/// Returns an empty list if the process is gone or not readable.
fn read_list(pid: u32, name: &str) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.split('\0').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emulator(guard: Guard) -> Health {
        Health::Emulator {
            version: "1".to_owned(),
            guard,
        }
    }

    fn running(guarded: bool) -> Presence {
        Presence::Running {
            version: "1".to_owned(),
            guarded,
        }
    }

    #[test]
    fn what_the_two_witnesses_say_together() {
        let slow = || Health::SomethingElse("slow".to_owned());
        for own_process in [true, false] {
            let judge = |guard| judge(emulator(guard), own_process);
            assert_eq!(judge(Guard::Ours), Sighting::Certain(running(true)));
            assert_eq!(judge(Guard::None), Sighting::Certain(running(false)));
            assert_eq!(judge(Guard::Foreign), Sighting::Foreign);
        }
        assert_eq!(judge(Health::Nobody, true), Sighting::Unclear);
        assert_eq!(judge(slow(), true), Sighting::Unclear);
        assert_eq!(
            judge(Health::Nobody, false),
            Sighting::Certain(Presence::Absent)
        );
        assert_eq!(judge(slow(), false), Sighting::Stranger("slow".to_owned()));
    }

    #[test]
    fn only_twice_in_a_row_is_certain() {
        let stranger = || Sighting::Stranger("slow".to_owned());
        let found = || Some(Found::Stranger("slow".to_owned()));
        let mut doubt = Doubt::default();
        assert_eq!(doubt.take(stranger()), None);
        assert_eq!(doubt.take(stranger()), found());

        let mut doubt = Doubt::default();
        assert_eq!(doubt.take(stranger()), None);
        assert_eq!(doubt.take(Sighting::Unclear), None);
        assert_eq!(doubt.take(stranger()), None, "one of ours was there");
        assert_eq!(doubt.take(stranger()), found());

        let mut doubt = Doubt::default();
        assert_eq!(doubt.take(Sighting::Foreign), None);
        assert_eq!(doubt.take(Sighting::Foreign), Some(Found::Foreign));
        let certain = Sighting::Certain(running(true));
        assert_eq!(
            Doubt::default().take(certain),
            Some(Found::Certain(running(true)))
        );
    }
}

//! Is the emulator there? Two witnesses are heard: what answers at its address, and the process table.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::emulator::Emulator;
use super::health::{self, Health};
use crate::engine::Subject;
use crate::event::Sink;
use crate::remote::Remote;

/// Whether the emulator is there, where that is certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It answers, whoever started it.
    Running {
        /// As it says itself.
        version: String,
    },
    /// Nobody listens at its address, and no process of this program is left.
    Absent,
}

/// What the two witnesses say together.
#[derive(Debug, PartialEq, Eq)]
enum Sighting {
    Certain(Presence),
    /// A process of ours is there but does not answer: it starts, ends, or has too much to do.
    Unclear,
    /// Somebody else is at the address.
    Stranger(String),
}

fn judge(health: Health, own_process: bool) -> Sighting {
    match (health, own_process) {
        (Health::Emulator { version }, _) => Sighting::Certain(Presence::Running { version }),
        (Health::Nobody | Health::SomethingElse(_), true) => Sighting::Unclear,
        (Health::Nobody, false) => Sighting::Certain(Presence::Absent),
        (Health::SomethingElse(what), false) => Sighting::Stranger(what),
    }
}

/// How looking for the emulator ended.
#[derive(Debug)]
pub(super) enum Found {
    Certain(Presence),
    Stranger(String),
}

/// An emulator that may be there: the end is that it is certain who is at the address.
pub(super) struct Looking<'a> {
    emulator: &'a Emulator,
    sink: &'a Sink,
    told: bool,
    stranger_before: bool,
}

impl<'a> Looking<'a> {
    pub(super) fn new(emulator: &'a Emulator, sink: &'a Sink) -> Self {
        Self {
            emulator,
            sink,
            told: false,
            stranger_before: false,
        }
    }
}

#[async_trait]
impl Subject for Looking<'_> {
    type End = Found;

    async fn look(&mut self) -> Remote<Option<Found>> {
        let health = health::ask(self.emulator.address()).await;
        match judge(health, self.emulator.own_process().is_some()) {
            Sighting::Certain(presence) => Ok(Some(Found::Certain(presence))),
            Sighting::Unclear => {
                if !self.told {
                    self.told = true;
                    self.sink
                        .note("the emulator is there, but does not answer yet: waiting for it");
                }
                self.stranger_before = false;
                Ok(None)
            }
            // Twice: one of ours may have ended in between the two questions.
            Sighting::Stranger(what) if self.stranger_before => Ok(Some(Found::Stranger(what))),
            Sighting::Stranger(_) => {
                self.stranger_before = true;
                Ok(None)
            }
        }
    }
}

/// The process of the emulator that this program (any run of it) installed under `folder` and started for this port, if
/// it still runs.
///
/// Found in the process table by what it is, and not by a number that was written down: a run that was killed just after
/// it started the emulator wrote nothing, and a number may be somebody else's by now.
pub(super) fn own_process(folder: &Path, port: u16) -> Option<u32> {
    let port = format!("GATEWAY_PORT={port}");
    let is_ours = |pid: &u32| {
        let arguments = read_list(*pid, "cmdline");
        let program = arguments.first().map(PathBuf::from);
        program.is_some_and(|program| program.starts_with(folder))
            && arguments
                .iter()
                .any(|argument| argument == "ministack" || argument == "ministack.app:app")
            && read_list(*pid, "environ").contains(&port)
    };
    std::fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(is_ours)
}

/// A list from the process table: the arguments (`cmdline`) or variables (`environ`) of a process. Empty where there is
/// no such process, or it is not ours to look at.
fn read_list(pid: u32, name: &str) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.split('\0').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_two_witnesses_say_together() {
        let emulator = || Health::Emulator {
            version: "1".to_owned(),
        };
        let slow = || Health::SomethingElse("slow".to_owned());
        let running = || {
            Sighting::Certain(Presence::Running {
                version: "1".to_owned(),
            })
        };
        assert_eq!(judge(emulator(), true), running());
        assert_eq!(judge(emulator(), false), running());
        assert_eq!(judge(Health::Nobody, true), Sighting::Unclear);
        assert_eq!(judge(slow(), true), Sighting::Unclear);
        assert_eq!(
            judge(Health::Nobody, false),
            Sighting::Certain(Presence::Absent)
        );
        assert_eq!(judge(slow(), false), Sighting::Stranger("slow".to_owned()));
    }
}

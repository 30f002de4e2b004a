//! Is the emulator there? Two witnesses are heard: what answers at its address, and the process table.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use url::Url;

use super::super::health::{Guard, Health};
use super::Emulator;
use crate::poll::Poller;
use aws::remote::Remote;
use deployment::event::Sink;

/// Whether the emulator is there, where that is certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It answers us, whoever started it.
    Running {
        /// As it says itself.
        version: String,
        /// Whether it answers nobody else.
        guarded: bool,
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
    /// The emulator is there, but takes other credentials than ours.
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
        (Health::Nobody | Health::SomethingElse(_), true) => Sighting::Unclear,
        (Health::Nobody, false) => Sighting::Certain(Presence::Absent),
        (Health::SomethingElse(what), false) => Sighting::Stranger(what),
    }
}

/// How looking for the emulator ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Certain(Presence),
    Stranger(String),
    /// It takes other credentials than ours.
    Foreign,
    /// It is ours, and listens here instead.
    Elsewhere(Url),
}

/// An emulator that may be there: the end is that it is certain who is at the address.
pub(super) struct Looking<'a> {
    emulator: &'a Emulator,
    sink: &'a Sink,
    told: bool,
    doubt: Doubt,
}

/// What does not count before it was seen twice in a row: one of ours may have started or ended in between the two questions.
#[derive(Debug, Default)]
struct Doubt {
    before: bool,
}

impl Doubt {
    /// Takes a sighting in; returns what is certain by now.
    fn take(&mut self, sighting: Sighting) -> Option<Found> {
        let found = match sighting {
            Sighting::Certain(presence) => return Some(Found::Certain(presence)),
            Sighting::Unclear => {
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

    /// Where one of ours answers that does not at its address.
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

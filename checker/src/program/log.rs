//! The log: all that was measured, as JSON Lines. Written by a thread of its own, so that a slow disk delays no check.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};

use crate::program::output::aside;
use crate::record::Record;
use crate::series::{Finding, State, Tick};
use crate::verdict::Verdict;

/// The format of the lines; raised when a reader would have to change.
const FORMAT: u32 = 1;
/// Lines that are kept while the disk is slow or full.
const KEPT: usize = 10_000;
/// A longer line is none of ours.
const LONGEST_LINE: usize = 4 * 1024 * 1024;

/// A line.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    event: Event,
    format: u32,
    #[serde(flatten)]
    record: Record,
    missed_ticks: u64,
    late_ms: f64,
    /// As it was judged then.
    judged: Judged,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Check,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judged {
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
    pub(crate) state: State,
    pub(crate) max_skew_ms: f64,
}

/// A check, read from a log.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) record: Record,
    pub(crate) tick: Tick,
    pub(crate) judged: Judged,
}

/// Appends to a log.
#[derive(Debug)]
pub(crate) struct LogWriter {
    lines: SyncSender<String>,
    thread: JoinHandle<()>,
}

impl LogWriter {
    /// Opens the file, to be told at once if that does not work. It is opened again for each write: whoever rotates logs may move
    /// it away.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        append_to(path)?;
        let (lines, written) = sync_channel(KEPT);
        let path = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || Disk::new(path).run(&written))?;
        Ok(Self { lines, thread })
    }

    pub(crate) fn append(&self, record: Record, finding: &Finding) {
        let line = Line {
            event: Event::Check,
            format: FORMAT,
            record,
            missed_ticks: finding.tick.missed,
            late_ms: finding.tick.late_ms,
            judged: Judged {
                verdict: finding.report.verdict,
                state: finding.state,
                max_skew_ms: finding.report.max_skew_ms,
            },
        };
        // Neither can fail: there are no maps with strange keys in it, and the thread ends after this one.
        let Ok(line) = serde_json::to_string(&line) else {
            return;
        };
        if let Err(TrySendError::Full(_)) = self.lines.try_send(line) {
            aside("the log cannot keep up: a check is not in it");
        }
    }

    /// Waits for what is still to be written.
    pub(crate) fn close(self) {
        drop(self.lines);
        let _ = self.thread.join();
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The thread's side.
struct Disk {
    path: PathBuf,
    waiting: VecDeque<String>,
    lost: u64,
    failing: bool,
}

impl Disk {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            waiting: VecDeque::new(),
            lost: 0,
            failing: false,
        }
    }

    fn run(mut self, lines: &Receiver<String>) {
        while let Ok(line) = lines.recv() {
            self.waiting.push_back(line);
            self.waiting.extend(lines.try_iter().take(KEPT));
            self.write();
        }
        if !self.waiting.is_empty() {
            self.write();
        }
    }

    fn write(&mut self) {
        let name = self.path.display().to_string();
        match self.attempt() {
            Ok(()) => {
                self.waiting.clear();
                if std::mem::take(&mut self.failing) {
                    aside(&match std::mem::take(&mut self.lost) {
                        0 => format!("the log {name} is written again, nothing is missing"),
                        lost => format!("the log {name} is written again, without {lost} checks"),
                    });
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    aside(&format!(
                        "cannot write the log {name}: {}; checks go on, and it is tried again with each of them",
                        crate::failure::detail(&error)
                    ));
                }
                while self.waiting.len() > KEPT {
                    self.waiting.pop_front();
                    self.lost += 1;
                }
            }
        }
    }

    /// All lines, or none of them.
    fn attempt(&self) -> io::Result<()> {
        let mut file = append_to(&self.path)?;
        let length = file.metadata()?.len();
        let mut text = String::new();
        for line in &self.waiting {
            text.push_str(line);
            text.push('\n');
        }
        file.write_all(text.as_bytes()).inspect_err(|_| {
            // Half a line would spoil the next one.
            let _ = file.set_len(length);
        })
    }
}

/// Reads a log, check by check. The error names file and line.
pub(crate) fn read(path: &Path) -> Result<impl Iterator<Item = Result<Logged, String>>, String> {
    let name = path.display().to_string();
    let file = File::open(path)
        .map_err(|error| format!("cannot read {name}: {}", crate::failure::detail(&error)))?;
    let mut reader = BufReader::new(file);
    let mut number = 0_u64;
    let mut failed = false;
    Ok(std::iter::from_fn(move || {
        loop {
            if failed {
                return None;
            }
            number += 1;
            let next = line(&mut reader).and_then(|line| line.map(|line| parse(&line)).transpose());
            match next {
                Ok(None) => return None,
                Ok(Some(Some(logged))) => return Some(Ok(logged)),
                // An empty line.
                Ok(Some(None)) => {}
                Err(detail) => {
                    failed = true;
                    return Some(Err(format!("{name}, line {number}: {detail}")));
                }
            }
        }
    }))
}

/// The next line, bounded; `None` at the end.
fn line(reader: &mut impl io::BufRead) -> Result<Option<String>, String> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
    io::Read::take(&mut *reader, limit)
        .read_until(b'\n', &mut bytes)
        .map_err(|error| crate::failure::detail(&error))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.len() == LONGEST_LINE {
        return Err("longer than 4 MiB".to_owned());
    }
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| "not text".to_owned())
}

fn parse(text: &str) -> Result<Option<Logged>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let line: Line =
        serde_json::from_str(text).map_err(|error| format!("not a check of a log: {error}"))?;
    if line.format != FORMAT {
        return Err(format!(
            "format {} is not known, only {FORMAT}",
            line.format
        ));
    }
    Ok(Some(Logged {
        record: line.record,
        tick: Tick {
            missed: line.missed_ticks,
            late_ms: line.late_ms,
        },
        judged: line.judged,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::tests::answered;
    use crate::series::{Hysteresis, Track};
    use crate::settings::Settings;
    use crate::target::Target;

    fn record() -> Record {
        let body = r#"{"now":"2026-11-22T00:00:00.004Z","instance":"a","nonce":"n"}"#;
        let first = answered(3, body);
        let target = Target::new("http://example.test", None).unwrap();
        let mut record = Record::new(&target, first.sent);
        record.finished = first.received;
        record.observations = vec![first];
        record
    }

    fn write(path: &Path, checks: usize) {
        let log = LogWriter::open(path).unwrap();
        let mut track = Track::new(Hysteresis::default());
        for _ in 0..checks {
            let record = record();
            let report = record.judge(&Settings::default());
            let finding = track.add(&record, report, Tick::default());
            log.append(record, &finding);
        }
        log.close();
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        write(&path, 2);
        // It is appended to.
        write(&path, 1);
        let read: Vec<_> = read(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(read.len(), 3);
        for logged in read {
            assert_eq!(logged.record, record());
            assert_eq!(logged.judged.verdict, Verdict::Ok);
        }
    }

    #[test]
    fn what_is_no_log_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        write(&path, 1);
        let good = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{good}\n{good}{{\"event\":\"check\"}}\n")).unwrap();
        let mut lines = read(&path).unwrap();
        assert!(lines.next().unwrap().is_ok());
        assert!(lines.next().unwrap().is_ok());
        let error = lines.next().unwrap().unwrap_err();
        assert!(
            error.contains("log.jsonl, line 4: not a check of a log"),
            "{error}"
        );
        assert!(lines.next().is_none());
        assert!(read(Path::new("/does/not/exist")).is_err());
        std::fs::write(&path, good.replace("\"format\":1", "\"format\":2")).unwrap();
        let error = read(&path).unwrap().next().unwrap().unwrap_err();
        assert!(error.contains("format 2 is not known"), "{error}");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told_at_once() {
        assert!(LogWriter::open(Path::new("/does/not/exist/log")).is_err());
    }

    #[test]
    fn a_full_disk_costs_nothing_when_there_is_room_again() {
        let mut disk = Disk::new("/dev/full".into());
        disk.waiting.push_back("a".to_owned());
        disk.write();
        disk.waiting.push_back("b".to_owned());
        disk.write();
        assert!(disk.failing);
        let folder = tempfile::tempdir().unwrap();
        disk.path = folder.path().join("log");
        disk.write();
        assert!(!disk.failing && disk.waiting.is_empty());
        assert_eq!(std::fs::read_to_string(&disk.path).unwrap(), "a\nb\n");
    }
}

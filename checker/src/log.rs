//! Log of all measurements as JSON Lines. A separate thread writes it, so that a slow disk delays
//! no check.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use clock::units::{duration, milliseconds, nanoseconds, nanoseconds_of};
use clock::{Kind, Record, Settings, Verdict};
use serde::{Deserialize, Serialize};

use crate::output::note;
use crate::series::{Finding, Hysteresis, State, Tick};

/// Format version of the lines. Incremented when readers have to change.
const FORMAT: u32 = 1;
/// Maximum number of lines buffered while the disk is slow or full.
const KEPT: usize = 10_000;
/// Maximum length of a line in bytes. A longer one is not from this program.
const LONGEST_LINE: usize = 4 * 1024 * 1024;

/// Line of the log: one check.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    event: Event,
    format: u32,
    /// Identifier of the run of the program. Clocks of two runs are not comparable.
    #[serde(default)]
    run: String,
    #[serde(flatten)]
    record: Record,
    missed_ticks: u64,
    late_ms: f64,
    /// Verdict and state at the time of the check, and the terms that led to them.
    judged: Judged,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Check,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judged {
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
    pub(crate) state: State,
    #[serde(flatten)]
    pub(crate) terms: Terms,
}

/// Terms that a record is judged by: limits, expectations and hysteresis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Terms {
    #[serde(default)]
    pub(crate) kind: Kind,
    pub(crate) max_skew_ms: f64,
    #[serde(default)]
    pub(crate) warn_skew_ms: Option<f64>,
    #[serde(default)]
    pub(crate) warn_certificate_days: Option<u32>,
    #[serde(default)]
    pub(crate) expect_version: Option<String>,
    #[serde(default)]
    pub(crate) expect_instances: Option<u32>,
    #[serde(default)]
    pub(crate) hysteresis: Hysteresis,
}

impl Terms {
    pub(crate) fn new(settings: &Settings, hysteresis: Hysteresis) -> Self {
        let milliseconds = |limit| milliseconds(nanoseconds(limit));
        Self {
            kind: settings.kind,
            max_skew_ms: milliseconds(settings.max_skew),
            warn_skew_ms: settings.warn_skew.map(milliseconds),
            warn_certificate_days: settings.warn_certificate,
            expect_version: settings.expect_version.clone(),
            expect_instances: settings.expect_instances,
            hysteresis,
        }
    }

    /// Returns settings to judge by. Those for measuring have their defaults, because a replay
    /// sends no requests.
    pub(crate) fn settings(&self) -> Settings {
        let duration = |milliseconds| duration(nanoseconds_of(milliseconds));
        Settings {
            kind: self.kind,
            max_skew: duration(self.max_skew_ms),
            warn_skew: self.warn_skew_ms.map(duration),
            warn_certificate: self.warn_certificate_days,
            expect_version: self.expect_version.clone(),
            expect_instances: self.expect_instances,
            ..Settings::default()
        }
    }
}

/// Check read from a log.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) run: String,
    pub(crate) record: Record,
    pub(crate) tick: Tick,
    pub(crate) judged: Judged,
}

/// Writer of a log.
#[derive(Debug)]
pub(crate) struct LogWriter {
    run: String,
    /// Terms by target.
    terms: Vec<Terms>,
    lines: SyncSender<String>,
    thread: JoinHandle<()>,
}

impl LogWriter {
    /// Opens the log, so that an unwritable file is reported immediately. It is opened again for
    /// each write, because log rotation may rename it.
    pub(crate) fn open(path: &Path, terms: Vec<Terms>) -> io::Result<Self> {
        append_to(path)?;
        let (lines, written) = sync_channel(KEPT);
        let path = path.to_owned();
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || Disk::new(path).run(&written))?;
        Ok(Self {
            // Random instead of a start time, which repeats if the wall clock is set back.
            run: format!("{:016x}", rand::random::<u64>()),
            terms,
            lines,
            thread,
        })
    }

    /// Sets the terms of a target. A new one has the next number.
    pub(crate) fn set_terms(&mut self, target: usize, terms: Terms) {
        match self.terms.get_mut(target) {
            Some(known) => *known = terms,
            None => self.terms.push(terms),
        }
    }

    pub(crate) fn append(&self, target: usize, record: Record, finding: &Finding) {
        let Some(terms) = self.terms.get(target) else {
            return;
        };
        let line = Line {
            event: Event::Check,
            format: FORMAT,
            run: self.run.clone(),
            record,
            missed_ticks: finding.tick.missed,
            late_ms: finding.tick.late_ms,
            judged: Judged {
                verdict: finding.report.verdict,
                state: finding.state,
                terms: terms.clone(),
            },
        };
        // Neither can fail: all map keys are strings, and the thread outlives this writer.
        let Ok(line) = serde_json::to_string(&line) else {
            return;
        };
        // Never blocks, because a full disk must not delay checks.
        if let Err(TrySendError::Full(_)) = self.lines.try_send(line) {
            note("the log cannot keep up: a check is not in it");
        }
    }

    /// Waits until all buffered lines are written.
    pub(crate) fn close(self) {
        // Closing the channel ends the loop of the thread once it has drained the channel.
        drop(self.lines);
        let _ = self.thread.join();
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// State of the writer thread.
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
            // One write for all lines that have piled up. The bound limits memory.
            self.waiting.extend(lines.try_iter().take(KEPT));
            self.write();
        }
        // A last attempt for lines that could not be written before.
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
                    note(&match std::mem::take(&mut self.lost) {
                        0 => format!("the log {name} is written again, nothing is missing"),
                        lost => format!("the log {name} is written again, without {lost} checks"),
                    });
                }
            }
            Err(error) => {
                // Reported once until a write succeeds, not with every check.
                if !std::mem::replace(&mut self.failing, true) {
                    note(&format!(
                        "cannot write the log {name}: {}; checks go on, and it is tried again with each of them",
                        probe::detail(&error)
                    ));
                }
                while self.waiting.len() > KEPT {
                    // The oldest lines are dropped first, because recent ones matter more.
                    self.waiting.pop_front();
                    self.lost += 1;
                }
            }
        }
    }

    /// Writes all buffered lines, or none of them.
    fn attempt(&self) -> io::Result<()> {
        let mut file = append_to(&self.path)?;
        let length = file.metadata()?.len();
        let mut text = String::new();
        if length > 0 && !ends_with_a_line(&self.path) {
            // A line cut off by a power failure or a full disk must not corrupt the next one.
            text.push('\n');
        }
        for line in &self.waiting {
            text.push_str(line);
            text.push('\n');
        }
        file.write_all(text.as_bytes()).inspect_err(|_| {
            // A partial line would corrupt the next one.
            let _ = file.set_len(length);
        })
    }
}

/// Returns whether the file ends with a line break; true if unreadable.
fn ends_with_a_line(path: &Path) -> bool {
    let last = || -> io::Result<u8> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut last = [b'\n'];
        file.read_exact(&mut last)?;
        Ok(last[0])
    };
    last().ok().is_none_or(|last| last == b'\n')
}

/// Maximum number of bad lines reported.
const TOLD: u64 = 10;

/// Reads a log check by check. Invalid lines, as a power failure leaves them, are skipped and
/// reported to `on_bad`. A log without any valid line is an error. Errors name file and line.
pub(crate) fn read(
    path: &Path,
    mut on_bad: impl FnMut(&str),
) -> Result<impl Iterator<Item = Result<Logged, String>>, String> {
    let name = path.display().to_string();
    let file = File::open(path)
        .map_err(|error| format!("cannot read {name}: {}", probe::detail(&error)))?;
    let mut reader = BufReader::new(file);
    let mut number = 0_u64;
    let mut bad = 0_u64;
    // Only a valid line proves that this is a log.
    let mut is_log = false;
    let mut first_bad = None;
    let mut is_over = false;
    Ok(std::iter::from_fn(move || {
        while !is_over {
            number += 1;
            let named = |detail: &str| format!("{name}, line {number}: {detail}");
            let text = match line(&mut reader) {
                Ok(Some(text)) => text,
                Ok(None) => {
                    is_over = true;
                    if bad > TOLD {
                        on_bad(&format!("{name}: {} more lines", bad - TOLD));
                    }
                    // Without any valid line, the first bad one explains why this is no log.
                    return first_bad.take().map(Err);
                }
                Err(detail) => {
                    is_over = true;
                    return Some(Err(named(&detail)));
                }
            };
            match parse(&text) {
                Ok(Some(logged)) => {
                    is_log = true;
                    if let Some(detail) = first_bad.take() {
                        on_bad(&detail);
                    }
                    return Some(Ok(logged));
                }
                // An empty line, which is skipped silently.
                Ok(None) => {}
                Err(detail) => {
                    bad += 1;
                    let detail = named(&detail);
                    if !is_log {
                        first_bad.get_or_insert(detail);
                    } else if bad <= TOLD {
                        on_bad(&detail);
                    }
                }
            }
        }
        None
    }))
}

/// Returns the next line, bounded in length; `None` at the end.
fn line(reader: &mut impl io::BufRead) -> Result<Option<String>, String> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
    io::Read::take(&mut *reader, limit)
        .read_until(b'\n', &mut bytes)
        .map_err(|error| probe::detail(&error))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    // The limit may have cut the line, and its rest would look like another one.
    if bytes.len() == LONGEST_LINE {
        return Err("longer than 4 MiB".to_owned());
    }
    // Lossy, so that one damaged byte does not end the reading.
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn parse(text: &str) -> Result<Option<Logged>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let line: Line =
        serde_json::from_str(text).map_err(|error| format!("not a check of a log: {error}"))?;
    // Another format may use the same fields with another meaning.
    if line.format != FORMAT {
        return Err(format!(
            "format {} is not known, only {FORMAT}",
            line.format
        ));
    }
    Ok(Some(Logged {
        run: line.run,
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
    use crate::samples::answered;
    use crate::series::{Hysteresis, Track};
    use clock::Settings;

    fn record() -> Record {
        let first = answered(3);
        let mut record = crate::samples::record(first.sent);
        record.finished = first.received;
        record.observations = vec![first];
        record
    }

    fn terms() -> Vec<Terms> {
        vec![Terms::new(&Settings::default(), Hysteresis::default())]
    }

    fn all(path: &Path) -> (Vec<Result<Logged, String>>, Vec<String>) {
        let mut bad = Vec::new();
        let lines = read(path, |detail| bad.push(detail.to_owned())).unwrap();
        let lines = lines.collect();
        (lines, bad)
    }

    fn write(path: &Path, checks: usize) {
        let log = LogWriter::open(path, terms()).unwrap();
        let mut track = Track::new(Hysteresis::default());
        for _ in 0..checks {
            let record = record();
            let report = record.judge(&Settings::default());
            let finding = track.add(&record, report, Tick::default());
            log.append(0, record, &finding);
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
        let (lines, bad) = all(&path);
        assert_eq!(bad, Vec::<String>::new());
        let read: Vec<_> = lines.into_iter().map(Result::unwrap).collect();
        assert_eq!(read.len(), 3);
        for logged in &read {
            assert_eq!(logged.record, record());
            assert_eq!(logged.judged.verdict, Verdict::Ok);
            assert_eq!(logged.judged.terms.settings(), Settings::default());
        }
        assert_eq!(read[0].run, read[1].run);
        assert_ne!(read[1].run, read[2].run);
    }

    #[test]
    fn a_line_that_was_cut_off_costs_that_line_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        write(&path, 2);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 100]).unwrap();
        let (lines, bad) = all(&path);
        assert_eq!((lines.len(), bad.len()), (1, 1));
        // What comes later begins on a line of its own.
        write(&path, 2);
        let (lines, bad) = all(&path);
        assert_eq!(lines.into_iter().map(Result::unwrap).count(), 3);
        assert!(bad[0].contains("line 2: not a check of a log"), "{bad:?}");
    }

    #[test]
    fn lines_of_an_earlier_version_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        write(&path, 1);
        let mut line: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for name in ["run", "stall_ms"] {
            line.as_object_mut().unwrap().remove(name).unwrap();
        }
        for name in [
            "warn_skew_ms",
            "expect_version",
            "expect_instances",
            "hysteresis",
        ] {
            let judged = line["judged"].as_object_mut().unwrap();
            judged.remove(name).unwrap();
        }
        std::fs::write(&path, line.to_string()).unwrap();
        let (lines, bad) = all(&path);
        assert_eq!(bad, Vec::<String>::new());
        assert_eq!(lines[0].as_ref().unwrap().record, record());
    }

    #[test]
    fn what_is_no_log_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        write(&path, 1);
        let good = std::fs::read_to_string(&path).unwrap();
        let strange = "{\"event\":\"check\"}\n";
        std::fs::write(&path, format!("{strange}{good}\n{good}{strange}")).unwrap();
        let (lines, bad) = all(&path);
        assert_eq!(lines.into_iter().map(Result::unwrap).count(), 2);
        assert_eq!(bad.len(), 2);
        for (bad, line) in bad.iter().zip([1, 5]) {
            let expected = format!("log.jsonl, line {line}: not a check of a log");
            assert!(bad.contains(&expected), "{bad}");
        }
        assert!(read(Path::new("/does/not/exist"), |_| ()).is_err());
        let newer = good.replace("\"format\":1", "\"format\":2");
        for (content, expected) in [
            (newer.as_str(), "line 1: format 2 is not known"),
            ("\u{0}\u{0}\nx\n", "line 1: not a check of a log"),
        ] {
            std::fs::write(&path, content).unwrap();
            let (lines, bad) = all(&path);
            assert_eq!((lines.len(), bad.len()), (1, 0));
            let error = lines[0].as_ref().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told_at_once() {
        assert!(LogWriter::open(Path::new("/does/not/exist/log"), terms()).is_err());
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

//! The only place that writes: one JSON object a line, as CloudWatch Logs Insights reads it.
//!
//! What went as planned goes to standard output, warnings and errors to standard error. Once
//! [`start`] was called, lines go through a bounded queue to a thread of their own, so that a reader
//! who does not keep up, or is gone, holds up nothing: what finds the queue full, or cannot be
//! written, is dropped and counted, and the count is told when lines can be written again.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::access::Request;
use crate::timestamp;

/// Lines that may wait to be written.
const QUEUE_LENGTH: usize = 1024;

/// Most bytes that are written in one go.
const BATCH_LENGTH: usize = 16 * 1024;

/// Of the thread that writes, in bytes.
const STACK_SIZE: usize = 128 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Info,
    Warn,
    Error,
}

/// The value of a field.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Number(u64),
}

/// The fields of a line, beyond time, level and message.
pub(crate) type Fields<'a> = &'a [(&'static str, Value<'a>)];

/// Logs an event that was meant to happen.
pub(crate) fn info(message: &str, fields: Fields<'_>) {
    submit(Level::Info, message, fields);
}

/// Logs something that should be looked at; the service goes on.
pub(crate) fn warn(message: &str, fields: Fields<'_>) {
    submit(Level::Warn, message, fields);
}

/// Logs what ends the process.
pub(crate) fn error(message: &str, fields: Fields<'_>) {
    submit(Level::Error, message, fields);
}

/// Logs a request. Nothing happens before [`start`]: this must never wait.
pub(crate) fn request(request: Box<Request>) {
    if let Some(queue) = QUEUE.get() {
        queue.put(Entry::Request(request));
    }
}

/// Starts the thread that writes. Without it, if the machine has no thread to spare, lines are
/// written at once and requests are not logged.
pub(crate) fn start() {
    let started = thread::Builder::new()
        .name("log".to_owned())
        .stack_size(STACK_SIZE)
        .spawn(|| QUEUE.get_or_init(Queue::default).write_all());
    if started.is_ok() {
        QUEUE.get_or_init(Queue::default);
    }
}

/// Waits until all lines so far are written, but not longer than `limit`.
pub(crate) fn flush(limit: Duration) {
    if let Some(queue) = QUEUE.get() {
        let (state, _) = queue
            .written
            .wait_timeout_while(queue.lock(), limit, |state| {
                state.is_writing || !state.entries.is_empty()
            })
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
    }
}

/// One for the process, as its standard output is.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// A lock that is held for a few instructions only, never while something is written.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    written: Condvar,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    /// Some are being written.
    is_writing: bool,
    /// Lines that were lost since that was last told.
    dropped: u64,
}

enum Entry {
    Line(Stream, Box<str>),
    Request(Box<Request>),
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, entry: Entry) {
        let mut state = self.lock();
        if state.entries.len() < QUEUE_LENGTH {
            state.entries.push_back(entry);
        } else {
            state.dropped += 1;
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Writes what comes, all that waits at a time, for as long as the process lives.
    fn write_all(&self) {
        let mut entries = VecDeque::new();
        loop {
            let mut state = self.lock();
            while state.entries.is_empty() {
                state.is_writing = false;
                self.written.notify_all();
                state = self
                    .filled
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.is_writing = true;
            std::mem::swap(&mut state.entries, &mut entries);
            let dropped = std::mem::take(&mut state.dropped);
            drop(state);

            let mut lost = 0;
            let mut batch = Batch::default();
            for entry in entries.drain(..) {
                lost += match entry {
                    Entry::Line(stream, line) => batch.add(stream, &line),
                    Entry::Request(request) => batch.add(Stream::Output, &request.line()),
                };
            }
            lost += batch.write();
            if dropped > 0 {
                let fields = [("lines", Value::Number(dropped))];
                let line = line(SystemTime::now(), Level::Warn, "log lines dropped", &fields);
                if write(Stream::Error, line.as_bytes()).is_err() {
                    lost += dropped;
                }
            }
            self.lock().dropped += lost;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Output,
    Error,
}

fn submit(level: Level, message: &str, fields: Fields<'_>) {
    let stream = match level {
        Level::Info => Stream::Output,
        Level::Warn | Level::Error => Stream::Error,
    };
    let line = line(SystemTime::now(), level, message, fields);
    match QUEUE.get() {
        Some(queue) => queue.put(Entry::Line(stream, line.into())),
        // A log that nobody can read any more is no reason to stop telling the time.
        None => drop(write(stream, line.as_bytes())),
    }
}

/// Lines for one stream that are written together.
struct Batch {
    stream: Stream,
    text: String,
    lines: u64,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            stream: Stream::Output,
            text: String::new(),
            lines: 0,
        }
    }
}

impl Batch {
    /// Takes a line, and gives how many were lost when others had to be written before it.
    #[must_use]
    fn add(&mut self, stream: Stream, line: &str) -> u64 {
        let is_full = self.text.len() + line.len() > BATCH_LENGTH;
        let lost = if is_full || self.stream != stream {
            self.write()
        } else {
            0
        };
        self.stream = stream;
        self.text.push_str(line);
        self.lines += 1;
        lost
    }

    /// Writes all, and gives how many lines were lost: some of them may be out.
    #[must_use]
    fn write(&mut self) -> u64 {
        if self.text.is_empty() {
            return 0;
        }
        let lines = std::mem::take(&mut self.lines);
        let written = write(self.stream, self.text.as_bytes());
        self.text.clear();
        if written.is_err() { lines } else { 0 }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this module is the one that writes log lines"
)]
fn write(stream: Stream, text: &[u8]) -> io::Result<()> {
    // One call for whole lines, so that those of two processes never mix.
    match stream {
        Stream::Output => io::stdout().write_all(text),
        Stream::Error => io::stderr().write_all(text),
    }
}

fn line(now: SystemTime, level: Level, message: &str, fields: Fields<'_>) -> String {
    struct Line<'a>(SystemTime, Level, &'a str, Fields<'a>);

    impl Serialize for Line<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            map.serialize_entry("time", &timestamp::format(self.0))?;
            map.serialize_entry("level", &self.1)?;
            map.serialize_entry("message", self.2)?;
            for (name, value) in self.3 {
                map.serialize_entry(name, value)?;
            }
            map.end()
        }
    }

    // Text and numbers can always be written as JSON.
    let mut text = serde_json::to_string(&Line(now, level, message, fields)).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_line_is_one_json_object() {
        let now = UNIX_EPOCH + Duration::new(1_795_341_845, 123_456_000);
        let fields = [
            ("port", Value::Number(8080)),
            ("reason", Value::Text("a \"b\"")),
        ];
        assert_eq!(
            line(now, Level::Warn, "two\nlines", &fields),
            "{\"time\":\"2026-11-22T10:04:05.123456Z\",\"level\":\"warn\",\"message\":\"two\\nlines\",\"port\":8080,\"reason\":\"a \\\"b\\\"\"}\n"
        );
        assert_eq!(
            line(now, Level::Info, "m", &[]),
            "{\"time\":\"2026-11-22T10:04:05.123456Z\",\"level\":\"info\",\"message\":\"m\"}\n"
        );
    }
}

//! The log: one JSON object per line, as CloudWatch Logs Insights reads it. The only module that
//! writes.
//!
//! Normal events go to standard output, warnings and errors to standard error. After [`start`],
//! lines pass through a bounded queue to a thread, so that a reader who is slow or gone delays
//! nothing. A line that finds the queue full, or cannot be written, is dropped and counted, and the
//! count is logged once lines can be written again.

use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::timestamp;

/// Maximum number of lines that wait to be written.
const QUEUE_LENGTH: usize = 1024;

/// Maximum number of lines that are written together.
const BATCH_LENGTH: usize = 100;

/// Stack of the thread that writes, in bytes.
const STACK_SIZE: usize = 128 * 1024;

/// Severity of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

/// Value of a field.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Number(u64),
}

/// Fields of a line, beyond time, level and message.
pub(crate) type Fields<'a> = &'a [(&'static str, Value<'a>)];

/// One for the process, as its standard output is.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Queue to the thread that writes. Not a channel of the standard library, which would add a
/// fiftieth to the program. The lock is held for a few instructions, never while writing.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    written: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<(Level, String)>,
    /// Lines that were taken are being written.
    is_writing: bool,
    /// Lines that were lost since the count was last logged.
    dropped: usize,
}

/// Logs a normal event.
pub(crate) fn info(message: &str, fields: Fields<'_>) {
    submit(Level::Info, message, fields);
}

/// Logs a problem that does not stop the service.
pub(crate) fn warn(message: &str, fields: Fields<'_>) {
    submit(Level::Warn, message, fields);
}

/// Logs the reason why the process ends.
pub(crate) fn error(message: &str, fields: Fields<'_>) {
    submit(Level::Error, message, fields);
}

fn submit(level: Level, message: &str, fields: Fields<'_>) {
    let line = line(SystemTime::now(), level, message, fields);
    match QUEUE.get() {
        Some(queue) => queue.put(level, line),
        // A log that nobody can read is no reason to stop telling the time.
        None => drop(write(&[(level, line)])),
    }
}

/// Logs a line that [`line`] formatted. Does nothing before [`start`], because it never waits.
pub(crate) fn enqueue(level: Level, line: String) {
    if let Some(queue) = QUEUE.get() {
        queue.put(level, line);
    }
}

/// Starts the thread that writes. If the machine has no thread to spare, events are written
/// synchronously and requests are not logged.
pub(crate) fn start() {
    let thread = thread::Builder::new().name("log".to_owned());
    let started = thread
        .stack_size(STACK_SIZE)
        .spawn(|| QUEUE.get_or_init(Queue::default).write_all());
    // The queue must exist even if the thread has not run yet.
    if started.is_ok() {
        QUEUE.get_or_init(Queue::default);
    }
}

/// Waits until all lines so far are written, at most for `limit`.
pub(crate) fn flush(limit: Duration) {
    if let Some(queue) = QUEUE.get() {
        let is_busy = |state: &mut State| state.is_writing || !state.lines.is_empty();
        drop(
            queue
                .written
                .wait_timeout_while(queue.lock(), limit, is_busy),
        );
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, level: Level, line: String) {
        let mut state = self.lock();
        if state.lines.len() < QUEUE_LENGTH {
            state.lines.push((level, line));
        } else {
            state.dropped += 1;
        }
        // Unlocked first, so that the woken thread does not wait for the lock.
        drop(state);
        self.filled.notify_one();
    }

    /// Writes what arrives, several lines at a time, for as long as the process lives.
    fn write_all(&self) {
        loop {
            let mut state = self.lock();
            while state.lines.is_empty() {
                state.is_writing = false;
                // Wakes `flush`, which waits for an idle queue.
                self.written.notify_all();
                let filled = self.filled.wait(state);
                state = filled.unwrap_or_else(PoisonError::into_inner);
            }
            state.is_writing = true;
            let lines = std::mem::take(&mut state.lines);
            let dropped = std::mem::take(&mut state.dropped);
            drop(state);

            let mut lost = 0;
            let batches = lines.chunk_by(|(before, _), (level, _)| before == level);
            for batch in batches.flat_map(|batch| batch.chunks(BATCH_LENGTH)) {
                if write(batch).is_err() {
                    lost += batch.len();
                }
            }
            if dropped > 0 {
                let fields = [("lines", Value::Number(dropped as u64))];
                let line = line(SystemTime::now(), Level::Warn, "log lines dropped", &fields);
                if write(&[(Level::Warn, line)]).is_err() {
                    lost += dropped;
                }
            }
            self.lock().dropped += lost;
        }
    }
}

/// Writes lines of one level.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is the one that writes log lines"
)]
fn write(lines: &[(Level, String)]) -> io::Result<()> {
    // One call for whole lines, so that those of two processes never mix.
    let text: String = lines.iter().map(|(_, line)| line.as_str()).collect();
    match lines.first() {
        Some((Level::Warn | Level::Error, _)) => io::stderr().write_all(text.as_bytes()),
        Some((Level::Info, _)) | None => io::stdout().write_all(text.as_bytes()),
    }
}

/// Formats a line.
pub(crate) fn line(time: SystemTime, level: Level, message: &str, fields: Fields<'_>) -> String {
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
    let mut text = serde_json::to_string(&Line(time, level, message, fields)).unwrap_or_default();
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

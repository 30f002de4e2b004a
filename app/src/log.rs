//! The log: one JSON object per line, as CloudWatch Logs Insights reads it. The only module that writes.
//!
//! Normal events go to standard output, warnings and errors to standard error. After [`start`], lines
//! pass through a bounded queue to a thread, so that a reader who is slow or gone delays nothing. A
//! line that finds the queue full, or cannot be written, is dropped and counted, and the count is
//! logged once lines can be written again.

use std::io::{self, Write};
use std::iter;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::timestamp;

/// Maximum number of lines that wait to be written.
const QUEUE_LENGTH: usize = 1024;

/// Maximum number of lines that are written together.
const BATCH_LENGTH: usize = 100;

/// Stack of the thread that writes, in bytes.
const STACK_SIZE: usize = 128 * 1024;

/// Pause between two attempts to reach a full queue.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(5);

/// Queue to the thread that writes. One for the process, as its standard output is.
static QUEUE: OnceLock<SyncSender<Entry>> = OnceLock::new();

/// Lines that were lost since the count was last logged.
static DROPPED: AtomicU64 = AtomicU64::new(0);

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

enum Entry {
    Line(Level, String),
    /// Asks for a reply once the lines before it are written.
    Flush(SyncSender<()>),
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
    if QUEUE.get().is_some() {
        enqueue(level, line);
    } else {
        // A log that nobody can read is no reason to stop telling the time.
        write(level, &[line]);
    }
}

/// Logs a line that [`line`] formatted. Does nothing before [`start`], because it never waits.
pub(crate) fn enqueue(level: Level, line: String) {
    if let Some(queue) = QUEUE.get()
        && queue.try_send(Entry::Line(level, line)).is_err()
    {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Starts the thread that writes. If the machine has no thread to spare, events are written
/// synchronously and requests are not logged.
pub(crate) fn start() {
    let (queue, entries) = sync_channel(QUEUE_LENGTH);
    let thread = thread::Builder::new().name("log".to_owned());
    let started = thread
        .stack_size(STACK_SIZE)
        .spawn(move || write_all(&entries));
    if started.is_ok() {
        QUEUE.get_or_init(|| queue);
    }
}

/// Waits until all lines so far are written, at most for `limit`.
pub(crate) fn flush(limit: Duration) {
    let Some(queue) = QUEUE.get() else { return };
    let deadline = Instant::now() + limit;
    let (reply, flushed) = sync_channel(1);
    while queue.try_send(Entry::Flush(reply.clone())).is_err() {
        if Instant::now() >= deadline {
            return;
        }
        thread::sleep(FULL_QUEUE_PAUSE);
    }
    let _ = flushed.recv_timeout(deadline.saturating_duration_since(Instant::now()));
}

/// Writes what arrives, several lines at a time, for as long as the process lives.
fn write_all(entries: &Receiver<Entry>) {
    while let Ok(first) = entries.recv() {
        let (mut output, mut errors, mut flushes) = (Vec::new(), Vec::new(), Vec::new());
        for entry in iter::once(first).chain(entries.try_iter().take(BATCH_LENGTH)) {
            match entry {
                Entry::Line(Level::Info, line) => output.push(line),
                Entry::Line(Level::Warn | Level::Error, line) => errors.push(line),
                Entry::Flush(reply) => flushes.push(reply),
            }
        }
        for (level, lines) in [(Level::Info, output), (Level::Error, errors)] {
            if !write(level, &lines) {
                DROPPED.fetch_add(lines.len() as u64, Ordering::Relaxed);
            }
        }
        let dropped = DROPPED.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let fields = [("lines", Value::Number(dropped))];
            let line = line(SystemTime::now(), Level::Warn, "log lines dropped", &fields);
            if !write(Level::Warn, &[line]) {
                DROPPED.fetch_add(dropped, Ordering::Relaxed);
            }
        }
        for reply in flushes {
            let _ = reply.send(());
        }
    }
}

/// Writes lines of one stream and returns whether that worked.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is the one that writes log lines"
)]
fn write(level: Level, lines: &[String]) -> bool {
    // One call for whole lines, so that those of two processes never mix.
    let text = lines.concat();
    match level {
        Level::Info => io::stdout().write_all(text.as_bytes()).is_ok(),
        Level::Warn | Level::Error => io::stderr().write_all(text.as_bytes()).is_ok(),
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

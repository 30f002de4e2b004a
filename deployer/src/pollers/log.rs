//! Log of all tasks: what was written before, and optionally new lines as they arrive.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;

use async_trait::async_trait;

use aws::remote::{LogLine, LogPage, Remote, World};
use deployment::names::{LogGroupName, LogStreamName};

/// Window in which polls look back for late lines, milliseconds. Lines of one task may arrive after
/// newer lines of another.
const LATE_MS: i64 = 20_000;
/// Maximum number of lines remembered as read.
const REMEMBERED: usize = 50_000;

/// Receiver of log lines.
pub trait LogReader: Send {
    /// Takes lines in order of time. An error ends the reading.
    fn take(&mut self, lines: &[LogLine]) -> io::Result<()>;
}

/// Result of reading a log.
#[derive(Debug)]
pub enum LogEnd {
    /// Number of lines read. There are no more for now.
    Read(u64),
    /// The receiver takes no more lines.
    NotTaken(io::Error),
}

/// Poller that reads a log page by page. It holds one page at a time, whatever the length of the
/// log.
pub struct LogPoller<'a> {
    world: &'a dyn World,
    group: &'a LogGroupName,
    stream: Option<LogStreamName>,
    reader: &'a mut dyn LogReader,
    follow: bool,
    since_ms: i64,
    /// Token of the next page after an interrupted poll.
    next: Option<String>,
    newest_ms: i64,
    read: u64,
    known: HashSet<u64>,
    /// Entries of `known` by age: time in milliseconds, and key.
    ages: VecDeque<(i64, u64)>,
}

impl<'a> LogPoller<'a> {
    /// Creates a poller that reads from `since_ms` (milliseconds since the Unix epoch) up to now.
    pub fn new(
        world: &'a dyn World,
        group: &'a LogGroupName,
        since_ms: i64,
        reader: &'a mut dyn LogReader,
    ) -> Self {
        Self {
            world,
            group,
            stream: None,
            reader,
            follow: false,
            since_ms,
            next: None,
            newest_ms: since_ms,
            read: 0,
            known: HashSet::new(),
            ages: VecDeque::new(),
        }
    }

    /// Limits reading to the log of one task.
    #[must_use]
    pub fn of_task(self, id: &str) -> Self {
        Self {
            stream: Some(super::log_stream(id)),
            ..self
        }
    }

    /// Keeps reading new lines from now on, without an end.
    pub fn go_on(&mut self) {
        self.follow = true;
    }

    /// Passes the new lines of a page to the receiver.
    fn take(&mut self, page: LogPage) -> io::Result<()> {
        let mut lines = page.lines;
        lines.retain(|line| self.remember(line));
        lines.sort_by_key(|line| line.at);
        self.read += lines.len() as u64;
        if lines.is_empty() {
            return Ok(());
        }
        self.reader.take(&lines)
    }

    /// Remembers a line. Returns false if it was already known.
    fn remember(&mut self, line: &LogLine) -> bool {
        // A 64-bit hash instead of the id keeps memory small. A collision would drop one line,
        // which is unlikely at this number.
        let mut hasher = DefaultHasher::new();
        line.id.hash(&mut hasher);
        let key = hasher.finish();
        let is_new = self.known.insert(key);
        if is_new {
            let at = line.at.timestamp_millis();
            self.newest_ms = self.newest_ms.max(at);
            self.ages.push_back((at, key));
        }
        is_new
    }

    /// Computes where the next poll starts, and forgets the lines that it cannot return again.
    fn move_on(&mut self) {
        self.since_ms = self.since_ms.max(self.newest_ms - LATE_MS);
        while let Some((at, key)) = self.ages.front().copied() {
            let too_many = self.ages.len() > REMEMBERED;
            if at >= self.since_ms && !too_many {
                break;
            }
            if too_many {
                // A forgotten line would count as new, so the next poll starts after it.
                self.since_ms = self.since_ms.max(at + 1);
            }
            self.ages.pop_front();
            self.known.remove(&key);
        }
    }
}

#[async_trait]
impl crate::poll::Poller for LogPoller<'_> {
    type End = LogEnd;

    async fn poll(&mut self) -> Remote<Option<LogEnd>> {
        loop {
            let page = self
                .world
                .lines(
                    self.group,
                    self.stream.as_ref(),
                    self.since_ms,
                    self.next.as_deref(),
                )
                .await?;
            // Kept in `self`, so that the poll after a failed request resumes at its page.
            self.next.clone_from(&page.next);
            if let Err(error) = self.take(page) {
                return Ok(Some(LogEnd::NotTaken(error)));
            }
            if self.next.is_none() {
                break;
            }
        }
        self.move_on();
        Ok((!self.follow).then_some(LogEnd::Read(self.read)))
    }
}

//! The log of all tasks, as it was written and as it is being written.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;

use async_trait::async_trait;

use aws::remote::{LogLine, LogPage, Remote, World};
use deployment::names::{LogGroupName, LogStreamName};

/// Lines of one task may be there later than younger ones of another: this far back they are still looked for, milliseconds.
const LATE_MS: i64 = 20_000;
/// Most lines that are remembered as read.
const REMEMBERED: usize = 50_000;

/// Takes lines as they are found.
pub trait LogReader: Send {
    /// Takes some lines, by time; fails when it takes no more.
    fn take(&mut self, lines: &[LogLine]) -> io::Result<()>;
}

/// How reading a log ended.
#[derive(Debug)]
pub enum LogEnd {
    /// So many lines were read, and there are no more for now.
    Read(u64),
    /// Whoever reads it takes no more.
    NotTaken(io::Error),
}

/// Reads a log page by page; holds one page at a time, whatever its length.
pub struct LogPoller<'a> {
    world: &'a dyn World,
    group: &'a LogGroupName,
    stream: Option<LogStreamName>,
    reader: &'a mut dyn LogReader,
    follow: bool,
    since_ms: i64,
    /// Where a look that was interrupted goes on.
    next: Option<String>,
    newest_ms: i64,
    read: u64,
    known: HashSet<u64>,
    /// The same, by age: time in milliseconds, and line.
    ages: VecDeque<(i64, u64)>,
}

impl<'a> LogPoller<'a> {
    /// Prepares to read what was written since a moment (milliseconds since the Unix epoch), up to now.
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

    /// Reads the log of one task only.
    #[must_use]
    pub fn of_task(self, id: &str) -> Self {
        Self {
            stream: Some(super::log_stream(id)),
            ..self
        }
    }

    /// From now on, there is no end.
    pub fn go_on(&mut self) {
        self.follow = true;
    }

    /// Hands over what is new in a page.
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

    /// Remembers a line; false when it was known.
    fn remember(&mut self, line: &LogLine) -> bool {
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

    /// Where the next look begins, and what has to be remembered for it.
    fn move_on(&mut self) {
        self.since_ms = self.since_ms.max(self.newest_ms - LATE_MS);
        while let Some((at, key)) = self.ages.front().copied() {
            let too_many = self.ages.len() > REMEMBERED;
            if at >= self.since_ms && !too_many {
                break;
            }
            if too_many {
                // What is forgotten must not be read again.
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

//! Writer thread for stdout. A reader that stalls (a pager, a stopped terminal) delays neither
//! checks nor other outputs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use clock::Report;
use tokio::sync::oneshot;

use crate::output::{Printer, note};
use crate::series::{Finding, Summary};

/// Maximum number of jobs queued for the reader.
const KEPT: usize = 1_000;
/// Pause of the thread before further jobs of a series.
const PAUSE: Duration = Duration::from_millis(5);

/// Print job.
#[derive(Debug)]
enum Job {
    // Boxed, because a finding is much larger than the other jobs.
    Check(usize, Box<Finding>),
    Forget(usize),
    Round,
    Waiting(Box<Report>, Duration),
    Summaries(Vec<Summary>),
}

/// Handle of the writer thread.
pub(crate) struct Writer {
    jobs: SyncSender<Job>,
    /// Set if jobs wait for a slow reader.
    patient: bool,
    /// Number of checks dropped because the reader was too slow.
    lost: Arc<AtomicU64>,
    failed: oneshot::Receiver<io::Error>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Starts the thread. A patient writer waits for the reader and stops at the first error, for
    /// results that are the only output. Otherwise it drops jobs, and only stops when the reader
    /// has gone.
    pub(crate) fn start(printer: Printer, patient: bool) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(KEPT);
        let (fail, failed) = oneshot::channel();
        let lost = Arc::new(AtomicU64::new(0));
        let worker = Worker {
            printer,
            patient,
            lost: Arc::clone(&lost),
            failing: false,
        };
        let thread = std::thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(move || {
                if let Err(error) = worker.run(&waiting) {
                    // Nobody receives it if the handle was dropped without being closed.
                    let _ = fail.send(error);
                }
            })?;
        Ok(Self {
            jobs,
            patient,
            lost,
            failed,
            thread,
        })
    }

    pub(crate) fn check(&self, target: usize, finding: Finding) {
        if !self.send(Job::Check(target, Box::new(finding))) {
            // Relaxed, because the counter publishes no other memory.
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn forget(&self, target: usize) {
        self.send(Job::Forget(target));
    }

    pub(crate) fn round(&self) {
        self.send(Job::Round);
    }

    pub(crate) fn waiting(&self, report: Report, patience: Duration) {
        self.send(Job::Waiting(Box::new(report), patience));
    }

    pub(crate) fn summaries(&self, summaries: Vec<Summary>) {
        self.send(Job::Summaries(summaries));
    }

    /// Queues a job and returns whether there was room. Errors of a thread that has ended are
    /// ignored: it reported its own.
    fn send(&self, job: Job) -> bool {
        if self.patient {
            let _ = self.jobs.send(job);
            return true;
        }
        !matches!(self.jobs.try_send(job), Err(TrySendError::Full(_)))
    }

    /// Completes when printing has failed for good.
    pub(crate) async fn failed(&mut self) -> io::Error {
        match (&mut self.failed).await {
            Ok(error) => error,
            // The thread ends without an error only after this handle was closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// Prints the queued jobs. Returns the thread's error, unless `failed` returned it before.
    pub(crate) fn close(mut self) -> io::Result<()> {
        // Closing the channel ends the thread after the queued jobs.
        drop(self.jobs);
        let _ = self.thread.join();
        self.failed.try_recv().map_or(Ok(()), Err)
    }
}

/// State of the writer thread.
struct Worker {
    printer: Printer,
    patient: bool,
    lost: Arc<AtomicU64>,
    failing: bool,
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Job>) -> io::Result<()> {
        while let Ok(job) = jobs.recv() {
            self.attempt(&job)?;
            if !self.patient {
                // Waking this thread for each of thousands of jobs a second costs more than the
                // jobs. Those that arrive meanwhile wait in the channel.
                std::thread::sleep(PAUSE);
            }
            for job in jobs.try_iter().take(KEPT) {
                self.attempt(&job)?;
            }
        }
        Ok(())
    }

    /// Prints a job. Returns an error only if printing has failed for good.
    fn attempt(&mut self, job: &Job) -> io::Result<()> {
        match self.print(job) {
            Ok(()) if std::mem::take(&mut self.failing) => note("stdout is written again"),
            Ok(()) => {}
            // A closed pipe never recovers, unlike a full disk.
            Err(error) if self.patient || error.kind() == io::ErrorKind::BrokenPipe => {
                return Err(error);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    note(&format!(
                        "cannot write to stdout: {}; checks go on",
                        probe::detail(&error)
                    ));
                }
            }
        }
        Ok(())
    }

    fn print(&mut self, job: &Job) -> io::Result<()> {
        match self.lost.swap(0, Ordering::Relaxed) {
            0 => {}
            lost => note(&format!("stdout was not read: {lost} checks are not shown")),
        }
        match job {
            Job::Check(target, finding) => self.printer.check(*target, finding),
            Job::Forget(target) => {
                self.printer.forget(*target);
                Ok(())
            }
            Job::Round => self.printer.round(),
            Job::Waiting(report, patience) => {
                self.printer.waiting(report, *patience);
                Ok(())
            }
            Job::Summaries(summaries) => {
                let all: Vec<_> = summaries.iter().collect();
                self.printer.summaries(&all)
            }
        }
    }
}

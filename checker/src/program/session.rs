//! What the program does between start and end: one check, a wait, or a series on a grid.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::check::check;
use crate::program::cli::{Period, Plan};
use crate::program::exit::{Exit, LastState};
use crate::program::grid::Grid;
use crate::program::output::Printer;
use crate::program::summary::Tally;
use crate::report::Report;

/// From start to start of two attempts while waiting.
const ATTEMPTS: Duration = Duration::from_millis(500);

/// A run of the program.
pub(crate) struct Session {
    plan: Plan,
    printer: Printer,
    last: Arc<LastState>,
    tally: Tally,
}

impl Session {
    pub(crate) fn new(plan: Plan, printer: Printer, last: Arc<LastState>) -> Self {
        Self {
            plan,
            printer,
            last,
            tally: Tally::default(),
        }
    }

    /// Does what was asked for. May be dropped at any moment, [`Session::finish`] still works.
    pub(crate) async fn run(&mut self) -> io::Result<()> {
        match (self.plan.period, self.plan.wait_up) {
            (Some(period), _) => self.repeat(period).await,
            (None, Some(patience)) => {
                let report = self.wait_up(patience).await;
                self.conclude(&report, 0)
            }
            (None, None) => {
                let report = self.check().await;
                self.conclude(&report, 0)
            }
        }
    }

    /// Ends a series.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.printer.summary(&self.tally.summary())
    }

    async fn repeat(&mut self, period: Period) -> io::Result<()> {
        let mut grid = Grid::new(period.interval);
        let mut checks = 0;
        while period.count.is_none_or(|count| checks < count) {
            let missed = grid.tick().await;
            self.tally.missed(missed);
            let report = self.check().await;
            self.conclude(&report, missed)?;
            checks += 1;
        }
        Ok(())
    }

    /// Checks until the verdict is one that waiting does not change. The first attempt is never cut short, so that there is
    /// always something to tell.
    async fn wait_up(&mut self, patience: Duration) -> Report {
        let deadline = Instant::now() + patience;
        let mut grid = Grid::new(ATTEMPTS);
        grid.tick().await;
        let mut report = self.check().await;
        while report.verdict.may_pass() {
            self.printer.waiting(&report, patience);
            let next = async {
                grid.tick().await;
                self.check().await
            };
            match timeout_at(deadline, next).await {
                Ok(next) => report = next,
                Err(_) => break,
            }
        }
        report
    }

    async fn check(&self) -> Report {
        check(&self.plan.target, &self.plan.settings).await
    }

    fn conclude(&mut self, report: &Report, missed: u64) -> io::Result<()> {
        self.last.set(Exit::from(report.verdict));
        self.tally.add(report);
        self.printer.check(report, missed)
    }
}

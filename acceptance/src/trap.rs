//! The trap: however a run ends, its stack is deleted, and the proof of that decides the exit code.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::deletion::{self, Proof};
use crate::output::{note, result};
use crate::price::{self, Cost};
use crate::programs::{Programs, root};
use crate::record::{self, Home, Record};
use crate::report::{FORMAT, Report, Verdict};
use crate::steps::{Deployed, Flow, Results};
use crate::{Error, Run, claims, images, render};

/// Signals that end a run.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Starts to handle the signals: from now on they do not end this process.
    pub(crate) fn new() -> Result<Self, String> {
        let handle = |kind| signal(kind).map_err(|error| format!("cannot handle signals: {error}"));
        Ok(Self {
            interrupt: handle(SignalKind::interrupt())?,
            terminate: handle(SignalKind::terminate())?,
            hangup: handle(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal and returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}

/// End of the steps.
#[derive(Debug, PartialEq)]
enum End {
    Passed,
    Failed(String),
    Interrupted(&'static str),
    OutOfTime(Duration),
}

impl End {
    fn why(&self) -> Option<String> {
        match self {
            Self::Passed => None,
            Self::Failed(why) => Some(why.clone()),
            Self::Interrupted(signal) => Some(format!("interrupted by {signal}")),
            Self::OutOfTime(limit) => {
                let limit = humantime::format_duration(*limit);
                Some(format!("not done within {limit}"))
            }
        }
    }

    fn exit_code(&self, is_clean: bool) -> u8 {
        match self {
            _ if !is_clean => 5,
            Self::Passed => 0,
            Self::Interrupted(_) => 130,
            Self::Failed(_) | Self::OutOfTime(_) => 1,
        }
    }
}

/// Deletes what killed runs have left.
pub(crate) async fn clean(signals: &mut Signals) -> Result<(), Error> {
    let found = record::find(&record::folder()?)?;
    for record in found.left_behind {
        let stack = record.run.stack.clone();
        if !record.run.is_claimed {
            // It was killed before it created anything.
            record.remove()?;
            continue;
        }
        let programs = Programs::find(record.run.clone())?;
        if !may_be_deleted(&programs).await? {
            note(&format!("what a killed run left is gone: stack `{stack}`"));
            record.remove()?;
            continue;
        }
        note(&format!("deleting what a killed run left: stack `{stack}`"));
        let (proof, is_interrupted) = to_the_end(deletion::delete(&programs), signals).await;
        for line in &proof.evidence {
            note(&format!("  {line}"));
        }
        if !proof.is_clean {
            return Err(Error::Left(may_be_left(&programs)));
        }
        record.remove()?;
        if is_interrupted {
            return Err(Error::Interrupted);
        }
    }
    Ok(())
}

/// Returns whether there may be something to delete, after checking that it is the killed run's own.
async fn may_be_deleted(programs: &Programs) -> Result<bool, Error> {
    let run = &programs.run;
    let status = programs.deployer(&["status"]).await?;
    let status = status.last();
    if let Some((home, here)) = run.home.as_ref().zip(Home::read(status))
        && *home != here
    {
        let Home { account, region } = home;
        return Err(Error::Left(format!(
            "stack `{}` of a killed run is in account {account}, region {region}, and these credentials lead to account {}, region {}: run `acceptance clean` with those of before",
            run.stack, here.account, here.region
        )));
    }
    if run.has_name_of_its_own() {
        return Ok(true);
    }
    if status["status"] == "ABSENT" {
        return Ok(false);
    }
    // Somebody else may have created a stack of this name since.
    Err(Error::Left(may_be_left(programs)))
}

fn may_be_left(programs: &Programs) -> String {
    let place = programs.run.place.arguments().join(" ");
    let stack = &programs.run.stack;
    format!(
        "stack `{stack}` may be left, and cost money: run `deployer down --stack {stack} {place}` until it says that nothing is to delete"
    )
}

/// Runs the steps and deletes everything.
pub(crate) async fn run(options: Run) -> Result<u8, Error> {
    let new = record::Run::new(options.stack.clone(), options.place.clone());
    let programs = Arc::new(Programs::find(new)?);
    let reference = options.reference.as_deref().map(read).transpose()?;
    let is_local = options.place.local;
    let region = match &options.place.region {
        Some(region) => region.clone(),
        None if is_local => "us-east-1".to_owned(),
        // The profile's, which also decides where the stack is created.
        None => match free(&programs).await? {
            Some(Home { region, .. }) => region,
            None => return Err("the deployer does not know the region".to_owned().into()),
        },
    };
    let cost = price::ask_deployer(&programs, &region).await?;
    let price = price::describe(&cost, &region, options.limit);
    if is_local {
        note(&format!("on the emulator, at no cost; on AWS: {price}"));
    } else {
        note(&price);
        if !options.yes {
            price::agree()?;
        }
    }
    let mut signals = Signals::new()?;
    clean(&mut signals).await?;
    let kept = images::target(&root()).join("acceptance");
    let images = match options.images {
        Some(folder) if images::are_in(&folder) => folder,
        Some(folder) => {
            let folder = folder.display();
            return Err(
                format!("`{folder}` lacks images: run `acceptance images {folder}`").into(),
            );
        }
        None => {
            let folder = kept.join("images");
            crate::build_images(&folder, &mut signals).await?;
            folder
        }
    };
    let folder = options.report.unwrap_or_else(|| kept.clone());
    for folder in [&kept, &folder] {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("cannot create `{}`: {error}", folder.display()))?;
    }
    programs.log_to(&kept.join("events.jsonl"))?;
    let record = claim(&programs).await?;
    note(&format!("stack `{}`", programs.run.stack));

    let started = (chrono::Utc::now(), Instant::now());
    let results = Arc::new(Mutex::new(Results::new()));
    let flow = Flow {
        programs: Arc::clone(&programs),
        results: Arc::clone(&results),
        images,
        parameters: options.parameter,
        only: options.only,
        deployed: Deployed::default(),
    };
    let end = follow(flow, &mut signals, options.limit).await;
    let proof = if end == End::Passed {
        // The last step has proved it.
        Proof::clean()
    } else {
        let why = end.why().unwrap_or_default();
        note(&format!("{why}; deleting stack `{}`", programs.run.stack));
        to_the_end(deletion::delete(&programs), &mut signals)
            .await
            .0
    };
    for line in &proof.evidence {
        note(&format!("  {line}"));
    }
    if proof.is_clean {
        record.remove()?;
    }
    let report = Summary {
        started: started.0.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        seconds: started.1.elapsed().as_secs_f64(),
        cost,
        stack: programs.run.stack.clone(),
    };
    let report = report.report(&results, &end, &proof, reference.as_ref());
    let is_written = publish(&report, &folder);
    if !proof.is_clean {
        return Err(Error::Left(may_be_left(&programs)));
    }
    // Nothing is left, so that what the report could not say is no reason for alarm.
    if let Err(reason) = is_written {
        crate::output::error(&reason);
        return Ok(1);
    }
    if let Some(why) = end.why() {
        crate::output::error(&why);
    }
    Ok(end.exit_code(proof.is_clean))
}

/// Makes sure that the stack is the run's own, and records it.
async fn claim(programs: &Programs) -> Result<Record, Error> {
    let run = &programs.run;
    let folder = record::folder()?;
    // Before the others are looked for: of two runs that start with one name, one sees the other.
    let record = Record::create(&folder, run.clone())?;
    let alive = record::find(&folder)?.alive;
    let mut others = alive.iter().filter(|other| other.mark != run.mark);
    let home = if others.any(|other| other.stack == run.stack) {
        Err(format!("another run uses stack `{}`", run.stack).into())
    } else {
        free(programs).await
    };
    let home = match home {
        Ok(home) => home,
        Err(error) => {
            record.remove()?;
            return Err(error);
        }
    };
    let run = record::Run {
        is_claimed: true,
        home,
        ..run.clone()
    };
    // Takes the place of the one before, and is locked by then.
    Ok(Record::create(&folder, run)?)
}

/// Returns where the stack will be created, if that is known: the emulator may not run yet. Fails if
/// the stack exists: somebody else has created it, and it must not be deleted.
async fn free(programs: &Programs) -> Result<Option<Home>, Error> {
    let stack = &programs.run.stack;
    let status = programs.deployer(&["status"]).await?;
    match status.last()["status"].as_str() {
        Some("ABSENT") => Ok(Home::read(status.last())),
        Some(found) => Err(format!("stack `{stack}` exists ({found}): choose another name").into()),
        None => Err(format!("cannot read the stack: {}", status.end()).into()),
    }
}

/// Runs the steps until they end, a signal comes, or the time is over. A panic is a failed step.
async fn follow(flow: Flow, signals: &mut Signals, limit: Duration) -> End {
    let programs = Arc::clone(&flow.programs);
    let mut steps = tokio::spawn(flow.run());
    let end = tokio::select! {
        joined = &mut steps => return match joined {
            Ok(Ok(())) => End::Passed,
            Ok(Err(why)) => End::Failed(why),
            Err(error) => End::Failed(format!("internal error: {error}")),
        },
        name = signals.next() => End::Interrupted(name),
        () = tokio::time::sleep(limit) => End::OutOfTime(limit),
    };
    // A deletion that is stopped leaves nothing that a later one could prove.
    if programs.is_deletion_unproven() {
        note("the deletion continues, because what is left costs money");
        let _ = to_the_end(&mut steps, signals).await;
    } else {
        steps.abort();
        let _ = steps.await;
    }
    end
}

/// Waits for a deletion, whatever signals come. Returns whether one came.
async fn to_the_end<T>(deletion: impl Future<Output = T>, signals: &mut Signals) -> (T, bool) {
    tokio::pin!(deletion);
    let mut is_interrupted = false;
    loop {
        tokio::select! {
            end = &mut deletion => return (end, is_interrupted),
            name = signals.next() => {
                is_interrupted = true;
                note(&format!("{name}: the deletion continues, because what is left costs money"));
            }
        }
    }
}

fn read(path: &Path) -> Result<Report, String> {
    let at = |error: String| format!("cannot read `{}`: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| at(error.to_string()))?;
    let report: Report = serde_json::from_str(&text).map_err(|error| at(error.to_string()))?;
    if report.format == FORMAT {
        Ok(report)
    } else {
        Err(at(format!("its format is {}, not {FORMAT}", report.format)))
    }
}

/// What the report says besides the steps.
struct Summary {
    started: String,
    seconds: f64,
    cost: Cost,
    stack: String,
}

impl Summary {
    fn report(
        self,
        results: &Mutex<Results>,
        end: &End,
        proof: &Proof,
        reference: Option<&Report>,
    ) -> Report {
        let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(why), Some(step)) = (end.why(), results.current())
            && step.verdict == Verdict::NotRun
        {
            step.verdict = Verdict::Failed;
            step.evidence.push(why);
        }
        let folder = root().display().to_string();
        let redact = |text: &String| render::redact(text, &folder);
        let mut steps = results.steps.clone();
        for step in &mut steps {
            step.evidence = step.evidence.iter().map(redact).collect();
            let observed = step.observed.iter();
            let observed: BTreeMap<_, _> = observed
                .map(|(name, value)| (name.clone(), redact(value)))
                .collect();
            step.observed = observed;
        }
        let is_passed = *end == End::Passed && proof.is_clean;
        let mut report = Report {
            format: FORMAT,
            made_on: results.made_on,
            started: self.started,
            seconds: self.seconds,
            version: results.version.clone(),
            region: results.region.clone(),
            verdict: if is_passed {
                Verdict::Passed
            } else {
                Verdict::Failed
            },
            ended_early: end.why().as_ref().map(redact),
            nothing_is_left: proof.is_clean,
            left: (!proof.is_clean).then_some(self.stack),
            cost_per_hour: self.cost,
            steps,
            claims: Vec::new(),
            differences: None,
        };
        report.claims = claims::judge(&report);
        report.differences = reference.map(|reference| report.differences_to(reference));
        report
    }
}

/// Prints the report and writes it as JSON and Markdown.
fn publish(report: &Report, folder: &Path) -> Result<(), String> {
    let json = serde_json::to_string_pretty(report).map_err(|error| error.to_string())?;
    let text = render::markdown(report);
    for (name, content) in [("report.json", &format!("{json}\n")), ("report.md", &text)] {
        let path = folder.join(name);
        std::fs::write(&path, content)
            .map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
    }
    result(&text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_decides_the_exit_code() {
        let ends = [
            (End::Passed, 0),
            (End::Failed("no".to_owned()), 1),
            (End::OutOfTime(Duration::from_secs(3)), 1),
            (End::Interrupted("SIGINT"), 130),
        ];
        for (end, code) in ends {
            assert_eq!(end.exit_code(true), code);
            assert_eq!(end.exit_code(false), 5);
        }
    }
}

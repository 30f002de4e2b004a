//! A machine on which nothing is compiled, sent or measured.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::answer::answers;
use super::script::Script;
use super::{DIGEST, FOR_EVER, FakeWorld, Transcript, connection, settings};
use crate::cancellation::CancellationToken;
use crate::config::Config;
use crate::context::{Connection, Context};
use crate::host::{Host, ImageBuilder};
use crate::lock::Lock;
use crate::pollers::ExternalCheck;
use crate::verdict::OfImage;
use aws::remote::{Login, World};
use deployment::error::Failure;
use deployment::names::{ImageUri, RepositoryUri};
use deployment::rollout::gate::HookAnswer;
use image_builder::attestation::Statement;
use image_builder::image::{BuiltImage, Document};

/// Verdicts: the image, what is said of it, and whether anything was changed.
pub(crate) type Verdicts = Arc<Mutex<Vec<(String, Statement, bool)>>>;

/// Builds at once unless told otherwise; two instances answer from the new image; nobody is there to be asked.
pub(crate) struct FakeHost {
    world: Arc<FakeWorld>,
    transcript: Transcript,
    config: Config,
    compiling: Duration,
    failure: Option<Failure>,
    reports: Script<clock::Report>,
    /// What checks find once the way back is started.
    reports_after: Option<clock::Report>,
    knocks: Script<Result<(), clock::Failure>>,
    agreement: Option<bool>,
    hesitates: bool,
    decision: Option<HookAnswer>,
    interrupted_after: Option<Duration>,
    /// How many instances each check was told to expect.
    expected: Arc<Mutex<Vec<Option<u32>>>>,
    /// The verdicts that were attached, to which image, and whether anything was changed.
    attached: Verdicts,
    /// How attaching fails, if it does.
    registry: Option<Failure>,
    /// How the command failed, if it did.
    failed: Arc<Mutex<Option<Failure>>>,
}

impl FakeHost {
    pub(crate) fn new(world: FakeWorld) -> Self {
        let transcript = world.transcript();
        Self {
            world: world.there("clock-repository", FOR_EVER).shared(),
            transcript,
            config: settings(),
            compiling: Duration::ZERO,
            failure: None,
            reports: Script::new("the check", [answers("0.1.0+0123456789ab")]),
            reports_after: None,
            knocks: Script::new("a request", [Ok(())]),
            agreement: None,
            hesitates: false,
            decision: None,
            interrupted_after: None,
            expected: Arc::default(),
            attached: Arc::default(),
            registry: None,
            failed: Arc::default(),
        }
    }

    /// How many instances each check is told to expect, as it comes to that.
    pub(crate) fn expected(&self) -> Arc<Mutex<Vec<Option<u32>>>> {
        Arc::clone(&self.expected)
    }

    /// The verdicts that are attached, as it comes to that.
    pub(crate) fn attached(&self) -> Verdicts {
        Arc::clone(&self.attached)
    }

    /// The registry refuses verdicts like this.
    pub(crate) fn refusing_verdicts(self, failure: Failure) -> Self {
        let registry = Some(failure);
        Self { registry, ..self }
    }

    /// How the command failed, once it has.
    pub(crate) fn failed(&self) -> Arc<Mutex<Option<Failure>>> {
        Arc::clone(&self.failed)
    }

    /// With other settings than usual.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Compiling takes this long.
    pub(crate) fn compiling_for(self, compiling: Duration) -> Self {
        Self { compiling, ..self }
    }

    /// Compiling ends like this.
    pub(crate) fn not_compiling(self, failure: Failure) -> Self {
        let failure = Some(failure);
        Self { failure, ..self }
    }

    /// What checks find, one after the other.
    pub(crate) fn finding(self, reports: impl IntoIterator<Item = clock::Report>) -> Self {
        let reports = Script::new("the check", reports);
        Self { reports, ..self }
    }

    /// What checks find once the way back is started.
    pub(crate) fn finding_after_going_back(self, report: clock::Report) -> Self {
        Self {
            reports_after: Some(report),
            ..self
        }
    }

    /// What single requests meet, one after the other.
    pub(crate) fn knocking(
        self,
        knocks: impl IntoIterator<Item = Result<(), clock::Failure>>,
    ) -> Self {
        let knocks = Script::new("a request", knocks);
        Self { knocks, ..self }
    }

    /// Somebody is there, and answers this to questions.
    pub(crate) fn answering(self, agreement: bool) -> Self {
        let agreement = Some(agreement);
        Self { agreement, ..self }
    }

    /// Somebody is there, and does not answer.
    pub(crate) fn hesitating(self) -> Self {
        let hesitates = true;
        Self { hesitates, ..self }
    }

    /// Somebody is there, and decides like this about what is held at the gate.
    pub(crate) fn deciding(self, decision: HookAnswer) -> Self {
        let decision = Some(decision);
        Self { decision, ..self }
    }

    /// Somebody presses Ctrl-C after this time.
    pub(crate) fn interrupted_after(self, time: Duration) -> Self {
        let interrupted_after = Some(time);
        Self {
            interrupted_after,
            ..self
        }
    }

    /// The world that it connects to.
    pub(crate) fn world(&self) -> &FakeWorld {
        &self.world
    }

    /// The same, for a connection.
    pub(crate) fn shared_world(&self) -> &Arc<FakeWorld> {
        &self.world
    }

    /// Writes something into the transcript.
    pub(crate) fn says(&self, text: &str) {
        self.transcript.line(text);
    }

    /// Runs a command on this machine; returns the transcript.
    pub(crate) async fn run(
        self,
        command: impl AsyncFnOnce(Context<'_>, &Self) -> Result<(), Failure>,
    ) -> String {
        let sink = self.transcript.sink();
        let cancellation = CancellationToken::default();
        let context = Context {
            config: &self.config,
            sink: &sink,
            cancellation: &cancellation,
        };
        let interrupted = async {
            match self.interrupted_after {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
            if cancellation.cancel() {
                self.transcript.line("^C");
                std::future::pending::<()>().await;
            }
        };
        // Longer than all deadlines together: what is still waiting then waits for ever.
        let result = timeout(Duration::from_hours(24), async {
            tokio::select! {
                result = Box::pin(command(context, &self)) => result,
                // As the program does where nothing has to be put in order.
                () = interrupted => Err(Failure::interrupted()),
            }
        });
        let result = result.await.expect("the command hangs");
        self.world.assert_played();
        *self.failed.lock().unwrap() = result.as_ref().err().cloned();
        self.transcript.end(result)
    }
}

#[async_trait]
impl ImageBuilder for FakeHost {
    async fn build(&self, _: Context<'_>) -> Result<BuiltImage, Failure> {
        sleep(self.compiling).await;
        let document = || Document {
            content: Bytes::new(),
            media_type: String::new(),
            digest: DIGEST.to_owned(),
        };
        match self.failure.clone() {
            Some(failure) => Err(failure),
            None => Ok(BuiltImage {
                manifest: document(),
                config: document(),
                layers: Vec::new(),
                sbom: None,
                statements: Vec::new(),
            }),
        }
    }

    async fn push(
        &self,
        _: Context<'_>,
        address: &RepositoryUri,
        login: Option<Login>,
        built: &BuiltImage,
    ) -> Result<ImageUri, Failure> {
        let user = login.map_or_else(|| "nobody".to_owned(), |login| login.user);
        self.transcript
            .line(&format!("> push to {address} as {user}"));
        Ok(address.image(built.digest().parse().unwrap()))
    }
}

#[async_trait]
impl Host for FakeHost {
    async fn connect(&self, _: Context<'_>) -> Result<Connection, Failure> {
        Ok(connection(&self.world))
    }

    async fn only_one(
        &self,
        _: Context<'_>,
        _: &str,
        _: &Connection,
    ) -> Result<Option<Lock>, Failure> {
        Ok(None)
    }

    async fn agrees(&self, _: Context<'_>, question: &str) -> Option<bool> {
        if self.hesitates {
            std::future::pending::<()>().await;
        }
        if let Some(agreement) = self.agreement {
            self.transcript.line(&format!("? {question} {agreement}"));
        }
        self.agreement
    }

    async fn decides(&self, _: Context<'_>, question: &str) -> Option<HookAnswer> {
        if self.hesitates {
            std::future::pending::<()>().await;
        }
        if let Some(decision) = self.decision {
            self.transcript.line(&format!("? {question} {decision:?}"));
        }
        self.decision
    }

    async fn attach(
        &self,
        _: Context<'_>,
        _: &dyn World,
        verdict: &OfImage<'_>,
    ) -> Result<bool, Failure> {
        let said = (
            verdict.image.to_string(),
            verdict.statement.clone(),
            verdict.changed,
        );
        self.attached.lock().unwrap().push(said);
        self.registry.clone().map_or(Ok(true), Err)
    }
}

#[async_trait]
impl ExternalCheck for FakeHost {
    async fn check(&self, _: &probe::Target, settings: &clock::Settings) -> clock::Report {
        self.expected
            .lock()
            .unwrap()
            .push(settings.expect_instances);
        match &self.reports_after {
            Some(report) if self.transcript.text().contains("back: started") => report.clone(),
            Some(_) | None => self.reports.next(),
        }
    }

    async fn knock(&self, _: &probe::Target, _: &clock::Settings) -> Result<(), clock::Failure> {
        // The first one only finds out whether there is a way.
        if self.world.is_first("knock") {
            return self.knocks.peek();
        }
        self.knocks.next()
    }
}

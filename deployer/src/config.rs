//! All settings of a run, resolved once and without side effects. The order is flags, environment
//! variables, `deployer.toml`. Commands read no other source.

mod access;
mod check;
mod environments;
mod file;
mod forms;
mod parameters;
pub(crate) mod schema;
mod service;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::{
    Builder, CheckFrom, DeployOptions, Output, ServiceOptions, Shared, StrategyName, StrategyOption,
};
use deployment::error::{Failure, FailureKind};
use deployment::names::{self, StackName};
use image_builder::Architecture;

pub use access::is_usual_endpoint;
use aws::access::Access;
pub use check::CheckSettings;
pub use environments::{Files, read};
pub use file::File;
use file::ImageFile;

use access::access;
use deployment::stack::template_names::ParameterName;
use deployment::template::{Settings, Strategy};
pub use parameters::ServiceSizes;

/// Default port of a service.
const DEFAULT_PORT: u16 = 8080;

/// Settings of the program and its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSettings {
    /// Cargo package, if it is configured.
    pub package: Option<String>,
    /// Binary target of that package, if it is configured.
    pub binary: Option<String>,
    /// Absolute path of the Dockerfile that describes the image.
    pub dockerfile: PathBuf,
    /// Absolute path of the build context, if it is not the Dockerfile's folder.
    pub context: Option<PathBuf>,
    /// Stage of the Dockerfile that becomes the image, if it is not the last one.
    pub stage: Option<String>,
    /// Cargo features, instead of those of the Dockerfile.
    pub features: Option<Vec<String>>,
    /// Setting for default features, instead of that of the Dockerfile.
    pub default_features: Option<bool>,
    /// Cargo profile, instead of that of the Dockerfile.
    pub profile: Option<String>,
    /// Cargo target (triple) to compile for, instead of the usual one.
    pub target: Option<String>,
    /// Values of the Dockerfile's `ARG`s.
    pub args: BTreeMap<String, String>,
    /// Image in a registry that is deployed instead of building one.
    pub uri: Option<String>,
    /// Processor that the tasks run on.
    pub architecture: Architecture,
    /// Builder of the image.
    pub builder: Builder,
    /// Variables that look like secrets but are passed to the build: names, or prefixes that end in
    /// `*`.
    pub build_environment: Vec<String>,
    /// File with an existing image, which replaces the build.
    pub archive: Option<PathBuf>,
    /// Settings of an image that is built again, in place of this machine's.
    pub rebuild: Option<Box<Rebuild>>,
}

/// Settings of an image that is built again, besides those of a usual build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuild {
    /// Set if all features are on.
    pub all_features: bool,
    /// Creation time, `SOURCE_DATE_EPOCH`.
    pub source_date_epoch: Option<String>,
    /// Toolchain of rustup, if it is not the one that the sources choose.
    pub toolchain: Option<String>,
    /// Cargo's target folder.
    pub target_folder: PathBuf,
    /// Digest of each image that the Dockerfile names.
    pub base_digests: BTreeMap<String, String>,
}

/// All settings of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each setting")]
pub struct Config {
    /// Folder of the configuration file: the cargo workspace and the build context.
    pub root: PathBuf,
    /// Path of the configuration file.
    pub file: PathBuf,
    /// Name of the selected environment.
    pub environment: Option<String>,
    /// Settings of the environment whose image `promote` deploys.
    pub promoted_from: Option<Box<Config>>,
    /// Name of the stack.
    pub stack: StackName,
    /// Source of the template.
    pub template: TemplateSource,
    /// Access to AWS or the emulator: endpoint, region and profile.
    pub access: Access,
    /// Account that the credentials must belong to.
    pub account: Option<String>,
    /// Settings of the program and its image.
    pub image: ImageSettings,
    /// Sizes of the service.
    pub service: ServiceSizes,
    /// Other settings of the service, which the template is rendered with.
    pub settings: Settings,
    /// Absolute path of the IAM policy for the task role.
    pub permissions: Option<PathBuf>,
    /// Warnings about questionable settings.
    pub remarks: Vec<String>,
    /// Template parameters, except the image.
    pub parameters: BTreeMap<String, String>,
    /// Tags of the stack, which CloudFormation copies to its resources.
    pub tags: BTreeMap<String, String>,
    /// CloudFormation capabilities to acknowledge, besides `CAPABILITY_IAM`.
    pub capabilities: Vec<String>,
    /// Settings that the emulator does not support.
    pub left_out: Vec<&'static str>,
    /// Settings of the check from outside.
    pub check: CheckSettings,
    /// Vantage point of the check that a deployment has to pass.
    pub check_from: CheckFrom,
    /// Time for which checks continue before a deployment counts as successful.
    pub watch_for: Duration,
    /// Time limit of one operation.
    pub timeout: Duration,
    /// Time limit for the check to succeed.
    pub verify_timeout: Duration,
    /// Set if operations of other callers are waited for.
    pub wait: bool,
    /// Set if CloudFormation ends an operation before the service is stable.
    pub express: bool,
    /// Set if a person decides about a version that has passed the check at the gate.
    pub hold: bool,
    /// Set if the tasks are replaced even without changes.
    pub force: bool,
    /// Set if an image from a registry needs a verdict to be deployed.
    pub require_verdict: bool,
    /// Consent that the user has given in advance.
    pub consent: Consent,
    /// Form of the output.
    pub output: Output,
}

/// Source of the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateSource {
    /// Template that is built into the program.
    BuiltIn,
    /// Template in a file, by its absolute path.
    File(PathBuf),
}

impl TemplateSource {
    /// Returns the command that lints it.
    pub fn lint(&self) -> String {
        match self {
            Self::BuiltIn => "deployer template | cfn-lint -".to_owned(),
            Self::File(path) => format!("cfn-lint {}", path.display()),
        }
    }
}

impl std::fmt::Display for TemplateSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BuiltIn => formatter.write_str("built-in"),
            Self::File(path) => write!(formatter, "{}", path.display()),
        }
    }
}

/// Consent to actions that are not taken without it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Consent {
    /// Consent to replace or remove existing resources.
    pub agreed: bool,
    /// Logical ids of resources that a continued rollback skips.
    pub skip: Vec<String>,
    /// Logical ids of resources that a repeated deletion retains.
    pub retain: Vec<String>,
}

/// Arguments of a command that override the configuration file.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
pub struct Overrides {
    /// Sizes of the service, and its image.
    pub service: ServiceOptions,
    /// Options of the deployment.
    pub deploy: DeployOptions,
    /// File with an existing image.
    pub image_archive: Option<PathBuf>,
    /// Set to fail instead of waiting for another operation.
    pub no_wait: bool,
    /// Set if CloudFormation ends an operation before the service is stable.
    pub express: bool,
    /// Set to leave the decision at the gate to a person.
    pub hold: bool,
    /// Set to replace the tasks even without changes.
    pub force: bool,
    /// Set if an image from a registry needs a verdict to be deployed.
    pub require_verdict: bool,
    /// Consent of the user in advance.
    pub agreed: bool,
    /// Logical ids of resources that a repeated deletion retains.
    pub retain: Vec<String>,
}

impl Overrides {
    /// Returns the overrides of a command that only reads the template.
    pub(crate) fn of_template(strategy: &StrategyOption) -> Self {
        Self {
            service: ServiceOptions {
                strategy: strategy.clone(),
                ..ServiceOptions::default()
            },
            ..Self::default()
        }
    }
}

/// Reads the configuration file, and resolves all settings.
pub fn load(shared: &Shared, overrides: Overrides) -> Result<Config, Failure> {
    let environment = shared.environment();
    let root = root(shared)?;
    let file = read(&shared.config)?.select(environment)?;
    let resolved = resolve(shared, overrides.clone(), file, &root);
    match (resolved, environment) {
        // A usage error is about the command line, whatever the environment.
        (Err(failure), Some(name)) if failure.kind == FailureKind::Preflight => {
            // Resolves again without the environment, to tell whether the mistake is in its
            // section.
            let base = read(&shared.config)?.select(None)?;
            let is_overridden = resolve(shared, overrides, base, &root).is_ok();
            let place = format!("correct it under `[environments.{name}]` in `deployer.toml`");
            Err(failure.maybe_hint(is_overridden.then_some(place)))
        }
        (resolved, _) => resolved,
    }
}

/// Resolves the settings of a project without a configuration file. `stack` is the default stack
/// name.
// A file without settings gives every default.
pub fn without_file(shared: &Shared, stack: &str) -> Result<Config, Failure> {
    let file = File {
        stack: Some(stack.parse().map_err(usage)?),
        ..File::default()
    };
    resolve(shared, Overrides::default(), file, &root(shared)?)
}

/// Returns the absolute folder of the configuration file.
fn root(shared: &Shared) -> Result<PathBuf, Failure> {
    let folder = shared.config.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    std::fs::canonicalize(folder).map_err(|error| {
        Failure::preflight(format!("cannot find `{}`", folder.display())).because(error)
    })
}

/// Resolves all settings. `root` is the absolute folder of the configuration file.
pub fn resolve(
    shared: &Shared,
    overrides: Overrides,
    file: File,
    root: &Path,
) -> Result<Config, Failure> {
    let (service_options, deploy) = (&overrides.service, &overrides.deploy);
    let stack = match given(shared.stack.as_ref()) {
        Some(name) => name.parse().map_err(usage)?,
        None => file.stack.ok_or_else(|| {
            Failure::preflight("no stack name is set").hint("set `stack` in `deployer.toml`")
        })?,
    };
    let template = shared.template.clone().or(file.template);
    let template = template.map_or(TemplateSource::BuiltIn, |path| {
        TemplateSource::File(root.join(path))
    });
    // The proxy depends on the rest: see `check_proxy`.
    let mut access = access(shared, file.region, file.profile)?;
    access.check_proxy = access::check_proxy(shared, file.check.proxy.as_deref(), &access)?;

    let architecture = match service_options
        .image_options
        .architecture
        .clone()
        .or_else(|| file.service.architecture.clone())
    {
        Some(name) => name
            .parse::<Architecture>()
            .map_err(|error| Failure::preflight(error.to_string()).hint("use X86_64 or ARM64"))?,
        // By default the program is compiled here, for this machine's processor.
        None => Architecture::of_this_machine().ok_or_else(|| {
            Failure::preflight("this machine's processor is neither x86_64 nor arm64")
                .hint("set `architecture` under `[service]` in `deployer.toml`")
        })?,
    };
    let port = file.service.port.unwrap_or(DEFAULT_PORT);
    let mut service = ServiceSizes {
        port,
        // One task in each of the two zones.
        tasks: service_options.tasks.or(file.service.tasks).unwrap_or(2),
        max_tasks: service_options.max_tasks.or(file.service.max_tasks),
        cpu: service_options.cpu.or(file.service.cpu).unwrap_or(256),
        memory: service_options
            .memory
            .or(file.service.memory)
            .unwrap_or(512),
        start_seconds: file.service.start_seconds,
        architecture,
    };
    let mut parameters =
        parameters::resolve(&service, file.parameters, &service_options.parameters)?;
    // The parameters may set it, too. The polling and the reports need the effective value.
    let start_seconds = parameters.get(ParameterName::StartSeconds.as_str());
    service.start_seconds = start_seconds.and_then(|seconds| seconds.parse().ok());
    let settings = Settings {
        strategy: strategy(service_options.strategy.strategy, &file.deployment)?,
        bake_minutes: minutes("bake_minutes", file.deployment.bake_minutes)?,
        step_minutes: minutes("step_minutes", file.deployment.step_minutes)?,
        gate_minutes: gate_minutes(&file.deployment)?,
        ..service::settings(&file.service, service.memory)?
    };
    let remarks = remarks(&service, &settings);
    let left_out = if access.local {
        parameters::leave_out(&mut parameters, &service)
    } else {
        Vec::new()
    };

    refuse_express(overrides.express, &settings)?;

    Ok(Config {
        environment: shared.environment().map(str::to_owned),
        promoted_from: None,
        stack,
        template,
        access,
        account: account(shared, file.account)?,
        image: image(file.image, &overrides, architecture, root)?,
        service,
        settings,
        permissions: file.service.permissions.map(|file| root.join(file.policy)),
        remarks,
        parameters,
        tags: tags(file.tags)?,
        capabilities: capabilities(file.capabilities)?,
        left_out,
        check_from: shared.check.or(file.check.from).unwrap_or_default(),
        watch_for: match (given(deploy.watch_for.as_ref()), &file.check.watch_for) {
            (Some(time), _) => duration("--watch-for", time)?,
            // The same mistake has another exit code in the file than on the command line.
            (None, Some(time)) => of_file(duration("check.watch_for", time))?,
            (None, None) => Duration::ZERO,
        },
        check: check::resolve(file.check, root)?,
        timeout: duration("--timeout", &shared.timeout)?,
        verify_timeout: duration("--verify-timeout", &deploy.verify_timeout)?,
        wait: !(deploy.no_wait || overrides.no_wait),
        express: overrides.express,
        hold: overrides.hold || file.deployment.hold.unwrap_or_default(),
        force: overrides.force,
        require_verdict: overrides.require_verdict,
        consent: Consent {
            agreed: deploy.yes || overrides.agreed,
            skip: deploy.skip.clone(),
            retain: overrides.retain,
        },
        output: shared.output,
        file: root.join(shared.config.file_name().unwrap_or_default()),
        root: root.to_owned(),
    })
}

/// Rejects CloudFormation's EXPRESS mode for a service with a release command.
fn refuse_express(express: bool, settings: &Settings) -> Result<(), Failure> {
    if !express || settings.release_command.is_none() {
        return Ok(());
    }
    Err(
        Failure::preflight("`--express` cannot be combined with `release_command`")
            .because("CloudFormation does not wait for the command in that mode")
            .hint("leave out `--express`, or remove `release_command`"),
    )
}

/// Returns the deployment strategy.
fn strategy(flag: Option<StrategyName>, file: &file::DeploymentFile) -> Result<Strategy, Failure> {
    // Checked for every strategy, because a flag may select another one later.
    let percent = |key: &str, value: Option<u8>, least: u8, usual: u8| match value {
        Some(percent) if !(least..=100).contains(&percent) => Err(Failure::preflight(format!(
            "`{key}` under `[deployment]` cannot be {percent}"
        ))
        .hint(format!("set it to a number from {least} to 100"))),
        value => Ok(value.unwrap_or(usual)),
    };
    // ECS requires steps of at least 3 percent.
    let step_percent = percent("step_percent", file.step_percent, 3, 25)?;
    let canary_percent = percent("canary_percent", file.canary_percent, 1, 10)?;
    Ok(match flag.or(file.strategy) {
        None | Some(StrategyName::Rolling) => Strategy::Rolling,
        Some(StrategyName::BlueGreen) => Strategy::BlueGreen,
        Some(StrategyName::Linear) => Strategy::Linear { step_percent },
        Some(StrategyName::Canary) => Strategy::Canary { canary_percent },
    })
}

/// Validates a number of minutes. ECS allows at most 1440, a day.
fn minutes(key: &str, value: Option<u32>) -> Result<u32, Failure> {
    match value {
        Some(minutes) if minutes > 1440 => Err(Failure::preflight(format!(
            "`{key}` under `[deployment]` cannot be {minutes}"
        ))
        .hint("set it to a number from 0 to 1440")),
        value => Ok(value.unwrap_or(0)),
    }
}

/// Validates the timeout of the gate's hook. CloudFormation allows 33 hours for hook and bake time
/// together.
fn gate_minutes(file: &file::DeploymentFile) -> Result<Option<u32>, Failure> {
    let most = 33 * 60 - file.bake_minutes.unwrap_or_default().min(1440);
    match file.gate_minutes {
        Some(minutes) if !(1..=most).contains(&minutes) => Err(Failure::preflight(format!(
            "`gate_minutes` under `[deployment]` cannot be {minutes}"
        ))
        .hint(format!("set it to a number from 1 to {most}"))),
        minutes => Ok(minutes),
    }
}

/// Returns warnings about settings that are allowed but questionable.
fn remarks(service: &ServiceSizes, settings: &Settings) -> Vec<String> {
    let mut remarks = Vec::new();
    if service.tasks == 1 {
        remarks.push(
            "one task is not highly available: nothing answers while it is replaced after a failure"
                .to_owned(),
        );
    }
    let names = service::look_secret(settings);
    if !names.is_empty() {
        remarks.push(format!(
            "{} under `[service.environment]` may be secret: everybody who may describe task definitions can read it. Use `[service.secrets]`",
            names.join(", ")
        ));
    }
    remarks
}

/// Returns the configured account after checking that it has twelve digits.
fn account(shared: &Shared, of_file: Option<String>) -> Result<Option<String>, Failure> {
    let (account, kind) = match given(shared.account.as_ref()) {
        Some(account) => (account.to_owned(), FailureKind::Usage),
        None => match of_file {
            Some(account) => (account, FailureKind::Preflight),
            None => return Ok(None),
        },
    };
    if names::is_account(&account) {
        return Ok(Some(account));
    }
    Err(
        Failure::new(kind, format!("`{account}` is not an AWS account"))
            .hint("an account has twelve digits, in `deployer.toml` in quotes: `account = \"123456789012\"`"),
    )
}

/// AWS's limit for the tags of a resource.
const MOST_TAGS: usize = 50;

/// Rejects tags that AWS would reject.
fn tags(tags: BTreeMap<String, file::Scalar>) -> Result<BTreeMap<String, String>, Failure> {
    let refused = |message: String, rule: &str| Err(Failure::preflight(message).hint(rule));
    if tags.len() > MOST_TAGS {
        return refused(
            format!("`[tags]` has {} tags", tags.len()),
            "AWS takes 50 of them",
        );
    }
    let tags: BTreeMap<String, String> = tags
        .into_iter()
        .map(|(key, value)| (key, value.into_text()))
        .collect();
    // The characters that AWS's tagging documentation recommends for all services.
    let is_sign = |sign: char| sign.is_alphanumeric() || " _.:/=+-@".contains(sign);
    for (key, value) in &tags {
        if deployment::stack::tags::is_reserved(key) {
            return refused(
                format!("the tag `{key}` cannot be set"),
                "keys that begin with `aws:` are AWS's own",
            );
        }
        let lengths = (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256;
        if !lengths || !key.chars().chain(value.chars()).all(is_sign) {
            return refused(
                format!("`{key}` is not a tag that AWS takes"),
                "a key has 1 to 128 characters, a value at most 256: letters, digits, spaces and `_ . : / = + - @`",
            );
        }
    }
    Ok(tags)
}

/// Capabilities that the settings can acknowledge.
pub const CAPABILITIES: [&str; 2] = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"];

fn capabilities(given: Vec<String>) -> Result<Vec<String>, Failure> {
    let unknown = given
        .iter()
        .find(|name| !CAPABILITIES.contains(&name.as_str()));
    match unknown {
        Some(name) => Err(
            Failure::preflight(format!("`capabilities` cannot be `{name}`"))
                .hint(format!("use {}", CAPABILITIES.join(" or "))),
        ),
        None => Ok(given),
    }
}

impl ImageSettings {
    /// Returns whether an image is built, rather than taken from a registry or a file.
    pub const fn is_built(&self) -> bool {
        self.uri.is_none() && self.archive.is_none()
    }
}

impl Config {
    /// Returns a name for the program, as far as the settings tell it without running Cargo.
    pub fn program_name(&self) -> &str {
        let named = self
            .image
            .binary
            .as_deref()
            .or(self.image.package.as_deref());
        named.unwrap_or(self.stack.as_str())
    }

    /// Returns the seconds after a task's start in which failed health checks do not count.
    pub fn start_seconds(&self) -> u32 {
        let seconds = self.service.start_seconds;
        let seconds = seconds.unwrap_or(parameters::USUAL_START_SECONDS);
        // The emulator's health checks run five times as fast.
        if self.access.local {
            seconds / 5
        } else {
            seconds
        }
    }
}

/// Returns the setting unless it is empty. CI systems often set variables to the empty string.
fn given(setting: Option<&String>) -> Option<&str> {
    setting.map(String::as_str).filter(|text| !text.is_empty())
}

/// Usual names of the file that defines the image: Docker's, then podman's.
pub(crate) const DOCKERFILES: [&str; 2] = ["Dockerfile", "Containerfile"];

/// Resolves the settings of the image. The Dockerfile is read later.
fn image(
    file: ImageFile,
    overrides: &Overrides,
    architecture: Architecture,
    root: &Path,
) -> Result<ImageSettings, Failure> {
    let dockerfile = file.dockerfile.unwrap_or_else(|| {
        let existing = DOCKERFILES.iter().find(|name| root.join(name).exists());
        PathBuf::from(existing.unwrap_or(&DOCKERFILES[0]))
    });
    let args = file.args.into_iter();
    let settings = ImageSettings {
        binary: file.binary,
        package: file.package,
        target: file.target,
        args: args
            .map(|(name, value)| (name, value.into_text()))
            .collect(),
        // An empty `uri` in an environment overrides that of the file, so that the image is built.
        uri: file.uri.filter(|uri| !uri.is_empty()),
        dockerfile: root.join(dockerfile),
        context: file.context.map(|folder| root.join(folder)),
        stage: file.stage,
        features: file.features,
        default_features: file.default_features,
        profile: file.profile,
        architecture,
        builder: overrides
            .service
            .image_options
            .builder
            .or(file.builder)
            .unwrap_or_default(),
        build_environment: file.build_environment,
        archive: overrides.image_archive.clone(),
        rebuild: None,
    };
    check_cargo_settings(&settings)?;
    Ok(settings)
}

/// Checks the settings that become arguments of Cargo.
pub(crate) fn check_cargo_settings(image: &ImageSettings) -> Result<(), Failure> {
    for (key, name) in [("package", &image.package), ("binary", &image.binary)] {
        name.as_ref()
            .map_or(Ok(()), |name| target_name(key, name))?;
    }
    if let Some(target) = &image.target {
        let architecture = image.architecture;
        let processor = architecture.rust_name();
        if !target.starts_with(&format!("{processor}-")) || !target.contains("-linux-") {
            return Err(Failure::preflight(format!(
                "`{target}` is not a target for tasks on {architecture}"
            ))
            .hint(format!("set `target` under `[image]` to `{processor}-unknown-linux-gnu` or `{processor}-unknown-linux-musl`, or remove it")));
        }
    }
    // A leading dash would make them flags.
    for name in image.profile.iter().chain(image.features.iter().flatten()) {
        if name.is_empty() || name.starts_with('-') {
            return Err(Failure::preflight(format!(
                "`{name}` is neither a profile nor a feature of cargo"
            ))
            .hint("set `profile` and `features` under `[image]` as in `Cargo.toml`"));
        }
    }
    Ok(())
}

/// Validates a name that becomes an argument of Cargo, where a leading dash would make it a flag.
fn target_name(key: &str, name: &str) -> Result<(), Failure> {
    let may_begin = |letter: char| letter.is_alphanumeric() || letter == '_';
    let may_follow = |letter: char| may_begin(letter) || letter == '-' || letter == '.';
    if name.starts_with(may_begin) && name.chars().all(may_follow) {
        return Ok(());
    }
    Err(Failure::preflight(format!(
        "`{name}` is not a name for `{key}` under `[image]`"
    ))
    .hint(format!(
        "set `{key}` in `deployer.toml` to a name as it stands in `Cargo.toml`: letters, digits, `_`, `-` and `.`"
    )))
}

/// Changes the kind of a failure whose cause is in the file, not on the command line.
fn of_file<T>(setting: Result<T, Failure>) -> Result<T, Failure> {
    setting.map_err(|failure| Failure {
        kind: FailureKind::Preflight,
        ..failure
    })
}

/// Parses a duration. `name` is the option or key that it belongs to.
pub(crate) fn duration(name: &str, text: &str) -> Result<Duration, Failure> {
    clock::duration::parse(text).map_err(|error| {
        Failure::new(
            FailureKind::Usage,
            format!("`{text}` is not a duration for `{name}`"),
        )
        .because(error)
        .hint("write it like `500ms`, `30s` or `5m`")
    })
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn usage(error: deployment::names::InvalidName) -> Failure {
    Failure::new(FailureKind::Usage, error.to_string())
}

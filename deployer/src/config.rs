//! All settings, resolved once and purely: flags, then environment, then `deployer.toml`. Commands see nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::cli::{Builder, Logs, Manner, Output, Shared, Sizes};
use crate::engine::Pace;
use crate::error::{Failure, FailureKind};
use crate::image::Architecture;
use crate::names::{HostPort, StackName};

/// Region that the emulator is used with: the one in which it looks for load balancers.
const LOCAL_REGION: &str = "us-east-1";
/// Where the emulator listens unless told otherwise.
const LOCAL_ENDPOINT: &str = "http://127.0.0.1:4566";

/// The numbers of tasks and port that the template writes out, and so the only ones that the emulator understands.
const LOCAL_TASKS: u32 = 2;
const LOCAL_PORT: u16 = 8080;

/// `deployer.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    stack: Option<StackName>,
    template: Option<PathBuf>,
    region: Option<String>,
    profile: Option<String>,
    #[serde(default)]
    image: ImageFile,
    #[serde(default)]
    service: ServiceFile,
    #[serde(default)]
    check: CheckFile,
    #[serde(default)]
    parameters: BTreeMap<String, Scalar>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageFile {
    package: Option<String>,
    binary: Option<String>,
    dockerfile: Option<PathBuf>,
    builder: Option<Builder>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceFile {
    port: Option<u16>,
    tasks: Option<u32>,
    cpu: Option<u32>,
    memory: Option<u32>,
    architecture: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckFile {
    max_skew: Option<String>,
}

/// A value of a template parameter: whatever TOML type reads most naturally.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(i64),
    Truth(bool),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Truth(truth) => truth.to_string(),
        }
    }
}

/// How to reach AWS, or what stands in for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The emulator on this machine, or AWS (or whatever `endpoint_url` names)?
    pub local: bool,
    /// Region; absent: what the profile says.
    pub region: Option<String>,
    /// Profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Where AWS calls go, if not to AWS.
    pub endpoint_url: Option<Url>,
    /// Where images go, if not to the address that ECR gives.
    pub registry: Option<HostPort>,
    /// Where the check connects, if not where the public name points.
    pub connect_to: Option<HostPort>,
    /// How often to look.
    pub pace: Pace,
}

impl Access {
    /// Would the same command without `--endpoint-url` go to the same place?
    pub fn is_usual_endpoint(&self) -> bool {
        let usual = self
            .local
            .then_some(LOCAL_ENDPOINT)
            .map(|url| format!("{url}/"));
        self.endpoint_url.as_ref().map(Url::as_str) == usual.as_deref()
    }
}

/// The program and its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSettings {
    /// Cargo package.
    pub package: String,
    /// Binary target of that package.
    pub binary: String,
    /// Absolute path of the Dockerfile that describes the image.
    pub dockerfile: PathBuf,
    /// Processor that the tasks run on.
    pub architecture: Architecture,
    /// Who makes it.
    pub builder: Builder,
}

/// All settings of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Folder of the configuration file: the cargo workspace and the build context.
    pub root: PathBuf,
    /// Name of the stack.
    pub stack: StackName,
    /// Absolute path of the template.
    pub template: PathBuf,
    /// How to reach AWS.
    pub access: Access,
    /// The program and its image.
    pub image: ImageSettings,
    /// Tasks that should run.
    pub tasks: u32,
    /// TCP port that the program listens on.
    pub port: u16,
    /// Template parameters, all but the image.
    pub parameters: BTreeMap<String, String>,
    /// How far the service's clock may be off.
    pub max_skew: Duration,
    /// Longest time for one operation.
    pub timeout: Duration,
    /// Longest time for the check to succeed.
    pub verify_timeout: Duration,
    /// Is what others have begun waited for?
    pub wait: bool,
    /// Does CloudFormation end an operation before the service is stable?
    pub express: bool,
    /// Are the tasks replaced even if nothing is to be changed?
    pub force: bool,
    /// What the user has agreed to in advance.
    pub consent: Consent,
    /// Form of the output.
    pub output: Output,
}

/// What is done only because the user has agreed to it in advance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Consent {
    /// Replace or remove what exists.
    pub agreed: bool,
    /// Resources without which a rollback that got stuck is continued: logical names.
    pub skip: Vec<String>,
    /// Resources without which a stack is deleted whose deletion failed: logical names.
    pub retain: Vec<String>,
}

/// What of the log is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// Also what is yet to be written?
    pub follow: bool,
    /// How far back.
    pub since: Duration,
}

impl LogSettings {
    /// Resolves them.
    pub fn resolve(logs: &Logs) -> Result<Self, Failure> {
        Ok(Self {
            follow: logs.follow,
            since: duration("--since", &logs.since)?,
        })
    }
}

/// Reads and parses the configuration file.
pub fn read(path: &Path) -> Result<File, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let hint = if error.kind() == std::io::ErrorKind::NotFound {
            "run this in the folder that holds `deployer.toml`, or name it with `--config FILE`"
        } else {
            "it has to be a readable text file"
        };
        Failure::preflight(format!("cannot read `{shown}`"))
            .because(error)
            .hint(hint)
    })?;
    parse(&text).map_err(|error| {
        Failure::preflight(format!("`{shown}` is not valid"))
            .because(error.to_string().trim_end())
            .hint("`docs/configuration.md` lists every setting")
    })
}

/// Parses the text of a configuration file.
pub fn parse(text: &str) -> Result<File, toml::de::Error> {
    toml::from_str(text)
}

/// Resolves all settings. `root` is the absolute folder of the configuration file.
pub fn resolve(
    shared: &Shared,
    sizes: &Sizes,
    manner: &Manner,
    file: File,
    root: &Path,
) -> Result<Config, Failure> {
    let stack = match given(shared.stack.as_ref()) {
        Some(name) => name.parse().map_err(usage)?,
        None => file.stack.ok_or_else(|| {
            Failure::preflight("no stack name is set").hint("set `stack` in `deployer.toml`")
        })?,
    };
    let template = shared
        .template
        .clone()
        .or(file.template)
        .unwrap_or_else(|| PathBuf::from("infra/service.yaml"));
    let access = access(shared, file.region, file.profile)?;

    let package = file.image.package.unwrap_or_else(|| "app".to_owned());
    let architecture = match sizes
        .making
        .architecture
        .clone()
        .or(file.service.architecture)
    {
        Some(name) => name
            .parse::<Architecture>()
            .map_err(|error| Failure::preflight(error.to_string()).hint("use X86_64 or ARM64"))?,
        None => Architecture::of_this_machine().ok_or_else(|| {
            Failure::preflight("this machine's processor is neither x86_64 nor arm64")
                .hint("set `architecture` under `[service]` in `deployer.toml`")
        })?,
    };
    let tasks = sizes.tasks.or(file.service.tasks).unwrap_or(2);
    if !(2..=50).contains(&tasks) {
        return Err(Failure::preflight(format!("`tasks` cannot be {tasks}"))
            .hint("set it to a number from 2 (one for each zone) to 50"));
    }

    let port = file.service.port.unwrap_or(LOCAL_PORT);
    let cpu = sizes.cpu.or(file.service.cpu).unwrap_or(256);
    let memory = sizes.memory.or(file.service.memory).unwrap_or(512);
    fargate_pair(cpu, memory)?;

    let mut parameters: BTreeMap<String, String> = file
        .parameters
        .into_iter()
        .map(|(key, value)| (key, value.into_text()))
        .collect();
    let numbers = [
        ("ContainerPort", u32::from(port)),
        ("DesiredCount", tasks),
        ("Cpu", cpu),
        ("Memory", memory),
    ];
    for (key, value) in numbers {
        parameters.insert(key.to_owned(), value.to_string());
    }
    parameters.insert("CpuArchitecture".to_owned(), architecture.to_string());
    if parameters.contains_key("ImageUri") {
        return Err(
            Failure::preflight("`ImageUri` cannot be set under `[parameters]`")
                .hint("remove it: `deployer up` sets it to what it pushed"),
        );
    }

    Ok(Config {
        stack,
        template: root.join(template),
        access,
        image: ImageSettings {
            binary: file.image.binary.unwrap_or_else(|| package.clone()),
            package,
            dockerfile: root.join(
                file.image
                    .dockerfile
                    .unwrap_or_else(|| PathBuf::from("Dockerfile")),
            ),
            architecture,
            builder: sizes
                .making
                .builder
                .or(file.image.builder)
                .unwrap_or_default(),
        },
        tasks,
        port,
        parameters,
        max_skew: duration(
            "check.max_skew",
            file.check.max_skew.as_deref().unwrap_or("1s"),
        )
        .map_err(|failure| Failure {
            kind: FailureKind::Preflight,
            ..failure
        })?,
        timeout: duration("--timeout", &shared.timeout)?,
        verify_timeout: duration("--verify-timeout", &manner.verify_timeout)?,
        wait: !manner.no_wait,
        express: false,
        force: false,
        consent: Consent {
            agreed: manner.yes,
            skip: manner.skip.clone(),
            retain: Vec::new(),
        },
        output: shared.output,
        root: root.to_owned(),
    })
}

impl Config {
    /// Refuses what the emulator cannot do, before anything is begun.
    pub fn fits_the_emulator(&self) -> Result<(), Failure> {
        let (tasks, port) = (self.tasks, self.port);
        if !self.access.local || (tasks == LOCAL_TASKS && port == LOCAL_PORT) {
            return Ok(());
        }
        Err(Failure::preflight(format!(
            "`--local` runs {LOCAL_TASKS} tasks on port {LOCAL_PORT}, not {tasks} on port {port}"
        ))
        .because("the emulator takes only numbers that the template writes out")
        .hint("leave out `tasks` and `port` for a trial on this machine"))
    }
}

/// Refuses what Fargate does not offer (ECS developer guide, task size for Linux; MiB).
fn fargate_pair(cpu: u32, memory: u32) -> Result<(), Failure> {
    const GIB: u32 = 1024;
    let (least, most, step) = match cpu {
        256 => (512, 2 * GIB, 512),
        512 => (GIB, 4 * GIB, GIB),
        1024 => (2 * GIB, 8 * GIB, GIB),
        2048 => (4 * GIB, 16 * GIB, GIB),
        4096 => (8 * GIB, 30 * GIB, GIB),
        _ => {
            return Err(
                Failure::preflight(format!("Fargate has no tasks with {cpu} CPU units"))
                    .hint("set `cpu` to 256, 512, 1024, 2048 or 4096"),
            );
        }
    };
    // The smallest size also comes with 1.5 times its memory missing: 512, 1024 and 2048 only.
    let odd = cpu == 256 && memory == 1536;
    if (least..=most).contains(&memory) && memory.is_multiple_of(step) && !odd {
        return Ok(());
    }
    Err(Failure::preflight(format!(
        "Fargate has no tasks with {cpu} CPU units and {memory} MiB"
    ))
    .hint(format!(
        "set `memory` to a multiple of {step} from {least} to {most}"
    )))
}

/// A setting that is there: an empty variable, as CI systems like to set them, is none.
fn given(setting: Option<&String>) -> Option<&str> {
    setting.map(String::as_str).filter(|text| !text.is_empty())
}

fn access(
    shared: &Shared,
    file_region: Option<String>,
    file_profile: Option<String>,
) -> Result<Access, Failure> {
    let address = |setting: &Option<String>| {
        given(setting.as_ref())
            .map(str::parse::<HostPort>)
            .transpose()
            .map_err(usage)
    };
    let registry = address(&shared.registry)?;
    let connect_to = address(&shared.connect_to)?;
    let endpoint = given(shared.endpoint_url.as_ref())
        .or(shared.local.then_some(LOCAL_ENDPOINT))
        .map(endpoint)
        .transpose()?;
    if !shared.local {
        return Ok(Access {
            local: false,
            region: given(shared.region.as_ref())
                .or(given(shared.default_region.as_ref()))
                .map(str::to_owned)
                .or(file_region),
            profile: given(shared.profile.as_ref())
                .map(str::to_owned)
                .or(file_profile),
            endpoint_url: endpoint,
            registry,
            connect_to,
            pace: Pace::REMOTE,
        });
    }
    let endpoint = endpoint.ok_or_else(|| Failure::new(FailureKind::Unexpected, "no endpoint"))?;
    let host = endpoint.host_str().unwrap_or_default();
    let is_loopback = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if endpoint.scheme() != "http" || !is_loopback {
        return Err(Failure::new(
            FailureKind::Usage,
            format!("`--local` means this machine, but the endpoint is {endpoint}"),
        )
        .hint("use `http://127.0.0.1:PORT`, or leave out `--local`"));
    }
    let port = endpoint.port_or_known_default().unwrap_or(80);
    let here = |host: &str| HostPort {
        host: host.to_owned(),
        port,
    };
    Ok(Access {
        local: true,
        region: Some(LOCAL_REGION.to_owned()),
        profile: None,
        // Docker takes `localhost` for a registry that needs no TLS.
        registry: registry.or_else(|| Some(here("localhost"))),
        connect_to: connect_to.or_else(|| Some(here(host.trim_matches(['[', ']'])))),
        endpoint_url: Some(endpoint),
        pace: Pace::LOCAL,
    })
}

fn endpoint(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    url.ok_or_else(|| {
        Failure::new(
            FailureKind::Usage,
            format!("`{text}` is not an address for `--endpoint-url`"),
        )
        .hint("it looks like `http://127.0.0.1:4566`")
    })
}

fn duration(name: &str, text: &str) -> Result<Duration, Failure> {
    checker::duration::parse(text).map_err(|error| {
        Failure::new(
            FailureKind::Usage,
            format!("`{text}` is not a duration for `{name}`"),
        )
        .because(error)
        .hint("write it like `500ms`, `30s` or `5m`")
    })
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn usage(error: crate::names::InvalidName) -> Failure {
    Failure::new(FailureKind::Usage, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Making;

    const MINIMAL: &str = "stack = \"clock\"\n";

    fn shared() -> Shared {
        Shared {
            timeout: "30m".to_owned(),
            ..Shared::default()
        }
    }

    fn sizes() -> Sizes {
        Sizes {
            making: Making {
                architecture: Some("X86_64".to_owned()),
                builder: None,
            },
            ..Sizes::default()
        }
    }

    fn resolved(shared: &Shared, sizes: &Sizes, text: &str) -> Result<Config, Failure> {
        let file = parse(text).unwrap();
        let root = Path::new("/project");
        resolve(shared, sizes, &Manner::default(), file, root)
    }

    #[test]
    fn defaults() {
        let config = resolved(&shared(), &sizes(), MINIMAL).unwrap();
        assert_eq!(config.template, Path::new("/project/infra/service.yaml"));
        assert_eq!(config.image.dockerfile, Path::new("/project/Dockerfile"));
        assert_eq!(config.image.binary, "app");
        assert_eq!(config.parameters["DesiredCount"], "2");
        assert_eq!(config.parameters["ContainerPort"], "8080");
        assert_eq!(config.parameters["CpuArchitecture"], "X86_64");
        assert_eq!(config.access.endpoint_url, None);
        assert_eq!(config.access.pace, Pace::REMOTE);
        assert_eq!(config.timeout, Duration::from_mins(30));
    }

    #[test]
    fn flags_override_the_file() {
        let text = "stack = \"clock\"\nregion = \"eu-west-1\"\nprofile = \"p\"\n[service]\ntasks = 3\ncpu = 512\nmemory = 1024\n";
        let from_file = resolved(&shared(), &self::sizes(), text).unwrap();
        assert_eq!(from_file.access.region.as_deref(), Some("eu-west-1"));
        assert_eq!(from_file.parameters["DesiredCount"], "3");
        let flags = Shared {
            region: Some("eu-north-1".to_owned()),
            stack: Some("other".to_owned()),
            ..shared()
        };
        let sizes = Sizes {
            tasks: Some(4),
            ..self::sizes()
        };
        let from_flags = resolved(&flags, &sizes, text).unwrap();
        assert_eq!(from_flags.access.region.as_deref(), Some("eu-north-1"));
        assert_eq!(from_flags.stack.as_str(), "other");
        assert_eq!(from_flags.parameters["DesiredCount"], "4");
        assert_eq!(from_flags.parameters["Cpu"], "512");
    }

    #[test]
    fn local_presets_four_settings_and_each_can_be_overridden() {
        let local = Shared {
            local: true,
            region: Some("eu-west-1".to_owned()),
            ..shared()
        };
        let access = resolved(&local, &sizes(), MINIMAL).unwrap().access;
        assert_eq!(
            access.endpoint_url.unwrap().as_str(),
            "http://127.0.0.1:4566/"
        );
        assert_eq!(access.registry.unwrap().to_string(), "localhost:4566");
        assert_eq!(access.connect_to.unwrap().to_string(), "127.0.0.1:4566");
        assert_eq!(access.region.as_deref(), Some("us-east-1"));

        let moved = Shared {
            endpoint_url: Some("http://127.0.0.1:4999".to_owned()),
            connect_to: Some("127.0.0.1:80".to_owned()),
            ..local
        };
        let access = resolved(&moved, &sizes(), MINIMAL).unwrap().access;
        assert_eq!(access.registry.unwrap().to_string(), "localhost:4999");
        assert_eq!(access.connect_to.unwrap().to_string(), "127.0.0.1:80");
    }

    #[test]
    fn local_stays_on_this_machine() {
        for elsewhere in ["http://example.com:4566", "https://127.0.0.1:4566"] {
            let shared = Shared {
                local: true,
                endpoint_url: Some(elsewhere.to_owned()),
                ..shared()
            };
            let failure = resolved(&shared, &sizes(), MINIMAL).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Usage, "{elsewhere}");
        }
    }

    #[test]
    fn only_pairs_that_fargate_offers() {
        for (cpu, memory, offered) in [
            (256, 512, true),
            (256, 1024, true),
            (256, 1536, false),
            (256, 2048, true),
            (256, 4096, false),
            (512, 512, false),
            (512, 3072, true),
            (1024, 512, false),
            (1024, 2048, true),
            (1024, 2500, false),
            (4096, 30720, true),
            (300, 512, false),
        ] {
            assert_eq!(fargate_pair(cpu, memory).is_ok(), offered, "{cpu} {memory}");
        }
    }

    #[test]
    fn empty_variables_are_none() {
        let empty = || Some(String::new());
        let shared = Shared {
            region: empty(),
            profile: empty(),
            endpoint_url: empty(),
            stack: empty(),
            registry: empty(),
            ..shared()
        };
        let text = "stack = \"clock\"\nregion = \"eu-west-1\"\n";
        let config = resolved(&shared, &sizes(), text).unwrap();
        assert_eq!(config.access.region.as_deref(), Some("eu-west-1"));
        assert_eq!(config.access.profile, None);
        assert_eq!(config.access.endpoint_url, None);
    }

    #[test]
    fn local_refuses_what_the_emulator_cannot_do() {
        let local = Shared {
            local: true,
            ..shared()
        };
        for text in ["[service]\ntasks = 3\n", "[service]\nport = 9000\n"] {
            let text = format!("{MINIMAL}{text}");
            let remote = resolved(&shared(), &sizes(), &text).unwrap();
            assert_eq!(remote.fits_the_emulator(), Ok(()));
            let local = resolved(&local, &sizes(), &text).unwrap();
            assert_eq!(
                local.fits_the_emulator().unwrap_err().kind,
                FailureKind::Preflight
            );
        }
    }

    #[test]
    fn mistakes_are_named() {
        let unknown = parse("stack = \"clock\"\n[service]\ntask = 2\n")
            .unwrap_err()
            .to_string();
        assert!(unknown.contains("unknown field `task`"), "{unknown}");
        assert!(unknown.contains("line 3"), "{unknown}");
        let failure = resolved(&shared(), &sizes(), "").unwrap_err();
        assert_eq!(failure.message, "no stack name is set");
        let failure = resolved(
            &shared(),
            &sizes(),
            "stack = \"clock\"\n[service]\ntasks = 1\n",
        )
        .unwrap_err();
        assert_eq!(failure.kind, FailureKind::Preflight);
        let failure = resolved(
            &shared(),
            &sizes(),
            "stack = \"clock\"\n[parameters]\nImageUri = \"x\"\n",
        )
        .unwrap_err();
        assert!(failure.message.contains("ImageUri"));
        let bad = Shared {
            timeout: "soon".to_owned(),
            ..shared()
        };
        assert_eq!(
            resolved(&bad, &sizes(), MINIMAL).unwrap_err().kind,
            FailureKind::Usage
        );
    }

    #[test]
    fn our_own_files_fit_together() {
        let template = include_str!("../../infra/service.yaml");
        let parameters = template.split("\nConditions:").next().unwrap();
        let config = resolved(&shared(), &sizes(), include_str!("../../deployer.toml")).unwrap();
        for name in config
            .parameters
            .keys()
            .map(String::as_str)
            .chain(["ImageUri"])
        {
            assert!(
                parameters.contains(&format!("\n  {name}:\n")),
                "{name} is not in the template"
            );
        }
        assert!(template.len() <= 51_200);
    }

    #[test]
    fn template_parameters_of_every_type_become_text() {
        let text = "stack = \"clock\"\n[parameters]\nLogRetentionDays = 14\nVpcCidr = \"10.1.0.0/24\"\nFlag = true\n";
        let config = resolved(&shared(), &sizes(), text).unwrap();
        assert_eq!(config.parameters["LogRetentionDays"], "14");
        assert_eq!(config.parameters["VpcCidr"], "10.1.0.0/24");
        assert_eq!(config.parameters["Flag"], "true");
    }
}

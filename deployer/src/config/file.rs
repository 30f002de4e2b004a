//! Content of `deployer.toml`, before any setting is resolved.
//!
//! Doc comments of fields are what editors show: see [`schema`](super::schema).

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::forms;
use crate::cli::{Builder, CheckFrom, StrategyName};
use clock::{Field, JsonValues, Kind, Statuses};
use deployment::names::StackName;

/// `deployer.toml`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
// A misspelled setting would otherwise be ignored.
#[serde(default, deny_unknown_fields)]
#[schemars(title = "deployer.toml")]
pub struct File {
    /// Name of the CloudFormation stack: a letter, then letters, digits and hyphens, at most 100.
    #[schemars(with = "String", regex(pattern = "^[A-Za-z][A-Za-z0-9-]{0,99}$"))]
    pub(super) stack: Option<StackName>,
    /// Template of your own, relative to this file. Default: the built-in one.
    pub(super) template: Option<PathBuf>,
    /// AWS region. `--region` and `AWS_REGION` override it. Default: the profile's.
    pub(super) region: Option<String>,
    /// Profile of the AWS configuration files.
    pub(super) profile: Option<String>,
    /// Refuses credentials of any other AWS account: twelve digits in quotes.
    #[schemars(regex(pattern = "^[0-9]{12}$"))]
    pub(super) account: Option<String>,
    /// Program and image.
    pub(super) image: ImageFile,
    /// Sizes and settings of the service.
    pub(super) service: ServiceFile,
    /// How a new version takes over.
    pub(super) deployment: DeploymentFile,
    /// Check from outside.
    pub(super) check: CheckFile,
    /// Any other parameter of the template.
    #[schemars(schema_with = "forms::parameters")]
    pub(super) parameters: BTreeMap<String, Scalar>,
    /// Tags of the stack and its resources, at most 50.
    #[schemars(schema_with = "forms::tags")]
    pub(super) tags: BTreeMap<String, Scalar>,
    /// CloudFormation capabilities to acknowledge.
    #[schemars(schema_with = "forms::capabilities")]
    pub(super) capabilities: Vec<String>,
    /// Read apart from the rest: see [`Files`](super::Files).
    #[schemars(with = "BTreeMap<String, ()>")]
    pub(super) environments: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ImageFile {
    /// Cargo package. Default: the only one with a program.
    #[schemars(regex(pattern = forms::TARGET_NAME))]
    pub(super) package: Option<String>,
    /// Program of the package. Default: the only one, or `default-run`.
    #[schemars(regex(pattern = forms::TARGET_NAME))]
    pub(super) binary: Option<String>,
    /// Dockerfile that defines the image, relative to this file. Default: `Dockerfile`, or else `Containerfile`.
    pub(super) dockerfile: Option<PathBuf>,
    /// Build context. Default: the Dockerfile's folder.
    pub(super) context: Option<PathBuf>,
    /// Stage of the Dockerfile that becomes the image. Default: the last one.
    pub(super) stage: Option<String>,
    /// Image builder. Default: `auto`.
    pub(super) builder: Option<Builder>,
    /// Cargo features. Default: the Dockerfile's.
    #[schemars(inner(regex(pattern = "^[^-]")))]
    pub(super) features: Option<Vec<String>>,
    /// Whether default features are on. Default: the Dockerfile's.
    pub(super) default_features: Option<bool>,
    /// Cargo profile. Default: the Dockerfile's; `image` for `release`.
    #[schemars(regex(pattern = "^[^-]"))]
    pub(super) profile: Option<String>,
    /// Target that cargo compiles for, such as `x86_64-unknown-linux-musl`.
    #[schemars(regex(pattern = r"^(x86_64|aarch64)-([\s\S]*-)?linux-"))]
    pub(super) target: Option<String>,
    /// Values for the Dockerfile's `ARG`s. They can be read in the image.
    pub(super) args: BTreeMap<String, Scalar>,
    /// Existing image to deploy instead of building one.
    pub(super) uri: Option<String>,
    /// Variables that look like secrets but may be seen by the build: names, or prefixes that end in `*`.
    pub(super) build_environment: Vec<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServiceFile {
    /// TCP port that the program listens on, and its variable `PORT`. Default: 8080.
    #[schemars(range(min = 1))]
    pub(super) port: Option<u16>,
    /// Number of tasks. One alone is not highly available. Default: 2.
    #[schemars(range(min = 1, max = 50))]
    pub(super) tasks: Option<u32>,
    /// Maximum number of tasks under load; `tasks` is then the minimum. Default: no scaling.
    #[schemars(range(min = 1, max = 50))]
    pub(super) max_tasks: Option<u32>,
    /// CPU units of a task: 256 is a quarter of a vCPU, and the default.
    #[schemars(schema_with = "forms::cpu")]
    pub(super) cpu: Option<u32>,
    /// Memory of a task in MiB. Which sizes there are depends on `cpu`. Default: 512.
    #[schemars(range(min = 512, max = 30720))]
    pub(super) memory: Option<u32>,
    /// Seconds after a task's start in which failed health checks do not count. Default: 20.
    #[schemars(range(max = 3600))]
    pub(super) start_seconds: Option<u32>,
    /// Processor of the tasks: `X86_64` or `ARM64`. Default: this machine's.
    #[schemars(schema_with = "forms::architecture")]
    pub(super) architecture: Option<String>,
    /// Path that the load balancer asks every 5 s. Default: `/health`.
    #[schemars(regex(pattern = forms::PATH))]
    pub(super) health_path: Option<String>,
    /// Status codes that are healthy: `"200"`, `"200,204"`, `"200-299"`. Default: `"200"`.
    #[schemars(regex(pattern = forms::HEALTH_CODES))]
    pub(super) health_codes: Option<String>,
    /// Seconds for open requests before a task is stopped. Default: 15, draining 5.
    #[schemars(range(min = 2, max = 120))]
    pub(super) stop_seconds: Option<u32>,
    /// Seconds after which the load balancer closes an idle connection. Default: 30.
    #[schemars(range(min = 1, max = 4000))]
    pub(super) idle_seconds: Option<u32>,
    /// Arguments of the container. Default: the image's `CMD`.
    #[schemars(schema_with = "forms::command")]
    pub(super) command: Option<Vec<String>>,
    /// Arguments of a container that has to succeed before a new version is started: `["migrate"]`.
    #[schemars(schema_with = "forms::command")]
    pub(super) release_command: Option<Vec<String>>,
    /// User and group: numbers, or names in the image's `/etc/passwd`. Default: `"65532:65532"`.
    #[schemars(schema_with = "forms::user")]
    pub(super) user: Option<String>,
    /// Folders the program may write to: `["/tmp"]`. They are empty in every new task.
    #[schemars(schema_with = "forms::writable")]
    pub(super) writable: Vec<String>,
    /// TCP ports the tasks may connect to: `[443, 5432]`. 443 is required. Default: `[443]`.
    #[schemars(schema_with = "forms::egress")]
    pub(super) egress: Option<Vec<u16>>,
    /// Further security groups of the tasks, at most 4.
    #[schemars(
        length(max = 4),
        inner(regex(pattern = "^sg-([0-9a-fA-F]{8}|[0-9a-fA-F]{17})$"))
    )]
    pub(super) security_groups: Vec<String>,
    /// Variables of the program, readable by whoever may describe task definitions.
    #[schemars(schema_with = "forms::environment")]
    pub(super) environment: BTreeMap<String, Scalar>,
    /// Variables from Secrets Manager or Parameter Store: `DATABASE_URL = "/clock/database-url"`.
    #[schemars(schema_with = "forms::secrets")]
    pub(super) secrets: BTreeMap<String, String>,
    /// What the program may do on AWS. Default: nothing.
    pub(super) permissions: Option<PermissionsFile>,
    /// Existing VPC. Default: one of the stack's own.
    pub(super) network: Option<NetworkFile>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NetworkFile {
    /// Id of the VPC.
    #[schemars(regex(pattern = "^vpc-([0-9a-fA-F]{8}|[0-9a-fA-F]{17})$"))]
    pub(super) vpc: String,
    /// IPv4 addresses of the VPC: `"10.1.0.0/16"`.
    #[schemars(schema_with = "forms::cidr")]
    pub(super) cidr: String,
    /// Subnets of the load balancer, in two zones at least.
    #[schemars(schema_with = "forms::subnets")]
    pub(super) public_subnets: Vec<String>,
    /// Subnets of the tasks. Default: those of the load balancer.
    #[serde(default)]
    #[schemars(schema_with = "forms::subnets")]
    pub(super) task_subnets: Option<Vec<String>>,
    /// Whether tasks have public addresses. Default: only in the public subnets.
    pub(super) public_addresses: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PermissionsFile {
    /// File with an IAM policy document, relative to this file.
    pub(super) policy: PathBuf,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DeploymentFile {
    /// How a new version takes over. Default: `rolling`.
    pub(super) strategy: Option<StrategyName>,
    /// `linear`: share of the traffic that each step moves, percent. Default: 25.
    #[schemars(range(min = 3, max = 100))]
    pub(super) step_percent: Option<u8>,
    /// `canary`: share of the traffic that moves first, percent. Default: 10.
    #[schemars(range(min = 1, max = 100))]
    pub(super) canary_percent: Option<u8>,
    /// `linear`, `canary`: minutes between two steps. Default: 0.
    #[schemars(range(max = 1440))]
    pub(super) step_minutes: Option<u32>,
    /// Minutes that the previous tasks keep running after all traffic has moved. Default: 0.
    #[schemars(range(max = 1440))]
    pub(super) bake_minutes: Option<u32>,
    /// Minutes after which ECS takes back a version that waits at the gate. Default: 15.
    #[schemars(range(min = 1, max = 1980))]
    pub(super) gate_minutes: Option<u32>,
    /// Whether a person decides about a version that has passed the check at the gate.
    pub(super) hold: Option<bool>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CheckFile {
    /// What the check proves: the clock is right, or any answer is as expected. Default: found out.
    pub(super) kind: Option<Kind>,
    /// Path that the check asks: `"/status?full=1"`.
    #[schemars(regex(pattern = r"^/([^/\\][^\\]*)?$"))]
    pub(super) path: Option<String>,
    /// Status codes that are a success: `204`, `"200,404"`. Default: `"200-299"`.
    pub(super) status: Option<Statuses>,
    /// Text that the body contains.
    #[schemars(length(min = 1, max = 4096))]
    pub(super) contains: Option<String>,
    /// JSON pointers, and the values that a JSON body has there: `{ "/status" = "ok" }`.
    pub(super) json: Option<JsonValues>,
    /// Headers of every request. A value `"@FILE"` is read from that file.
    #[schemars(schema_with = "clock::schema::headers")]
    pub(super) headers: BTreeMap<String, String>,
    /// JSON pointer to a clock's time. Default: `/now`.
    pub(super) field: Option<Field>,
    /// Whether a clock's time may come from the `Date` header. Default: false.
    pub(super) date_header: Option<bool>,
    /// Maximum offset of a clock. Default: `"1s"`.
    #[schemars(schema_with = "clock::schema::duration")]
    pub(super) max_skew: Option<String>,
    /// What a deployment must pass. Default: `outside`.
    pub(super) from: Option<CheckFrom>,
    /// HTTP proxy for the check: `"http://HOST:PORT"`.
    #[schemars(regex(pattern = r"^http://[^/?#\s]"))]
    pub(super) proxy: Option<String>,
    /// Time for which checks continue after the first success. Default: off.
    #[schemars(schema_with = "clock::schema::duration")]
    pub(super) watch_for: Option<String>,
}

/// A string, integer or boolean, whichever reads most naturally.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Scalar {
    Text(String),
    Number(i64),
    Truth(bool),
}

impl Scalar {
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            // CloudFormation has no booleans: conditions compare with the text `true`.
            Self::Truth(truth) => truth.to_string(),
        }
    }
}

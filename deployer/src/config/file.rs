//! Content of `deployer.toml`, before any setting is resolved.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::cli::{Builder, CheckFrom, StrategyName};
use clock::{Field, JsonValues, Kind, Statuses};
use deployment::names::StackName;

/// `deployer.toml`.
#[derive(Debug, Default, Deserialize)]
// A misspelled setting would otherwise be ignored.
#[serde(deny_unknown_fields)]
pub struct File {
    pub(super) stack: Option<StackName>,
    pub(super) template: Option<PathBuf>,
    pub(super) region: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) account: Option<String>,
    #[serde(default)]
    pub(super) image: ImageFile,
    #[serde(default)]
    pub(super) service: ServiceFile,
    #[serde(default)]
    pub(super) deployment: DeploymentFile,
    #[serde(default)]
    pub(super) check: CheckFile,
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, Scalar>,
    #[serde(default)]
    pub(super) tags: BTreeMap<String, Scalar>,
    #[serde(default)]
    pub(super) capabilities: Vec<String>,
    /// Read apart from the rest: see [`Files`](super::Files).
    pub(super) environments: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageFile {
    pub(super) package: Option<String>,
    pub(super) binary: Option<String>,
    pub(super) dockerfile: Option<PathBuf>,
    pub(super) context: Option<PathBuf>,
    pub(super) builder: Option<Builder>,
    pub(super) features: Option<Vec<String>>,
    pub(super) default_features: Option<bool>,
    pub(super) profile: Option<String>,
    pub(super) target: Option<String>,
    #[serde(default)]
    pub(super) args: BTreeMap<String, Scalar>,
    pub(super) uri: Option<String>,
    #[serde(default)]
    pub(super) build_environment: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceFile {
    pub(super) port: Option<u16>,
    pub(super) tasks: Option<u32>,
    pub(super) max_tasks: Option<u32>,
    pub(super) cpu: Option<u32>,
    pub(super) memory: Option<u32>,
    pub(super) start_seconds: Option<u32>,
    pub(super) architecture: Option<String>,
    pub(super) health_path: Option<String>,
    pub(super) health_codes: Option<String>,
    pub(super) stop_seconds: Option<u32>,
    pub(super) idle_seconds: Option<u32>,
    pub(super) command: Option<Vec<String>>,
    pub(super) release_command: Option<Vec<String>>,
    pub(super) user: Option<String>,
    #[serde(default)]
    pub(super) writable: Vec<String>,
    pub(super) egress: Option<Vec<u16>>,
    #[serde(default)]
    pub(super) security_groups: Vec<String>,
    #[serde(default)]
    pub(super) environment: BTreeMap<String, Scalar>,
    #[serde(default)]
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) permissions: Option<PermissionsFile>,
    pub(super) network: Option<NetworkFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NetworkFile {
    pub(super) vpc: String,
    pub(super) cidr: String,
    pub(super) public_subnets: Vec<String>,
    pub(super) task_subnets: Option<Vec<String>>,
    pub(super) public_addresses: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PermissionsFile {
    pub(super) policy: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeploymentFile {
    pub(super) strategy: Option<StrategyName>,
    pub(super) step_percent: Option<u8>,
    pub(super) canary_percent: Option<u8>,
    pub(super) step_minutes: Option<u32>,
    pub(super) bake_minutes: Option<u32>,
    pub(super) gate_minutes: Option<u32>,
    pub(super) hold: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckFile {
    pub(super) kind: Option<Kind>,
    pub(super) path: Option<String>,
    pub(super) status: Option<Statuses>,
    pub(super) contains: Option<String>,
    pub(super) json: Option<JsonValues>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) field: Option<Field>,
    pub(super) date_header: Option<bool>,
    pub(super) max_skew: Option<String>,
    pub(super) from: Option<CheckFrom>,
    pub(super) proxy: Option<String>,
    pub(super) watch_for: Option<String>,
}

/// A value of a template parameter: whatever TOML type reads most naturally.
#[derive(Debug, Clone, Deserialize)]
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

//! Secrets of the service: checks that they exist, and stores local ones in the emulator.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::context::Context;
use aws::remote::World;
use deployment::error::Failure;
use deployment::rollout::missing_secret;
use deployment::template::{SecretSource, Store};
use support::input;

#[cfg(test)]
mod tests;

/// Name of the file with values for `--local`, in the directory of `deployer.toml`.
pub(crate) const FILE: &str = "deployer.local-secrets.toml";

/// Secret values by variable. They are never printed.
type Values = BTreeMap<String, String>;

impl Context<'_> {
    /// Fails if a secret of the service does not exist, because its tasks would not start. With
    /// `--local`, first stores the values of the file in the emulator.
    pub(crate) async fn require_secrets(&self, world: &dyn World) -> Result<(), Failure> {
        if self.config.settings.secrets.is_empty() {
            return Ok(());
        }
        let values = self.local_values()?;
        for ((store, name), value) in merged(&self.config.settings.secrets, &values) {
            world
                .put_secret(store, &name, &value)
                .await
                .map_err(|error| self.remote_failure(&error))?;
        }
        let (missing, doubts) = self.missing_secrets(world, &values).await;
        for doubt in doubts {
            self.sink.warn(doubt);
        }
        missing.map_or(Ok(()), Err)
    }

    /// Returns the failure for missing secrets, and warnings for those that could not be checked.
    /// Skips secrets whose values are in the file.
    pub(crate) async fn missing_secrets(
        &self,
        world: &dyn World,
        values: &Values,
    ) -> (Option<Failure>, Vec<String>) {
        let is_local = self.config.access.local;
        let (mut missing, mut doubts) = (Vec::new(), Vec::new());
        for (variable, source) in &self.config.settings.secrets {
            if values.contains_key(variable) {
                continue;
            }
            let names = match source.store() {
                // Secrets Manager takes an ARN as it is. Parameter Store and the emulator are asked by
                // name.
                Store::SecretsManager if !is_local => vec![source.id().to_owned()],
                Store::SecretsManager | Store::ParameterStore => source.names(),
            };
            // Parameter Store only lists parameters of the current account and region.
            let is_certain = is_local
                || !source.id().starts_with("arn:")
                || names.len() == 1 && names[0] == source.id();
            match world.secret_exists(source.store(), &names).await {
                Ok(true) => {}
                Ok(false) if is_certain => missing.push((variable, source)),
                Ok(false) => doubts.push(format!(
                    "the secret {source} of `{variable}` is not found in this account and region"
                )),
                Err(error) => {
                    doubts.push(format!(
                        "cannot find out whether the secret of `{variable}` exists: {error}"
                    ));
                }
            }
        }
        if missing.is_empty() {
            return (None, doubts);
        }
        // Messages name the variables and secrets, never their values.
        let names: Vec<String> = missing
            .iter()
            .map(|(variable, source)| format!("`{variable}` ({source})"))
            .collect();
        let failure = Failure::preflight(format!("no such secret: {}", names.join(", ")));
        let failure = missing.iter().fold(failure, |failure, (variable, source)| {
            let hint = if is_local {
                format!("add it to `{FILE}` beside `deployer.toml`: `{variable} = \"VALUE\"`")
            } else {
                missing_secret(Some(source.id()))
            };
            failure.hint(hint)
        });
        (Some(failure), doubts)
    }

    /// Reads the values for this machine. They are empty on AWS and if there is no file.
    pub(crate) fn local_values(&self) -> Result<Values, Failure> {
        let path = self.config.root.join(FILE);
        if !self.config.access.local || !path.exists() {
            return Ok(Values::new());
        }
        let values = read(&path)?;
        for variable in values.keys() {
            if !self.config.settings.secrets.contains_key(variable) {
                self.sink.warn(format!(
                    "`{variable}` in `{FILE}` is not under `[service.secrets]` in `deployer.toml`"
                ));
            }
        }
        Ok(values)
    }
}

/// Reads the file. Error messages never quote its content.
fn read(path: &PathBuf) -> Result<Values, Failure> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Failure::preflight(format!("cannot read `{}`", path.display())).because(error)
    };
    let mode = std::fs::metadata(path)
        .map_err(|error| unreadable(&error))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(
            Failure::preflight(format!("other users may read `{}`", path.display())).hint(format!(
                "keep it to yourself: `chmod 600 {}`",
                path.display()
            )),
        );
    }
    let text = input::text(path, input::WRITTEN_BY_HAND).map_err(|error| unreadable(&error))?;
    // The message of the TOML parser quotes the line, and with it the secret. Only its number is
    // kept.
    toml::from_str(&text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text
            .bytes()
            .take(start)
            .filter(|byte| *byte == b'\n')
            .count()
            + 1;
        Failure::preflight(format!("`{}` is not valid", path.display()))
            .because(format!("line {line} is not `NAME = \"VALUE\"`"))
    })
}

/// Returns the values by store and name. Variables that are parts of one secret are merged into its
/// JSON object.
fn merged(
    secrets: &BTreeMap<String, SecretSource>,
    values: &Values,
) -> BTreeMap<(Store, String), String> {
    let mut whole = BTreeMap::new();
    let mut parts: BTreeMap<(Store, String), Map<String, Value>> = BTreeMap::new();
    for (variable, source) in secrets {
        let Some(value) = values.get(variable) else {
            continue;
        };
        let place = (source.store(), source.names().swap_remove(0));
        if let Some(key) = source.json_key() {
            let members = parts.entry(place).or_default();
            members.insert(key.to_owned(), value.clone().into());
        } else {
            whole.insert(place, value.clone());
        }
    }
    // A variable for the whole secret takes precedence over those for its parts.
    for (place, members) in parts {
        whole
            .entry(place)
            .or_insert_with(|| Value::Object(members).to_string());
    }
    whole
}

//! Sources of secrets that the container gets as environment variables. Their values are never read
//! here.

use std::fmt;
use std::str::FromStr;

/// Location of a secret, by ARN or parameter name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSource {
    /// Text as it was given: an ARN, or the name of a parameter.
    given: String,
    store: Store,
    /// Name of a parameter that was given without ARN, with a leading slash.
    parameter: Option<String>,
}

/// AWS service that stores a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Store {
    /// AWS Secrets Manager.
    SecretsManager,
    /// Parameter Store of AWS Systems Manager.
    ParameterStore,
}

impl Store {
    /// Returns the IAM action that reads a value.
    pub(crate) fn action(self) -> &'static str {
        match self {
            Self::SecretsManager => "secretsmanager:GetSecretValue",
            Self::ParameterStore => "ssm:GetParameters",
        }
    }
}

/// Error for a text that does not name a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSecret;

impl fmt::Display for InvalidSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "expected the ARN of a secret in Secrets Manager, or the name of a parameter such as `/clock/database-url`",
        )
    }
}

impl std::error::Error for InvalidSecret {}

impl FromStr for SecretSource {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let is_sign = |sign: char| sign.is_ascii_alphanumeric() || "/_+=.@:-".contains(sign);
        // Both stores limit an identifier to 2,048 characters.
        if text.is_empty() || text.len() > 2_048 || !text.chars().all(is_sign) {
            return Err(InvalidSecret);
        }
        // The sixth part of an ARN may contain colons of its own.
        let arn: Vec<&str> = text.splitn(6, ':').collect();
        let (store, parameter) = match arn.as_slice() {
            ["arn", _, "secretsmanager", region, account, name]
                if !region.is_empty()
                    && crate::names::is_account(account)
                    && is_secret(name.strip_prefix("secret:").unwrap_or_default()) =>
            {
                (Store::SecretsManager, None)
            }
            ["arn", _, "ssm", region, account, name]
                if !region.is_empty()
                    && crate::names::is_account(account)
                    && is_parameter(name.strip_prefix("parameter").unwrap_or_default()) =>
            {
                (Store::ParameterStore, None)
            }
            [name] if is_parameter(name) => {
                // The ARN always has a slash before the name.
                let slash = if name.starts_with('/') { "" } else { "/" };
                (Store::ParameterStore, Some(format!("{slash}{name}")))
            }
            _ => return Err(InvalidSecret),
        };
        Ok(Self {
            given: text.to_owned(),
            store,
            parameter,
        })
    }
}

/// Returns whether this is a secret's name, with or without the three parts that ECS accepts after
/// it.
///
/// The parts are the key in its JSON, the version stage and the version.
fn is_secret(name: &str) -> bool {
    let parts: Vec<&str> = name.split(':').collect();
    !parts[0].is_empty() && matches!(parts.len(), 1 | 4)
}

fn is_parameter(name: &str) -> bool {
    let is_sign = |sign: char| sign.is_ascii_alphanumeric() || "/_.-".contains(sign);
    !name.trim_matches('/').is_empty() && name.chars().all(is_sign)
}

impl SecretSource {
    /// Returns the service that stores the secret.
    pub fn store(&self) -> Store {
        self.store
    }

    /// Returns the ARN or name that the store accepts, without the parts that only ECS accepts.
    pub fn id(&self) -> &str {
        match self.store {
            Store::SecretsManager => self.arn_of_secret(),
            Store::ParameterStore => &self.given,
        }
    }

    /// Returns the possible names without region and account.
    ///
    /// The ARN of a secret may end in six random characters that are not part of the name. The ARN
    /// of a parameter does not show whether its name has a leading slash.
    pub fn names(&self) -> Vec<String> {
        match self.store {
            Store::SecretsManager => {
                let name = self.arn_of_secret().rsplit(':').next().unwrap_or_default();
                // A hyphen and six characters are what Secrets Manager appends, but a name may end
                // like that, too.
                let short = name
                    .rsplit_once('-')
                    .filter(|(_, suffix)| suffix.len() == 6);
                let short = short.map(|(name, _)| name.to_owned());
                [name.to_owned()].into_iter().chain(short).collect()
            }
            Store::ParameterStore => {
                let name = self.given.rsplit(":parameter").next().unwrap_or_default();
                let name = name.trim_start_matches('/');
                // Only a name without hierarchy may go without the leading slash.
                let plain = (!name.contains('/')).then(|| name.to_owned());
                [format!("/{name}")].into_iter().chain(plain).collect()
            }
        }
    }

    /// Returns the key in the secret's JSON whose value is used.
    pub fn json_key(&self) -> Option<&str> {
        match self.store {
            // `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME:KEY:STAGE:VERSION`
            Store::SecretsManager => self.given.split(':').nth(7).filter(|key| !key.is_empty()),
            Store::ParameterStore => None,
        }
    }

    /// Returns the secret's ARN without key, version stage and version.
    fn arn_of_secret(&self) -> &str {
        // The seventh colon ends the name: key, version stage and version follow.
        let end = self.given.match_indices(':').nth(6).map(|(at, _)| at);
        self.given
            .get(..end.unwrap_or(self.given.len()))
            .unwrap_or(&self.given)
    }

    /// Returns the ARN for a policy.
    ///
    /// A parameter that is given by name has `${…}` for partition, region and account.
    pub(crate) fn arn(&self) -> String {
        match (&self.parameter, self.store) {
            (Some(name), _) => {
                format!("arn:${{Partition}}:ssm:${{Region}}:${{Account}}:parameter{name}")
            }
            (None, Store::SecretsManager) => self.arn_of_secret().to_owned(),
            (None, Store::ParameterStore) => self.given.clone(),
        }
    }

    /// Returns the value of `ValueFrom` in YAML.
    pub(super) fn value_from(&self) -> String {
        match &self.parameter {
            Some(name) => arn_of_parameter(name),
            None => crate::stack::ascii::quoted(&self.given),
        }
    }

    /// Returns the `Resource` of a policy statement in YAML.
    pub(super) fn resource(&self) -> String {
        match (&self.parameter, self.store) {
            (Some(name), _) => arn_of_parameter(name),
            (None, Store::SecretsManager) => crate::stack::ascii::quoted(self.arn_of_secret()),
            (None, Store::ParameterStore) => crate::stack::ascii::quoted(&self.given),
        }
    }
}

fn arn_of_parameter(name: &str) -> String {
    format!(
        "!Sub 'arn:${{AWS::Partition}}:ssm:${{AWS::Region}}:${{AWS::AccountId}}:parameter{name}'"
    )
}

impl fmt::Display for SecretSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.given)
    }
}

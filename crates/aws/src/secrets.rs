//! Existence of secrets and parameters. Values are never read.

use async_trait::async_trait;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::Aws;
use super::error::incomplete;
use crate::remote::{Remote, RemoteErrorKind, Secrets};
use deployment::template::Store;

/// Result of `DescribeSecret`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Secret {
    name: Option<String>,
    deleted_date: Option<IgnoredAny>,
}

/// Result of `DescribeParameters`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameters {
    parameters: Option<Vec<IgnoredAny>>,
}

#[async_trait]
impl Secrets for Aws {
    async fn secret_exists(&self, store: Store, names: &[String]) -> Remote<bool> {
        if store == Store::ParameterStore {
            let filter = json!({ "Key": "Name", "Option": "Equals", "Values": names });
            let input = json!({ "ParameterFilters": [filter] });
            let answer: Parameters = self.ssm.call("DescribeParameters", input).await?;
            let found = answer.parameters;
            let found = found.ok_or_else(|| incomplete("DescribeParameters", "parameters"))?;
            return Ok(!found.is_empty());
        }
        for name in names {
            let input = json!({ "SecretId": name });
            match self.secretsmanager.call("DescribeSecret", input).await {
                Ok(Secret { name: None, .. }) => {
                    return Err(incomplete("DescribeSecret", "the secret's name"));
                }
                // A secret that is scheduled for deletion can still be described, but not read.
                Ok(Secret { deleted_date, .. }) => return Ok(deleted_date.is_none()),
                Err(error) if error.kind == RemoteErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    async fn put_secret(&self, store: Store, name: &str, value: &str) -> Remote<()> {
        let answer: Remote<Value> = match store {
            Store::ParameterStore => {
                let input = json!({ "Name": name, "Value": value, "Type": "SecureString", "Overwrite": true });
                self.ssm.call("PutParameter", input).await
            }
            Store::SecretsManager => {
                let input = json!({ "Name": name, "SecretString": value });
                match self.secretsmanager.call("CreateSecret", input).await {
                    // Unlike `PutParameter`, Secrets Manager has no call that creates or
                    // overwrites.
                    Err(error) if error.code.as_deref() == Some("ResourceExistsException") => {
                        let input = json!({ "SecretId": name, "SecretString": value });
                        self.secretsmanager.call("PutSecretValue", input).await
                    }
                    answer => answer,
                }
            }
        };
        answer.map(drop)
    }
}

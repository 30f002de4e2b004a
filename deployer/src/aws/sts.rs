//! Who we are.

use async_trait::async_trait;

use super::{Aws, error};
use crate::remote::{Caller, Identity, Remote};

#[async_trait]
impl Identity for Aws {
    async fn caller(&self) -> Remote<Caller> {
        let answer = self
            .sts
            .get_caller_identity()
            .send()
            .await
            .map_err(error::of("GetCallerIdentity"))?;
        Ok(Caller {
            account: answer.account.unwrap_or_default(),
            arn: answer.arn.unwrap_or_default(),
        })
    }
}

//! Owner of the credentials.

use async_trait::async_trait;

use super::error::incomplete;
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
        // Optional in the SDK, but always present in a response of STS.
        let lacking = || incomplete("GetCallerIdentity", "the caller");
        Ok(Caller {
            account: answer.account.ok_or_else(lacking)?,
            arn: answer.arn.ok_or_else(lacking)?,
        })
    }
}

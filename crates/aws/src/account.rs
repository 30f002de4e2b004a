//! Resources of an account, listed before an emulator is stopped.

use async_trait::async_trait;
use aws_sdk_cloudformation::types::StackStatus;

use super::error::incomplete;
use super::{Aws, error};
use crate::remote::{Account, Remote};

#[async_trait]
impl Account for Aws {
    async fn account_resources(&self) -> Remote<Vec<String>> {
        let stacks = self
            .cloudformation
            .describe_stacks()
            .send()
            .await
            .map_err(error::of("DescribeStacks"))?;
        let clusters = self
            .ecs
            .list_clusters()
            .send()
            .await
            .map_err(error::of("ListClusters"))?;
        let repositories = self
            .ecr
            .describe_repositories()
            .send()
            .await
            .map_err(error::of("DescribeRepositories"))?;
        // An incomplete response must not be read as an empty account: the emulator would be
        // stopped.
        let stacks = stacks
            .stacks
            .ok_or_else(|| incomplete("DescribeStacks", "stacks"))?;
        let clusters = clusters
            .cluster_arns
            .ok_or_else(|| incomplete("ListClusters", "clusters"))?;
        let repositories = repositories
            .repositories
            .ok_or_else(|| incomplete("DescribeRepositories", "repositories"))?;
        let stacks = stacks
            .iter()
            // Some endpoints list deleted stacks as well.
            .filter(|stack| stack.stack_status() != Some(&StackStatus::DeleteComplete))
            .map(|stack| format!("stack {}", stack.stack_name().unwrap_or_default()));
        let clusters = clusters.iter().map(|arn| format!("cluster {arn}"));
        let repositories = repositories.iter().map(|repository| {
            format!(
                "repository {}",
                repository.repository_name().unwrap_or_default()
            )
        });
        Ok(stacks.chain(clusters).chain(repositories).collect())
    }
}

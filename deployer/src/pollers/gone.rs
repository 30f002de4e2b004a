//! Proof that nothing is left of a deleted stack. Asks the services themselves, not CloudFormation.

use async_trait::async_trait;

use aws::remote::{Remote, World};
use deployment::names::{ClusterName, LoadBalancerArn, LogGroupName, RepositoryName};
use deployment::stack::request::Resource;

/// Search for resources of a deleted stack that cost money or hold data. Ends when none is found.
pub struct LeftoverSearch<'a> {
    world: &'a dyn World,
    resources: Vec<&'a Resource>,
    left: Vec<String>,
}

impl<'a> LeftoverSearch<'a> {
    /// Creates a search for those of these resources that can be looked up.
    pub fn new(world: &'a dyn World, resources: &'a [Resource]) -> Self {
        Self {
            world,
            resources: resources
                .iter()
                .filter(|resource| is_looked_for(&resource.resource_type) && has_name(resource))
                .collect(),
            left: Vec::new(),
        }
    }

    /// Returns the type and name of each resource that is looked up.
    pub fn looked_for(&self) -> Vec<String> {
        self.resources
            .iter()
            .map(|resource| name_of(resource))
            .collect()
    }

    /// Returns the resources that still existed at the last poll.
    pub fn left(&self) -> &[String] {
        &self.left
    }

    async fn exists(&self, resource: &Resource) -> Remote<bool> {
        let Some(id) = resource.physical_id.as_deref().filter(|id| !id.is_empty()) else {
            return Ok(false);
        };
        match resource.resource_type.as_str() {
            "AWS::ECS::Cluster" => self.world.cluster_exists(&ClusterName::new(id)).await,
            "AWS::ElasticLoadBalancingV2::LoadBalancer" => {
                self.world
                    .load_balancer_exists(&LoadBalancerArn::new(id))
                    .await
            }
            "AWS::ECR::Repository" => {
                let found = self.world.repository_uri(&RepositoryName::new(id)).await?;
                Ok(found.is_some())
            }
            "AWS::Logs::LogGroup" => self.world.group_exists(&LogGroupName::new(id)).await,
            // Unreachable in practice: `new` keeps only the types above.
            _ => Ok(false),
        }
    }
}

/// Returns whether the resource was created. CloudFormation gives no physical id to one that was
/// not.
fn has_name(resource: &Resource) -> bool {
    resource
        .physical_id
        .as_deref()
        .is_some_and(|id| !id.is_empty())
}

fn is_looked_for(resource_type: &str) -> bool {
    matches!(
        resource_type,
        "AWS::ECS::Cluster"
            | "AWS::ElasticLoadBalancingV2::LoadBalancer"
            | "AWS::ECR::Repository"
            | "AWS::Logs::LogGroup"
    )
}

fn name_of(resource: &Resource) -> String {
    let what = deployment::stack::resource::describe(&resource.resource_type);
    format!(
        "{what} {}",
        resource
            .physical_id
            .as_deref()
            .unwrap_or(&resource.logical_id)
    )
}

#[async_trait]
impl crate::poll::Poller for LeftoverSearch<'_> {
    type End = ();

    async fn poll(&mut self) -> Remote<Option<()>> {
        // Replace the list only after a complete round, so that an error leaves the previous one.
        let mut left = Vec::new();
        for resource in &self.resources {
            if self.exists(resource).await? {
                left.push(name_of(resource));
            }
        }
        self.left = left;
        Ok(self.left.is_empty().then_some(()))
    }
}

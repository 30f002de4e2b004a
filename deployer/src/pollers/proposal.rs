//! Poller for the creation of a change set.

use async_trait::async_trait;

use aws::remote::{Remote, World};
use deployment::names::ChangeSetId;
use deployment::stack::request::Proposal;

/// Poller for one change set. Ends with anything but [`Proposal::Pending`].
pub struct ChangeSetPoller<'a> {
    /// Account that holds the change set.
    pub world: &'a dyn World,
    /// Id of the change set.
    pub id: &'a ChangeSetId,
}

#[async_trait]
impl crate::poll::Poller for ChangeSetPoller<'_> {
    type End = Proposal;

    async fn poll(&mut self) -> Remote<Option<Proposal>> {
        let proposal = self.world.proposal(self.id).await?;
        Ok((proposal != Proposal::Pending).then_some(proposal))
    }
}

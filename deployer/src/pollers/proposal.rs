//! A change set that is being computed.

use async_trait::async_trait;

use aws::remote::{Remote, World};
use deployment::names::ChangeSetId;
use deployment::stack::request::Proposal;

/// Follows the computation of one change set; ends with anything but [`Proposal::Pending`].
pub struct ChangeSetPoller<'a> {
    /// Where to ask.
    pub world: &'a dyn World,
    /// Identifier of the change set.
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

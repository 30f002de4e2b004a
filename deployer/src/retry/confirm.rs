//! Confirmation of requests whose response was lost.
//!
//! The retry of a request that did arrive is refused: the stack already exists, or the change set
//! is already being executed. The stack's events carry the token of the request that caused them,
//! and so tell whether it was ours.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Attempted, RetryPolicy, Retrying};
use aws::remote::{Remote, RemoteError, Stacks};
use deployment::names::{RequestToken, StackId, StackName};
use deployment::stack::status::StackStatus as S;

/// Time within which the effect of a request becomes visible. CloudFormation is eventually
/// consistent.
const VISIBLE_WITHIN: Duration = Duration::from_secs(20);

/// Returns the refusal as an error if an earlier attempt of the same request may have caused it.
pub(super) fn refused_after_retry<T>(attempted: Attempted<T>) -> Result<Remote<T>, RemoteError> {
    match attempted.result {
        Err(error) if attempted.repeated && error.kind.is_refusal() => Err(error),
        result => Ok(result),
    }
}

/// Request about an existing stack, whose effect can be recognized without its token.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request {
    Execute,
    Delete,
    CancelUpdate,
    ContinueRollback,
}

/// Operation that a status implies, whoever requested it.
#[derive(Clone, Copy)]
enum Effect {
    Deletion,
    Rollback,
    FailedRollback,
    Another,
}

/// Returns the effect that a status implies; `None` stands for a deleted stack.
const fn effect_of(status: Option<&S>) -> Effect {
    let Some(status) = status else {
        return Effect::Deletion;
    };
    match status {
        S::DeleteInProgress | S::DeleteComplete => Effect::Deletion,
        S::UpdateRollbackInProgress
        | S::UpdateRollbackCompleteCleanupInProgress
        | S::UpdateRollbackComplete => Effect::Rollback,
        S::UpdateRollbackFailed => Effect::FailedRollback,
        S::CreateInProgress
        | S::CreateFailed
        | S::CreateComplete
        | S::RollbackInProgress
        | S::RollbackFailed
        | S::RollbackComplete
        | S::DeleteFailed
        | S::UpdateInProgress
        | S::UpdateCompleteCleanupInProgress
        | S::UpdateComplete
        | S::UpdateFailed
        | S::ReviewInProgress
        | S::ImportInProgress
        | S::ImportComplete
        | S::ImportRollbackInProgress
        | S::ImportRollbackFailed
        | S::ImportRollbackComplete
        | S::Unknown(_) => Effect::Another,
    }
}

impl Request {
    /// Returns whether the request leads to this status. The same request of others counts, too.
    const fn leads_to(self, status: Option<&S>) -> bool {
        match (self, effect_of(status)) {
            (Self::Delete, Effect::Deletion)
            | (Self::CancelUpdate, Effect::Rollback | Effect::FailedRollback)
            | (Self::ContinueRollback, Effect::Rollback) => true,
            // An execution leads to the same statuses as any other update, so that only the token
            // tells.
            (Self::Execute | Self::Delete | Self::CancelUpdate | Self::ContinueRollback, _) => {
                false
            }
        }
    }
}

impl<W: Stacks> Retrying<W> {
    /// Confirms whether a request was carried out although its retry was refused.
    pub(super) async fn confirm(
        &self,
        request: Request,
        attempted: Attempted<()>,
        stack: &StackId,
        token: &RequestToken,
    ) -> Remote<()> {
        let refusal = match refused_after_retry(attempted) {
            Ok(result) => return result,
            Err(refusal) => refusal,
        };
        // The event of our request may not be visible yet: events lag behind the response.
        let began = Instant::now();
        loop {
            // The events come first: a status may be the effect of somebody else's request.
            if self.carries(stack, token).await? {
                return Ok(());
            }
            let found = self.observe(stack.into()).await?;
            if request.leads_to(found.as_ref().map(|stack| &stack.status)) {
                return Ok(());
            }
            if began.elapsed() >= VISIBLE_WITHIN {
                return Err(refusal);
            }
            sleep(self.pace.poll).await;
        }
    }

    /// Confirms whether the existing stack is the one that this request created.
    pub(super) async fn confirm_creation(
        &self,
        attempted: Attempted<StackId>,
        name: &StackName,
        token: &RequestToken,
    ) -> Remote<StackId> {
        let refusal = match refused_after_retry(attempted) {
            Ok(result) => return result,
            Err(refusal) => refusal,
        };
        let began = Instant::now();
        loop {
            // By name, because the response with the identifier was lost.
            if let Some(found) = self.observe(name.into()).await?
                && self.carries(&found.id, token).await?
            {
                return Ok(found.id);
            }
            if began.elapsed() >= VISIBLE_WITHIN {
                return Err(refusal);
            }
            sleep(self.pace.poll).await;
        }
    }

    /// Returns whether the newest events of the stack carry this request token.
    async fn carries(&self, stack: &StackId, token: &RequestToken) -> Remote<bool> {
        let events = self.retry(RetryPolicy::LONG, || self.inner.newest_events(stack));
        match events.await {
            Ok(events) => Ok(events
                .iter()
                .any(|event| event.token.as_ref() == Some(token))),
            // Some endpoints, such as emulators, drop the events of a deleted stack.
            Err(error) if error.kind.is_refusal() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

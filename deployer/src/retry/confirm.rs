//! Was it carried out? A request whose answer was lost is sent again, and then refused because the first one arrived: the stack
//! already exists, the change set is already being executed. The stack's events tell whose doing that is, by the request's token.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Attempted, RetryPolicy, Retrying};
use aws::remote::{Remote, RemoteError, RemoteErrorKind, Stacks};
use deployment::names::{RequestToken, StackId, StackName};
use deployment::stack::status::StackStatus as S;

/// What was carried out may take this long to become visible.
const VISIBLE_WITHIN: Duration = Duration::from_secs(20);

/// The refusal that may be the consequence of our own request.
pub(super) fn refused_after_retry<T>(attempted: Attempted<T>) -> Result<Remote<T>, RemoteError> {
    match attempted.result {
        Err(error) if attempted.repeated && is_refusal(&error) => Err(error),
        result => Ok(result),
    }
}

fn is_refusal(error: &RemoteError) -> bool {
    match error.kind {
        RemoteErrorKind::Refused | RemoteErrorKind::NotFound => true,
        RemoteErrorKind::Unreachable
        | RemoteErrorKind::Untrusted
        | RemoteErrorKind::Throttled
        | RemoteErrorKind::Server
        | RemoteErrorKind::Credentials
        | RemoteErrorKind::Denied => false,
    }
}

/// A request about a stack that exists, for what tells its effect apart from its token.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request {
    Execute,
    Delete,
    CancelUpdate,
    ContinueRollback,
}

/// What a status shows to have been asked for, whoever asked.
#[derive(Clone, Copy)]
enum Effect {
    Deletion,
    Rollback,
    FailedRollback,
    Another,
}

/// Returns the effect that a status shows; `None` stands for a stack that is gone.
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
    /// Returns whether the request leads to this status, whoever made it.
    const fn leads_to(self, status: Option<&S>) -> bool {
        match (self, effect_of(status)) {
            (Self::Delete, Effect::Deletion)
            | (Self::CancelUpdate, Effect::Rollback | Effect::FailedRollback)
            | (Self::ContinueRollback, Effect::Rollback) => true,
            // What an execution leads to, another update does as well.
            (Self::Execute | Self::Delete | Self::CancelUpdate | Self::ContinueRollback, _) => {
                false
            }
        }
    }
}

impl<W: Stacks> Retrying<W> {
    /// Settles whether a request was carried out although its repetition was refused.
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
        let began = Instant::now();
        loop {
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

    /// Settles whether the stack that is in the way is the one that was to be made.
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

    /// Do the newest events of the stack come from the request with this token?
    async fn carries(&self, stack: &StackId, token: &RequestToken) -> Remote<bool> {
        let events = self.retry(RetryPolicy::LONG, || self.inner.newest_events(stack));
        match events.await {
            Ok(events) => Ok(events
                .iter()
                .any(|event| event.token.as_ref() == Some(token))),
            // Not every endpoint remembers the events of a stack that is gone.
            Err(error) if is_refusal(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

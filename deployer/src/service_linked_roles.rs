//! Service-linked roles: the roles that ECS and Elastic Load Balancing act with.
//!
//! AWS creates them once per account, on first use. That first use sometimes fails, so this module
//! creates them before it.

use std::time::Duration;

use crate::context::Context;
use aws::remote::{RemoteError, RemoteErrorKind, World};
use deployment::error::Failure;

/// Time limit for the check of a role. Deployments continue without it: IAM may be unreachable
/// although the other services are not.
const LIMIT: Duration = Duration::from_secs(10);

/// Time that a new role takes until services can assume it.
///
/// IAM is eventually consistent. A cluster that is created earlier fails with "Unable to assume the
/// service linked role", and the stack fails with it. Compilation continues meanwhile.
const PROPAGATION: Duration = Duration::from_secs(15);

/// Service that needs a service-linked role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoleOf {
    /// Amazon Elastic Container Service (ECS).
    Ecs,
    /// Elastic Load Balancing, for the application load balancer.
    LoadBalancing,
}

impl RoleOf {
    /// Returns the service's name for messages.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Ecs => "ECS",
            Self::LoadBalancing => "load balancers",
        }
    }

    /// Returns the service principal, the service's name in policies.
    pub(crate) const fn service(self) -> &'static str {
        match self {
            Self::Ecs => "ecs.amazonaws.com",
            Self::LoadBalancing => "elasticloadbalancing.amazonaws.com",
        }
    }

    /// Returns the role's name, which is the same in every account.
    const fn role(self) -> &'static str {
        match self {
            Self::Ecs => "AWSServiceRoleForECS",
            Self::LoadBalancing => "AWSServiceRoleForElasticLoadBalancing",
        }
    }

    /// Returns the command that creates the role.
    pub(crate) fn command(self) -> String {
        format!(
            "aws iam create-service-linked-role --aws-service-name {}",
            self.service()
        )
    }
}

/// State of a role after [`make_sure`].
#[derive(Debug)]
pub(crate) enum Role {
    /// The role existed before this run.
    There,
    /// The role did not exist and was created.
    Made,
    /// The role does not exist and cannot be created: this call failed.
    Missing(RemoteError),
    /// The state is unknown: this call failed.
    Unknown(RemoteError),
}

/// Ensures that the role exists: checks, and creates it if it is missing or if the check is denied.
pub(crate) async fn make_sure(world: &dyn World, of: RoleOf) -> Role {
    let is_missing = match world.role_exists(of.role()).await {
        Ok(true) => return Role::There,
        Ok(false) => true,
        // `iam:GetRole` may be denied where `iam:CreateServiceLinkedRole` is allowed.
        Err(error) if error.kind == RemoteErrorKind::Denied => false,
        Err(error) => return Role::Unknown(error),
    };
    match world.make_service_linked_role(of.service()).await {
        Ok(true) => Role::Made,
        // `false`: another run, or AWS itself, created it since the check.
        Ok(false) => Role::There,
        Err(error) if is_missing => Role::Missing(error),
        Err(error) => Role::Unknown(error),
    }
}

impl Context<'_> {
    /// Ensures before a stack is created that all roles exist and can be used.
    ///
    /// Fails only on cancellation: AWS also creates the roles on first use.
    pub(crate) async fn make_sure_of_roles(&self, world: &dyn World) -> Result<(), Failure> {
        // Emulators need no service-linked roles.
        if self.config.access.local {
            return Ok(());
        }
        let look = |of| async move {
            let found = tokio::time::timeout(LIMIT, make_sure(world, of)).await;
            let made = matches!(found, Ok(Role::Made));
            if let Some(note) = note(of, found.ok()) {
                self.sink.note(note);
            }
            made
        };
        let (of_ecs, of_load_balancers) =
            tokio::join!(look(RoleOf::Ecs), look(RoleOf::LoadBalancing));
        if of_ecs || of_load_balancers {
            self.unless_cancelled(async {
                tokio::time::sleep(PROPAGATION).await;
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}

/// Returns the note about a role, if the user should see one; `found` is absent after a timeout.
fn note(of: RoleOf, found: Option<Role>) -> Option<String> {
    let title = of.title();
    let unknown = |cause: &str| {
        format!(
            "whether the account has a service-linked role for {title} is not known ({cause}): if not, AWS makes it on first use"
        )
    };
    match found {
        Some(Role::There) => None,
        Some(Role::Made) => Some(format!(
            "the account had no service-linked role for {title}: made it"
        )),
        Some(Role::Missing(error)) => Some(format!(
            "the account has no service-linked role for {title}, and it cannot be made from here ({error}): AWS makes it on first use"
        )),
        Some(Role::Unknown(error)) => Some(unknown(&error.to_string())),
        None => Some(unknown("IAM does not answer")),
    }
}

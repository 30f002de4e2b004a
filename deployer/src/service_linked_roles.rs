//! Service-linked roles: what ECS and load balancers act with. AWS has them made once an account, on first use, which fails that
//! use now and then: here they are made before it.

use std::time::Duration;

use crate::context::Context;
use aws::remote::{RemoteError, RemoteErrorKind, World};
use deployment::error::Failure;

/// Longest time to look after a role before a stack is made: where IAM cannot be reached, the rest may still be.
const LIMIT: Duration = Duration::from_secs(10);

/// How long a new role takes until services can use it: IAM is eventually consistent, and a cluster that is made before fails with
/// "Unable to assume the service linked role", which takes the stack with it. Compiling goes on meanwhile.
const PROPAGATION: Duration = Duration::from_secs(15);

/// A service that needs a role of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoleOf {
    /// ECS.
    Ecs,
    /// Elastic Load Balancing.
    LoadBalancing,
}

impl RoleOf {
    /// What the service is called.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Ecs => "ECS",
            Self::LoadBalancing => "load balancers",
        }
    }

    /// The service's name in policies.
    pub(crate) const fn service(self) -> &'static str {
        match self {
            Self::Ecs => "ecs.amazonaws.com",
            Self::LoadBalancing => "elasticloadbalancing.amazonaws.com",
        }
    }

    /// The role's name, the same in every account.
    const fn role(self) -> &'static str {
        match self {
            Self::Ecs => "AWSServiceRoleForECS",
            Self::LoadBalancing => "AWSServiceRoleForElasticLoadBalancing",
        }
    }

    /// The command that makes the role.
    pub(crate) fn command(self) -> String {
        format!(
            "aws iam create-service-linked-role --aws-service-name {}",
            self.service()
        )
    }
}

/// What became of a role.
#[derive(Debug)]
pub(crate) enum Role {
    /// It was there.
    There,
    /// It was not, and is now.
    Made,
    /// It is not there, and cannot be made: this call failed.
    Missing(RemoteError),
    /// Nobody knows: this call failed.
    Unknown(RemoteError),
}

/// Makes sure of the role: looks, and makes it where it is missing, or where looking is not allowed.
pub(crate) async fn make_sure(world: &dyn World, of: RoleOf) -> Role {
    let is_missing = match world.role_exists(of.role()).await {
        Ok(true) => return Role::There,
        Ok(false) => true,
        Err(error) if error.kind == RemoteErrorKind::Denied => false,
        Err(error) => return Role::Unknown(error),
    };
    match world.make_service_linked_role(of.service()).await {
        Ok(true) => Role::Made,
        Ok(false) => Role::There,
        Err(error) if is_missing => Role::Missing(error),
        Err(error) => Role::Unknown(error),
    }
}

impl Context<'_> {
    /// Makes sure of all roles before a stack is made, and that they can be used. Fails only when the user cancels: AWS makes the roles
    /// on first use, too.
    pub(crate) async fn make_sure_of_roles(&self, world: &dyn World) -> Result<(), Failure> {
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

/// What is worth knowing about a role before a stack is made; `found` is absent where it took too long.
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

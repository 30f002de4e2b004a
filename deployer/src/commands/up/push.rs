//! Early push of the image, while the stack is still being created.

use std::sync::Arc;

use tokio::sync::watch;

use super::Run;
use aws::remote::World;
use deployment::error::{Failure, FailureKind};
use deployment::event::Phase;
use deployment::names::{ImageUri, RepositoryName, RepositoryUri};
use image_builder::image::BuiltImage;

/// Connection and repository, once both exist.
#[derive(Clone)]
pub(super) struct Destination {
    pub(super) world: Arc<dyn World>,
    pub(super) repository: RepositoryName,
}

/// Result of an early push.
pub(super) struct Pushed {
    /// Name of the repository.
    to: RepositoryName,
    /// URI of the image, or the reason for its absence. The failure of the stack may be its cause.
    result: Result<ImageUri, Failure>,
}

impl Pushed {
    /// Returns the URI of the image if it is in this repository.
    pub(super) fn arrived_at(self, repository: &RepositoryName) -> Option<ImageUri> {
        self.result.ok().filter(|_| self.to == *repository)
    }
}

impl Run<'_> {
    /// Pushes the image as soon as the repository exists, while the rest of the stack is still
    /// being created.
    pub(super) async fn push_early(
        &self,
        built: &BuiltImage,
        mut destination: watch::Receiver<Option<Destination>>,
    ) -> Pushed {
        let Destination { world, repository } = match destination
            .wait_for(Option::is_some)
            .await
            // The borrowed value would hold the channel's lock during the push.
            .map(|found| found.clone())
        {
            Ok(Some(destination)) => destination,
            // The stack lane failed, and reports the error itself.
            Ok(None) | Err(_) => std::future::pending().await,
        };
        let result = self.push(built, world.as_ref(), &repository).await;
        Pushed {
            to: repository,
            result,
        }
    }

    /// Pushes the image. Returns the URI under which the service finds it.
    pub(super) async fn push(
        &self,
        built: &BuiltImage,
        world: &dyn World,
        repository: &RepositoryName,
    ) -> Result<ImageUri, Failure> {
        let context = self.context;
        let work = async {
            let address = context.address_of(world, repository).await?;
            // A registry elsewhere must not see the login of ECR.
            let login = if context.config.access.logs_in_to_registry() {
                let login = world.login(None).await;
                Some(login.map_err(|error| context.remote_failure(&error))?)
            } else {
                None
            };
            self.images.push(context, &address, login, built).await
        };
        context.sink.phase(Phase::Push, work).await
    }
}

impl crate::context::Context<'_> {
    /// Returns the URI of a repository, as the service finds it.
    pub(crate) async fn address_of(
        &self,
        world: &dyn World,
        repository: &RepositoryName,
    ) -> Result<RepositoryUri, Failure> {
        if let Some(registry) = &self.config.access.registry {
            return Ok(RepositoryUri::new(registry.to_string(), repository.clone()));
        }
        let uri = world
            .repository_uri(repository)
            .await
            .map_err(|error| self.remote_failure(&error))?;
        uri.ok_or_else(|| {
            Failure::new(
                FailureKind::Stuck,
                format!("the repository `{repository}` is gone"),
            )
            .hint("somebody deleted it: take the stack down with `deployer down`, then bring it up again")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Pushed;
    use deployment::error::Failure;
    use deployment::names::{ImageUri, RepositoryName};

    #[test]
    fn an_image_in_another_repository_did_not_arrive() {
        let pushed = |result| Pushed {
            to: RepositoryName::new("clock-repository"),
            result,
        };
        let address = || {
            crate::testing::moment::image('0')
                .parse::<ImageUri>()
                .unwrap()
        };
        let arrived = pushed(Ok(address())).arrived_at(&RepositoryName::new("clock-repository"));
        assert_eq!(arrived, Some(address()));
        assert_eq!(
            pushed(Ok(address())).arrived_at(&RepositoryName::new("another")),
            None
        );
        let failed = pushed(Err(Failure::interrupted()));
        assert_eq!(
            failed.arrived_at(&RepositoryName::new("clock-repository")),
            None
        );
    }
}

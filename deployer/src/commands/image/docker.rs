//! The other builder: Docker or podman builds, what it made is taken out of it.

use super::{docker_failure, packed};
use crate::commands::Context;
use crate::commands::image::native::provenance;
use crate::error::{Failure, FailureKind};
use crate::event::Event;
use crate::image::docker::{DockerRequest, find};
use crate::image::oci::BuiltImage;
use crate::image::provenance::revision;
use crate::image::unpack::{Wanted, unpack};

impl Context<'_> {
    /// Has all stages of the Dockerfile built, and takes the image out of the engine.
    pub(super) async fn build_by_docker(&self) -> Result<BuiltImage, Failure> {
        let image = &self.config.image;
        let context = self.build_context();
        let name = format!("deployer/{}", image.binary.to_lowercase());
        let failed = |error| docker_failure(&error);
        let engine = find().await.map_err(failed)?;
        let request = DockerRequest {
            dockerfile: &image.dockerfile,
            context: &context,
            architecture: image.architecture,
            name: &name,
        };
        let on_step = |step: &str| {
            self.sink.send(&Event::BuildStepped {
                step: step.to_owned(),
            });
        };
        engine.build(&request, on_step).await.map_err(failed)?;
        let folder = tempfile::Builder::new()
            .prefix("deployer-image-")
            .tempdir()
            .map_err(|error| {
                Failure::new(FailureKind::Unexpected, "cannot make a temporary folder")
                    .because(error)
                    .hint("set `TMPDIR` to a folder with room for the image")
            })?;
        let file = folder.path().join("image.tar");
        engine.save(&name, &file).await.map_err(failed)?;
        // What goes into the context goes into the image, as far as anybody can tell.
        let revision = revision(&context, std::slice::from_ref(&context)).await;
        let provenance = provenance(revision.as_ref())?;
        let architecture = image.architecture;
        let cache = self.layer_cache();
        packed(move || {
            // Removed when it was read.
            let _folder = folder;
            unpack(
                &file,
                &Wanted {
                    architecture,
                    created: provenance.created,
                    labels: &provenance.labels,
                    cache: &cache,
                },
            )
        })
        .await
    }
}

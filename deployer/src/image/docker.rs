//! Builder that uses Docker or podman, and then exports the image from the engine.

use std::path::Path;

use super::{failure_of, packed};
use crate::context::Context;
use deployment::error::{Failure, FailureKind};
use deployment::event::Event;
use image_builder::docker::{DockerRequest, find};
use image_builder::image::BuiltImage;
use image_builder::provenance::revision;
use image_builder::unpack::{Wanted, unpack};

/// Prefix of the temporary folder's name.
const PREFIX: &str = "deployer-image-";

impl Context<'_> {
    /// Builds all stages of the Dockerfile, and exports the image from the engine.
    pub(crate) async fn build_by_docker(&self) -> Result<BuiltImage, Failure> {
        let image = &self.config.image;
        let context = self.build_context();
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir()
            .map_err(|error| {
                Failure::new(FailureKind::Unexpected, "cannot make a temporary folder")
                    .because(error)
                    .hint("set `TMPDIR` to a folder with room for the image")
            })?;
        let name = format!("deployer/{}", self.config.program_name().to_lowercase());
        let own_name = own_name(&name, folder.path());
        let failed = |error| failure_of(&error);
        let engine = find().await.map_err(failed)?;
        let request = DockerRequest {
            dockerfile: &image.dockerfile,
            context: &context,
            architecture: image.architecture,
            name: &name,
            own_name: &own_name,
            stage: image.stage.as_deref(),
            args: &image.args,
            allowed: &image.build_environment,
        };
        let on_step = |step: &str| {
            self.sink.send(&Event::BuildStepped {
                step: step.to_owned(),
            });
        };
        engine.build(&request, on_step).await.map_err(failed)?;
        let file = folder.path().join("image.tar");
        let saved = engine.save(&own_name, &file).await;
        // Removed even if saving failed. The image itself stays, as the cache of the next build.
        if let Err(error) = engine.forget(&own_name).await {
            self.sink
                .warn(format!("the engine keeps the name `{own_name}`: {error}"));
        }
        saved.map_err(failed)?;
        // The build context is the best known approximation of the image's sources.
        let revision = revision(&context, std::slice::from_ref(&context)).await;
        let build = self.docker_build(&revision);
        let provenance = self.provenance(revision)?;
        let architecture = image.architecture;
        let cache = self.layer_cache();
        let built = packed(move || {
            // Moved here so that the folder is deleted only after the archive was read.
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
        });
        let mut built = built.await?;
        self.record(&mut built, &build, self.config.program_name());
        Ok(built)
    }
}

/// Returns a name that no concurrent build uses: its tag is the name of this build's temporary
/// folder.
fn own_name(name: &str, folder: &Path) -> String {
    let tag = folder.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}:{tag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_builds_never_share_a_name() {
        let own = || {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir().unwrap();
            let name = own_name("deployer/app", folder.path());
            (folder, name)
        };
        let ((_one, first), (_two, second)) = (own(), own());
        assert_ne!(first, second);
        let (name, tag) = first.split_once(':').unwrap();
        assert_eq!(name, "deployer/app");
        let may_stand_in_one = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        assert!(tag.bytes().all(may_stand_in_one), "{tag}");
    }
}

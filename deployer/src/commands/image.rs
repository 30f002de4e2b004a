//! `deployer image`: builds, inspects or pushes the image without a deployment.

pub(super) mod verify;

use super::{CommandResult, Done, Execute};
use crate::cli::{Image, ServiceOptions};
use crate::config::Overrides;
use crate::pollers::LogReader;
use async_trait::async_trait;
use std::path::Path;

use crate::cli::{ImageBuild, ImageCommand, ImagePush, ImageSource};
use crate::context::Context;
use crate::host::{Host as _, LocalHost};
use crate::image::ImagePlan;
use crate::image::{digest_of, failure_of, provenance_file, sbom_file};
use aws::remote::Login;
use deployment::error::{Failure, FailureKind};
use deployment::event::{Event, Phase};
use deployment::names::{RepositoryName, RepositoryUri};
use image_builder::archive;
use image_builder::docker::find;
use image_builder::image::BuiltImage;
use image_builder::inspect::{Inspection, inspect};

/// Environment variable with the password for the registry in `--registry`. An argument would be
/// visible in the process list.
const PASSWORD: &str = "DEPLOYER_REGISTRY_PASSWORD";

#[async_trait(?Send)]
impl Execute for Image {
    fn reported_as(&self) -> Option<&'static str> {
        Some(self.command.name())
    }

    fn overrides(&self) -> Overrides {
        let image_options = self.command.options();
        Overrides {
            service: ServiceOptions {
                image_options,
                ..ServiceOptions::default()
            },
            ..Overrides::default()
        }
    }

    async fn execute(&self, context: Context<'_>, _: &mut dyn LogReader) -> Result<Done, Failure> {
        let result = Box::pin(run(context, &self.command)).await?;
        let differs = matches!(&result, Some(CommandResult::Verification(it)) if !it.same);
        let done = result.map_or(Done::REPORTED, Done::with);
        Ok(if differs {
            Done {
                exit_code: verify::DIFFERS,
                ..done
            }
        } else {
            done
        })
    }
}

/// Destinations of the image.
#[derive(Default)]
struct Delivered {
    archive: Option<String>,
    loaded: Option<String>,
    pushed: Option<String>,
}

/// Builds the image and delivers it as requested.
async fn run(
    context: Context<'_>,
    command: &ImageCommand,
) -> Result<Option<CommandResult>, Failure> {
    let build = async |source: &ImageSource| {
        context
            .unless_cancelled(Box::pin(make(context, source)))
            .await
    };
    let (built, name, done) = match command {
        ImageCommand::Verify(verify) => {
            let work = verify::verify(context, verify.image.as_deref());
            let verified = context.unless_cancelled(Box::pin(work)).await?;
            return Ok(Some(CommandResult::Verification(Box::new(verified))));
        }
        ImageCommand::Inspect(source) => {
            let (built, name) = build(source).await?;
            let inspection = look(built, &name).await?;
            return Ok(Some(CommandResult::Inspection(Box::new(inspection))));
        }
        ImageCommand::Build(order) => {
            let (built, name) = build(&order.source).await?;
            let done = deliver(order, &built, &name).await?;
            (built, name, done)
        }
        ImageCommand::Push(push) => {
            let (built, name) = build(&push.source).await?;
            let work = context.sink.phase(Phase::Push, send(context, push, &built));
            let done = context.unless_cancelled(work).await?;
            (built, name, done)
        }
    };
    let config = context.config;
    let sbom = built.sbom.as_ref();
    let provenance = built.statements.first();
    context.sink.send(&Event::ImageReady {
        name: local_name(&built, &name),
        digest: digest_of(built.digest())?,
        bytes: built.size(),
        archive: done.archive,
        loaded: done.loaded,
        pushed: done.pushed,
        sbom: sbom.map(|_| sbom_file(config, &name).display().to_string()),
        provenance: provenance.map(|_| provenance_file(config, &name).display().to_string()),
    });
    Ok(None)
}

/// Returns the image and the name of the program.
async fn make(context: Context<'_>, source: &ImageSource) -> Result<(BuiltImage, String), Failure> {
    // Boxed, because the future of a plan is large.
    let plan = Box::pin(context.plan_image_of(source.program.as_deref())).await?;
    let name = match &plan {
        ImagePlan::Native(plan) => &plan.program.binary,
        ImagePlan::Docker | ImagePlan::Archive(_) | ImagePlan::Existing(_) => {
            context.config.program_name()
        }
    };
    let work = async {
        match (&source.program, &plan) {
            (Some(program), ImagePlan::Native(plan)) => context.build_of(plan, program).await,
            // The plan for a program is always native.
            (_, plan) => context.build_image(plan).await,
        }
    };
    let built = context.sink.phase(Phase::Image, work).await?;
    Ok((built, name.to_owned()))
}

/// Returns the name of the image on this host.
fn local_name(built: &BuiltImage, program: &str) -> String {
    // Image names must be lowercase.
    format!("{}:{}", program.to_lowercase(), built.tag())
}

async fn look(built: BuiltImage, program: &str) -> Result<Inspection, Failure> {
    let name = local_name(&built, program);
    let failed = |error: String| {
        Failure::new(FailureKind::Unexpected, "cannot read the image").because(error)
    };
    // Inspection reads whole layers, which would block the runtime.
    tokio::task::spawn_blocking(move || inspect(&built, &name))
        .await
        .map_err(|error| failed(error.to_string()))?
        .map_err(|error| failed(error.to_string()))
}

async fn deliver(
    order: &ImageBuild,
    built: &BuiltImage,
    program: &str,
) -> Result<Delivered, Failure> {
    let name = local_name(built, program);
    if let Some(file) = &order.archive {
        save(built, &name, file).await?;
        let archive = Some(file.display().to_string());
        return Ok(Delivered {
            archive,
            ..Delivered::default()
        });
    }
    if !order.load {
        return Ok(Delivered::default());
    }
    let failed = |error| failure_of(&error);
    let engine = find().await.map_err(failed)?;
    // `docker load` reads a file, which is deleted with its folder.
    let folder = tempfile::tempdir().map_err(|error| unwritable(&std::env::temp_dir(), error))?;
    let file = folder.path().join("image.tar");
    save(built, &name, &file).await?;
    engine.load(&file).await.map_err(failed)?;
    Ok(Delivered {
        loaded: Some(name),
        ..Delivered::default()
    })
}

async fn save(built: &BuiltImage, name: &str, file: &Path) -> Result<(), Failure> {
    // `spawn_blocking` needs owned values.
    let (image, name, path) = (built.clone(), name.to_owned(), file.to_owned());
    let written = tokio::task::spawn_blocking(move || archive::write(&image, &name, &path));
    match written.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(unwritable(file, error)),
        Err(error) => Err(unwritable(file, error)),
    }
}

fn unwritable(file: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::preflight(format!("cannot write `{}`", file.display()))
        .because(error)
        .hint("is the folder there, may it be written, and is there room on the disk?")
}

async fn send(
    context: Context<'_>,
    push: &ImagePush,
    built: &BuiltImage,
) -> Result<Delivered, Failure> {
    let (address, login) = destination(context, push).await?;
    let tag = push.tag.clone().unwrap_or_else(|| built.tag());
    context
        .push_image_as(&address, login, built, &tag)
        .await
        .map(|image| Delivered {
            pushed: Some(image.to_string()),
            ..Delivered::default()
        })
}

/// Returns the repository (`HOST[:PORT]/NAME`) and the login for it. Without a name, the repository
/// is that of the stack.
async fn destination(
    context: Context<'_>,
    push: &ImagePush,
) -> Result<(RepositoryUri, Option<Login>), Failure> {
    let registry = context.config.access.registry.as_ref();
    // Nothing of AWS is needed then, not even credentials.
    if let (Some(registry), Some(name)) = (registry, push.repository()) {
        let address = RepositoryUri::new(registry.to_string(), RepositoryName::new(name));
        return Ok((address, login(push)));
    }
    let connection = LocalHost.connect(context).await?;
    let world = connection.announced(context.sink).world;
    let name = match push.repository() {
        Some(name) => RepositoryName::new(name),
        None => match context.observe(world.as_ref()).await? {
            Some(stack) => context.repository_of(world.as_ref(), &stack).await?,
            None => {
                return Err(Failure::preflight(format!(
                    "there is no stack {} whose repository could take the image",
                    context.config.stack
                ))
                .hint("`deployer up` makes it")
                .hint("to push elsewhere, name the place: `--registry HOST --repository NAME`"));
            }
        },
    };
    let address = context.address_of(world.as_ref(), &name).await?;
    // Another registry does not accept a login of ECR.
    if registry.is_some() {
        return Ok((address, login(push)));
    }
    let login = world.login(None).await;
    let login = login.map_err(|error| context.remote_failure(&error))?;
    Ok((address, Some(login)))
}

fn login(push: &ImagePush) -> Option<Login> {
    // CI systems may set a variable without a value to the empty string.
    let user = push.user.clone().filter(|user| !user.is_empty())?;
    let password = std::env::var(PASSWORD).unwrap_or_default();
    Some(Login { user, password })
}

//! `deployer image verify`: builds the commit of an image again, and compares the digests.
//!
//! The provenance chooses the commit and the digests of base images; otherwise neither it nor the
//! registry is trusted. What they name is looked up in the repository on this machine, and nothing
//! of it can add a program to the build.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use crate::cli::Builder;
use crate::config::{Config, ImageSettings, Rebuild, check_cargo_settings};
use crate::context::{Context, connect};
use crate::image::{ImagePlan, at_digest, failure_of, surroundings};
use deployment::error::{Failure, FailureKind};
use deployment::event::Phase;
use deployment::names::Digest;
use image_builder::Architecture;
use image_builder::attestation::Statement;
use image_builder::cargo::{Surroundings, installed_toolchains, rust};
use image_builder::checkout::Commit;
use image_builder::compare::{Difference, compare};
use image_builder::provenance::{BASE_LABEL, REVISION, repository};
use image_builder::slsa::{Build, BuildType, Parameters, Rust};

#[cfg(test)]
mod tests;

/// Exit code for an image that is not what its commit yields.
pub(super) const DIFFERS: u8 = 11;

/// Result of a verification.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct Verification {
    /// Image that was verified.
    pub(crate) image: String,
    /// Digest of the image.
    pub(crate) digest: String,
    /// Digest of the rebuild.
    pub(crate) rebuilt: String,
    /// Set if both are the same.
    pub(crate) same: bool,
    /// Commit that was built.
    pub(crate) revision: String,
    /// URL of the source as the provenance names it.
    pub(crate) source: Option<String>,
    /// Version of the compiler.
    pub(crate) rust: String,
    /// Base images with their digests.
    pub(crate) bases: Vec<String>,
    /// Set if the image has provenance. Otherwise, the settings of this checkout were used.
    pub(crate) has_provenance: bool,
    /// What the verification takes from the image, and does not know from elsewhere.
    pub(crate) warnings: Vec<String>,
    /// Differences between the image and the rebuild.
    pub(crate) differences: Vec<Difference>,
}

/// Claim of an image about its origin.
struct Claim {
    digest: String,
    commit: String,
    source: Option<String>,
    parameters: Parameters,
    rust: Option<Rust>,
    /// Digests by the reference in the Dockerfile.
    bases: BTreeMap<String, String>,
    has_provenance: bool,
}

/// Verifies an image: a reference, a digest in the stack's repository, or what the stack runs.
pub(super) async fn verify(
    context: Context<'_>,
    named: Option<&str>,
) -> Result<Verification, Failure> {
    let image = address(context, named).await?;
    let claim = claim(context, &image).await?;
    let mut warnings = Vec::new();
    let mut warn = |warning: String| {
        context.sink.warn(warning.clone());
        warnings.push(warning);
    };
    let commit = Commit::find(&context.config.root, &claim.commit).await;
    let commit = commit.map_err(|error| failure_of(&error))?;
    // Said before anything of it runs, and before its submodules are fetched.
    if !commit.is_published().await {
        warn(format!(
            "no branch of `origin` has the commit {}: check that it is one of yours, and not that of a fork or a pull request (`git fetch origin` brings new ones)",
            claim.commit
        ));
    }
    let checkout = commit.check_out().await;
    let checkout = checkout.map_err(|error| failure_of(&error))?;
    let target = tempfile::Builder::new()
        .prefix("deployer-target-")
        .tempdir();
    let target = target.map_err(|error| {
        Failure::preflight("cannot make a temporary folder")
            .because(error)
            .hint("set `TMPDIR` to a folder with room for a compilation")
    })?;
    let mut config = settings(context.config, &claim, &checkout.root, target.path())?;
    let surroundings = surroundings(&config);
    let found = match &claim.rust {
        Some(expected) => compiler(&config.root, expected, surroundings).await?,
        None => Compiler {
            rust: rust(&config.root, &surroundings)
                .await
                .map_err(|error| failure_of(&error))?,
            toolchain: None,
        },
    };
    if let Some(rebuild) = &mut config.image.rebuild {
        rebuild.toolchain = found.toolchain;
    }
    let rebuilding = Context {
        config: &config,
        ..context
    };
    let plan = rebuilding.plan_image_of(None).await?;
    for base in unpinned(&plan, &claim) {
        warn(format!(
            "the Dockerfile does not pin the base image: {base} is what the image says, so check that it is one that you trust"
        ));
    }
    let work = rebuilding.build_image(&plan);
    let rebuilt = context.sink.phase(Phase::Image, work).await?;
    let same = rebuilt.digest() == claim.digest;
    let mut differences = Vec::new();
    if !same {
        // The tag may have moved meanwhile.
        let original = at_digest(&image, &claim.digest);
        let original = context.pulled(&original).await?;
        let other = rebuilt.clone();
        // Decompresses all layers that differ, which would block an async worker.
        let compared = tokio::task::spawn_blocking(move || compare(&original, &other)).await;
        let failed = |error: String| {
            Failure::new(FailureKind::Unexpected, "cannot read the image").because(error)
        };
        differences = compared
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(error.to_string()))?;
    }
    let bases = claim.bases.iter();
    Ok(Verification {
        image,
        digest: claim.digest,
        rebuilt: rebuilt.digest().to_owned(),
        same,
        revision: claim.commit,
        source: claim.source,
        rust: found.rust.release,
        bases: bases
            .map(|(name, digest)| format!("{name}@{digest}"))
            .collect(),
        has_provenance: claim.has_provenance,
        warnings,
        differences,
    })
}

/// Returns the base images whose digests come from the claim and not from the Dockerfile.
fn unpinned(plan: &ImagePlan, claim: &Claim) -> Vec<String> {
    let ImagePlan::Native(plan) = plan else {
        return Vec::new();
    };
    let named = plan.bases.keys().filter(|name| !name.contains('@'));
    let claimed = named.filter_map(|name| Some((name, claim.bases.get(name)?)));
    claimed
        .map(|(name, digest)| format!("{name}@{digest}"))
        .collect()
}

/// Returns the reference of the image.
async fn address(context: Context<'_>, named: Option<&str>) -> Result<String, Failure> {
    let digest = named.map(str::parse::<Digest>);
    if let (Some(named), Some(Err(_))) = (named, &digest) {
        return Ok(named.to_owned());
    }
    context.require_emulator().await?;
    let connection = connect(context).await?;
    let world = connection.world.as_ref();
    let stack = context.require_service(world).await?.stack;
    let digest = match digest {
        Some(Ok(digest)) => digest,
        Some(Err(_)) | None => stack.image().and_then(Digest::of_image).ok_or_else(|| {
            Failure::preflight(format!(
                "the stack `{}` names no image",
                context.config.stack
            ))
            .hint("name the image: `deployer image verify sha256:…`")
        })?,
    };
    let name = context.repository_of(world, &stack).await?;
    let address = context.address_of(world, &name).await?;
    Ok(address.image(digest).to_string())
}

/// Reads what the image says about its origin: its provenance, or else its labels.
async fn claim(context: Context<'_>, image: &str) -> Result<Claim, Failure> {
    let described = context.described(image).await?;
    let digest = described.digest;
    let labels = &described.config["config"]["Labels"];
    let labelled = labels[REVISION].as_str();
    let attached = described.statements.iter();
    let statements = attached.filter_map(|it| Statement::parse(&it.content, &digest));
    let mut builds: Vec<Build> = statements.filter_map(|it| Build::read(&it)).collect();
    // The same image may have been built several times, and from a dirty tree as well.
    builds.sort_by_key(|build| (build.build_type == BuildType::Docker, build.source.is_err()));
    let impossible = |cause: String| {
        Failure::preflight(format!("{image} cannot be built again from a commit")).because(cause)
    };
    let Some(build) = builds.into_iter().next() else {
        let commit = labelled.ok_or_else(|| {
            impossible("it has no provenance, and no label with its commit".to_owned())
                .hint("commit all changes, and deploy again with `deployer up`")
        })?;
        let top = repository(&context.config.root).await;
        let top = top.map_err(|unknown| {
            Failure::preflight(unknown.reason()).hint("run it in a clone of the repository")
        })?;
        let base = |name: &str| labels[format!("{BASE_LABEL}.{name}")].as_str();
        let base = base("name").zip(base("digest"));
        return Ok(Claim {
            commit: commit.to_owned(),
            source: None,
            parameters: context.parameters(&top),
            rust: None,
            bases: base
                .map(|(name, digest)| (name.to_owned(), digest.to_owned()))
                .into_iter()
                .collect(),
            has_provenance: false,
            digest,
        });
    };
    if build.build_type == BuildType::Docker {
        return Err(impossible(
            "Docker built it, and its layers hold the time of the build".to_owned(),
        )
        .hint("build it with `--builder native`, if its Dockerfile allows that"));
    }
    let source = build.source.map_err(|reason| {
        impossible(reason).hint("commit all changes, and deploy again with `deployer up`")
    })?;
    Ok(Claim {
        commit: source.commit,
        source: source.url,
        parameters: build.parameters,
        rust: build.rust,
        bases: build.bases.into_iter().collect(),
        has_provenance: true,
        digest,
    })
}

/// Returns the settings of the rebuild. Fails if the claim would change what runs on this machine.
fn settings(
    config: &Config,
    claim: &Claim,
    source: &Path,
    target_folder: &Path,
) -> Result<Config, Failure> {
    let parameters = &claim.parameters;
    let wrong = |what: &str| Failure::preflight(format!("the provenance is not usable: {what}"));
    let inside = |path: &str| {
        let path = Path::new(path);
        let mut parts = path.components();
        let stays = parts.all(|it| matches!(it, Component::Normal(_) | Component::CurDir));
        let joined: PathBuf = source.join(path).components().collect();
        if !stays {
            return Err(wrong("a path in it leads out of the repository"));
        }
        // A link in the repository may lead out of it as well.
        match joined.canonicalize() {
            Ok(real) if real.starts_with(source) => Ok(real),
            Ok(_) | Err(_) => Err(wrong(&format!("the commit has no `{}`", path.display()))),
        }
    };
    let architectures = [Architecture::X86_64, Architecture::Arm64];
    let mut architectures = architectures.into_iter();
    let architecture = architectures.find(|it| it.oci_name() == parameters.architecture);
    let architecture = architecture.ok_or_else(|| wrong("it names no known architecture"))?;
    // Both can make the compiler or a build script start programs.
    let flags = &surroundings(config).rustflags;
    if *flags != parameters.rustflags {
        return Err(Failure::preflight("`RUSTFLAGS` is another than for the image")
            .because(format!(
                "it was `{}`, and is `{}` here",
                parameters.rustflags.join(" "),
                flags.join(" ")
            ))
            .hint("if you trust these flags, set `RUSTFLAGS` to the same and run the command again"));
    }
    let public = crate::image::public_args(config);
    if public != parameters.args {
        return Err(
            Failure::preflight("`[image.args]` are others than for the image")
                .because(format!(
                    "they were {:?}, and are {public:?} here",
                    parameters.args
                ))
                .hint("choose the environment that it was built for, with `--env`"),
        );
    }
    let image = ImageSettings {
        package: parameters.package.clone(),
        binary: parameters.binary.clone(),
        dockerfile: inside(&parameters.dockerfile)?,
        context: Some(inside(&parameters.context)?),
        stage: parameters.stage.clone(),
        features: Some(parameters.features.clone()),
        default_features: Some(!parameters.no_default_features),
        profile: parameters.profile.clone(),
        target: parameters.target.clone(),
        uri: None,
        archive: None,
        architecture,
        builder: Builder::Native,
        rebuild: Some(Box::new(Rebuild {
            all_features: parameters.all_features,
            source_date_epoch: parameters.source_date_epoch.clone(),
            toolchain: None,
            target_folder: target_folder.to_owned(),
            base_digests: claim.bases.clone(),
        })),
        ..config.image.clone()
    };
    check_cargo_settings(&image)?;
    Ok(Config {
        root: inside(&parameters.folder)?,
        image,
        ..config.clone()
    })
}

/// Compiler for the rebuild.
struct Compiler {
    rust: Rust,
    /// Name of the toolchain for rustup, if it is not the one that the commit chooses.
    toolchain: Option<String>,
}

/// Finds the compiler that built the image: the one that the commit chooses, or another one of
/// rustup's.
async fn compiler(
    root: &Path,
    expected: &Rust,
    surroundings: Surroundings,
) -> Result<Compiler, Failure> {
    let found = rust(root, &surroundings).await;
    if let Ok(found) = &found
        && found == expected
    {
        return Ok(Compiler {
            rust: found.clone(),
            toolchain: None,
        });
    }
    for name in installed_toolchains(&surroundings).await {
        let other = Surroundings {
            toolchain: Some(name.clone()),
            ..surroundings.clone()
        };
        if let Ok(found) = rust(root, &other).await
            && found == *expected
        {
            return Ok(Compiler {
                rust: found,
                toolchain: Some(name),
            });
        }
    }
    let here = match found {
        Ok(found) => format!("here is {}", described(&found)),
        Err(error) => error.to_string(),
    };
    Err(
        Failure::preflight("the compiler of the image is not installed")
            .because(format!("it was built with {}; {here}", described(expected)))
            .hint(format!(
                "install it, and run the command again: `rustup toolchain install {}`",
                expected.release
            )),
    )
}

fn described(rust: &Rust) -> String {
    let commit = rust.commit.get(..9).unwrap_or(&rust.commit);
    if commit.is_empty() {
        format!("Rust {}", rust.release)
    } else {
        format!("Rust {} ({commit})", rust.release)
    }
}

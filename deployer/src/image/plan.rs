//! Plan of the image, made before anything is compiled or created. It decides on the builder and
//! the base images, and reports all errors in the Dockerfile.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use aws::remote::Login;
use deployment::error::{Failure, FailureKind};
use deployment::names::{ImageUri, RepositoryUri, StackId};
use deployment::partition::region_of_registry;
use image_builder::base::{BaseImage, BaseSource, Bases, DockerCredentials, describe, fetch, pull};
use image_builder::cache::LayerCache;
use image_builder::cargo::{
    BinaryTarget, CompileError, Project, ProjectError, Surroundings, Toolchain, check_profile,
    project, toolchain,
};
use image_builder::docker::{Engine, find};
use image_builder::dockerfile::{
    CargoBuild, CopySource, Dockerfile, DockerfileErrors, FinalStage, Protocol, Request, read_text,
};
use image_builder::image::{BuiltImage, Document};
use image_builder::oci::{self, Recipe};
use image_builder::push::{Attached, Credentials, attached};
use image_builder::submodules::not_checked_out;
use image_builder::{DockerfileError, Hint, PackError, ignore_file, takes_folder};

use super::{failure_of, failure_to, image_folder, surroundings, target_folder, with_submodule};
use crate::cli::Builder;
use crate::config::Config;
use crate::context::{Context, connect};
use crate::host::ImageBuilder;
use crate::verdict;

/// Remedy where Docker could build the image, but not with a program that was compiled before.
const WITHOUT_PROGRAM: &str =
    "leave out `--program`: Docker then builds the image, and compiles the program itself";

/// Plan for getting the image.
pub(crate) enum ImagePlan {
    /// Image in an archive file, which needs no build.
    Archive(PathBuf),
    /// Image in a registry, which needs no build.
    Existing(Box<BuiltImage>),
    /// Build by the deployer itself.
    Native(Box<NativePlan>),
    /// Build by Docker or podman.
    Docker,
}

/// Image in a registry, without its layers.
pub(crate) struct Described {
    /// Digest of the manifest.
    pub(crate) digest: String,
    /// Image configuration.
    pub(crate) config: serde_json::Value,
    /// in-toto statements that are attached to it.
    pub(crate) statements: Vec<Document>,
}

/// Plan for a build without Docker.
pub(crate) struct NativePlan {
    pub(crate) program: BinaryTarget,
    pub(crate) stage: FinalStage,
    pub(crate) bases: Bases,
    /// Cargo options for compiling the program.
    pub(crate) build: CargoBuild,
    /// Settings of this machine, with what cargo and the compiler have said already.
    pub(crate) surroundings: Surroundings,
    /// Differences from Docker's behaviour, and possible mistakes.
    pub(crate) remarks: Vec<String>,
}

#[async_trait]
impl ImageBuilder for ImagePlan {
    async fn build(&self, context: Context<'_>) -> Result<BuiltImage, Failure> {
        context.build_image(self).await
    }

    async fn push(
        &self,
        context: Context<'_>,
        address: &RepositoryUri,
        login: Option<Login>,
        built: &BuiltImage,
    ) -> Result<ImageUri, Failure> {
        context.push_image(address, login, built).await
    }
}

impl Context<'_> {
    /// Plans the image of a service: as [`Self::plan_image_of`], with a look at the service's port.
    pub(crate) async fn plan_image(&self) -> Result<ImagePlan, Failure> {
        let mut plan = self.plan_image_of(None).await?;
        if let ImagePlan::Native(native) = &mut plan
            && let Some(remark) = other_port(&native.stage, self.config.service.port)
        {
            self.sink.note(&remark);
            native.remarks.push(remark);
        }
        Ok(plan)
    }

    /// Determines with Cargo which program is deployed.
    pub(crate) async fn program(
        &self,
        surroundings: &Surroundings,
    ) -> Result<BinaryTarget, ProjectError> {
        let image = &self.config.image;
        let project = project(&self.config.root, surroundings).await?;
        choose(
            self.config,
            &project,
            (image.package.as_deref(), image.binary.as_deref()),
        )
    }

    /// Reads the project and the Dockerfile, fetches the base images, and chooses the builder. For
    /// a program that was compiled before, Cargo does not run.
    pub(crate) async fn plan_image_of(
        &self,
        compiled: Option<&Path>,
    ) -> Result<ImagePlan, Failure> {
        // Boxed, because the future of a plan is large.
        let planned = Box::pin(self.planned(compiled)).await;
        planned.map_err(|failure| with_submodule(self.config, failure))
    }

    async fn planned(&self, compiled: Option<&Path>) -> Result<ImagePlan, Failure> {
        let image = &self.config.image;
        if self.config.require_verdict && (image.uri.is_none() || image.archive.is_some()) {
            return Err(Failure::preflight("an image that is built has no verdict yet")
                .because("`--require verdict` is for images in a registry")
                .hint("set `uri` under `[image]` in `deployer.toml`, or leave out `--require verdict`"));
        }
        if compiled.is_some() {
            self.check_takes_program()?;
        }
        if let Some(archive) = &image.archive {
            return Ok(ImagePlan::Archive(archive.clone()));
        }
        if let Some(uri) = &image.uri {
            // Boxed, because the future of a pull is large.
            return Box::pin(self.existing(uri)).await;
        }
        let shown = image.dockerfile.display();
        // Read even for Docker, so that a wrong path gets this message instead of the engine's.
        let text = read_text(&image.dockerfile).map_err(|error| {
            Failure::preflight(format!("cannot read `{shown}`"))
                .because(error)
                .hint("set `dockerfile` under `[image]` in `deployer.toml`")
        })?;
        if image.builder == Builder::Docker {
            return Ok(ImagePlan::Docker);
        }
        let named = || {
            let set = image.binary.as_deref().or(image.package.as_deref());
            let file = compiled.and_then(|file| file.file_name()?.to_str());
            BinaryTarget::compiled(set.or(file).unwrap_or_else(|| self.config.program_name()))
        };
        let surroundings = surroundings(self.config);
        let (program, toolchain) = if compiled.is_some() {
            (Ok(named()), None)
        } else {
            // One after the other: the first may make rustup install the toolchain.
            let program = self.program(&surroundings).await;
            (program, Some(self.toolchain(&surroundings).await))
        };
        // The first pass runs without base images, to find out which ones are needed. Without a
        // program of Cargo, Docker may still be able to build.
        let (name, no_program) = match &program {
            Ok(program) => (program.clone(), None),
            Err(error @ (ProjectError::Cargo(_) | ProjectError::Several { .. })) => {
                (named(), Some(error))
            }
            Err(error) => return Err(failure_of(error)),
        };
        let first = self.parse(&text, &name, &BTreeMap::new());
        let first = match (first, no_program) {
            (Ok(first), Some(error)) if first.stage.takes_program() => {
                return self.without_program(error).await;
            }
            (Ok(first), _) => first,
            (Err(errors), Some(error)) => {
                // Those about the program may only be due to its unknown name.
                let others = errors.besides_program();
                return if others.0.is_empty() {
                    self.without_program(error).await
                } else {
                    self.without_native(&others, compiled).await
                };
            }
            (Err(errors), None) => return self.without_native(&errors, compiled).await,
        };
        // Past this point, only the native builder is left, which needs Cargo to compile.
        let compiles = first.stage.takes_program() || compiled.is_some();
        let program = match program {
            Err(_) if !compiles => named(),
            program => program.map_err(|error| failure_of(&error))?,
        };
        let source = self.base_source().await?;
        let bases = match self.bases(&first.stage, &source).await {
            Ok(bases) => bases,
            Err((name, failure)) => return self.without_base(name, failure, compiled).await,
        };
        let settings = bases
            .iter()
            .map(|(name, base)| (name.clone(), Arc::clone(&base.settings)));
        // The second pass knows the settings that the final stage inherits from its base images.
        let dockerfile = match self.parse(&text, &program, &settings.collect()) {
            Ok(dockerfile) => dockerfile,
            Err(errors) => return self.without_native(&errors, compiled).await,
        };
        // Checked before the compilation, which takes longest.
        let errors = self.check_steps(&dockerfile.stage, &program, &bases, compiled);
        if !errors.is_empty() {
            return self.without_native(&errors, compiled).await;
        }
        let remarks = self.remarks(&dockerfile, compiles);
        let build = overridden(self.config, dockerfile.build);
        if let Some(toolchain) = toolchain.filter(|_| compiles) {
            self.check_build(&program, &build).await?;
            toolchain.map_err(|error| failure_of(&error))?;
        }
        for remark in &remarks {
            self.sink.note(remark);
        }
        Ok(ImagePlan::Native(Box::new(NativePlan {
            program,
            build,
            surroundings,
            stage: dockerfile.stage,
            bases,
            remarks,
        })))
    }

    /// Fails if the settings leave no use for a program that was compiled before.
    fn check_takes_program(&self) -> Result<(), Failure> {
        let image = &self.config.image;
        let (message, hint) = if !image.is_built() {
            (
                "`--program` is for an image that is built, and `uri` under `[image]` names one that exists",
                "leave out one of them",
            )
        } else if image.builder == Builder::Docker {
            (
                "`--program` goes with the native builder only",
                "Docker compiles by itself; `--builder native` takes a program",
            )
        } else {
            return Ok(());
        };
        Err(Failure::new(FailureKind::Usage, message).hint(hint))
    }

    /// Returns differences from Docker's behaviour, and possible mistakes.
    fn remarks(&self, dockerfile: &Dockerfile, compiles: bool) -> Vec<String> {
        let shown = self.config.image.dockerfile.display();
        let notes = dockerfile.notes.iter();
        let notes = notes.map(|note| format!("`{shown}`, {note}"));
        let only_files = (!compiles).then(|| {
            format!("`{shown}` takes no program from a stage: the image has the files of this folder as they are, and cargo does not run")
        });
        let target = self.target_taken(&dockerfile.stage);
        let submodules = not_checked_out(&self.config.root).into_iter();
        let submodules = submodules.filter_map(|submodule| {
            let line = self.takes(&dockerfile.stage, &submodule.folder)?;
            let hint = submodule.hint();
            Some(format!(
                "`{shown}`, line {line}: `COPY` takes an empty folder: {hint}"
            ))
        });
        let remarks = notes.chain(only_files).chain(target);
        remarks.chain(submodules).collect()
    }

    /// Pulls an existing image, with its digest.
    async fn existing(&self, uri: &str) -> Result<ImagePlan, Failure> {
        let source = self.source_of(uri).await?;
        let pulled = pull(uri, &source).await;
        let mut image = pulled.map_err(|error| failure_of(&error))?;
        if self.config.require_verdict {
            let found = self.attached_to(uri, image.digest(), &source).await?;
            verdict::require_any(&found.statements, uri, image.digest())?;
            // What proves the image goes along with it.
            image.sbom = found.sbom;
            image.statements = found.statements;
        }
        // A tag may move, so that the note pins down what is deployed.
        if !uri.contains('@') {
            self.sink.note(format!("{uri} is {}", image.digest()));
        }
        Ok(ImagePlan::Existing(Box::new(image)))
    }

    /// Pulls the image that another environment's stack runs, and what is attached to it.
    pub(crate) async fn promoted(
        &self,
        image: &ImageUri,
        stack: &StackId,
    ) -> Result<ImagePlan, Failure> {
        let uri = image.to_string();
        let source = self.source_of(&uri).await?;
        let pulled = pull(&uri, &source).await;
        let mut built = pulled.map_err(|error| failure_of(&error))?;
        let found = self.attached_to(&uri, built.digest(), &source).await?;
        verdict::require_of(self.config, stack, &found.statements, built.digest())?;
        built.sbom = found.sbom;
        built.statements = found.statements;
        Ok(ImagePlan::Existing(Box::new(built)))
    }

    /// Reads digest, configuration and statements of an image.
    pub(crate) async fn described(&self, uri: &str) -> Result<Described, Failure> {
        let source = self.source_of(uri).await?;
        let described = describe(uri, &source).await;
        let (digest, config) = described.map_err(|error| failure_of(&error))?;
        let found = self.attached_to(uri, &digest, &source).await?;
        Ok(Described {
            digest,
            config,
            statements: found.statements,
        })
    }

    /// Pulls an image with its layers.
    pub(crate) async fn pulled(&self, uri: &str) -> Result<BuiltImage, Failure> {
        let source = self.source_of(uri).await?;
        pull(uri, &source).await.map_err(|error| failure_of(&error))
    }

    /// Reads what is attached to an image.
    async fn attached_to(
        &self,
        uri: &str,
        digest: &str,
        source: &BaseSource,
    ) -> Result<Attached, Failure> {
        let repository = source.repository(uri).await;
        let repository = repository.map_err(|error| failure_of(&error))?;
        // Boxed, because the future of requests with retries is large.
        let found = Box::pin(attached(&repository, digest, None)).await;
        found.map_err(|error| failure_to(format!("cannot read what is attached to {uri}"), &error))
    }

    /// Returns the source of an existing image, with a login for our registry.
    async fn source_of(&self, uri: &str) -> Result<BaseSource, Failure> {
        let mut source = self.base_source().await?;
        if let Some((registry, credentials)) = self.own_login(uri).await? {
            source.credentials = source.credentials.with(registry, credentials);
        }
        Ok(source)
    }

    /// Returns credentials for the image's registry if that is ECR or the emulator's registry.
    async fn own_login<'u>(&self, uri: &'u str) -> Result<Option<(&'u str, Credentials)>, Failure> {
        let access = &self.config.access;
        let (registry, _) = uri.split_once('/').unwrap_or_default();
        let region = region_of_registry(registry);
        let is_ours = match &access.registry {
            Some(ours) => ours.to_string() == registry,
            // The public registry of ECR needs no login.
            None => region.is_some(),
        };
        if !is_ours || !access.logs_in_to_registry() {
            return Ok(None);
        }
        // Connects only here, because most images need no AWS credentials at this point.
        let login = connect(*self).await?.world.login(region).await;
        let Login { user, password } = login.map_err(|error| self.remote_failure(&error))?;
        Ok(Some((registry, Credentials::Basic { user, password })))
    }

    /// Finds the toolchain, and the target to compile for.
    pub(crate) async fn toolchain(
        &self,
        surroundings: &Surroundings,
    ) -> Result<Toolchain, CompileError> {
        let image = &self.config.image;
        let target = image.target.as_deref();
        toolchain(&self.config.root, image.architecture, target, surroundings).await
    }

    /// Checks that features and profile exist.
    async fn check_build(&self, program: &BinaryTarget, build: &CargoBuild) -> Result<(), Failure> {
        let features = program.check_features(build);
        features.map_err(|error| failure_of(&error))?;
        let config = self.config;
        let (root, surroundings) = (&config.root, surroundings(config));
        if let Some(profile) = &build.profile {
            let found = check_profile(root, profile, &surroundings).await;
            found.map_err(|error| failure_of(&error))?;
        }
        Ok(())
    }

    fn parse(
        &self,
        text: &str,
        program: &BinaryTarget,
        bases: &BTreeMap<String, Arc<FinalStage>>,
    ) -> Result<Dockerfile, DockerfileErrors> {
        Dockerfile::parse(text, &request(self.config, program, bases))
    }

    /// Falls back to Docker if the Dockerfile requires it and the settings allow it.
    async fn without_native(
        &self,
        errors: &impl Errors,
        compiled: Option<&Path>,
    ) -> Result<ImagePlan, Failure> {
        let image = &self.config.image;
        if image.builder == Builder::Native || !errors.need_docker() {
            return Err(all_of(&image.dockerfile, errors.list()));
        }
        if compiled.is_some() {
            let failure = all_of(&image.dockerfile, errors.list());
            return Err(failure.hint(format!("or {WITHOUT_PROGRAM}")));
        }
        match find().await {
            Ok(engine) => {
                let errors = errors.list();
                let more = match errors.len() {
                    1 => String::new(),
                    count => format!(", and {} more", count - 1),
                };
                let first = errors.first().map(ToString::to_string).unwrap_or_default();
                Ok(self.by_docker(&engine, &format!("{first}{more}")))
            }
            Err(absent) => Err(all_of(&image.dockerfile, errors.list())
                .with_evidence(absent.evidence().to_vec())
                .hint("or start Docker (`sudo systemctl start docker`), or install podman, and run the command again: it then builds the image")),
        }
    }

    /// Falls back to Docker if Cargo cannot tell which program the image is made for.
    async fn without_program(&self, error: &ProjectError) -> Result<ImagePlan, Failure> {
        // Of a project that Cargo refuses, Docker's build fails as well, only later.
        let may_build = match error {
            ProjectError::Cargo(error) => error.is_of_this_machine(),
            ProjectError::Several { .. } => true,
            ProjectError::NoPackage { .. }
            | ProjectError::NoBinary { .. }
            | ProjectError::NoProgram
            | ProjectError::NoFeature { .. }
            | ProjectError::MissingFeature { .. }
            | ProjectError::NoProfile { .. } => false,
        };
        if self.config.image.builder == Builder::Auto
            && may_build
            && let Ok(engine) = find().await
        {
            let mut said = error.evidence().iter();
            let said = said.find_map(|line| line.strip_prefix("error: "));
            let said = said.map(|line| format!(" ({line})")).unwrap_or_default();
            return Ok(self.by_docker(&engine, &format!("{error}{said}")));
        }
        Err(failure_of(error))
    }

    /// Falls back to Docker if only its engine has a base image, such as one that was built there.
    async fn without_base(
        &self,
        name: String,
        failure: Failure,
        compiled: Option<&Path>,
    ) -> Result<ImagePlan, Failure> {
        let image = &self.config.image;
        if image.rebuild.is_none()
            && let Ok(engine) = find().await
            && engine.has(&name, image.architecture).await
        {
            let otherwise = match (compiled, image.builder) {
                (None, Builder::Auto | Builder::Docker) => {
                    let reason = format!("it has the base image `{name}` ({})", failure.message);
                    return Ok(self.by_docker(&engine, &reason));
                }
                (Some(_), _) => WITHOUT_PROGRAM,
                (None, Builder::Native) => "use `--builder docker`",
            };
            return Err(failure.hint(format!(
                "{engine} has `{name}`, and the native builder takes it from a registry only: push it to one, or {otherwise}"
            )));
        }
        Err(failure)
    }

    /// Plans a build by Docker or podman, and says why.
    fn by_docker(&self, engine: &Engine, reason: &str) -> ImagePlan {
        let shown = self.config.image.dockerfile.display();
        self.sink
            .note(format!("{engine} builds `{shown}`: {reason}"));
        ImagePlan::Docker
    }

    /// Returns the source of base images, and the folder that caches them.
    async fn base_source(&self) -> Result<BaseSource, Failure> {
        Ok(BaseSource {
            folder: image_folder(self.config).join("bases"),
            architecture: self.config.image.architecture,
            roots: self.trusted_roots().await?,
            credentials: DockerCredentials::of_this_user(),
        })
    }

    /// Fetches the base images of a stage. An error has the name of the image.
    async fn bases(
        &self,
        stage: &FinalStage,
        source: &BaseSource,
    ) -> Result<Bases, (String, Failure)> {
        let mut bases = Bases::new();
        let rebuild = self.config.image.rebuild.as_ref();
        for name in stage.base_images() {
            // A tag may lead to another image by now.
            let pinned = rebuild.and_then(|it| it.base_digests.get(name));
            let place = match pinned {
                Some(digest) if !name.contains('@') => at_digest(name, digest),
                Some(_) | None => name.to_owned(),
            };
            let base = self.base(&place, source).await;
            let base = base.map_err(|failure| (name.to_owned(), failure))?;
            let base = base.called(name);
            if !name.contains('@') {
                self.sink
                    .note(format!("base image {name} is {}", base.digest));
            }
            bases.insert(name.to_owned(), Arc::new(base));
        }
        Ok(bases)
    }

    /// Returns a remark if a `COPY` takes cargo's target folder along, which grows with each build.
    fn target_taken(&self, stage: &FinalStage) -> Option<String> {
        let line = self.takes(stage, &target_folder(self.config))?;
        Some(format!(
            "`{}`, line {line}: `COPY` takes cargo's `target` along, and with it all that was ever compiled: exclude it in `.dockerignore`",
            self.config.image.dockerfile.display()
        ))
    }

    /// Returns the line of the first `COPY` that takes this folder of the build context along.
    fn takes(&self, stage: &FinalStage, folder: &Path) -> Option<usize> {
        let context = self.build_context();
        let ignore = ignore_file(&self.config.image.dockerfile, &context);
        let mut copies = stage
            .copies()
            .filter(|copy| copy.from == CopySource::Context);
        let copy = copies.find(|it| takes_folder(&context, &ignore, &it.sources, folder))?;
        Some(copy.line)
    }

    /// Fetches a base image. Where ECR refuses the login of Docker, which expires after twelve
    /// hours, the AWS credentials log in.
    async fn base(&self, name: &str, source: &BaseSource) -> Result<BaseImage, Failure> {
        // Boxed, because the future of a download is large.
        let refused = match Box::pin(fetch(name, source)).await {
            Err(error) if error.is_refused() => error,
            fetched => return fetched.map_err(|error| failure_of(&error)),
        };
        match self.own_login(name).await {
            Ok(Some((registry, credentials))) => {
                let mut source = source.clone();
                source.credentials = source.credentials.with(registry, credentials);
                let fetched = Box::pin(fetch(name, &source)).await;
                fetched.map_err(|error| failure_of(&error))
            }
            Ok(None) => Err(failure_of(&refused)),
            Err(failure) => {
                let failure = failure_of(&refused).with_evidence([failure.to_string()]);
                Err(failure)
            }
        }
    }

    /// Checks the stage for files that cannot be packed and for programs that would not start, as
    /// far as possible before the build.
    fn check_steps(
        &self,
        stage: &FinalStage,
        program: &BinaryTarget,
        bases: &Bases,
        compiled: Option<&Path>,
    ) -> Vec<PackError> {
        if compiled.is_some() && !stage.takes_program() {
            let program = program.binary.clone();
            return vec![PackError::NoProgram { program }];
        }
        let image = &self.config.image;
        let context = self.build_context();
        oci::check(&Recipe {
            stage,
            program: &program.binary,
            program_path: None,
            bases,
            context: &context,
            ignore_file: &ignore_file(&image.dockerfile, &context),
            own_folder: Some(&image_folder(self.config)),
            architecture: image.architecture,
            // Nothing is packed, so that time, labels and notices do not matter.
            created: chrono::DateTime::UNIX_EPOCH,
            labels: &BTreeMap::new(),
            notices: &[],
            cache: &LayerCache::default(),
        })
    }
}

/// Chooses the program: the one that the Dockerfile takes and starts, or else Cargo's usual one.
pub(crate) fn choose(
    config: &Config,
    project: &Project,
    (package, binary): (Option<&str>, Option<&str>),
) -> Result<BinaryTarget, ProjectError> {
    // An unreadable Dockerfile is reported by the plan.
    let text = read_text(&config.image.dockerfile).unwrap_or_default();
    project.choose_by(package, binary, |program| {
        Dockerfile::misfit(&text, &request(config, program, &BTreeMap::new()))
    })
}

fn request<'a>(
    config: &'a Config,
    program: &'a BinaryTarget,
    bases: &'a BTreeMap<String, Arc<FinalStage>>,
) -> Request<'a> {
    let image = &config.image;
    Request {
        architecture: image.architecture,
        package: &program.package,
        program: &program.binary,
        stage: image.stage.as_deref(),
        args: &image.args,
        bases,
    }
}

/// Errors of one kind, some of which Docker does not have.
trait Errors {
    type One: Hint + Display;

    fn list(&self) -> &[Self::One];

    fn need_docker(&self) -> bool;
}

impl Errors for DockerfileErrors {
    type One = DockerfileError;

    fn list(&self) -> &[DockerfileError] {
        &self.0
    }

    fn need_docker(&self) -> bool {
        Self::need_docker(self)
    }
}

impl Errors for Vec<PackError> {
    type One = PackError;

    fn list(&self) -> &[PackError] {
        self
    }

    fn need_docker(&self) -> bool {
        self.iter().all(PackError::needs_docker)
    }
}

/// Returns a failure with all errors in the Dockerfile, and each hint once.
fn all_of<E: Hint + Display>(dockerfile: &Path, errors: &[E]) -> Failure {
    let failure = Failure::preflight(format!("cannot use `{}`", dockerfile.display()));
    let failure = match errors {
        [one] => failure.because(one),
        _ => failure
            .because(format!("{} errors", errors.len()))
            .with_evidence(errors.iter().map(ToString::to_string)),
    };
    let mut hints: Vec<String> = Vec::new();
    for hint in errors.iter().filter_map(Hint::hint) {
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    hints.into_iter().fold(failure, Failure::hint)
}

/// Returns a remark if the Dockerfile does not expose the service's port. Requests may then arrive
/// at a port without a listener.
fn other_port(stage: &FinalStage, port: u16) -> Option<String> {
    let tcp = stage
        .exposed_ports
        .iter()
        .filter(|it| it.protocol == Protocol::Tcp);
    let exposed: Vec<u16> = tcp.map(|it| it.number).collect();
    let first = exposed.first().filter(|_| !exposed.contains(&port))?;
    Some(format!(
        "the Dockerfile exposes port {first}, and `port` under `[service]` is {port}: the program has to listen on {port}, as the variable PORT says"
    ))
}

/// Applies the settings of `deployer.toml`, which take precedence over those of the Dockerfile.
fn overridden(config: &Config, build: CargoBuild) -> CargoBuild {
    let image = &config.image;
    let mut build = build;
    // `--all-features` would override the list.
    if let Some(features) = &image.features {
        build.features.clone_from(features);
        build.all_features = false;
    }
    if let Some(default_features) = image.default_features {
        build.no_default_features = !default_features;
    }
    build.profile = image.profile.clone().or(build.profile);
    build.all_features |= image.rebuild.as_ref().is_some_and(|it| it.all_features);
    build
}

/// Returns the reference of an image by this digest, in place of its tag and digest.
pub(crate) fn at_digest(name: &str, digest: &str) -> String {
    let name = name.split('@').next().unwrap_or(name);
    // A colon before a slash is that of a port.
    let tag = name.rfind(':').filter(|at| name.rfind('/') < Some(*at));
    format!(
        "{}@{digest}",
        name.get(..tag.unwrap_or(name.len())).unwrap_or(name)
    )
}

#[cfg(test)]
mod tests {
    use super::at_digest;

    #[test]
    fn a_tag_is_replaced_by_the_digest() {
        for (name, expected) in [
            ("debian", "debian@sha256:1"),
            ("debian:12-slim", "debian@sha256:1"),
            ("localhost:5000/base", "localhost:5000/base@sha256:1"),
            ("localhost:5000/a/base:1", "localhost:5000/a/base@sha256:1"),
            ("debian@sha256:2", "debian@sha256:1"),
            (
                "localhost:5000/base:1@sha256:2",
                "localhost:5000/base@sha256:1",
            ),
        ] {
            assert_eq!(at_digest(name, "sha256:1"), expected);
        }
    }
}

//! Packages, programs and features of a project, from `cargo metadata`.
//!
//! Only the manifests of the workspace are read, which needs neither the network nor a lock file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{CompileError, QUESTION_LIMIT, Surroundings, metadata, real};
use crate::Hint;
use crate::dockerfile::CargoBuild;

/// Profiles that exist without a section in `Cargo.toml`. The builder itself provides `image`.
const PROFILES: [&str; 5] = ["bench", "dev", "image", "release", "test"];

/// Workspace and its packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Folder that cargo runs in, absolute and without symbolic links.
    folder: PathBuf,
    /// Root folder of the workspace, absolute and without symbolic links.
    root: PathBuf,
    packages: Vec<Package>,
    /// IDs of the packages that cargo builds by default.
    default_members: Vec<String>,
}

/// Package of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Package {
    id: String,
    name: String,
    pub(super) source: Option<String>,
    pub(super) manifest_path: PathBuf,
    #[serde(default)]
    default_run: Option<String>,
    targets: Vec<Target>,
    features: BTreeMap<String, Vec<String>>,
    pub(super) dependencies: Vec<Dependency>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Dependency {
    pub(super) path: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    #[serde(default, rename = "required-features")]
    required_features: Vec<String>,
}

impl Package {
    fn programs(&self) -> impl Iterator<Item = &Target> {
        let is_program = |target: &&Target| target.kind.iter().any(|kind| kind == "bin");
        self.targets.iter().filter(is_program)
    }

    fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }
}

/// Binary target of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryTarget {
    /// Name of the package.
    pub package: String,
    /// Name of the program.
    pub binary: String,
    /// Folder of the package.
    pub folder: PathBuf,
    features: BTreeMap<String, Vec<String>>,
    required_features: Vec<String>,
}

impl BinaryTarget {
    /// Creates a target for a program that was compiled elsewhere.
    pub fn compiled(binary: &str) -> Self {
        Self {
            package: binary.to_owned(),
            binary: binary.to_owned(),
            folder: PathBuf::new(),
            features: BTreeMap::new(),
            required_features: Vec::new(),
        }
    }

    fn of(package: &Package, target: &Target) -> Self {
        Self {
            package: package.name.clone(),
            binary: target.name.clone(),
            folder: package.folder().to_owned(),
            features: package.features.clone(),
            required_features: target.required_features.clone(),
        }
    }

    /// Checks that the package has the requested features, and that they include those the program
    /// requires.
    pub fn check_features(&self, build: &CargoBuild) -> Result<(), ProjectError> {
        let listed = build.features.iter();
        // As in cargo, one value can list several features.
        let mut wanted: Vec<&str> = listed.flat_map(|it| it.split([',', ' '])).collect();
        // `crate/feature` belongs to the dependency, and cargo checks it.
        wanted.retain(|name| !name.is_empty() && !name.contains('/'));
        if let Some(unknown) = wanted
            .iter()
            .find(|name| !self.features.contains_key(**name))
        {
            return Err(ProjectError::NoFeature {
                package: self.package.clone(),
                feature: (*unknown).to_owned(),
                known: self.features.keys().cloned().collect(),
            });
        }
        match self.missing_features(build).into_iter().next() {
            Some(feature) => Err(ProjectError::MissingFeature {
                binary: self.binary.clone(),
                feature,
            }),
            None => Ok(()),
        }
    }

    /// Returns the package's features, without `default`.
    pub fn features(&self) -> impl Iterator<Item = &str> {
        let names = self.features.keys().map(String::as_str);
        names.filter(|name| *name != "default")
    }

    /// Returns the features that the program requires and that are not enabled.
    pub fn missing_features(&self, build: &CargoBuild) -> Vec<String> {
        if build.all_features {
            return Vec::new();
        }
        let listed = build.features.iter();
        let mut wanted: Vec<&str> = listed.flat_map(|it| it.split([',', ' '])).collect();
        if !build.no_default_features {
            wanted.push("default");
        }
        // Features enable other features, so the set is closed transitively.
        let mut enabled = BTreeSet::new();
        while let Some(feature) = wanted.pop() {
            if enabled.insert(feature) {
                let more = self.features.get(feature).into_iter().flatten();
                wanted.extend(more.map(String::as_str));
            }
        }
        let required = self.required_features.iter();
        let missing = required.filter(|feature| !enabled.contains(feature.as_str()));
        missing.cloned().collect()
    }
}

/// Reason why the program or its options cannot be determined.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// Cargo reported an error.
    #[error(transparent)]
    Cargo(#[from] CompileError),
    /// The workspace has no package of this name.
    #[error("there is no package `{package}` in the workspace")]
    NoPackage {
        /// Name that was requested.
        package: String,
        /// Programs in the workspace.
        programs: Vec<String>,
    },
    /// The workspace has no program of this name.
    #[error("there is no program `{binary}`")]
    NoBinary {
        /// Name that was requested.
        binary: String,
        /// Programs in the workspace.
        programs: Vec<String>,
    },
    /// The workspace contains only libraries.
    #[error("there is no program to deploy, only a library")]
    NoProgram,
    /// The workspace has several programs, and the configuration names none.
    #[error("the project has {} programs", programs.len())]
    Several {
        /// Programs to choose from.
        programs: Vec<String>,
        /// Package of the first candidate.
        package: String,
        /// Name of the first candidate, if all are in one package.
        binary: Option<String>,
    },
    /// The package has no such feature.
    #[error("the package `{package}` has no feature `{feature}`")]
    NoFeature {
        /// Name of the package.
        package: String,
        /// Feature that was requested.
        feature: String,
        /// Features of the package.
        known: Vec<String>,
    },
    /// The program requires a feature that is not enabled.
    #[error("the program `{binary}` requires the feature `{feature}`")]
    MissingFeature {
        /// Name of the program.
        binary: String,
        /// Feature that is required.
        feature: String,
    },
    /// The profile does not exist.
    #[error("cargo has no profile `{profile}`")]
    NoProfile {
        /// Profile that was requested.
        profile: String,
        /// Lines that cargo printed.
        said: Vec<String>,
    },
}

impl Hint for ProjectError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Cargo(error) => error.hint(),
            // Without any program, there is no other name to suggest.
            Self::NoPackage { programs, .. } | Self::NoBinary { programs, .. }
                if programs.is_empty() =>
            {
                Self::NoProgram.hint()
            }
            Self::NoPackage { .. } => Some("set `package` under `[image]` in `deployer.toml` to one of them".to_owned()),
            Self::NoBinary { .. } => Some(
                "set `binary` under `[image]` in `deployer.toml` to one of them, with its `package`, or remove it".to_owned(),
            ),
            Self::NoProgram => Some(
                "a program has a `src/main.rs`, or a section `[[bin]]` in `Cargo.toml`".to_owned(),
            ),
            Self::Several { package, binary, .. } => Some(match binary {
                Some(binary) => format!("choose one: `binary = \"{binary}\"` under `[image]` in `deployer.toml`"),
                None => format!("choose one: `package = \"{package}\"` under `[image]` in `deployer.toml`"),
            }),
            Self::NoFeature { known, .. } if known.is_empty() => {
                Some("it has none: remove `features`".to_owned())
            }
            Self::NoFeature { known, .. } => Some(format!("it has {}", quoted(known))),
            Self::MissingFeature { feature, .. } => Some(format!(
                "add it: `features = [\"{feature}\"]` under `[image]` in `deployer.toml`"
            )),
            Self::NoProfile { profile, .. } => Some(format!(
                "add `[profile.{profile}]` with `inherits = \"release\"` to the workspace's `Cargo.toml`, or remove `profile`: without it, `release` is used"
            )),
        }
    }

    fn evidence(&self) -> &[String] {
        match self {
            Self::Cargo(error) => error.evidence(),
            Self::NoPackage { programs, .. }
            | Self::NoBinary { programs, .. }
            | Self::Several { programs, .. } => programs,
            Self::NoProfile { said, .. } => said,
            Self::NoProgram | Self::NoFeature { .. } | Self::MissingFeature { .. } => &[],
        }
    }
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// Reads the project that a folder belongs to.
pub async fn project(folder: &Path, surroundings: &Surroundings) -> Result<Project, CompileError> {
    let folder = real(folder)?;
    // Resolving the dependencies could need the network, and only members matter here.
    let metadata = metadata(&folder, surroundings, &["--no-deps"]).await?;
    Ok(Project {
        folder,
        root: real(&metadata.workspace_root)?,
        packages: metadata.packages,
        default_members: metadata.workspace_default_members,
    })
}

impl Project {
    /// Returns the root folder of the workspace.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Chooses the program: the named one, or else the only one. Inside a package's folder, that
    /// package is preferred.
    pub fn choose(
        &self,
        package: Option<&str>,
        binary: Option<&str>,
    ) -> Result<BinaryTarget, ProjectError> {
        let all: Vec<&Package> = self.packages.iter().collect();
        let is_named = |it: &&Package| package.is_none_or(|name| it.name == name);
        let mut candidates = all.clone();
        candidates.retain(is_named);
        if let (Some(package), true) = (package, candidates.is_empty()) {
            return Err(ProjectError::NoPackage {
                package: package.to_owned(),
                programs: listed(&all),
            });
        }
        let has_it = |it: &&Package| {
            let mut programs = it.programs();
            programs.any(|target| binary.is_none_or(|binary| target.name == binary))
        };
        candidates.retain(has_it);
        if candidates.len() > 1 {
            candidates = self.narrowed(candidates);
        }
        let [package] = candidates.as_slice() else {
            return Err(match (candidates.first(), binary) {
                (Some(first), _) => ProjectError::Several {
                    programs: listed(&candidates),
                    package: first.name.clone(),
                    binary: None,
                },
                (None, Some(binary)) => ProjectError::NoBinary {
                    binary: binary.to_owned(),
                    programs: listed(&all),
                },
                (None, None) => ProjectError::NoProgram,
            });
        };
        let mut programs = package.programs();
        let usual = binary.or(package.default_run.as_deref());
        let (Some(first), second) = (programs.next(), programs.next()) else {
            return Err(ProjectError::NoProgram);
        };
        let named = |name: &str| package.programs().find(|target| target.name == name);
        // As `cargo run` does: `default-run`, or the only program. The package's own name is an
        // addition.
        let chosen = match (usual, second) {
            (Some(name), _) => named(name),
            (None, None) => Some(first),
            (None, Some(_)) => named(&package.name),
        };
        match chosen {
            Some(target) => Ok(BinaryTarget::of(package, target)),
            None => Err(ProjectError::Several {
                programs: listed(&[package]),
                package: package.name.clone(),
                binary: Some(first.name.clone()),
            }),
        }
    }

    /// Chooses the program that fits best, or else as [`Self::choose`] does.
    pub fn choose_by<R: Ord>(
        &self,
        package: Option<&str>,
        binary: Option<&str>,
        misfit: impl Fn(&BinaryTarget) -> R,
    ) -> Result<BinaryTarget, ProjectError> {
        let usual = self.choose(package, binary);
        let candidates = self.candidates(package, binary).into_iter();
        let mut candidates: Vec<_> = candidates.map(|it| (misfit(&it), it)).collect();
        candidates.sort_by(|(one, _), (other, _)| one.cmp(other));
        match candidates.as_slice() {
            [(least, program), (more, _), ..] if least < more => Ok(program.clone()),
            _ => usual,
        }
    }

    /// Returns all programs with these names.
    fn candidates(&self, package: Option<&str>, binary: Option<&str>) -> Vec<BinaryTarget> {
        let packages = self.packages.iter();
        let packages = packages.filter(|it| package.is_none_or(|name| it.name == name));
        let targets = packages.flat_map(|package| {
            let targets = package.programs();
            let targets = targets.filter(|it| binary.is_none_or(|name| it.name == name));
            targets.map(|target| BinaryTarget::of(package, target))
        });
        targets.collect()
    }

    /// Prefers the package that contains the folder, then the workspace's default members.
    fn narrowed<'a>(&self, candidates: Vec<&'a Package>) -> Vec<&'a Package> {
        let around = candidates
            .iter()
            .filter(|it| self.folder.starts_with(it.folder()));
        // Packages can be nested: the deepest one that contains the folder counts.
        let around = around.max_by_key(|it| it.folder().components().count());
        if let Some(package) = around {
            return vec![package];
        }
        let by_default = candidates.iter().copied();
        let by_default: Vec<_> = by_default
            .filter(|it| self.default_members.contains(&it.id))
            .collect();
        if by_default.is_empty() {
            candidates
        } else {
            by_default
        }
    }
}

/// Returns the programs of these packages, formatted for messages.
fn listed(packages: &[&Package]) -> Vec<String> {
    let programs = packages.iter().flat_map(|package| {
        let line = |target: &Target| format!("package {}, program {}", package.name, target.name);
        package.programs().map(line).collect::<Vec<_>>()
    });
    programs.collect()
}

/// Checks that a profile exists, by asking cargo. It may be defined in `Cargo.toml`,
/// `.cargo/config.toml` or a variable.
pub async fn check_profile(
    folder: &Path,
    profile: &str,
    surroundings: &Surroundings,
) -> Result<(), ProjectError> {
    if PROFILES.contains(&profile) {
        return Ok(());
    }
    // The cheapest command that reads profiles. The target folder does not exist, so nothing is
    // cleaned.
    let cargo = surroundings
        .program(&surroundings.cargo)
        .args(["clean", "--dry-run", "--profile", profile, "--target-dir"])
        .arg(folder.join("target/image/no-such-folder"))
        .allow(&surroundings.allowed)
        .current_dir(folder);
    let output = cargo
        .output(QUESTION_LIMIT)
        .await
        .map_err(CompileError::from)?;
    let said: Vec<String> = output.stderr.lines().map(ToOwned::to_owned).collect();
    // Other errors are reported by the build itself.
    if output.status.success() || !said.iter().any(|line| line.contains("profile")) {
        return Ok(());
    }
    Err(ProjectError::NoProfile {
        profile: profile.to_owned(),
        said,
    })
}

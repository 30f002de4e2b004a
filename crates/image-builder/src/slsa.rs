//! SLSA provenance of an image, version 1: what it was built from, and with which parameters.
//!
//! It has no time, host name or path of this machine: the same build yields the same provenance.
//! `docs/provenance.md` describes the build type.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::attestation::Statement;

/// Type of the predicate.
pub const PREDICATE: &str = "https://slsa.dev/provenance/v1";
/// Type of a build by cargo, without Docker.
const NATIVE: &str = "urn:deployer:build:native:1";
/// Type of a build by Docker or podman.
const DOCKER: &str = "urn:deployer:build:docker:1";
/// Builder: the deployer, on the machine of whoever ran it.
const BUILDER: &str = "urn:deployer:builder:1";
/// Names of resolved dependencies.
const SOURCE: &str = "source";
const LOCK_FILE: &str = "Cargo.lock";
const RUST: &str = "rust";
const BASE: &str = "base image";

/// Parameters that a user chose, complete enough to build the image again. Paths are relative to
/// the root of the repository, or to the folder of `deployer.toml` if the source is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Parameters {
    /// Folder that cargo runs in, which is that of `deployer.toml`.
    pub folder: String,
    /// Path of the Dockerfile.
    pub dockerfile: String,
    /// Path of the build context.
    pub context: String,
    /// Stage of the Dockerfile; the last one if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Values of the Dockerfile's `ARG`s, without those that may be secret.
    pub args: BTreeMap<String, String>,
    /// Processor architecture, by the name of OCI.
    pub architecture: String,
    /// Cargo package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Binary target of the package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary: Option<String>,
    /// Target triple.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Cargo profile; the profile `image` if it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Cargo features.
    pub features: Vec<String>,
    /// Set if default features are off.
    pub no_default_features: bool,
    /// Set if all features are on.
    pub all_features: bool,
    /// Compiler flags of the environment, `RUSTFLAGS`.
    pub rustflags: Vec<String>,
    /// Creation time in seconds that the environment sets, `SOURCE_DATE_EPOCH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_date_epoch: Option<String>,
}

/// Builder of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildType {
    /// The deployer itself, with cargo.
    Native,
    /// Docker or podman.
    Docker,
}

/// Compiler that built a program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rust {
    /// Version, such as `1.94.1`.
    pub release: String,
    /// Commit of the compiler's source; empty if the compiler does not report it.
    pub commit: String,
}

/// Commit of the sources, and where they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// URL of the repository with the prefix `git+`, without credentials; absent if it is not
    /// known or a path of this machine.
    pub url: Option<String>,
    /// Commit hash.
    pub commit: String,
}

/// Provenance of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Builder of the image.
    pub build_type: BuildType,
    /// Parameters of the build.
    pub parameters: Parameters,
    /// Source, or the reason why it is not known.
    pub source: Result<Source, String>,
    /// SHA-256 digits of `Cargo.lock`.
    pub lock_file: Option<String>,
    /// Compiler.
    pub rust: Option<Rust>,
    /// Reference in the Dockerfile and digest of each image that was copied from or based on.
    pub bases: Vec<(String, String)>,
}

impl Build {
    /// Writes the provenance.
    pub fn statement(&self) -> Statement {
        let mut dependencies = Vec::new();
        let mut internal = json!({});
        match &self.source {
            Ok(source) => {
                let mut of_source =
                    json!({ "name": SOURCE, "digest": { "gitCommit": source.commit } });
                if let Some(url) = &source.url {
                    of_source["uri"] = json!(format!("{url}@{}", source.commit));
                }
                dependencies.push(of_source);
            }
            Err(reason) => internal["sourceUnknown"] = json!(reason),
        }
        if let Some(digits) = &self.lock_file {
            dependencies.push(json!({ "name": LOCK_FILE, "digest": { "sha256": digits } }));
        }
        for (reference, digest) in &self.bases {
            let digits = digest.trim_start_matches("sha256:");
            dependencies.push(json!({
                "name": BASE,
                "uri": image_url(reference, digits),
                "digest": { "sha256": digits },
                "annotations": { "reference": reference },
            }));
        }
        if let Some(rust) = &self.rust {
            let mut compiler = json!({
                "name": RUST,
                "uri": format!("pkg:generic/rust@{}", rust.release),
            });
            if !rust.commit.is_empty() {
                compiler["digest"] = json!({ "gitCommit": rust.commit });
            }
            dependencies.push(compiler);
        }
        Statement {
            predicate_type: PREDICATE.to_owned(),
            predicate: json!({
                "buildDefinition": {
                    "buildType": match self.build_type {
                        BuildType::Native => NATIVE,
                        BuildType::Docker => DOCKER,
                    },
                    "externalParameters": self.parameters,
                    "internalParameters": internal,
                    "resolvedDependencies": dependencies,
                },
                "runDetails": {
                    "builder": {
                        "id": BUILDER,
                        "version": { "deployer": env!("CARGO_PKG_VERSION") },
                    },
                },
            }),
        }
    }

    /// Reads the provenance back. Returns `None` if another builder wrote it.
    pub fn read(statement: &Statement) -> Option<Self> {
        let definition = &statement.predicate["buildDefinition"];
        let build_type = match definition["buildType"].as_str()? {
            NATIVE => BuildType::Native,
            DOCKER => BuildType::Docker,
            _ => return None,
        };
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let all = definition["resolvedDependencies"].as_array();
        let all = all.map_or(&[][..], Vec::as_slice);
        let find = |name: &str| all.iter().find(|it| it["name"] == name);
        let source = find(SOURCE).and_then(|it| {
            let commit = text(&it["digest"]["gitCommit"])?;
            let uri = text(&it["uri"]);
            let url = uri.and_then(|uri| Some(uri.rsplit_once('@')?.0.to_owned()));
            Some(Source { url, commit })
        });
        let unknown = text(&definition["internalParameters"]["sourceUnknown"]);
        let rust = find(RUST).map(|it| Rust {
            release: text(&it["uri"])
                .and_then(|uri| Some(uri.rsplit_once('@')?.1.to_owned()))
                .unwrap_or_default(),
            commit: text(&it["digest"]["gitCommit"]).unwrap_or_default(),
        });
        let bases = all.iter().filter(|it| it["name"] == BASE).filter_map(|it| {
            let digits = it["digest"]["sha256"].as_str()?;
            let reference = text(&it["annotations"]["reference"])?;
            Some((reference, format!("sha256:{digits}")))
        });
        Some(Self {
            build_type,
            parameters: serde_json::from_value(definition["externalParameters"].clone()).ok()?,
            source: source.ok_or_else(|| unknown.unwrap_or_default()),
            lock_file: find(LOCK_FILE).and_then(|it| text(&it["digest"]["sha256"])),
            rust,
            bases: bases.collect(),
        })
    }
}

/// Returns the package URL of an image, as the specification of `pkg:oci` describes it.
fn image_url(reference: &str, digits: &str) -> String {
    let Some(parsed) = crate::reference::parse(reference) else {
        return format!("pkg:oci/image@sha256%3A{digits}");
    };
    let repository = parsed.repository();
    let name = repository.rsplit('/').next().unwrap_or(repository);
    let place = format!("{}/{repository}", parsed.registry());
    let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let place: String = encoded(&place);
    let tag = parsed.tag().map_or_else(String::new, |tag| {
        let tag: String = encoded(tag);
        format!("&tag={tag}")
    });
    format!("pkg:oci/{name}@sha256%3A{digits}?repository_url={place}{tag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build() -> Build {
        Build {
            build_type: BuildType::Native,
            parameters: Parameters {
                folder: ".".to_owned(),
                dockerfile: "docker/Dockerfile".to_owned(),
                context: ".".to_owned(),
                args: BTreeMap::from([("MODE".to_owned(), "fast".to_owned())]),
                architecture: "amd64".to_owned(),
                package: Some("clock".to_owned()),
                binary: Some("app".to_owned()),
                target: Some("x86_64-unknown-linux-musl".to_owned()),
                features: vec!["postgres".to_owned()],
                ..Parameters::default()
            },
            source: Ok(Source {
                url: Some("git+https://example.org/clock".to_owned()),
                commit: "0123".to_owned(),
            }),
            lock_file: Some("aa".to_owned()),
            rust: Some(Rust {
                release: "1.94.1".to_owned(),
                commit: "4567".to_owned(),
            }),
            bases: vec![(
                "registry.example/base/debian:12-slim".to_owned(),
                format!("sha256:{}", "1".repeat(64)),
            )],
        }
    }

    #[test]
    fn provenance_says_what_went_into_the_image() {
        let mut predicate = build().statement().predicate;
        predicate.sort_all_objects();
        let version = env!("CARGO_PKG_VERSION");
        let text = format!("{predicate:#}").replace(version, "VERSION");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn it_is_read_back() {
        let known = build();
        assert_eq!(Build::read(&known.statement()), Some(known.clone()));
        let unknown = Build {
            build_type: BuildType::Docker,
            source: Err("uncommitted changes".to_owned()),
            lock_file: None,
            rust: None,
            bases: Vec::new(),
            parameters: Parameters::default(),
        };
        assert_eq!(Build::read(&unknown.statement()), Some(unknown));
        let mut other = known.statement();
        other.predicate["buildDefinition"]["buildType"] = json!("https://example.org/other");
        assert_eq!(Build::read(&other), None);
    }

    #[test]
    fn images_have_package_urls() {
        let url = |reference| image_url(reference, "aa");
        assert_eq!(
            url("debian:12-slim"),
            "pkg:oci/debian@sha256%3Aaa?repository_url=docker.io%2Flibrary%2Fdebian&tag=12-slim"
        );
        assert_eq!(
            url("localhost:5000/a/b"),
            "pkg:oci/b@sha256%3Aaa?repository_url=localhost%3A5000%2Fa%2Fb&tag=latest"
        );
    }
}

//! Base images: downloads manifest and layers, caches them by digest, and indexes their files.
//!
//! Layers are downloaded and read, but never unpacked: their tar archives list the image's files,
//! links and users. Cached content is not requested again. A tag always is, since it may move.

mod config;
mod credentials;
mod index;
mod read;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci_client::Reference;
use oci_spec::image::MediaType;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::digest::{digest, digest_of};
use crate::dockerfile::FinalStage;
use crate::image::{BuiltImage, Document, MANIFESTS, MAX_DOCUMENT};
use crate::layer::{Blob, Layer};
use crate::push::{
    Movement, PushError, Repository, RequestError, Retry, Rights, Session, patiently,
};
use crate::reference::DOCKER_HUB;
use crate::root::Root;
use crate::{Architecture, Hint};
pub use credentials::DockerCredentials;

/// Media types of layers, by OCI and by Docker, with the OCI one to write. The layers are pushed
/// unchanged.
const LAYERS: [(&str, &str); 6] = [
    (OCI_GZIP, OCI_GZIP),
    (
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        OCI_GZIP,
    ),
    (OCI_ZSTD, OCI_ZSTD),
    (
        "application/vnd.docker.image.rootfs.diff.tar.zstd",
        OCI_ZSTD,
    ),
    (OCI_TAR, OCI_TAR),
    ("application/vnd.docker.image.rootfs.diff.tar", OCI_TAR),
];
const OCI_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const OCI_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const OCI_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
/// Number of layers that are fetched at once.
const PARALLEL: usize = 4;
/// Retries of a request. A machine without a network is told so after a few seconds.
const RETRIES: u32 = 5;
/// Size limit for all layers together, in bytes.
const MAX_LAYERS: u64 = 4 << 30;

/// Base images by their reference in the Dockerfile.
pub type Bases = BTreeMap<String, Arc<BaseImage>>;

/// Base image that was downloaded and indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImage {
    /// Reference as in the Dockerfile.
    pub reference: String,
    /// Digest of the manifest for the platform, `sha256:…`.
    pub digest: String,
    /// Image configuration.
    pub config: Value,
    /// Settings that a stage on top of it inherits.
    pub settings: Arc<FinalStage>,
    /// Layers, lowest first.
    pub layers: Vec<Layer>,
    /// Index of its files.
    pub(crate) root: Root,
}

/// Reason why a base image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The name is not a valid image reference.
    #[error("`{0}` is not the name of an image")]
    Reference(String),
    /// The registry has no such image.
    #[error("there is no image `{0}`")]
    Absent(String),
    /// The registry did not deliver the image.
    #[error("cannot fetch the image `{image}`")]
    Registry {
        /// Name of the image.
        image: String,
        /// Error of the registry.
        source: PushError,
    },
    /// The image has no variant for this processor architecture.
    #[error("the image `{image}` is not made for {wanted}")]
    Platform {
        /// Name of the image.
        image: String,
        /// Architecture that was requested.
        wanted: Architecture,
    },
    /// The image is damaged, or uses something unsupported.
    #[error("the image `{image}` cannot be used: {reason}")]
    Unusable {
        /// Name of the image.
        image: String,
        /// Description of the defect.
        reason: String,
    },
    /// The cache folder cannot be written.
    #[error("cannot keep the image in `{}`", folder.display())]
    Disk {
        /// Folder of the cache.
        folder: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
}

impl BaseError {
    /// Returns whether the registry did not accept the login, or requires one.
    pub const fn is_refused(&self) -> bool {
        matches!(
            self,
            Self::Registry {
                source: PushError::Refused { .. },
                ..
            }
        )
    }
}

impl Hint for BaseError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Reference(_) => Some("write it as `REGISTRY/NAME:TAG`".to_owned()),
            Self::Absent(image) => Some(log_in(image)),
            Self::Registry { image, source } => match source {
                PushError::Refused { .. } => Some(log_in(image)),
                PushError::Unreachable { .. }
                | PushError::NoRepository { .. }
                | PushError::TagTaken { .. }
                | PushError::Untrusted { .. }
                | PushError::NoCertificates { .. }
                | PushError::PlainHttp { .. }
                | PushError::TooLarge { .. }
                | PushError::Rewritten { .. }
                | PushError::Incomplete { .. }
                | PushError::Failed { .. } => source.hint(),
            },
            Self::Platform { .. } => Some(
                "choose a base for several platforms, or set `architecture` under `[service]`"
                    .to_owned(),
            ),
            Self::Unusable { .. } => {
                Some("`--builder docker` builds on any image that Docker can pull".to_owned())
            }
            Self::Disk { .. } => {
                Some("free space there, or set `CARGO_TARGET_DIR` to another folder".to_owned())
            }
        }
    }
}

fn log_in(image: &str) -> String {
    let parsed = crate::reference::parse(image);
    let registry = parsed.as_ref().map(Reference::registry);
    let registry = registry.filter(|name| *name != DOCKER_HUB);
    // `docker login` needs a password there, which only AWS gives.
    let of_ecr = registry.and_then(|name| Some((name, name.split_once(".dkr.ecr.")?.1)));
    if let Some((name, behind)) = of_ecr {
        let region = behind.split('.').next().unwrap_or_default();
        return format!(
            "check the name, and that your identity may pull there (`ecr:BatchGetImage` and its like); or log in: `aws ecr get-login-password --region {region} | docker login --username AWS --password-stdin {name}`"
        );
    }
    format!(
        "check the name, or log in: `docker login{}`; registries say the same of an image that is not for everybody",
        registry.map(|name| format!(" {name}")).unwrap_or_default()
    )
}

/// Source of base images, and the cache for them.
#[derive(Debug, Clone)]
pub struct BaseSource {
    /// Cache folder for layers and documents, by digest. Need not exist.
    pub folder: PathBuf,
    /// Processor architecture of the image.
    pub architecture: Architecture,
    /// Certificates to trust in addition to the system's, each in PEM.
    pub roots: Vec<String>,
    /// Credentials for the registries.
    pub credentials: DockerCredentials,
}

impl BaseSource {
    /// Returns the repository of an image, with the login for its registry.
    pub async fn repository(&self, image: &str) -> Result<Repository, BaseError> {
        Ok(self.repository_of(&parse(image)?).await)
    }

    async fn repository_of(&self, reference: &Reference) -> Repository {
        Repository {
            registry: reference.registry().to_owned(),
            name: reference.repository().to_owned(),
            credentials: self.credentials.of(reference.registry()).await,
            roots: self.roots.clone(),
        }
    }
}

fn parse(image: &str) -> Result<Reference, BaseError> {
    crate::reference::parse(image).ok_or_else(|| BaseError::Reference(image.to_owned()))
}

/// Fetches a base image, as far as it is not cached, and indexes its files.
pub async fn fetch(name: &str, source: &BaseSource) -> Result<BaseImage, BaseError> {
    let (fetching, found) = find(name, source).await?;
    let unusable = |reason: String| BaseError::Unusable {
        image: name.to_owned(),
        reason,
    };
    let mut media_types = Vec::new();
    for (descriptor, _) in &found.layers {
        let media_type = descriptor["mediaType"].as_str().unwrap_or_default();
        let known = LAYERS.iter().find(|(name, _)| *name == media_type);
        let (_, of_oci) = known.ok_or_else(|| {
            unusable(format!(
                "a layer is `{media_type}`, not an archive in gzip or zstd"
            ))
        })?;
        media_types.push(*of_oci);
    }
    let mut layers = fetching.layers(&found).await?;
    for (layer, media_type) in layers.iter_mut().zip(media_types) {
        // Converts Docker's media type to the OCI one: the two must not be mixed in one manifest.
        media_type.clone_into(&mut layer.media_type);
    }
    // A layer of a base image is an open file, so the clone is cheap.
    let (image, kept) = (name.to_owned(), layers.clone());
    let index = fetching
        .path(&found.manifest.digest)?
        .with_extension("files");
    // Inflating all layers is CPU work, so it must not block the runtime.
    let read = tokio::task::spawn_blocking(move || {
        if let Some(known) = index::load(&index, &image) {
            return Ok(known);
        }
        let (root, sizes) = read::root(&image, &kept)?;
        if let Err(error) = index::keep(&index, (&root, &sizes)) {
            tracing::debug!(%error, "the index is not kept");
        }
        io::Result::Ok((root, sizes))
    });
    let (root, sizes) = match read.await {
        Ok(Ok(read)) => read,
        Ok(Err(error)) => return Err(unusable(error.to_string())),
        Err(error) => return Err(unusable(error.to_string())),
    };
    for (layer, size) in layers.iter_mut().zip(sizes) {
        layer.uncompressed_size = size;
    }
    Ok(BaseImage {
        reference: name.to_owned(),
        digest: found.manifest.digest,
        settings: Arc::new(config::settings(&found.config["config"])),
        config: found.config,
        layers,
        root,
    })
}

/// Returns digest and configuration of an image, without its layers.
pub async fn describe(name: &str, source: &BaseSource) -> Result<(String, Value), BaseError> {
    let (_, found) = find(name, source).await?;
    Ok((found.manifest.digest, found.config))
}

/// Fetches an image unchanged, as far as it is not cached. Pushed again, it has the same digest.
pub async fn pull(name: &str, source: &BaseSource) -> Result<BuiltImage, BaseError> {
    let (fetching, found) = find(name, source).await?;
    // Keeps the media types, unlike `fetch`: the manifest names them and must not change.
    let layers = fetching.layers(&found).await?;
    Ok(BuiltImage {
        manifest: found.manifest,
        config: found.config_document,
        layers,
        sbom: None,
        statements: Vec::new(),
    })
}

/// Image for the platform, without the content of its layers.
struct Found {
    manifest: Document,
    config: Value,
    config_document: Document,
    /// Descriptor and diff ID of each layer.
    layers: Vec<(Value, Value)>,
}

async fn find<'a>(
    name: &'a str,
    source: &'a BaseSource,
) -> Result<(Fetching<'a>, Found), BaseError> {
    let reference = parse(name)?;
    let fetching = Fetching {
        name,
        reference,
        source,
        session: OnceCell::new(),
    };
    let (content, manifest) = fetching.manifest().await?;
    let unusable = |reason: String| BaseError::Unusable {
        image: name.to_owned(),
        reason,
    };
    let config_document = fetching.document(&manifest["config"]).await?;
    let config: Value = serde_json::from_slice(&config_document)
        .map_err(|error| unusable(format!("its configuration: {error}")))?;
    // A manifest without an index states no platform, so the configuration decides.
    if config["architecture"] != source.architecture.oci_name() || config["os"] != "linux" {
        return Err(BaseError::Platform {
            image: name.to_owned(),
            wanted: source.architecture,
        });
    }
    let descriptors = manifest["layers"].as_array().cloned().unwrap_or_default();
    let diff_ids = config["rootfs"]["diff_ids"].as_array().cloned();
    let diff_ids = diff_ids.unwrap_or_default();
    if descriptors.len() != diff_ids.len() {
        return Err(unusable(
            "its layers are not those of its configuration".to_owned(),
        ));
    }
    // A missing size counts as `u64::MAX`, so that it exceeds the limit.
    let sizes = descriptors
        .iter()
        .map(|it| it["size"].as_u64().unwrap_or(u64::MAX));
    if sizes.fold(0_u64, u64::saturating_add) > MAX_LAYERS {
        return Err(unusable(format!(
            "it has more than {} GiB",
            MAX_LAYERS >> 30
        )));
    }
    let kind = |value: &Value, usual: &str| value.as_str().unwrap_or(usual).to_owned();
    let media_type = kind(&manifest["mediaType"], MANIFESTS[0]);
    let of_config = kind(
        &manifest["config"]["mediaType"],
        MediaType::ImageConfig.as_ref(),
    );
    let found = Found {
        manifest: Document::new(&media_type, content),
        config_document: Document::new(&of_config, config_document),
        config,
        layers: descriptors.into_iter().zip(diff_ids).collect(),
    };
    Ok((fetching, found))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// State of the download of one image.
struct Fetching<'a> {
    name: &'a str,
    reference: Reference,
    source: &'a BaseSource,
    /// Opened when something is missing from the cache.
    session: OnceCell<Session>,
}

/// Result of a download that reached the registry.
type Downloaded = Result<(), BaseError>;

impl Fetching<'_> {
    fn unusable(&self, reason: impl Into<String>) -> BaseError {
        BaseError::Unusable {
            image: self.name.to_owned(),
            reason: reason.into(),
        }
    }

    fn failed(&self, source: PushError) -> BaseError {
        // That error covers every 404, so the tag may be missing and not the repository.
        if matches!(source, PushError::NoRepository { .. }) {
            return BaseError::Absent(self.name.to_owned());
        }
        BaseError::Registry {
            image: self.name.to_owned(),
            source,
        }
    }

    fn disk(&self, source: io::Error) -> BaseError {
        BaseError::Disk {
            folder: self.source.folder.clone(),
            source,
        }
    }

    /// Returns the session with the repository, logged in.
    async fn session(&self) -> &Session {
        let open = async || {
            let repository = self.source.repository_of(&self.reference).await;
            let session = Session::open(&repository, Rights::Pull, Retry::of_pull(RETRIES)).await;
            session.authorise().await;
            session
        };
        self.session.get_or_init(open).await
    }

    /// Runs a request with retries.
    async fn run<T, F: Future<Output = Result<T, RequestError>>>(
        &self,
        request: impl Fn() -> F,
    ) -> Result<T, BaseError> {
        let session = self.session().await;
        let result = session.run(request).await;
        result.map_err(|error| self.failed(session.error(&error)))
    }

    /// Returns the manifest for the platform, as received and as JSON.
    async fn manifest(&self) -> Result<(Bytes, Value), BaseError> {
        let pinned = self.reference.digest().map(ToOwned::to_owned);
        let content = match pinned {
            Some(digest) => self.manifest_of(&digest).await?,
            None => match self.digest_of_tag().await? {
                digest if digest.starts_with("sha256:") => self.manifest_of(&digest).await?,
                // Content is cached by its SHA-256.
                _ => self.pull_manifest(None).await?,
            },
        };
        let found = self.parse(&content)?;
        // Only an index has `manifests`. `mediaType` is not checked, since it is optional in OCI.
        let Some(choices) = found["manifests"].as_array() else {
            return Ok((content, found));
        };
        let architecture = self.source.architecture;
        // `platform.variant` is not compared: it is optional for both architectures.
        let fits = |choice: &&Value| {
            let platform = &choice["platform"];
            platform["os"] == "linux" && platform["architecture"] == architecture.oci_name()
        };
        let choice = choices.iter().find(fits);
        let choice = choice.ok_or_else(|| BaseError::Platform {
            image: self.name.to_owned(),
            wanted: architecture,
        })?;
        let content = self.manifest_of(&text(&choice["digest"])).await?;
        let found = self.parse(&content)?;
        Ok((content, found))
    }

    /// Returns the digest that the tag leads to now. Docker Hub does not count this as a pull.
    async fn digest_of_tag(&self) -> Result<String, BaseError> {
        let tag = self.reference.tag().unwrap_or("latest");
        // Boxed, because the future of requests with retries is large.
        match Box::pin(self.session().await.tagged(tag)).await {
            Ok(Some(digest)) => Ok(digest),
            Ok(None) => Err(BaseError::Absent(self.name.to_owned())),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Returns the layers, and fetches those that are not cached.
    async fn layers(&self, found: &Found) -> Result<Vec<Layer>, BaseError> {
        let layers = found.layers.iter();
        let layers: Vec<_> = layers
            .map(|(descriptor, diff_id)| self.layer(descriptor, diff_id))
            .collect();
        stream::iter(layers).buffered(PARALLEL).try_collect().await
    }

    async fn layer(&self, descriptor: &Value, diff_id: &Value) -> Result<Layer, BaseError> {
        let path = self.blob(descriptor).await?;
        let content = fs::File::open(path).and_then(Blob::of_file);
        Ok(Layer {
            content: content.map_err(|error| self.disk(error))?,
            media_type: text(&descriptor["mediaType"]),
            digest: text(&descriptor["digest"]),
            diff_id: text(diff_id),
            // Filled in by `fetch` once the archive was read; `pull` does not need it.
            uncompressed_size: 0,
            origin: Some(format!(
                "{}/{}",
                self.reference.registry(),
                self.reference.repository()
            )),
        })
    }

    fn parse(&self, content: &[u8]) -> Result<Value, BaseError> {
        serde_json::from_slice(content)
            .map_err(|error| self.unusable(format!("its manifest: {error}")))
    }

    async fn manifest_of(&self, digest: &str) -> Result<Bytes, BaseError> {
        let path = self.path(digest)?;
        if let Some(kept) = kept_document(&path, digest) {
            return Ok(kept);
        }
        self.pull_manifest(Some(digest)).await
    }

    async fn pull_manifest(&self, wanted: Option<&str>) -> Result<Bytes, BaseError> {
        let (pinned, tag) = (self.reference.digest(), self.reference.tag());
        let reference = wanted.or(pinned).or(tag).unwrap_or("latest");
        let path = format!("manifests/{reference}");
        let accepted = MANIFESTS.join(", ");
        let session = self.session().await;
        let pulled = self.run(|| session.get(&path, &accepted));
        let content = Bytes::from(pulled.await?);
        let found = digest(&content);
        // The digest is checked here, since a registry or a proxy may deliver something else.
        if wanted.is_some_and(|wanted| wanted != found) {
            return Err(self.unusable(format!(
                "the registry gave {found} for {}",
                wanted.unwrap_or_default()
            )));
        }
        let path = self.path(&found)?;
        write(&path, |file| file.write_all(&content)).map_err(|error| self.disk(error))?;
        Ok(content)
    }

    /// Returns a small blob, such as a configuration.
    async fn document(&self, descriptor: &Value) -> Result<Bytes, BaseError> {
        if descriptor["size"]
            .as_u64()
            .is_none_or(|size| size > MAX_DOCUMENT)
        {
            return Err(self.unusable("its configuration is too large"));
        }
        let path = self.blob(descriptor).await?;
        let content = fs::read(path).map_err(|error| self.disk(error))?;
        Ok(content.into())
    }

    /// Returns the path of a cached blob, and fetches it if it is missing.
    async fn blob(&self, descriptor: &Value) -> Result<PathBuf, BaseError> {
        let wanted = text(&descriptor["digest"]);
        let size = descriptor["size"].as_u64().unwrap_or_default();
        let path = self.path(&wanted)?;
        // The size suffices: a file gets this name only after its digest was verified.
        if fs::metadata(&path).is_ok_and(|it| it.len() == size) {
            return Ok(path);
        }
        let downloaded = self.run(async || {
            let movement = Movement::content();
            let download = self.download((&wanted, size), &path, movement.clone());
            patiently(movement, download).await
        });
        downloaded.await??;
        Ok(path)
    }

    /// Downloads a blob to a file. The outer error is one of the registry, which can be retried.
    async fn download(
        &self,
        (wanted, size): (&str, u64),
        path: &Path,
        movement: Movement,
    ) -> Result<Downloaded, RequestError> {
        let session = self.session().await;
        let response = session.response(&format!("blobs/{wanted}"), "*/*").await?;
        let mut stream = response.bytes_stream();
        let folder = &self.source.folder;
        // Temporary file in the same folder, so that the final rename is atomic.
        let created = fs::create_dir_all(folder)
            .and_then(|()| tempfile::Builder::new().prefix("new-").tempfile_in(folder));
        let mut file = match created {
            Ok(file) => file,
            Err(error) => return Ok(Err(self.disk(error))),
        };
        let mut hash = Sha256::new();
        let mut received = 0;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(io::Error::other)?;
            movement.moved();
            received += chunk.len() as u64;
            // Stops before the disk fills up: a server can send more than the descriptor says.
            if received > size {
                break;
            }
            hash.update(&chunk);
            if let Err(error) = file.write_all(&chunk) {
                return Ok(Err(self.disk(error)));
            }
        }
        // Also after a break: the content received so far is not that of the digest.
        if received != size || digest_of(hash) != wanted {
            let reason = format!("the registry gave something else for {wanted}");
            return Ok(Err(self.unusable(reason)));
        }
        let kept = file.persist(path).map_err(|error| self.disk(error.error));
        Ok(kept.map(drop))
    }

    fn path(&self, digest: &str) -> Result<PathBuf, BaseError> {
        // The digest becomes a file name, so anything but hex digits could leave the folder.
        let digits = digest.strip_prefix("sha256:").filter(|digits| {
            digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        let digits =
            digits.ok_or_else(|| self.unusable(format!("`{digest}` is not a SHA-256 digest")))?;
        Ok(self.source.folder.join(digits))
    }
}

fn kept_document(path: &Path, wanted: &str) -> Option<Bytes> {
    if fs::metadata(path).ok()?.len() > MAX_DOCUMENT {
        return None;
    }
    let content = fs::read(path).ok()?;
    (digest(&content) == wanted).then(|| content.into())
}

/// Writes a file atomically, by renaming a temporary file.
fn write(path: &Path, fill: impl FnOnce(&mut fs::File) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut written = tempfile::Builder::new()
        .prefix("new-")
        .tempfile_in(folder)?;
    fill(written.as_file_mut())?;
    written.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests;

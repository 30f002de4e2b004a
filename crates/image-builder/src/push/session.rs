//! Session with one repository: its requests, its login, and their retries.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use oci_client::client::{Certificate, CertificateEncoding, Client, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{ImageIndexEntry, OciImageIndex};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use oci_spec::image::MediaType;
use reqwest::Url;
use serde_json::Value;

use super::asking::{
    Asker, Asking, CONNECT_TIMEOUT, USER_AGENT, body, http_client, incomplete, next_page, succeeded,
};
use super::error::{is_nonsense, is_of_the_way, is_silence, status, without_certificates};
use super::idle::{Movement, patiently};
use super::progress::BlobProgress;
use super::retry::{Patience, Retry};
use super::{
    Blob, Credentials, PARALLEL, PushError, Repository, is_unknown_repository, loopback,
    use_tls_of_ring,
};
use crate::image::{BuiltImage, Document, MANIFESTS, MAX_DOCUMENT};
use support::certificates;

/// Limit for the pages of a list. ECR has 50 entries on each.
const MAX_PAGES: usize = 20;

/// Path of uploads in a repository.
const UPLOADS: &str = "blobs/uploads/";
/// Proxy address that always refuses, since nobody listens on the port of `discard`.
const NO_PROXY: &str = "http://127.0.0.1:9";
/// Hosts that need no proxy. A registry may call itself `localhost` in a `Location`.
const LOOPBACK: &str = "127.0.0.0/8,::1,localhost";

type Answer<T> = Result<T, OciDistributionError>;

/// State of the login at the registry.
#[derive(Default)]
struct Login {
    /// Set once the registry requires a login.
    is_wanted: bool,
    /// Client that logs in. Created on demand, since it reads the system's certificates twice.
    client: Option<Client>,
    /// Client of all other requests.
    http: Option<reqwest::Client>,
    /// The same with a login for questions, and one to push.
    asker: Option<Asker>,
    sender: Option<Asker>,
}

/// Session with one repository.
pub(super) struct Session<'a> {
    login: Arc<Mutex<Login>>,
    auth: RegistryAuth,
    repository: &'a Repository,
    /// Host of the registry; for a registry on this machine, the address it listens at.
    registry: String,
    retry: Retry,
    patience: Arc<Patience>,
}

impl<'a> Session<'a> {
    pub(super) async fn open(repository: &'a Repository, retry: Retry) -> Result<Self, PushError> {
        use_tls_of_ring();
        let name = &repository.registry;
        let is_local = loopback::is_loopback(name);
        let registry = if is_local {
            loopback::address_of(name).await
        } else {
            name.clone()
        };
        let retry = Retry {
            gives_up_on_nobody: is_local,
            ..retry
        };
        let (auth, is_wanted) = match &repository.credentials {
            // Others ask even who is anonymous for a token.
            Credentials::Anonymous => (RegistryAuth::Anonymous, !is_local),
            // Credentials that are configured are used from the first request on.
            Credentials::Basic { user, password } => {
                (RegistryAuth::Basic(user.clone(), password.clone()), true)
            }
        };
        let login = Login {
            is_wanted,
            ..Login::default()
        };
        Ok(Self {
            login: Arc::new(Mutex::new(login)),
            auth,
            repository,
            registry,
            retry,
            patience: Arc::default(),
        })
    }

    /// Returns the same session with another retry policy, for optional requests.
    pub(super) fn with(&self, retry: Retry) -> Session<'a> {
        Session {
            login: Arc::clone(&self.login),
            auth: self.auth.clone(),
            repository: self.repository,
            registry: self.registry.clone(),
            retry: Retry {
                gives_up_on_nobody: self.retry.gives_up_on_nobody,
                ..retry
            },
            patience: Arc::clone(&self.patience),
        }
    }

    /// A panic elsewhere leaves the login in a valid state, so a poisoned lock is usable.
    fn login(&self) -> MutexGuard<'_, Login> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the access to the repository.
    fn asking(&self) -> Answer<Asking> {
        let mut login = self.login();
        if login.is_wanted && login.client.is_none() {
            let is_local = self.retry.gives_up_on_nobody;
            login.client = client(&self.registry, is_local, &self.repository.roots)?;
        }
        let http = match &login.http {
            Some(http) => http.clone(),
            None => http_client(&self.registry, &self.repository.roots)?,
        };
        login.http = Some(http.clone());
        let client = login.client.clone();
        Ok(Asking {
            at: self.at(),
            login: login.is_wanted.then(|| (client, self.auth.clone())),
            http,
        })
    }

    /// Returns the client for questions, logged in if that is required.
    async fn asker(&self) -> Answer<Asker> {
        if let Some(asker) = &self.login().asker {
            return Ok(asker.clone());
        }
        let asker = self.asking()?.connect(RegistryOperation::Pull).await?;
        self.login().asker = Some(asker.clone());
        Ok(asker)
    }

    /// Returns the client that pushes, logged in if that is required.
    async fn sender(&self) -> Answer<Asker> {
        if let Some(sender) = &self.login().sender {
            return Ok(sender.clone());
        }
        let sender = self.asking()?.connect(RegistryOperation::Push).await?;
        self.login().sender = Some(sender.clone());
        Ok(sender)
    }

    /// Returns the repository, with any tag.
    fn at(&self) -> Reference {
        let (registry, name) = (self.registry.clone(), self.repository.name.clone());
        Reference::with_tag(registry, name, "latest".to_owned())
    }

    /// Returns the URL of a path in the repository.
    fn url(&self, path: &str) -> Answer<Url> {
        let path = format!("{}/{path}", self.repository.name);
        let url = super::asking::url(&self.at(), &path);
        url.ok_or(OciDistributionError::UrlParseError(path))
    }

    /// Drops a token that the registry no longer accepts. The client would reuse it until its own
    /// expiry.
    fn log_in_again(&self) {
        let mut login = self.login();
        *login = Login {
            is_wanted: true,
            http: login.http.take(),
            ..Login::default()
        };
    }

    pub(super) fn error(&self, error: &OciDistributionError) -> PushError {
        PushError::new(self.repository, error)
    }

    /// Runs a request with retries. Once the registry requires a login, the request is repeated
    /// with one.
    async fn run<T, F: Future<Output = Answer<T>>>(&self, request: impl Fn() -> F) -> Answer<T> {
        let with_login = || async {
            let result = request().await;
            if result
                .as_ref()
                .is_err_and(|error| status(error) == Some(401))
            {
                self.log_in_again();
            }
            result
        };
        let is_wanted = self.login().is_wanted;
        if !is_wanted {
            let once = self.retry.only_once_unauthorised();
            match self.retried(once, with_login).await {
                Err(error) if status(&error) == Some(401) => {}
                result => return result,
            }
        }
        self.retried(self.retry, with_login).await
    }

    async fn retried<T, F: Future<Output = Answer<T>>>(
        &self,
        retry: Retry,
        request: impl Fn() -> F,
    ) -> Answer<T> {
        let asking = || self.asking().ok();
        retry.run(&self.patience, asking, request).await
    }

    /// Logs in once, before several requests would do so concurrently. Errors are ignored: the
    /// requests themselves fail then, and report the reason.
    pub(super) async fn authorise_to_push(&self) {
        patiently(Movement::question(), self.sender()).await.ok();
    }

    /// Returns the digest of the image that has this tag or digest, or `None` if there is none.
    pub(super) async fn tagged(&self, reference: &str) -> Result<Option<String>, PushError> {
        let question = async || {
            let url = self.url(&format!("manifests/{reference}"))?;
            self.asker().await?.digest(url).await
        };
        let request = || patiently(Movement::question(), question());
        match self.run(request).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_unknown_repository(&error) => Err(self.error(&error)),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.error(&error)),
        }
    }

    pub(super) async fn missing<'b>(&self, blobs: &[Blob<'b>]) -> Result<Vec<Blob<'b>>, PushError> {
        let questions: Vec<_> = blobs.iter().map(|blob| self.is_there(blob)).collect();
        let there: Vec<bool> = stream::iter(questions)
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        let missing = blobs.iter().zip(there).filter(|(_, is_there)| !is_there);
        Ok(missing.map(|(blob, _)| blob.clone()).collect())
    }

    async fn is_there(&self, blob: &Blob<'_>) -> Result<bool, PushError> {
        let found = self.run(|| self.has(blob)).await;
        found.map_err(|error| self.error(&error))
    }

    pub(super) async fn send_blob(
        &self,
        blob: &Blob<'_>,
        progress: BlobProgress,
    ) -> Result<(), PushError> {
        // A layer of a base image in the same registry need not be uploaded.
        if self.mount(blob).await {
            return Ok(());
        }
        let size = blob.content.size();
        let request = || async {
            let (movement, chunks) = progress.attempt(blob.content.clone());
            let upload = async {
                let uploads = self.url(UPLOADS)?;
                let sender = self.sender().await?;
                sender.upload(uploads, (blob.digest, size), chunks).await
            };
            match patiently(movement, upload).await {
                // The upload was accepted with an invalid response. What counts is that the blob
                // exists, so it is not sent again.
                Err(error) if is_nonsense(&error) && self.has(blob).await? => Ok(()),
                result => result,
            }
        };
        self.run(request).await.map_err(|error| self.error(&error))
    }

    /// Mounts a layer from another repository of the same registry. If that fails, the layer is
    /// uploaded.
    async fn mount(&self, blob: &Blob<'_>) -> bool {
        let within = blob.origin.and_then(|origin| {
            let name = origin.strip_prefix(self.repository.registry.as_str())?;
            name.strip_prefix('/')
        });
        let Some(from) = within else { return false };
        let mount = async {
            let uploads = self.url(UPLOADS)?;
            self.sender()
                .await?
                .mount(uploads, (blob.digest, from))
                .await
        };
        patiently(Movement::question(), mount).await.is_ok()
    }

    async fn has(&self, blob: &Blob<'_>) -> Answer<bool> {
        let question = async {
            let url = self.url(&format!("blobs/{}", blob.digest))?;
            self.asker().await?.has(url).await
        };
        patiently(Movement::question(), question).await
    }

    /// Returns the artifacts that refer to an image: by the registry's referrers API, or else those
    /// in the index that clients maintain.
    pub(super) async fn referrers(&self, digest: &str) -> Result<Vec<ImageIndexEntry>, PushError> {
        let listed = self.run(|| self.pages(digest));
        match listed.await {
            Ok(entries) => return Ok(entries),
            Err(error) if is_of_the_way(&error) || is_silence(&error) => {
                return Err(self.error(&error));
            }
            // Registries without that API answer in many ways; all of them mean that there is no
            // list.
            Err(error) if matches!(status(&error), None | Some(400 | 404 | 405)) => {}
            Err(error) => return Err(self.error(&error)),
        }
        let index = self.manifest(&digest.replace(':', "-")).await?;
        let parsed = index.and_then(|it| entries(&it.content).ok());
        Ok(parsed.unwrap_or_default())
    }

    /// Returns all pages of the referrers API.
    async fn pages(&self, digest: &str) -> Answer<Vec<ImageIndexEntry>> {
        let mut next = Some(self.url(&format!("referrers/{digest}"))?);
        let asker = patiently(Movement::question(), self.asker()).await?;
        let accepted = MediaType::ImageIndex.to_string();
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            let Some(page) = next else { return Ok(all) };
            let question = async {
                let response = asker.send(Method::GET, page.clone(), &accepted).await?;
                let response = succeeded(response).await?;
                let following = next_page(response.headers(), &page);
                Ok((entries(&body(response).await?)?, following))
            };
            let (listed, following) = patiently(Movement::question(), question).await?;
            all.extend(listed);
            next = following.map_err(|link| {
                incomplete(format!("its list goes on in another registry: `{link}`"))
            })?;
        }
        match next {
            None => Ok(all),
            Some(_) => Err(incomplete(format!("its list has over {MAX_PAGES} pages"))),
        }
    }

    /// Returns the manifest or index that has this tag or digest, or `None` if there is none.
    pub(super) async fn manifest(&self, reference: &str) -> Result<Option<Document>, PushError> {
        if self.tagged(reference).await?.is_none() {
            return Ok(None);
        }
        let content = {
            let (path, accepted) = (format!("manifests/{reference}"), MANIFESTS.join(", "));
            self.run(|| self.get(&path, &accepted)).await
        };
        let content = content.map_err(|error| self.error(&error))?;
        let parsed: Option<Value> = serde_json::from_slice(&content).ok();
        // Optional in OCI manifests, and not in those of Docker.
        let media_type = parsed.and_then(|it| Some(it["mediaType"].as_str()?.to_owned()));
        let media_type = media_type.unwrap_or_else(|| MANIFESTS[0].to_owned());
        let document = Document::new(&media_type, content);
        // A registry or a proxy may deliver something else.
        if reference.contains(':') && document.digest != reference {
            let message = format!("it gives {} for {reference}", document.digest);
            return Err(self.error(&incomplete(message)));
        }
        Ok(Some(document))
    }

    async fn get(&self, path: &str, accepted: &str) -> Answer<Vec<u8>> {
        let pull = async {
            let url = self.url(path)?;
            let response = self.asker().await?.send(Method::GET, url, accepted).await?;
            body(succeeded(response).await?).await
        };
        patiently(Movement::question(), pull).await
    }

    /// Returns a small blob, or `None` if the registry does not have it or it is too large.
    pub(super) async fn document(&self, descriptor: &Value) -> Result<Option<Document>, PushError> {
        let text = |name: &str| descriptor[name].as_str().unwrap_or_default();
        let size = descriptor["size"].as_u64().unwrap_or(u64::MAX);
        if size > MAX_DOCUMENT || !text("digest").starts_with("sha256:") {
            return Ok(None);
        }
        let path = format!("blobs/{}", text("digest"));
        let request = || self.get(&path, "*/*");
        let content = match self.run(request).await {
            Ok(content) => content,
            Err(error) if status(&error) == Some(404) => return Ok(None),
            Err(error) => return Err(self.error(&error)),
        };
        let document = Document::new(text("mediaType"), content);
        Ok((document.digest == text("digest")).then_some(document))
    }

    /// Sends a manifest, unless the tag or digest leads to it already. A repository with immutable tags
    /// rejects even that.
    pub(super) async fn put_if_other(
        &self,
        document: &Document,
        reference: &str,
    ) -> Result<(), PushError> {
        let Err(error) = self.put(document, reference).await else {
            return Ok(());
        };
        match self.tagged(reference).await {
            Ok(Some(digest)) if digest == document.digest => Ok(()),
            Ok(_) | Err(_) => Err(self.error(&error)),
        }
    }

    /// Sends a manifest, with retries.
    pub(super) async fn put(&self, document: &Document, reference: &str) -> Answer<()> {
        let request = || async {
            let put = async {
                let url = self.url(&format!("manifests/{reference}"))?;
                let (media_type, content) = (&document.media_type, document.content.clone());
                self.sender().await?.put(url, media_type, content).await
            };
            patiently(Movement::question(), put).await
        };
        self.run(request).await
    }

    pub(super) async fn send_manifest(
        &self,
        image: &BuiltImage,
        tag: &str,
    ) -> Result<(), PushError> {
        let Err(error) = self.put(&image.manifest, tag).await else {
            // A registry that rewrites manifests changes the digest, and the service pulls by the
            // digest.
            return match self.tagged(tag).await {
                Ok(Some(digest)) if digest != image.digest() => Err(PushError::Rewritten {
                    registry: self.repository.registry.clone(),
                    digest,
                }),
                Ok(_) | Err(_) => Ok(()),
            };
        };
        // Status codes by which registries reject a tag that exists. ECR answers 400 for immutable
        // tags.
        if !matches!(status(&error), Some(400 | 405 | 409 | 412)) {
            return Err(self.error(&error));
        }
        match self.tagged(tag).await? {
            // Another client has pushed the same image meanwhile, or the first attempt arrived
            // after all.
            Some(digest) if digest == image.digest() => Ok(()),
            Some(_other) => Err(PushError::taken(tag, &error)),
            None => Err(self.error(&error)),
        }
    }
}

/// Parses an index of artifacts.
fn entries(content: &[u8]) -> Answer<Vec<ImageIndexEntry>> {
    let index: OciImageIndex = serde_json::from_slice(content)
        .map_err(|error| OciDistributionError::ManifestParsingError(error.to_string()))?;
    Ok(index.manifests)
}

/// Returns a client that logs in to a registry, and the address of the registry.
pub(crate) async fn client_for(
    registry: &str,
    roots: &[String],
) -> Answer<(Option<Client>, String)> {
    use_tls_of_ring();
    let is_local = loopback::is_loopback(registry);
    let address = if is_local {
        loopback::address_of(registry).await
    } else {
        registry.to_owned()
    };
    Ok((client(&address, is_local, roots)?, address))
}

/// Returns `None` for a registry of a machine without certificates: the library panics then, whether or
/// not it would use them.
fn client(registry: &str, is_local: bool, roots: &[String]) -> Answer<Option<Client>> {
    if !certificates::has_any() {
        return if is_local {
            Ok(None)
        } else {
            Err(without_certificates())
        };
    }
    let protocol = if is_local {
        ClientProtocol::HttpsExcept(vec![registry.to_owned()])
    } else {
        ClientProtocol::Https
    };
    // A proxy that is set here replaces those of the environment. If a local registry redirects to
    // another host, the request goes to this proxy and fails.
    let no_proxy = is_local.then(|| NO_PROXY.to_owned());
    let client = Client::try_from(ClientConfig {
        protocol,
        http_proxy: no_proxy.clone(),
        https_proxy: no_proxy.clone(),
        no_proxy: no_proxy.map(|_| LOOPBACK.to_owned()),
        extra_root_certificates: roots.iter().map(|pem| certificate(pem)).collect(),
        user_agent: USER_AGENT,
        connect_timeout: Some(CONNECT_TIMEOUT),
        ..ClientConfig::default()
    })?;
    Ok(Some(client))
}

fn certificate(pem: &str) -> Certificate {
    Certificate {
        encoding: CertificateEncoding::Pem,
        data: pem.as_bytes().to_vec(),
    }
}

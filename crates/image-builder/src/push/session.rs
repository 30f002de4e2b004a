//! Session with one repository: its requests, its login, and their retries.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use oci_client::manifest::{ImageIndexEntry, OciImageIndex};
use oci_spec::image::MediaType;
use reqwest::Url;
use serde_json::Value;

use super::asking::{Asker, body, http_client, next_page, succeeded};
use super::error::RequestError;
use super::idle::{Movement, patiently};
use super::progress::BlobProgress;
use super::retry::{Patience, Retry};
use super::{Blob, Credentials, PARALLEL, PushError, Repository, loopback};
use crate::image::{BuiltImage, Document, MANIFESTS, MAX_DOCUMENT};

/// Limit for the pages of a list. ECR has 50 entries on each.
const MAX_PAGES: usize = 20;

/// Path of uploads in a repository.
const UPLOADS: &str = "blobs/uploads/";

type Answer<T> = Result<T, RequestError>;

/// Rights that a login asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rights {
    Pull,
    /// To push, and to look up what exists.
    Push,
}

/// State of the login at the registry.
#[derive(Default)]
struct Login {
    /// Set once the registry requires a login.
    is_wanted: bool,
    /// Client without a login. Created on demand, since it may read the system's certificates.
    http: Option<reqwest::Client>,
    /// Client that is logged in, if that is required.
    asker: Option<Asker>,
}

/// Session with one repository.
pub(crate) struct Session {
    login: Arc<Mutex<Login>>,
    /// Repository as it was named, for messages.
    named: Repository,
    /// The same; for a registry on this machine, at the address it listens at.
    repository: Repository,
    rights: Rights,
    retry: Retry,
    patience: Arc<Patience>,
}

impl Session {
    pub(crate) async fn open(repository: &Repository, rights: Rights, retry: Retry) -> Self {
        let name = &repository.registry;
        let is_local = loopback::is_loopback(name);
        let login = Login {
            // Credentials that are configured are used from the first request on. Other machines
            // ask even who is anonymous for a token.
            is_wanted: !is_local || repository.credentials != Credentials::Anonymous,
            ..Login::default()
        };
        Self {
            login: Arc::new(Mutex::new(login)),
            named: repository.clone(),
            repository: Repository {
                registry: loopback::address_of(name).await,
                ..repository.clone()
            },
            rights,
            retry: Retry {
                gives_up_on_nobody: is_local,
                ..retry
            },
            patience: Arc::default(),
        }
    }

    /// Returns the same session with another retry policy, for optional requests.
    pub(super) fn with(&self, retry: Retry) -> Self {
        Self {
            login: Arc::clone(&self.login),
            named: self.named.clone(),
            repository: self.repository.clone(),
            rights: self.rights,
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

    /// Returns the client, logged in if that is required.
    async fn asker(&self) -> Answer<Asker> {
        let (http, is_wanted) = {
            let mut login = self.login();
            if let Some(asker) = &login.asker {
                return Ok(asker.clone());
            }
            let http = match &login.http {
                Some(http) => http.clone(),
                None => http_client(&self.repository.registry, &self.repository.roots)?,
            };
            login.http = Some(http.clone());
            (http, login.is_wanted)
        };
        let base = self.repository.base()?;
        let asker = if is_wanted {
            let actions = match self.rights {
                Rights::Pull => "pull",
                Rights::Push => "pull,push",
            };
            let scope = format!("repository:{}:{actions}", self.repository.name);
            let asker = Asker::new(http, base, self.repository.credentials.clone());
            asker.log_in(&scope).await?
        } else {
            Asker::new(http, base, Credentials::Anonymous)
        };
        self.login().asker = Some(asker.clone());
        Ok(asker)
    }

    /// Logs in once, before several requests would do so concurrently. Errors are ignored: the
    /// requests themselves fail then, and report the reason.
    pub(crate) async fn authorise(&self) {
        patiently(Movement::question(), self.asker()).await.ok();
    }

    /// Drops a token that the registry no longer accepts, and logs in from now on.
    fn log_in_again(&self) {
        let mut login = self.login();
        login.is_wanted = true;
        login.asker = None;
    }

    pub(crate) fn error(&self, error: &RequestError) -> PushError {
        PushError::new(&self.named, error)
    }

    /// Runs a request with retries. Once the registry requires a login, the request is repeated
    /// with one.
    pub(crate) async fn run<T, F: Future<Output = Answer<T>>>(
        &self,
        request: impl Fn() -> F,
    ) -> Answer<T> {
        let with_login = || async {
            let result = request().await;
            if result.as_ref().is_err_and(RequestError::is_unauthorised) {
                self.log_in_again();
            }
            result
        };
        let is_wanted = self.login().is_wanted;
        if !is_wanted {
            let once = self.retry.only_once_unauthorised();
            match once.run(&self.patience, with_login).await {
                Err(error) if error.is_unauthorised() => {}
                result => return result,
            }
        }
        self.retry.run(&self.patience, with_login).await
    }

    /// Returns the digest of the image that has this tag or digest, or `None` if there is none.
    pub(crate) async fn tagged(&self, reference: &str) -> Result<Option<String>, PushError> {
        let question = async || {
            let url = self.repository.url(&format!("manifests/{reference}"))?;
            self.asker().await?.digest(url).await
        };
        let request = || patiently(Movement::question(), question());
        match self.run(request).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_unknown_repository() => Err(self.error(&error)),
            Err(error) if error.status() == Some(404) => Ok(None),
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
        let within = blob.origin.and_then(|origin| {
            let name = origin.strip_prefix(self.named.registry.as_str())?;
            name.strip_prefix('/')
        });
        // Without the right to mount it, a registry starts an upload, which is used.
        let started = match within {
            Some(from) => match self.mount(blob, from).await {
                Ok(None) => return Ok(()),
                Ok(place) => place,
                Err(_) => None,
            },
            None => None,
        };
        let started = Mutex::new(started);
        let size = blob.content.size();
        let request = || async {
            let (movement, chunks) = progress.attempt(blob.content.clone());
            let started = started
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            let upload = async {
                let asker = self.asker().await?;
                let place = match started {
                    Some(place) => place,
                    None => asker.start(self.repository.url(UPLOADS)?).await?,
                };
                asker.upload(place, (blob.digest, size), chunks).await
            };
            match patiently(movement, upload).await {
                // The upload was accepted with an invalid response. What counts is that the blob
                // exists, so it is not sent again.
                Err(error) if error.is_nonsense() && self.has(blob).await? => Ok(()),
                result => result,
            }
        };
        self.run(request).await.map_err(|error| self.error(&error))
    }

    /// Mounts a layer from another repository of the same registry. Returns the place of an upload
    /// if the registry starts one instead.
    async fn mount(&self, blob: &Blob<'_>, from: &str) -> Answer<Option<Url>> {
        let mount = async {
            let uploads = self.repository.url(UPLOADS)?;
            let asker = self.asker().await?;
            asker.mount(uploads, (blob.digest, from)).await
        };
        patiently(Movement::question(), mount).await
    }

    async fn has(&self, blob: &Blob<'_>) -> Answer<bool> {
        let question = async {
            let url = self.repository.url(&format!("blobs/{}", blob.digest))?;
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
            // Registries without that API answer in many ways; all of them mean that there is no
            // list.
            Err(error) if error.is_nonsense() => {}
            Err(error) if matches!(error.status(), Some(400 | 404 | 405)) => {}
            Err(error) => return Err(self.error(&error)),
        }
        let index = self.manifest(&digest.replace(':', "-")).await?;
        let parsed = index.and_then(|it| entries(&it.content));
        Ok(parsed.unwrap_or_default())
    }

    /// Returns all pages of the referrers API.
    async fn pages(&self, digest: &str) -> Answer<Vec<ImageIndexEntry>> {
        let mut next = Some(self.repository.url(&format!("referrers/{digest}"))?);
        let asker = patiently(Movement::question(), self.asker()).await?;
        let accepted = MediaType::ImageIndex.to_string();
        let mut all = Vec::new();
        for _ in 0..MAX_PAGES {
            let Some(page) = next else { return Ok(all) };
            let movement = Movement::question();
            let question = async {
                let response = asker.send(Method::GET, page.clone(), &accepted).await?;
                let response = succeeded(response).await?;
                let following = next_page(response.headers(), &page);
                // A page for people is not retried: it is that of a registry without the API.
                let content = body(response, Some(&movement)).await?;
                let listed = entries(&content).ok_or(RequestError::of_status(404, b"", None))?;
                Ok((listed, following))
            };
            let (listed, following) = patiently(movement.clone(), question).await?;
            all.extend(listed);
            next = following.map_err(|link| {
                let reason = format!("its list goes on in another registry: `{link}`");
                RequestError::Incomplete(reason)
            })?;
        }
        if next.is_none() {
            return Ok(all);
        }
        let reason = format!("its list has over {MAX_PAGES} pages");
        Err(RequestError::Incomplete(reason))
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
            return Err(self.error(&RequestError::Incomplete(message)));
        }
        Ok(Some(document))
    }

    /// Returns small content, such as a manifest.
    pub(crate) async fn get(&self, path: &str, accepted: &str) -> Answer<Vec<u8>> {
        let movement = Movement::question();
        let pull = async {
            let response = self.response(path, accepted).await?;
            body(response, Some(&movement)).await
        };
        patiently(movement.clone(), pull).await
    }

    pub(crate) async fn response(&self, path: &str, accepted: &str) -> Answer<reqwest::Response> {
        let url = self.repository.url(path)?;
        let asker = self.asker().await?;
        succeeded(asker.send(Method::GET, url, accepted).await?).await
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
            Err(error) if error.status() == Some(404) => return Ok(None),
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
                let url = self.repository.url(&format!("manifests/{reference}"))?;
                let (media_type, content) = (&document.media_type, document.content.clone());
                self.asker().await?.put(url, media_type, content).await
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
                    registry: self.named.registry.clone(),
                    digest,
                }),
                Ok(_) | Err(_) => Ok(()),
            };
        };
        // Status codes by which registries reject a tag that exists. ECR answers 400 for immutable
        // tags.
        if !matches!(error.status(), Some(400 | 405 | 409 | 412)) {
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
fn entries(content: &[u8]) -> Option<Vec<ImageIndexEntry>> {
    let index: OciImageIndex = serde_json::from_slice(content).ok()?;
    Some(index.manifests)
}

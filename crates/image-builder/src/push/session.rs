//! The talk with one repository: what each request is, who we are in it, and when it is tried again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci_client::client::{Certificate, CertificateEncoding, Client, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::OCI_IMAGE_INDEX_MEDIA_TYPE;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use serde_json::Value;

use super::error::{is_nonsense, status};
use super::idle::{Movement, patiently};
use super::progress::BlobProgress;
use super::retry::Retry;
use super::{
    Blob, Credentials, PARALLEL, PushError, Repository, is_unknown_repository, loopback,
    use_tls_of_ring,
};
use crate::image::{BuiltImage, Document};

/// A registry that does not answer within this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A proxy that leads nowhere: nobody listens on the port of `discard`.
const NO_PROXY: &str = "http://127.0.0.1:9";
/// What no proxy is asked for. A registry may call itself `localhost` in a `Location`.
const LOOPBACK: &str = "127.0.0.0/8,::1,localhost";

type Answer<T> = Result<T, OciDistributionError>;

/// What is known of who we are.
#[derive(Default)]
struct Login {
    /// The registry wants to know.
    is_wanted: bool,
    /// Does all but ask for manifests. The client asks an open registry before each request how to log in; this one only knows
    /// who we are once the registry wants to know. Made when it is needed: each client reads the certificates of this machine.
    client: Option<Client>,
}

/// The talk with one repository.
pub(super) struct Session<'a> {
    /// Asks for manifests.
    asking: Client,
    login: Arc<Mutex<Login>>,
    auth: RegistryAuth,
    repository: &'a Repository,
    /// Where it is spoken to: the registry, but an address where it is one of this machine.
    registry: String,
    retry: Retry,
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
        let asking = client(&registry, is_local, &repository.roots)
            .map_err(|error| PushError::new(repository, &error))?;
        let (auth, is_wanted) = match &repository.credentials {
            Credentials::Anonymous => (RegistryAuth::Anonymous, false),
            // Whoever has a password is asked for it.
            Credentials::Basic { user, password } => {
                (RegistryAuth::Basic(user.clone(), password.clone()), true)
            }
        };
        let client = is_wanted.then(|| asking.clone());
        Ok(Self {
            asking,
            login: Arc::new(Mutex::new(Login { is_wanted, client })),
            auth,
            repository,
            registry,
            retry,
        })
    }

    /// The same with less patience: for what need not succeed.
    pub(super) fn with(&self, retry: Retry) -> Session<'a> {
        Session {
            asking: self.asking.clone(),
            login: Arc::clone(&self.login),
            auth: self.auth.clone(),
            repository: self.repository,
            registry: self.registry.clone(),
            retry: Retry {
                gives_up_on_nobody: self.retry.gives_up_on_nobody,
                ..retry
            },
        }
    }

    async fn sending(&self) -> Client {
        let (client, is_wanted) = {
            let mut login = self.login.lock().unwrap_or_else(PoisonError::into_inner);
            let make = || {
                let is_local = self.retry.gives_up_on_nobody;
                let made = client(&self.registry, is_local, &self.repository.roots);
                // The other one does the same, and asks more often.
                made.unwrap_or_else(|_| self.asking.clone())
            };
            (
                login.client.get_or_insert_with(make).clone(),
                login.is_wanted,
            )
        };
        if is_wanted {
            client
                .store_auth_if_needed(&self.registry, &self.auth)
                .await;
        }
        client
    }

    /// Forgets a token that the registry no longer takes: the client would send it until it thinks that it has run out.
    fn log_in_again(&self) {
        let mut login = self.login.lock().unwrap_or_else(PoisonError::into_inner);
        *login = Login {
            is_wanted: true,
            client: None,
        };
    }

    pub(super) fn error(&self, error: &OciDistributionError) -> PushError {
        PushError::new(self.repository, error)
    }

    fn by_digest(&self, digest: &str) -> Reference {
        let (registry, name) = (self.registry.clone(), self.repository.name.clone());
        Reference::with_digest(registry, name, digest.to_owned())
    }

    fn by_tag(&self, tag: &str) -> Reference {
        let (registry, name) = (self.registry.clone(), self.repository.name.clone());
        Reference::with_tag(registry, name, tag.to_owned())
    }

    /// Runs a request, which knows how long it is waited for; again where that may help, and with a new login once the registry
    /// wants to know who we are.
    async fn run<T, F: Future<Output = Answer<T>>>(&self, request: impl Fn() -> F) -> Answer<T> {
        let is_wanted = || {
            self.login
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_wanted
        };
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
        if !is_wanted() {
            match self.retry.only_once_unauthorised().run(with_login).await {
                Err(error) if status(&error) == Some(401) => {}
                result => return result,
            }
        }
        self.retry.run(with_login).await
    }

    /// Logs in once, before several requests would do so at the same time. If it fails, they fail, and say why.
    pub(super) async fn authorise_to_push(&self) {
        if self.repository.credentials != Credentials::Anonymous {
            let reference = self.by_tag("latest");
            let client = self.sending().await;
            let login = client.auth(&reference, &self.auth, RegistryOperation::Push);
            patiently(Movement::question(), login).await.ok();
        }
    }

    /// The digest of the image that the tag leads to, if there is one.
    pub(super) async fn tagged(&self, tag: &str) -> Result<Option<String>, PushError> {
        let reference = self.by_tag(tag);
        let request = || self.asking.fetch_manifest_digest(&reference, &self.auth);
        let request = || patiently(Movement::question(), request());
        match self.retry.run(request).await {
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
        let reference = self.by_digest(blob.digest);
        self.run(|| self.has(&reference, blob))
            .await
            .map_err(|error| self.error(&error))
    }

    pub(super) async fn send_blob(
        &self,
        blob: &Blob<'_>,
        progress: BlobProgress,
    ) -> Result<(), PushError> {
        let reference = self.by_digest(blob.digest);
        if self.mount(&reference, blob).await {
            return Ok(());
        }
        let size = blob.content.size();
        let request = || async {
            let (movement, chunks) = progress.attempt(blob.content.clone());
            let client = self.sending().await;
            let request = client.push_blob_stream(&reference, chunks, blob.digest, Some(size));
            match patiently(movement, request).await {
                // Taken, and what was answered makes no sense: what counts is that it is there. Not to send it again.
                Err(error) if is_nonsense(&error) && self.has(&reference, blob).await? => Ok(()),
                result => result.map(drop),
            }
        };
        self.run(request).await.map_err(|error| self.error(&error))
    }

    /// Takes a layer over from another repository of the same registry. If that fails, it is sent.
    async fn mount(&self, reference: &Reference, blob: &Blob<'_>) -> bool {
        let within = blob.origin.and_then(|origin| {
            let name = origin.strip_prefix(self.repository.registry.as_str())?;
            name.strip_prefix('/')
        });
        let Some(name) = within else { return false };
        let tag = "latest".to_owned();
        let source = Reference::with_tag(self.registry.clone(), name.to_owned(), tag);
        let client = self.sending().await;
        let mounted = client.mount_blob(reference, &source, blob.digest);
        patiently(Movement::question(), mounted).await.is_ok()
    }

    async fn has(&self, reference: &Reference, blob: &Blob<'_>) -> Answer<bool> {
        let client = self.sending().await;
        let request = client.blob_exists(reference, blob.digest);
        patiently(Movement::question(), request).await
    }

    /// Returns the digests of what refers to an image: as the registry lists it, or, where it has no such API, the tag for it.
    pub(super) async fn referrers(&self, digest: &str) -> Result<Vec<String>, PushError> {
        let reference = self.by_digest(digest);
        let request = || async {
            let client = self.sending().await;
            let request = client.pull_referrers(&reference, None);
            patiently(Movement::question(), request).await
        };
        match self.run(request).await {
            Ok(index) => Ok(index.manifests.into_iter().map(|it| it.digest).collect()),
            // A registry that does not know the question answers in many ways, and none of them is a list.
            Err(error) if matches!(status(&error), None | Some(400 | 404 | 405)) => Ok(Vec::new()),
            Err(error) => Err(self.error(&error)),
        }
    }

    /// Returns the index that a tag leads to, if there is one.
    pub(super) async fn index(&self, tag: &str) -> Result<Option<Value>, PushError> {
        if self.tagged(tag).await?.is_none() {
            return Ok(None);
        }
        let reference = self.by_tag(tag);
        let request = || async {
            let client = self.sending().await;
            let accepted = [OCI_IMAGE_INDEX_MEDIA_TYPE];
            let request = client.pull_manifest_raw(&reference, &self.auth, &accepted);
            patiently(Movement::question(), request).await
        };
        let (content, _) = self
            .run(request)
            .await
            .map_err(|error| self.error(&error))?;
        Ok(serde_json::from_slice(&content).ok())
    }

    /// Sends a manifest. A tag that cannot be moved refuses also what it leads to already.
    pub(super) async fn put_if_other(
        &self,
        document: &Document,
        tag: &str,
    ) -> Result<(), PushError> {
        let Err(error) = self.put(document, tag).await else {
            return Ok(());
        };
        match self.tagged(tag).await {
            Ok(Some(digest)) if digest == document.digest => Ok(()),
            Ok(_) | Err(_) => Err(self.error(&error)),
        }
    }

    /// Sends a manifest; again where that may help.
    pub(super) async fn put(&self, document: &Document, tag: &str) -> Answer<()> {
        let reference = self.by_tag(tag);
        let media_type = http::HeaderValue::from_str(&document.media_type)
            .map_err(|error| OciDistributionError::GenericError(Some(error.to_string())))?;
        let request = || async {
            let client = self.sending().await;
            let content = document.content.clone();
            let request = client.push_manifest_raw(&reference, content, media_type.clone());
            patiently(Movement::question(), request).await
        };
        self.run(request).await.map(drop)
    }

    pub(super) async fn send_manifest(
        &self,
        image: &BuiltImage,
        tag: &str,
    ) -> Result<(), PushError> {
        let Err(error) = self.put(&image.manifest, tag).await else {
            // A registry that rewrites manifests would have a service that cannot pull what it was told.
            return match self.tagged(tag).await {
                Ok(Some(digest)) if digest != image.digest() => Err(PushError::Rewritten {
                    registry: self.repository.registry.clone(),
                    digest,
                }),
                Ok(_) | Err(_) => Ok(()),
            };
        };
        if !matches!(status(&error), Some(400 | 405 | 409 | 412)) {
            return Err(self.error(&error));
        }
        match self.tagged(tag).await? {
            // Someone else has sent the same image meanwhile, or our first attempt did arrive.
            Some(digest) if digest == image.digest() => Ok(()),
            Some(_other) => Err(PushError::taken(tag, &error)),
            None => Err(self.error(&error)),
        }
    }
}

/// Returns a client for a registry, and where that is spoken to.
pub(crate) async fn client_for(registry: &str, roots: &[String]) -> Answer<(Client, String)> {
    use_tls_of_ring();
    let is_local = loopback::is_loopback(registry);
    let address = if is_local {
        loopback::address_of(registry).await
    } else {
        registry.to_owned()
    };
    Ok((client(&address, is_local, roots)?, address))
}

fn client(registry: &str, is_local: bool, roots: &[String]) -> Answer<Client> {
    let protocol = if is_local {
        ClientProtocol::HttpsExcept(vec![registry.to_owned()])
    } else {
        ClientProtocol::Https
    };
    // One that is named is taken in place of those of the environment. Where a registry of this machine sends us elsewhere, it is
    // asked, and nobody goes there.
    let no_proxy = is_local.then(|| NO_PROXY.to_owned());
    Client::try_from(ClientConfig {
        protocol,
        http_proxy: no_proxy.clone(),
        https_proxy: no_proxy.clone(),
        no_proxy: no_proxy.map(|_| LOOPBACK.to_owned()),
        extra_root_certificates: roots.iter().map(|pem| certificate(pem)).collect(),
        // The other way sends parts of 4 MiB, and ECR wants larger ones.
        use_monolithic_push: true,
        connect_timeout: Some(CONNECT_TIMEOUT),
        // It would count from the beginning of a request, and a large layer takes its time: see `patience`.
        read_timeout: None,
        ..ClientConfig::default()
    })
}

fn certificate(pem: &str) -> Certificate {
    Certificate {
        encoding: CertificateEncoding::Pem,
        data: pem.as_bytes().to_vec(),
    }
}

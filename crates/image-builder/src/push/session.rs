//! The talk with one repository: what each request is, who we are in it, and when it is tried again.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci_client::client::{Certificate, CertificateEncoding, Client, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use tokio::sync::OnceCell;

use super::error::{is_nonsense, status};
use super::patience::{Movement, patiently};
use super::progress::BlobProgress;
use super::retry::Retry;
use super::{
    Blob, Credentials, PARALLEL, PushError, Repository, is_unknown_repository, loopback,
    use_tls_of_ring,
};
use crate::oci::{BuiltImage, Document};

/// A registry that does not answer within this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A proxy that leads nowhere: nobody listens on the port of `discard`.
const NO_PROXY: &str = "http://127.0.0.1:9";
/// What no proxy is asked for.
const LOOPBACK: &str = "127.0.0.0/8,::1";

type Answer<T> = Result<T, OciDistributionError>;

/// The talk with one repository.
pub(super) struct Session<'a> {
    /// Asks for manifests.
    asking: Client,
    /// Does all the rest. The client asks an open registry before each request how to log in; this one only knows who we are once
    /// the registry wants to know. Made when it is needed: each client reads the certificates of this machine.
    sending: Arc<OnceLock<Client>>,
    auth: RegistryAuth,
    /// The registry wants to know who we are, and has been told.
    authorised: OnceCell<()>,
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
        let (sending, auth) = match &repository.credentials {
            Credentials::Anonymous => (OnceLock::new(), RegistryAuth::Anonymous),
            Credentials::Basic { user, password } => {
                let auth = RegistryAuth::Basic(user.clone(), password.clone());
                // Whoever has a password is asked for it.
                (OnceLock::from(asking.clone()), auth)
            }
        };
        Ok(Self {
            asking,
            sending: Arc::new(sending),
            auth,
            authorised: OnceCell::new(),
            repository,
            registry,
            retry,
        })
    }

    /// The same with less patience: for what need not succeed.
    pub(super) fn with(&self, retry: Retry) -> Session<'a> {
        Session {
            asking: self.asking.clone(),
            sending: Arc::clone(&self.sending),
            auth: self.auth.clone(),
            authorised: OnceCell::new(),
            repository: self.repository,
            registry: self.registry.clone(),
            retry: Retry {
                gives_up_on_nobody: self.retry.gives_up_on_nobody,
                ..retry
            },
        }
    }

    fn sending(&self) -> &Client {
        self.sending.get_or_init(|| {
            // The other one does the same, and asks more often.
            client(
                &self.registry,
                self.retry.gives_up_on_nobody,
                &self.repository.roots,
            )
            .unwrap_or_else(|_| self.asking.clone())
        })
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

    /// Runs a request, which knows how long it is waited for; again where that may help, and as somebody once the registry wants to
    /// know who we are.
    async fn run<T, F: Future<Output = Answer<T>>>(
        &self,
        mut request: impl FnMut() -> F,
    ) -> Answer<T> {
        if self.repository.credentials == Credentials::Anonymous && !self.authorised.initialized() {
            match self.retry.only_once_unauthorised().run(&mut request).await {
                Err(error) if status(&error) == Some(401) => self.authorise().await,
                result => return result,
            }
        }
        self.retry.run(request).await
    }

    async fn authorise(&self) {
        let authorise = || async {
            let auth = &self.auth;
            let registry = &self.registry;
            self.sending().store_auth_if_needed(registry, auth).await;
        };
        self.authorised.get_or_init(authorise).await;
    }

    /// Logs in once, before several requests would do so at the same time. If it fails, they fail, and say why.
    pub(super) async fn authorise_to_push(&self) {
        if self.repository.credentials != Credentials::Anonymous {
            let reference = self.by_tag("latest");
            let login = self
                .sending()
                .auth(&reference, &self.auth, RegistryOperation::Push);
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
        let questions: Vec<_> = blobs.iter().map(|blob| self.is_there(*blob)).collect();
        let there: Vec<bool> = stream::iter(questions)
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        let missing = blobs.iter().zip(there).filter(|(_, is_there)| !is_there);
        Ok(missing.map(|(blob, _)| *blob).collect())
    }

    async fn is_there(&self, blob: Blob<'_>) -> Result<bool, PushError> {
        let reference = self.by_digest(blob.digest);
        self.run(|| self.has(&reference, blob))
            .await
            .map_err(|error| self.error(&error))
    }

    pub(super) async fn send_blob(
        &self,
        blob: Blob<'_>,
        progress: BlobProgress,
    ) -> Result<(), PushError> {
        let reference = self.by_digest(blob.digest);
        let size = blob.content.len() as u64;
        let request = || {
            let (movement, chunks) = progress.attempt(blob.content.clone());
            let request =
                self.sending()
                    .push_blob_stream(&reference, chunks, blob.digest, Some(size));
            async {
                match patiently(movement, request).await {
                    // Taken, and what was answered makes no sense: what counts is that it is there. Not to send it again.
                    Err(error) if is_nonsense(&error) && self.has(&reference, blob).await? => {
                        Ok(())
                    }
                    result => result.map(drop),
                }
            }
        };
        self.run(request).await.map_err(|error| self.error(&error))
    }

    async fn has(&self, reference: &Reference, blob: Blob<'_>) -> Answer<bool> {
        let request = self.sending().blob_exists(reference, blob.digest);
        patiently(Movement::question(), request).await
    }

    /// Sends a manifest; again where that may help.
    pub(super) async fn put(&self, document: &Document, tag: &str) -> Answer<()> {
        let reference = self.by_tag(tag);
        let media_type = http::HeaderValue::from_str(&document.media_type)
            .map_err(|error| OciDistributionError::GenericError(Some(error.to_string())))?;
        let request = || {
            self.sending().push_manifest_raw(
                &reference,
                document.content.clone(),
                media_type.clone(),
            )
        };
        self.run(|| patiently(Movement::question(), request()))
            .await
            .map(drop)
    }

    pub(super) async fn send_manifest(
        &self,
        image: &BuiltImage,
        tag: &str,
    ) -> Result<(), PushError> {
        let Err(error) = self.put(&image.manifest, tag).await else {
            return Ok(());
        };
        if !matches!(status(&error), Some(400 | 405 | 409 | 412)) {
            return Err(self.error(&error));
        }
        match self.tagged(tag).await? {
            // Someone else has sent the same image in the meantime, or our first attempt did arrive.
            Some(digest) if digest == image.digest() => Ok(()),
            Some(_other) => Err(PushError::taken(tag, &error)),
            None => Err(self.error(&error)),
        }
    }
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

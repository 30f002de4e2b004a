//! How far a push is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::Stream;
use oci_client::errors::OciDistributionError;

/// The grain of the progress, in bytes.
const CHUNK: usize = 64 * 1024;

/// How far a push is, in bytes. `total` is known once it is known what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushProgress {
    /// Sent so far.
    pub sent: u64,
    /// To be sent.
    pub total: u64,
}

/// Hears how far a push is. Called from where the request is sent: it should return at once.
pub type OnProgress = Arc<dyn Fn(PushProgress) + Send + Sync>;

/// Counts what goes out, and tells it.
#[derive(Clone)]
pub(super) struct Progress {
    sent: Arc<AtomicU64>,
    total: u64,
    listener: OnProgress,
}

impl Progress {
    pub(super) fn start(total: u64, listener: OnProgress) -> Self {
        let progress = Self {
            sent: Arc::new(AtomicU64::new(0)),
            total,
            listener,
        };
        progress.add(0);
        progress
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        (self.listener)(PushProgress {
            sent: self.sent(),
            total: self.total,
        });
    }

    /// An attempt failed: what it sent does not count.
    pub(super) fn reset_to(&self, sent: u64) {
        self.sent.store(sent, Ordering::Relaxed);
    }

    /// The content in pieces, each of which is told when it goes out.
    pub(super) fn chunks(
        &self,
        content: Bytes,
    ) -> impl Stream<Item = Result<Bytes, OciDistributionError>> + Send + 'static {
        let progress = self.clone();
        let starts = (0..content.len()).step_by(CHUNK);
        futures_util::stream::iter(starts.map(move |start| {
            let chunk = content.slice(start..content.len().min(start + CHUNK));
            progress.add(chunk.len() as u64);
            Ok(chunk)
        }))
    }
}

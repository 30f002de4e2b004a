//! How far a push is.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::Stream;
use oci_client::errors::OciDistributionError;

use super::idle::Movement;
use crate::layer::Blob;

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

/// Counts what goes out, and tells it. Several layers go out at the same time.
#[derive(Clone)]
pub(super) struct Progress(Arc<Mutex<Told>>);

struct Told {
    sent: u64,
    total: u64,
    listener: OnProgress,
}

impl Progress {
    pub(super) fn start(total: u64, listener: OnProgress) -> Self {
        let progress = Self(Arc::new(Mutex::new(Told {
            sent: 0,
            total,
            listener,
        })));
        progress.add(0);
        progress
    }

    pub(super) fn add(&self, bytes: u64) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.sent += bytes;
        // Told under the lock: in order.
        (told.listener)(PushProgress {
            sent: told.sent,
            total: told.total,
        });
    }

    fn take_back(&self, bytes: u64) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.sent -= bytes;
    }

    /// The progress of one layer.
    pub(super) fn blob(&self) -> BlobProgress {
        BlobProgress {
            all: self.clone(),
            attempt: Arc::default(),
        }
    }
}

/// Counts one layer: what a failed attempt sent does not count.
#[derive(Clone)]
pub(super) struct BlobProgress {
    all: Progress,
    attempt: Arc<Mutex<Attempt>>,
}

#[derive(Default)]
struct Attempt {
    number: u32,
    sent: u64,
}

impl BlobProgress {
    /// Begins another attempt: the content in pieces, each of which is told when it goes out, and is a movement.
    pub(super) fn attempt(
        &self,
        content: Blob,
    ) -> (
        Movement,
        impl Stream<Item = Result<Bytes, OciDistributionError>> + Send + 'static,
    ) {
        let number = {
            let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
            self.all.take_back(std::mem::take(&mut attempt.sent));
            attempt.number += 1;
            attempt.number
        };
        let movement = Movement::content();
        let (this, moving) = (self.clone(), movement.clone());
        let starts = (0..content.size()).step_by(CHUNK);
        let chunks = futures_util::stream::iter(starts.map(move |start| {
            let chunk = content.part(start, CHUNK)?;
            this.count(number, chunk.len() as u64);
            moving.moved();
            Ok(chunk)
        }));
        (movement, chunks)
    }

    /// A connection that is given up may still take a piece.
    fn count(&self, number: u32, bytes: u64) {
        let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        if attempt.number == number {
            attempt.sent += bytes;
            self.all.add(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    #[test]
    fn failed_attempts_do_not_count() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let content = Blob::from(Bytes::from(vec![0; CHUNK + 7]));
        let total = 2 * content.size();
        let progress = Progress::start(
            total,
            Arc::new(move |at| sink.lock().unwrap().push(at.sent)),
        );
        let (one, other) = (progress.blob(), progress.blob());
        let (_, mut first) = one.attempt(content.clone());
        first.next().now_or_never().unwrap();
        let (_, whole) = other.attempt(content.clone());
        whole.count().now_or_never().unwrap();
        let (_, again) = one.attempt(content);
        // Of the attempt before: too late.
        first.next().now_or_never().unwrap();
        again.count().now_or_never().unwrap();
        assert_eq!(seen.lock().unwrap().last(), Some(&total));
    }
}

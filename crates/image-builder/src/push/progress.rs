//! Progress of a push.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::Stream;

use super::error::RequestError;
use super::idle::Movement;
use crate::layer::Blob;

/// Size of the chunks that are sent, and so the granularity of the progress, in bytes.
const CHUNK: usize = 64 * 1024;

/// Progress of a push in bytes. `total` is known once the missing blobs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushProgress {
    /// Bytes sent so far.
    pub sent: u64,
    /// Bytes to send in total.
    pub total: u64,
}

/// Callback for the progress of a push. Runs in the task that sends, so it should return at once.
pub type OnProgress = Arc<dyn Fn(PushProgress) + Send + Sync>;

/// Counter of the bytes sent, shared by concurrent uploads.
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
        // Reports the total before the first bytes are sent.
        progress.add(0);
        progress
    }

    pub(super) fn add(&self, bytes: u64) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.sent += bytes;
        // The callback runs under the lock, so that it sees increasing values.
        (told.listener)(PushProgress {
            sent: told.sent,
            total: told.total,
        });
    }

    fn take_back(&self, bytes: u64) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.sent -= bytes;
    }

    /// Creates the counter for one layer.
    pub(super) fn blob(&self) -> BlobProgress {
        BlobProgress {
            all: self.clone(),
            attempt: Arc::default(),
        }
    }
}

/// Counter for one layer, without the bytes of failed attempts.
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
    /// Starts another attempt. Returns the content in chunks, each of which updates the progress
    /// and the idle timer.
    pub(super) fn attempt(
        &self,
        content: Blob,
    ) -> (
        Movement,
        impl Stream<Item = Result<Bytes, RequestError>> + Send + 'static,
    ) {
        let number = {
            let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
            // The new attempt sends everything again, so the bytes of the last one are subtracted.
            self.all.take_back(std::mem::take(&mut attempt.sent));
            attempt.number += 1;
            attempt.number
        };
        let movement = Movement::content();
        let (this, moving) = (self.clone(), movement.clone());
        let starts = (0..content.size()).step_by(CHUNK);
        let chunks = futures_util::stream::iter(starts.map(move |start| {
            // Read on demand, so that a large file is never in memory as a whole.
            let chunk = content.part(start, CHUNK)?;
            this.count(number, chunk.len() as u64);
            moving.moved();
            Ok(chunk)
        }));
        (movement, chunks)
    }

    /// Counts a chunk, unless it belongs to an earlier attempt: an abandoned connection may still
    /// consume one.
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

//! Decompression of layers: gzip, zstd, or an archive as it is.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// First bytes of a file in gzip.
pub(crate) const GZIP: [u8; 2] = [0x1f, 0x8b];
/// First bytes of a frame of zstd.
pub(crate) const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Size limit for all layers unpacked, in bytes. Protects against decompression bombs.
pub(crate) const MAX_UNPACKED: u64 = 8 << 30;
/// Bytes 2 to 4 of a frame that decoders skip. The first one is 0x50 to 0x5f.
const SKIPPED: [u8; 3] = [0x2a, 0x4d, 0x18];

/// Returns whether content is compressed in a way that registries and engines know.
pub(crate) fn is_compressed(start: &[u8]) -> bool {
    start.starts_with(&GZIP) || is_zstd(start)
}

fn is_zstd(start: &[u8]) -> bool {
    let is_skipped = start.first().is_some_and(|first| first & 0xf0 == 0x50)
        && start.get(1..4) == Some(&SKIPPED[..]);
    start.starts_with(&ZSTD) || is_skipped
}

/// Returns a reader of the decompressed content. Its first bytes tell the compression, since media
/// types of other builders are not always right.
pub(crate) fn decompressed<'r>(mut reader: impl BufRead + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let start = reader.fill_buf()?;
    Ok(if start.starts_with(&GZIP) {
        // A layer may have several gzip members, as in eStargz; `GzDecoder` would read only the
        // first.
        Box::new(MultiGzDecoder::new(reader))
    } else if is_zstd(start) {
        Box::new(Frames {
            source: reader,
            decoder: FrameDecoder::new(),
            is_within: false,
        })
    } else {
        Box::new(reader)
    })
}

/// Decoder of all frames of a file in zstd. Layers of zstd:chunked have one for each file, and one
/// to skip at the end.
struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    /// Set from the header of a frame to its end.
    is_within: bool,
}

impl<R: BufRead> Frames<R> {
    /// Reads the header of the next frame. Returns `false` at the end of the file.
    fn next(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => {
                    self.is_within = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = (&mut self.source).take(length.into());
                    io::copy(&mut skipped, &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.is_within && !self.next()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let size = BlockDecodingStrategy::UptoBytes(buffer.len());
                self.decoder
                    .decode_blocks(&mut self.source, size)
                    .map_err(io::Error::other)?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            self.is_within = false;
        }
    }
}

/// Reader that fails once it has read more than a limit.
pub(crate) struct Limited<R> {
    pub(crate) inner: R,
    pub(crate) left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let left = self.left.checked_sub(read as u64);
        self.left = left.ok_or_else(|| io::Error::other("it has more than 8 GiB unpacked"))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `hello ` and `world`, each by `zstd`, with a frame to skip before, between and behind.
    fn frames() -> Vec<u8> {
        let skipped = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        // A raw block: magic, a descriptor with the content's size in one byte, and the block's
        // header of three bytes (last, raw, size).
        let frame = |content: &[u8]| {
            let size = u8::try_from(content.len()).unwrap();
            let mut frame = ZSTD.to_vec();
            frame.extend([0x20, size, 1 | size << 3, 0, 0]);
            frame.extend(content);
            frame
        };
        [
            &skipped[..],
            &frame(b"hello "),
            &skipped,
            &frame(b"world"),
            &skipped,
        ]
        .concat()
    }

    #[test]
    fn every_compression_is_read_to_the_end() {
        use std::io::Write as _;
        let read = |content: &[u8]| {
            let mut text = String::new();
            let mut reader = decompressed(content)?;
            reader.read_to_string(&mut text).map(|_| text)
        };
        let gzip = |content: &[u8]| {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(content).unwrap();
            writer.finish().unwrap()
        };
        assert_eq!(read(b"hello world").unwrap(), "hello world");
        assert_eq!(
            read(&[gzip(b"hello "), gzip(b"world")].concat()).unwrap(),
            "hello world"
        );
        assert_eq!(read(&frames()).unwrap(), "hello world");
        assert_eq!(read(b"").unwrap(), "");
        let mut cut = frames();
        cut.truncate(20);
        assert!(read(&cut).is_err());
        assert!(is_compressed(&frames()) && is_compressed(&gzip(b"")) && !is_compressed(b"x"));
    }
}

//! Frames: a length as four little-endian bytes, then that many bytes: a message in UTF-8 JSON, or a pickled
//! call or result.

use std::ops::Range;

use rustix::buffer::spare_capacity;
use rustix::fd::AsFd;
use rustix::io::Errno;
use serde::Serialize;

/// Bytes to read at once while the length of the frame is unknown: the usual capacity of a pipe.
const READ: usize = 64 * 1024;

/// Frames up to this size are copied out of the buffer, which is then reused.
const COPIED: usize = 64 * 1024;

/// How many bytes a frame's length has.
pub(crate) const PREFIX: usize = 4;

/// Encodes a message as a frame.
pub(crate) fn encode(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut frame = vec![0; PREFIX];
    serde_json::to_writer(&mut frame, message)?;
    Ok(with_length(frame))
}

/// Encodes a text as a frame.
pub(crate) fn encode_text(text: &str) -> Vec<u8> {
    let mut frame = Vec::with_capacity(PREFIX + text.len());
    frame.extend([0; PREFIX]);
    frame.extend_from_slice(text.as_bytes());
    with_length(frame)
}

/// Fills in the length of a frame that begins with four bytes for it. Callers have checked the length against
/// the limit on frames, which is below 4 GiB.
pub(crate) fn with_length(mut frame: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(frame.len() - PREFIX).unwrap_or(u32::MAX).to_le_bytes();
    for (place, byte) in frame.iter_mut().zip(length) {
        *place = byte;
    }
    frame
}

/// A received frame.
#[derive(Debug)]
pub(crate) struct Frame {
    bytes: Vec<u8>,
    body: Range<usize>,
}

impl Frame {
    #[cfg(test)]
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self { body: 0..bytes.len(), bytes }
    }

    /// The frame without the first bytes of its body.
    pub(super) fn without_first(mut self, bytes: usize) -> Self {
        self.body.start = self.body.end.min(self.body.start + bytes);
        self
    }

    pub(crate) fn body(&self) -> &[u8] {
        self.bytes.get(self.body.clone()).unwrap_or_default()
    }
}

/// A length beyond the limit, in bytes: the answer is too large, or the bytes are not a frame.
#[derive(Debug)]
pub(crate) struct TooLarge(pub(crate) usize);

/// Bytes that were read and not yet taken as frames.
#[derive(Debug, Default)]
pub(crate) struct Received {
    buffer: Vec<u8>,
    start: usize,
}

impl Received {
    /// Reads once from a descriptor. Zero bytes mean the end of the stream.
    pub(crate) fn read_from(&mut self, source: impl AsFd) -> Result<usize, Errno> {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        }
        let missing = self.length().map_or(0, |length| {
            (self.start + PREFIX).saturating_add(length).saturating_sub(self.buffer.len())
        });
        self.buffer.reserve(missing.clamp(READ, 64 * READ));
        rustix::io::read(source, spare_capacity(&mut self.buffer))
    }

    /// The next frame, once it is complete.
    pub(crate) fn next(&mut self, limit: usize) -> Result<Option<Frame>, TooLarge> {
        let Some(length) = self.length() else { return Ok(None) };
        if length > limit {
            return Err(TooLarge(length));
        }
        let body = self.start + PREFIX..self.start + PREFIX + length;
        let Some(bytes) = self.buffer.get(body.clone()) else { return Ok(None) };
        if length > COPIED && body.end == self.buffer.len() {
            self.start = 0;
            return Ok(Some(Frame { bytes: std::mem::take(&mut self.buffer), body }));
        }
        let frame = Frame { bytes: bytes.to_vec(), body: 0..length };
        self.start = body.end;
        Ok(Some(frame))
    }

    /// How long the next frame is, in bytes; 0 while that is unknown.
    pub(crate) fn wanted(&self) -> usize {
        self.length().unwrap_or(0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    fn length(&self) -> Option<usize> {
        let prefix = self.buffer.get(self.start..self.start + PREFIX)?;
        Some(u32::from_le_bytes(prefix.try_into().ok()?) as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn received(bytes: &[u8]) -> Received {
        Received { buffer: bytes.to_vec(), start: 0 }
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_wherever_reads_end(
            bodies in prop::collection::vec("[a-zé]{0,40}", 0..6), cut in 0usize..300,
        ) {
            let bytes: Vec<u8> = bodies.iter().flat_map(|body| encode_text(body)).collect();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let mut received = received(first);
            let mut found = Vec::new();
            while let Some(frame) = received.next(1000).unwrap() { found.push(frame.body().to_vec()); }
            received.buffer.extend_from_slice(second);
            while let Some(frame) = received.next(1000).unwrap() { found.push(frame.body().to_vec()); }
            prop_assert!(received.is_empty());
            prop_assert_eq!(found, bodies.into_iter().map(String::into_bytes).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_its_bytes_are_there() {
        assert!(matches!(received(&[1, 1, 0, 0]).next(256), Err(TooLarge(257))));
        assert!(matches!(received(&[1, 1, 0, 0]).next(257), Ok(None)));
    }
}

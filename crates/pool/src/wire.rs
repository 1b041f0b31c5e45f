//! Frames: a length as four little-endian bytes, then so many bytes of UTF-8 JSON.

use std::ops::Range;

use rustix::buffer::spare_capacity;
use rustix::fd::AsFd;
use rustix::io::Errno;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use sgtk_config::PythonError;

/// What a read asks for where it is not known how much is to come: a pipe's usual capacity.
const READ: usize = 64 * 1024;

/// Frames up to this size are copied out of the buffer, which then serves the next one.
const COPIED: usize = 64 * 1024;

const PREFIX: usize = 4;

/// A message as a frame.
pub(super) fn encode(message: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut frame = vec![0; PREFIX];
    serde_json::to_writer(&mut frame, message)?;
    Ok(with_length(frame))
}

/// A text as a frame.
pub(super) fn encode_text(text: &str) -> Vec<u8> {
    let mut frame = Vec::with_capacity(PREFIX + text.len());
    frame.extend([0; PREFIX]);
    frame.extend_from_slice(text.as_bytes());
    with_length(frame)
}

/// Fills in the length of a frame that begins with room for it. One beyond what four bytes can say is refused by the
/// limit on frames, before it is sent.
pub(super) fn with_length(mut frame: Vec<u8>) -> Vec<u8> {
    let length = u32::try_from(frame.len() - PREFIX).unwrap_or(u32::MAX).to_le_bytes();
    for (place, byte) in frame.iter_mut().zip(length) {
        *place = byte;
    }
    frame
}

/// What came after a frame's length.
#[derive(Debug)]
pub(super) struct Frame {
    bytes: Vec<u8>,
    body: Range<usize>,
}

impl Frame {
    pub(super) fn body(&self) -> &[u8] {
        self.bytes.get(self.body.clone()).unwrap_or_default()
    }
}

/// A length that is beyond the limit: an answer that is too large, or bytes that are no frame at all.
#[derive(Debug)]
pub(super) struct TooLarge(pub(super) usize);

/// Bytes read and not yet taken as frames.
#[derive(Debug, Default)]
pub(super) struct Received {
    buffer: Vec<u8>,
    start: usize,
}

impl Received {
    /// Reads once from a descriptor. Zero is its end.
    pub(super) fn read_from(&mut self, source: impl AsFd) -> Result<usize, Errno> {
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

    /// The next frame, where all of it is there.
    pub(super) fn next(&mut self, limit: usize) -> Result<Option<Frame>, TooLarge> {
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

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    fn length(&self) -> Option<usize> {
        let prefix = self.buffer.get(self.start..self.start + PREFIX)?;
        Some(u32::from_le_bytes(prefix.try_into().ok()?) as usize)
    }
}

/// A Python exception as the agent sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RemoteError {
    #[serde(rename = "type")]
    pub(super) type_name: String,
    pub(super) message: String,
    pub(super) traceback: Option<String>,
    pub(super) mro: Vec<String>,
    /// What was being done, where that was not yet the call itself.
    pub(super) note: Option<String>,
}

impl From<RemoteError> for PythonError {
    fn from(error: RemoteError) -> Self {
        let traceback = error.traceback.as_deref().map(str::trim_end).filter(|text| !text.is_empty());
        Self::new(error.type_name, error.mro, &error.message, traceback)
    }
}

/// A value that has no JSON.
#[derive(Debug, Deserialize)]
pub(super) struct NoJson {
    pub(super) place: String,
    pub(super) reason: String,
}

/// The agent's first words.
#[derive(Debug, Deserialize)]
pub(super) struct Greeting {
    pub(super) hello: Hello,
}

#[derive(Debug, Deserialize)]
pub(super) struct Hello {
    pub(super) protocol: u32,
    pub(super) python: Vec<u32>,
    pub(super) executable: String,
}

/// What the agent says to `enter`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    Entered(Entered),
    Failed(Failed),
}

#[derive(Debug, Deserialize)]
pub(super) struct Entered {
    pub(super) core_version: Option<String>,
    /// In what a bootstrapped engine is not what was asked for: the kind, and a sentence.
    #[serde(default)]
    pub(super) differences: Vec<(String, String)>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Failed {
    pub(super) step: String,
    pub(super) error: RemoteError,
}

/// What the agent says to a call.
#[derive(Debug)]
pub(super) enum Answer {
    /// Where in the frame's body the result is. It was not looked at: whoever takes it parses it.
    Result(Range<usize>),
    Error(RemoteError),
    Unsendable(NoJson),
    /// The request could not be read, so nothing was called.
    Refused(RemoteError),
}

#[derive(Deserialize)]
struct AnswerFields<'a> {
    id: u64,
    // A plain `Option` would take `null` for no result.
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    error: Option<RemoteError>,
    unsendable: Option<NoJson>,
    refused: Option<RemoteError>,
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(source: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(source).map(Some)
}

impl Answer {
    /// The answer to the call of this number.
    ///
    /// # Errors
    /// Why the frame is no such thing.
    pub(super) fn parse(body: &[u8], id: u64) -> Result<Self, String> {
        if let Some(result) = plain_result(body, id) {
            return Ok(Self::Result(result));
        }
        let fields: AnswerFields<'_> =
            serde_json::from_slice(body).map_err(|error| format!("an answer that is none: {error}"))?;
        if fields.id != id {
            return Err(format!("an answer to call {}, not to {id}", fields.id));
        }
        match (fields.result, fields.error, fields.unsendable, fields.refused) {
            (Some(result), None, None, None) => {
                let start = result.get().as_ptr() as usize - body.as_ptr() as usize;
                Ok(Self::Result(start..start + result.get().len()))
            }
            (None, Some(error), None, None) => Ok(Self::Error(error)),
            (None, None, Some(fault), None) => Ok(Self::Unsendable(fault)),
            (None, None, None, Some(error)) => Ok(Self::Refused(error)),
            _ => Err("an answer with no result and no error, or with both".to_owned()),
        }
    }
}

/// The result of an answer as the agent writes it, found without parsing it.
fn plain_result(body: &[u8], id: u64) -> Option<Range<usize>> {
    let rest = body.strip_prefix(b"{\"id\":")?.trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = rest.split_at_checked(digits)?;
    if std::str::from_utf8(number).ok()?.parse() != Ok(id) {
        return None;
    }
    let rest = rest.strip_prefix(b",")?.trim_ascii_start().strip_prefix(b"\"result\":")?;
    let start = body.len() - rest.len();
    rest.ends_with(b"}").then(|| start..body.len() - 1)
}

/// One record of Python's `logging`.
#[derive(Debug, Deserialize)]
pub(super) struct LogRecord {
    pub(super) logger: String,
    pub(super) level: i64,
    pub(super) message: String,
    #[serde(default)]
    pub(super) pid: i64,
    #[serde(default)]
    pub(super) thread: String,
    #[serde(default)]
    pub(super) exc: Option<String>,
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

        #[test]
        fn any_bytes_are_an_answer_or_an_error(body in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Answer::parse(&body, 1);
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_its_bytes_are_there() {
        assert!(matches!(received(&[1, 1, 0, 0]).next(256), Err(TooLarge(257))));
        assert!(matches!(received(&[1, 1, 0, 0]).next(257), Ok(None)));
    }

    fn result_of(body: &str) -> Option<&str> {
        match Answer::parse(body.as_bytes(), 7) {
            Ok(Answer::Result(range)) => body.get(range),
            _ => None,
        }
    }

    #[test]
    fn a_result_is_found_in_any_spelling_of_the_answer() {
        assert_eq!(result_of(r#"{"id":7,"result":[1, {"a": null}]}"#), Some(r#"[1, {"a": null}]"#));
        assert_eq!(result_of(r#"{"id": 7, "result": null}"#).map(str::trim), Some("null"));
        assert_eq!(result_of(r#"{"result": null, "id": 7}"#), Some("null"));
        assert_eq!(result_of(r#"{"result": {"id": 8}, "id": 7} "#), Some(r#"{"id": 8}"#));
    }

    #[test]
    fn an_answer_to_another_call_is_an_error() {
        for body in [r#"{"id":8,"result":1}"#, r#"{"id":70,"result":1}"#, r#"{"result":1}"#, r#"{"id":7}"#] {
            assert!(Answer::parse(body.as_bytes(), 7).is_err(), "{body}");
        }
    }

    #[test]
    fn an_exception_is_read_with_its_classes() {
        let body =
            br#"{"id": 7, "error": {"type": "a.B", "message": "m", "traceback": "t\n", "mro": ["B"]}}"#;
        let Ok(Answer::Error(error)) = Answer::parse(body, 7) else { panic!() };
        let error = PythonError::from(error);
        assert_eq!((error.type_name.as_str(), error.traceback.as_deref()), ("a.B", Some("t")));
        assert!(error.is_a("B"));
    }
}

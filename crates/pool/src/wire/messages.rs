//! The messages of the agent: what it says when it starts, and how it answers calls.

use std::ops::Range;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use sgtk_config::PythonError;

use super::frames::Frame;

/// The request that ends a worker or a template.
pub(crate) const END: &str = "{\"end\":true}";

/// A Python exception as the agent sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RemoteError {
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) message: String,
    pub(crate) traceback: Option<String>,
    pub(crate) mro: Vec<String>,
    /// The step that failed, where that is not the call itself.
    pub(crate) note: Option<String>,
}

impl From<RemoteError> for PythonError {
    fn from(error: RemoteError) -> Self {
        let traceback = error.traceback.as_deref().map(str::trim_end).filter(|text| !text.is_empty());
        Self::new(error.type_name, error.mro, &error.message, traceback)
    }
}

/// A value that cannot be written as JSON.
#[derive(Debug, Deserialize)]
pub(crate) struct InvalidValue {
    pub(crate) place: String,
    pub(crate) reason: String,
}

/// The first message of an agent.
#[derive(Debug, Deserialize)]
pub(crate) struct Greeting {
    pub(crate) hello: Hello,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
    pub(crate) python: Vec<u32>,
    pub(crate) executable: String,
}

/// The answer to `enter`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    Entered(Entered),
    Failed(Failed),
}

#[derive(Debug, Deserialize)]
pub(crate) struct Entered {
    pub(crate) core_version: Option<String>,
    /// In what a bootstrapped engine is not what was asked for: the kind, and a sentence.
    #[serde(default)]
    pub(crate) differences: Vec<(String, String)>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Failed {
    pub(crate) step: String,
    pub(crate) error: RemoteError,
}

/// What a call did to the import state of its project, which the worker has undone.
#[derive(Debug, Deserialize)]
pub(crate) struct Left {
    /// Sentences without a full stop.
    pub(crate) what: Vec<String>,
    /// Whether it could not be undone: the worker is to be replaced.
    pub(crate) replace: bool,
    /// Whether this function has done nothing like it before in this worker.
    pub(crate) news: bool,
}

/// The answer to a call.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Where the result lies in the frame's body. It is parsed by whoever takes it.
    Result(Range<usize>),
    Error(RemoteError),
    /// The function returned a value that cannot be sent.
    InvalidResult(InvalidValue),
    /// The arguments could not be read, so nothing was called.
    InvalidCall(RemoteError),
}

#[derive(Deserialize)]
struct AnswerFields<'a> {
    id: u64,
    // A plain `Option` would read `null` as no result.
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    error: Option<RemoteError>,
    invalid_result: Option<InvalidValue>,
    invalid_call: Option<RemoteError>,
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(source: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(source).map(Some)
}

impl Answer {
    /// Reads the answer to call `id`.
    ///
    /// # Errors
    /// What is wrong with the frame, for a sentence that begins with "it sent".
    pub(crate) fn parse(body: &[u8], id: u64) -> Result<Self, String> {
        if let Some(result) = plain_result(body, id) {
            return Ok(Self::Result(result));
        }
        let fields: AnswerFields<'_> =
            serde_json::from_slice(body).map_err(|error| format!("an invalid answer: {error}"))?;
        if fields.id != id {
            return Err(format!("an answer to call {}, not to {id}", fields.id));
        }
        match (fields.result, fields.error, fields.invalid_result, fields.invalid_call) {
            (Some(result), None, None, None) => {
                let start = result.get().as_ptr() as usize - body.as_ptr() as usize;
                Ok(Self::Result(start..start + result.get().len()))
            }
            (None, Some(error), None, None) => Ok(Self::Error(error)),
            (None, None, Some(value), None) => Ok(Self::InvalidResult(value)),
            (None, None, None, Some(error)) => Ok(Self::InvalidCall(error)),
            _ => Err("an answer without exactly one of result and error".to_owned()),
        }
    }
}

/// How the answer of a call begins that did something to the import state of its project. A length in four
/// bytes follows, then that in JSON, then the answer.
const LEFT: u8 = b'L';

/// What a call did to the import state of its project, and its answer without that.
///
/// # Errors
/// What is wrong with the frame, for a sentence that begins with "it sent".
pub(super) fn take_left(frame: Frame) -> Result<(Option<Left>, Frame), String> {
    let Some(rest) = frame.body().strip_prefix(&[LEFT]) else { return Ok((None, frame)) };
    let told = rest.split_first_chunk().and_then(|(length, rest)| {
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        Some((rest.get(..length)?, 1 + 4 + length))
    });
    let (told, length) = told.ok_or("an answer that is cut short")?;
    let left = serde_json::from_slice(told).map_err(|error| format!("an invalid answer: {error}"))?;
    Ok((Some(left), frame.without_first(length)))
}

/// How the body of a call, or of its answer, begins if it is a pickle: JSON begins otherwise. The call's
/// number follows, then the pickle.
const PICKLE: u8 = b'P';

/// The same, where arguments that are `bytes` are JSON to be read.
const PICKLE_WITH_JSON: u8 = b'J';

/// How many bytes there are before the pickle.
const BEFORE_PICKLE: usize = 9;

/// What precedes the pickle of a call.
pub(super) fn before_pickle(id: u64, with_json: bool) -> [u8; BEFORE_PICKLE] {
    let mut head = [if with_json { PICKLE_WITH_JSON } else { PICKLE }; BEFORE_PICKLE];
    for (place, byte) in head.iter_mut().skip(1).zip(id.to_le_bytes()) {
        *place = byte;
    }
    head
}

/// The pickle of a result, if the answer to call `id` has one.
///
/// # Errors
/// It is the answer to another call, for a sentence that begins with "it sent".
pub(super) fn pickled_result(body: &[u8], id: u64) -> Result<Option<&[u8]>, String> {
    let Some((head, pickle)) =
        body.split_at_checked(BEFORE_PICKLE).filter(|(head, _)| head.first() == Some(&PICKLE))
    else {
        return Ok(None);
    };
    if head != before_pickle(id, false) {
        return Err(format!("an answer to another call than {id}"));
    }
    Ok(Some(pickle))
}

/// What follows the number of the call.
pub(super) fn pickle(body: &[u8]) -> &[u8] {
    body.get(BEFORE_PICKLE..).unwrap_or_default()
}

/// Finds the result in an answer as the agent writes it, without parsing it.
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
pub(crate) struct LogRecord {
    pub(crate) logger: String,
    pub(crate) level: i64,
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) pid: i64,
    #[serde(default)]
    pub(crate) thread: String,
    #[serde(default)]
    pub(crate) exc: Option<String>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(body in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Answer::parse(&body, 1);
        }
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
    fn what_a_call_has_left_comes_with_its_answer() {
        let left = r#"{"what":["a"],"replace":true,"news":true}"#;
        let length = u32::try_from(left.len()).unwrap().to_le_bytes();
        let answer = br#"{"id":7,"result":[1]}"#;
        let frame = [b"L", &length[..], left.as_bytes(), answer].concat();
        let (Some(left), frame) = take_left(Frame::of(frame.clone())).unwrap() else { panic!() };
        let body = frame.body();
        let Ok(Answer::Result(range)) = Answer::parse(body, 7) else { panic!() };
        assert!(take_left(Frame::of(b"L\xff\0\0\0{}".to_vec())).is_err());
        assert_eq!(
            (&body[range], left.what.as_slice(), left.replace),
            (&b"[1]"[..], &["a".to_owned()][..], true)
        );
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

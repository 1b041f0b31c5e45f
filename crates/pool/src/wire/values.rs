//! A call as it is sent, and its result as it comes back.

use std::any::TypeId;
use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_path_to_error::{Path, Segment};
use sgtk_config::keys::redacted;

use super::frames::Frame;
use super::messages::{self, Answer, Left};
use super::numbers;
use super::pickle::Tree;
use crate::error::PoolError;

/// An encoded call.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: u64,
    /// `module:function`.
    pub(crate) name: String,
    pub(crate) frame: Vec<u8>,
}

/// What became of a call that was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) outcome: Result<Reply, PoolError>,
    /// What it did to its project's import state.
    pub(crate) left: Option<Left>,
}

/// The result of a call, not decoded yet.
#[derive(Debug)]
pub(crate) struct Reply {
    frame: Frame,
    result: Content,
}

#[derive(Debug)]
enum Content {
    /// Where it lies in the frame.
    Json(Range<usize>),
    Pickle(Tree),
}

impl Request {
    /// Reads a frame as the answer to this call.
    ///
    /// # Errors
    /// The frame is not an answer to this call.
    pub(crate) fn read_answer(&self, frame: Frame, project: &str, pid: u32) -> Result<Answered, String> {
        let (left, frame) = messages::take_left(frame)?;
        let outcome = self.read_outcome(frame, project, pid)?;
        Ok(Answered { outcome, left })
    }

    fn read_outcome(
        &self,
        frame: Frame,
        project: &str,
        pid: u32,
    ) -> Result<Result<Reply, PoolError>, String> {
        let (project, call) = (|| project.to_owned(), || self.name.clone());
        if let Some(pickle) = messages::pickled_result(frame.body(), self.id)? {
            return Ok(match Tree::read(pickle)? {
                Ok(tree) => Ok(Reply { result: Content::Pickle(tree), frame }),
                Err(fault) => {
                    let (place, reason) = (redacted(&fault.place), redacted(&fault.reason));
                    let (place, reason) = (place.into_owned(), reason.into_owned());
                    Err(PoolError::InvalidResult { project: project(), call: call(), place, reason })
                }
            });
        }
        let answer = Answer::parse(frame.body(), self.id).map_err(|what| redacted(&what).into_owned())?;
        Ok(match answer {
            Answer::Result(result) => Ok(Reply { frame, result: Content::Json(result) }),
            Answer::Error(error) => {
                let note = error.note.clone();
                Err(PoolError::Python {
                    project: project(),
                    call: call(),
                    pid,
                    note,
                    error: Box::new(error.into()),
                })
            }
            Answer::InvalidResult(value) => {
                let (place, reason) = (redacted(&value.place), redacted(&value.reason));
                let (place, reason) = (place.into_owned(), reason.into_owned());
                Err(PoolError::InvalidResult { project: project(), call: call(), place, reason })
            }
            Answer::InvalidCall(error) => {
                let reason = redacted(&format!("{}: {}", error.type_name, error.message)).into_owned();
                Err(PoolError::InvalidCall { call: call(), place: "its arguments".to_owned(), reason })
            }
        })
    }
}

impl Reply {
    /// The result as a `T`.
    pub(crate) fn decode<T: DeserializeOwned + 'static>(
        &self,
        project: &str,
        call: &str,
    ) -> Result<T, PoolError> {
        let error = |place: String, reason: String| PoolError::Decode {
            project: project.to_owned(),
            call: call.to_owned(),
            place,
            reason: redacted(&reason).into_owned(),
        };
        // JSON that is passed on as it is may hold any integer.
        if TypeId::of::<T>() != TypeId::of::<Box<RawValue>>()
            && let Some((at, number)) = self.wide_integer()
        {
            return Err(error(
                at,
                format!("the integer {number} is beyond 64 bits: ask for the JSON itself"),
            ));
        }
        let decoded = match &self.result {
            Content::Json(range) => decode_json(self.frame.body().get(range.clone()).unwrap_or_default()),
            Content::Pickle(tree) => tree.decode(messages::pickle(self.frame.body())),
        };
        decoded.map_err(|(path, reason)| {
            error(path.map_or_else(|| "result".to_owned(), |path| place("result", &path)), reason)
        })
    }

    /// The first integer beyond 64 bits: where it is, and its digits or the first of them.
    fn wide_integer(&self) -> Option<(String, String)> {
        match &self.result {
            Content::Json(range) => {
                let found = numbers::beyond_64_bits(self.frame.body().get(range.clone())?)?;
                Some((found.place, found.number))
            }
            Content::Pickle(tree) => tree.wide_integer(messages::pickle(self.frame.body())),
        }
    }
}

fn decode_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, (Option<Path>, String)> {
    // Tracking the place costs an allocation for each key, so it is done only once decoding has failed.
    serde_json::from_slice(json).map_err(|plain| {
        let mut source = serde_json::Deserializer::from_slice(json);
        let tracked = serde_path_to_error::deserialize::<_, T>(&mut source);
        (tracked.err().map(|tracked| tracked.path().clone()), plain.to_string())
    })
}

/// A path as it would be written in Python: `result['a'][3]`.
pub(super) fn place(root: &str, path: &Path) -> String {
    let mut place = root.to_owned();
    for segment in path {
        match segment {
            Segment::Seq { index } => place.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } => place.push_str(&format!("['{key}']")),
            Segment::Unknown => place.push_str("[?]"),
        }
    }
    place
}

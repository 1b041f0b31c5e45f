//! A call as it is sent, and its result as it comes back.

use std::any::TypeId;
use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_path_to_error::{Path, Segment};
use sgtk_config::keys::redacted;

use super::frames::Frame;
use super::messages::Answer;
use super::numbers;
use crate::error::PoolError;

/// An encoded call.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: u64,
    /// `module:function`.
    pub(crate) name: String,
    pub(crate) frame: Vec<u8>,
}

/// The result of a call, not decoded yet.
#[derive(Debug)]
pub(crate) struct Reply {
    frame: Frame,
    result: Range<usize>,
}

impl Request {
    /// Reads a frame as the answer to this call.
    ///
    /// # Errors
    /// The outer one: the frame is not an answer to this call.
    pub(crate) fn read_answer(
        &self,
        frame: Frame,
        project: &str,
        pid: u32,
    ) -> Result<Result<Reply, PoolError>, String> {
        let answer = Answer::parse(frame.body(), self.id).map_err(|what| redacted(&what).into_owned())?;
        let (project, call) = (|| project.to_owned(), || self.name.clone());
        Ok(match answer {
            Answer::Result(result) => Ok(Reply { frame, result }),
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
    fn json(&self) -> &[u8] {
        self.frame.body().get(self.result.clone()).unwrap_or_default()
    }

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
            && let Some(found) = numbers::beyond_64_bits(self.json())
        {
            let reason = format!("the integer {} is beyond 64 bits: ask for the JSON itself", found.number);
            return Err(error(found.place, reason));
        }
        // Tracking the place costs an allocation for each key, so it is done only once decoding has failed.
        serde_json::from_slice(self.json()).map_err(|plain| {
            let mut source = serde_json::Deserializer::from_slice(self.json());
            match serde_path_to_error::deserialize::<_, T>(&mut source) {
                Ok(_) => error("result".to_owned(), plain.to_string()),
                Err(tracked) => error(place("result", tracked.path()), plain.to_string()),
            }
        })
    }
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

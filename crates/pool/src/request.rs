//! A call as it is sent, and its result as it comes back.

use std::any::TypeId;
use std::ops::Range;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::error::PoolError;
use super::numbers;
use super::wire::{Answer, Frame};
use super::worker::Worker;
use sgtk_config::keys::redacted;

/// A call, encoded.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: u64,
    /// `module:function`.
    pub(super) name: String,
    pub(super) frame: Vec<u8>,
    pub(super) limit: Option<Duration>,
}

/// The result of a call, not looked at yet.
#[derive(Debug)]
pub(super) struct Reply {
    frame: Frame,
    result: Range<usize>,
}

impl Request {
    /// What a frame means for this call. The outer error is a frame that is no answer to it.
    pub(super) fn outcome(&self, frame: Frame, worker: &Worker) -> Result<Result<Reply, PoolError>, String> {
        let (project, call) = (worker.project.to_string(), self.name.clone());
        let answer = Answer::parse(frame.body(), self.id);
        Ok(match answer.map_err(|how| redacted(&how).into_owned())? {
            Answer::Result(result) => Ok(Reply { frame, result }),
            Answer::Error(error) => {
                let note = error.note.clone();
                Err(PoolError::Python {
                    project,
                    call,
                    pid: worker.pid(),
                    note,
                    error: Box::new(error.into()),
                })
            }
            Answer::Unsendable(fault) => {
                let place = redacted(&fault.place).into_owned();
                Err(PoolError::NoJson { project, call, place, reason: redacted(&fault.reason).into_owned() })
            }
            Answer::Refused(error) => Err(PoolError::Unsendable {
                call,
                place: "arguments".to_owned(),
                reason: redacted(&format!("{}: {}", error.type_name, error.message)).into_owned(),
            }),
        })
    }
}

impl Reply {
    fn json(&self) -> &[u8] {
        self.frame.body().get(self.result.clone()).unwrap_or_default()
    }

    /// The result as a `T`.
    pub(super) fn decode<T: DeserializeOwned + 'static>(
        &self,
        project: &str,
        call: &str,
    ) -> Result<T, PoolError> {
        let fault = |place: String, reason: String| PoolError::Decode {
            project: project.to_owned(),
            call: call.to_owned(),
            place,
            reason: redacted(&reason).into_owned(),
        };
        // The JSON itself is passed on whatever is in it.
        if TypeId::of::<T>() != TypeId::of::<Box<RawValue>>()
            && let Some(found) = numbers::beyond_64_bits(self.json())
        {
            let reason = format!("the integer {} is beyond 64 bits: ask for the JSON itself", found.number);
            return Err(fault(found.place, reason));
        }
        serde_json::from_slice(self.json()).map_err(|error| {
            // The agent writes all on one line. A value that is not of the type ends where the error is told, and what cannot
            // be read begins there.
            let at = if error.is_data() { error.column() } else { error.column().saturating_sub(1) };
            fault(numbers::place_of(self.json(), at), error.to_string())
        })
    }
}

//! What goes over the pipes: frames, the agent's messages, calls and their results.

mod finite;
mod frames;
mod messages;
mod numbers;
mod values;

pub(crate) use finite::encode_finite;
pub(crate) use frames::{Frame, Received, encode, encode_text, with_length};
pub(crate) use messages::{END, Entry, Failed, Greeting, LogRecord, RemoteError};
pub(crate) use values::{Reply, Request};

//! What goes over the pipes: frames, the agent's messages, calls and their results.

mod frames;
mod messages;
mod numbers;
mod pickle;
mod values;

pub(crate) use frames::{Frame, PREFIX, Received, encode, encode_text, with_length};
pub(crate) use messages::{END, Entry, Failed, Greeting, Left, LogRecord, RemoteError};
pub(crate) use pickle::Arguments;
pub(crate) use values::{Reply, Request};

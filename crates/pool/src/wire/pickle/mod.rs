//! Calls and their results as pickles: every Python writes and loads those in C, many times as fast as JSON.
//!
//! Only the operations of plain values are written and read. What a pickle could have Python do when it is
//! loaded is never there in a call, as the daemon writes it, and is refused in a result.

mod arguments;
mod decode;
mod fault;
mod integer;
mod json;
mod node;
mod opcode;
mod sets;
mod tree;
mod writer;

pub(crate) use arguments::Arguments;
pub(super) use tree::Tree;

//! The values that a result consists of.

use std::ops::Range;

/// Where bytes of the message lie that was read.
pub(super) type Span = Range<usize>;

/// A value of a result. Texts stay where they are in the message.
#[derive(Debug, PartialEq)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    UInt(u64),
    /// Beyond 64 bits: two's complement, the lowest byte first.
    Wide(Span),
    Float(f64),
    Text(Span),
    /// `bytes` or `bytearray`.
    Bytes(&'static str),
    List(Vec<Node>),
    Tuple(Vec<Node>),
    /// Sorted where that is possible.
    Set(Vec<Node>),
    Dict(Vec<(Node, Node)>),
}

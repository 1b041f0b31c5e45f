//! A result as it was read from a pickle.

use super::fault::{self, Fault};
use super::node::{Node, Span};
use super::{integer, opcode, sets};

/// How many containers may be inside each other. Python's own limit is about the same.
const DEEPEST: usize = 1_000;

/// A result that follows the rules of values.
#[derive(Debug)]
pub(in crate::wire) struct Tree {
    pub(super) root: Node,
    /// There is an integer beyond 64 bits.
    pub(super) has_wide: bool,
}

impl Tree {
    /// Reads a pickle.
    ///
    /// # Errors
    /// The outer one: these bytes are not a pickle of plain values. The inner one: a value in it has no place
    /// in JSON.
    pub(in crate::wire) fn read(bytes: &[u8]) -> Result<Result<Self, Fault>, String> {
        let mut machine =
            Machine { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), seen: Seen::default() };
        let mut root = machine.run()?;
        let seen = machine.seen;
        if seen.sets {
            sets::sort(&mut root, bytes);
        }
        if seen.doubtful
            && let Some(fault) = fault::first(&root, bytes)
        {
            return Ok(Err(fault));
        }
        Ok(Ok(Self { root, has_wide: seen.wide }))
    }
}

/// What was met that takes another look.
#[derive(Debug, Default)]
struct Seen {
    sets: bool,
    wide: bool,
    /// Values that JSON may not have: bytes, keys that are not text, infinite floats, texts that are not
    /// UTF-8.
    doubtful: bool,
}

/// The values on the stack, each with how many containers are inside each other in it.
type Stack = Vec<(Node, usize)>;

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Stack,
    marks: Vec<usize>,
    seen: Seen,
}

impl Machine<'_> {
    fn run(&mut self) -> Result<Node, String> {
        loop {
            let code = self.byte()?;
            match code {
                opcode::STOP => {
                    let (root, _) = self.pop()?;
                    let all = self.stack.is_empty() && self.marks.is_empty() && self.at == self.bytes.len();
                    return if all { Ok(root) } else { Err(self.broken("it does not end with its value")) };
                }
                opcode::PROTO | opcode::FRAME => {
                    self.take(if code == opcode::PROTO { 1 } else { 8 })?;
                }
                opcode::MARK => self.marks.push(self.stack.len()),
                opcode::NONE => self.push(Node::None),
                opcode::NEWTRUE => self.push(Node::Bool(true)),
                opcode::NEWFALSE => self.push(Node::Bool(false)),
                opcode::BININT1 => {
                    let value = self.byte()?;
                    self.push(Node::Int(value.into()));
                }
                opcode::BININT2 => {
                    let value = u16::from_le_bytes(self.array()?);
                    self.push(Node::Int(value.into()));
                }
                opcode::BININT => {
                    let value = i32::from_le_bytes(self.array()?);
                    self.push(Node::Int(value.into()));
                }
                opcode::LONG1 | opcode::LONG4 => self.integer(if code == opcode::LONG1 { 1 } else { 4 })?,
                opcode::BINFLOAT => {
                    let value = f64::from_be_bytes(self.array()?);
                    self.seen.doubtful |= !value.is_finite();
                    self.push(Node::Float(value));
                }
                opcode::SHORT_BINUNICODE => self.text(1)?,
                opcode::BINUNICODE => self.text(4)?,
                opcode::BINUNICODE8 => self.text(8)?,
                opcode::SHORT_BINBYTES => self.content("bytes", 1)?,
                opcode::BINBYTES => self.content("bytes", 4)?,
                opcode::BINBYTES8 => self.content("bytes", 8)?,
                opcode::BYTEARRAY8 => self.content("bytearray", 8)?,
                opcode::EMPTY_TUPLE => self.container(Node::Tuple(Vec::new()), 0)?,
                opcode::TUPLE1 => self.tuple(1)?,
                opcode::TUPLE2 => self.tuple(2)?,
                opcode::TUPLE3 => self.tuple(3)?,
                opcode::TUPLE => {
                    let from = self.mark()?;
                    self.tuple(self.stack.len() - from)?;
                }
                opcode::EMPTY_LIST => self.container(Node::List(Vec::new()), 0)?,
                opcode::EMPTY_DICT => self.container(Node::Dict(Vec::new()), 0)?,
                opcode::EMPTY_SET => {
                    self.seen.sets = true;
                    self.container(Node::Set(Vec::new()), 0)?;
                }
                opcode::APPEND => self.put(1)?,
                opcode::SETITEM => self.put(2)?,
                opcode::APPENDS | opcode::SETITEMS | opcode::ADDITEMS => {
                    let from = self.mark()?;
                    self.put(self.stack.len() - from)?;
                }
                opcode::FROZENSET => {
                    self.seen.sets = true;
                    let from = self.mark()?;
                    let (items, depth) = self.above(from);
                    self.container(Node::Set(items), depth)?;
                }
                _ => return Err(self.broken(&format!("it has the operation {code:#04x}"))),
            }
        }
    }

    fn broken(&self, what: &str) -> String {
        format!("an invalid answer: {what}, at byte {}", self.at)
    }

    fn take(&mut self, length: usize) -> Result<Span, String> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| self.broken("it is cut"))?;
        let span = self.at..end;
        self.at = end;
        Ok(span)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let span = self.take(N)?;
        let array = self.bytes.get(span).and_then(|bytes| bytes.try_into().ok());
        array.ok_or_else(|| self.broken("it is cut"))
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.array().map(|[byte]| byte)
    }

    /// Content behind its length, which has so many bytes.
    fn counted(&mut self, width: usize) -> Result<Span, String> {
        let length = match width {
            1 => self.byte()?.into(),
            4 => u32::from_le_bytes(self.array()?) as usize,
            _ => usize::try_from(u64::from_le_bytes(self.array()?)).unwrap_or(usize::MAX),
        };
        self.take(length)
    }

    fn push(&mut self, node: Node) {
        self.stack.push((node, 0));
    }

    fn pop(&mut self) -> Result<(Node, usize), String> {
        // What lies below a mark belongs to another container.
        if self.marks.last().is_some_and(|mark| *mark >= self.stack.len()) {
            return Err(self.broken("a value is missing"));
        }
        self.stack.pop().ok_or_else(|| self.broken("a value is missing"))
    }

    fn mark(&mut self) -> Result<usize, String> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len());
        mark.ok_or_else(|| self.broken("a mark is missing"))
    }

    /// The values from there on, and how deep the deepest of them is.
    fn above(&mut self, from: usize) -> (Vec<Node>, usize) {
        let values = self.stack.split_off(from);
        let deepest = values.iter().map(|(_, depth)| *depth).max().unwrap_or(0);
        (values.into_iter().map(|(node, _)| node).collect(), deepest)
    }

    fn container(&mut self, node: Node, inside: usize) -> Result<(), String> {
        if inside >= DEEPEST {
            return Err(self.broken(&format!("it is nested more than {DEEPEST} deep")));
        }
        self.stack.push((node, inside + 1));
        Ok(())
    }

    fn tuple(&mut self, length: usize) -> Result<(), String> {
        let from = self.stack.len().checked_sub(length);
        let from = from.filter(|from| self.marks.last().is_none_or(|mark| mark <= from));
        let from = from.ok_or_else(|| self.broken("a value is missing"))?;
        let (items, depth) = self.above(from);
        self.container(Node::Tuple(items), depth)
    }

    /// Puts so many values into the container below them.
    fn put(&mut self, count: usize) -> Result<(), String> {
        let from = self.stack.len().checked_sub(count).ok_or_else(|| self.broken("a value is missing"))?;
        let values = self.stack.split_off(from);
        let (mut container, mut depth) = self.pop()?;
        for (_, inside) in &values {
            depth = depth.max(inside + 1);
        }
        let mut values = values.into_iter().map(|(node, _)| node);
        match &mut container {
            Node::List(items) | Node::Set(items) => items.extend(values),
            Node::Dict(items) => {
                while let Some(key) = values.next() {
                    self.seen.doubtful |= !matches!(key, Node::Text(_));
                    let value = values.next().ok_or_else(|| self.broken("a value is missing"))?;
                    items.push((key, value));
                }
            }
            _ => return Err(self.broken("a container is missing")),
        }
        self.container(container, depth.saturating_sub(1))
    }

    fn integer(&mut self, width: usize) -> Result<(), String> {
        let span = self.counted(width)?;
        let digits = self.bytes.get(span.clone()).unwrap_or_default();
        let node = integer::narrow(digits).unwrap_or(Node::Wide(span));
        if matches!(node, Node::Wide(_)) {
            self.seen.wide = true;
            self.seen.doubtful = true;
        }
        self.push(node);
        Ok(())
    }

    fn text(&mut self, width: usize) -> Result<(), String> {
        let span = self.counted(width)?;
        let is_text = self.bytes.get(span.clone()).is_some_and(|bytes| std::str::from_utf8(bytes).is_ok());
        self.seen.doubtful |= !is_text;
        self.push(Node::Text(span));
        Ok(())
    }

    fn content(&mut self, kind: &'static str, width: usize) -> Result<(), String> {
        self.counted(width)?;
        self.seen.doubtful = true;
        self.push(Node::Bytes(kind));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Tree::read(&bytes);
        }

        #[test]
        fn any_operations_are_a_value_or_an_error(codes in prop::collection::vec(0usize..24, 0..60)) {
            let operations: [&[u8]; 24] = [
                b"(", b"N", b"K\x01", b"]", b"}", b")", b"a", b"e", b"s", b"u", b"t", b"\x85", b"\x86", b"\x87", b"\x8f",
                b"\x90", b"\x91", b"\x8c\x01a", b"C\x01b", b"\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01", b".", b"\x88",
                b"G\x7f\xf0\x00\x00\x00\x00\x00\x00", b"\x8c\x01\xff",
            ];
            let bytes: Vec<u8> = codes.iter().flat_map(|code| operations[*code]).copied().collect();
            let _ = Tree::read(&bytes);
        }
    }

    #[test]
    fn a_pickle_that_does_more_than_hold_values_is_refused() {
        // `cos\nsystem\n`, called with a text.
        let error = Tree::read(b"\x80\x04cos\nsystem\n\x8c\x02id\x85R.").unwrap_err();
        assert!(error.contains("operation 0x63"), "{error}");
    }

    #[test]
    fn values_that_are_nested_too_deeply_are_refused_however_they_are_put_together() {
        let nested = |depth: usize| [b"]".repeat(depth), b"a".repeat(depth - 1), b".".to_vec()].concat();
        assert!(Tree::read(&nested(1_000)).is_ok());
        assert!(Tree::read(&nested(1_001)).unwrap_err().contains("1000 deep"));
        let tuples = |depth: usize| [b")".to_vec(), b"\x85".repeat(depth), b".".to_vec()].concat();
        assert!(Tree::read(&tuples(100_000)).unwrap_err().contains("1000 deep"));
    }
}

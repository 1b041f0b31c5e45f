//! Values that JSON does not have, and where they are.

use super::integer;
use super::node::{Node, Span};

/// A value that cannot be sent.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::wire) struct Fault {
    /// `result['a'][3]`.
    pub(in crate::wire) place: String,
    pub(in crate::wire) reason: String,
}

/// The first fault in a result, in the order of its items. The agent has the same rules for what it sends as
/// JSON.
pub(super) fn first(root: &Node, bytes: &[u8]) -> Option<Fault> {
    let mut path = vec!["result".to_owned()];
    let reason = find(root, bytes, &mut path)?;
    Some(Fault { place: path.concat(), reason })
}

fn find(node: &Node, bytes: &[u8], path: &mut Vec<String>) -> Option<String> {
    let mut inside = |step: String, item: &Node| {
        path.push(step);
        let found = find(item, bytes, path);
        if found.is_none() {
            path.pop();
        }
        found
    };
    match node {
        Node::List(items) | Node::Tuple(items) => {
            items.iter().enumerate().find_map(|(index, item)| inside(format!("[{index}]"), item))
        }
        Node::Set(items) => items.iter().find_map(|item| inside(format!("{{{}}}", shown(item, bytes)), item)),
        Node::Dict(items) => items.iter().find_map(|(key, value)| {
            if let Some(reason) = of_key(key, bytes) {
                return Some(format!("the key {}: {reason}", shown(key, bytes)));
            }
            inside(format!("[{}]", shown(key, bytes)), value)
        }),
        _ => of_scalar(node, bytes),
    }
}

fn of_key(key: &Node, bytes: &[u8]) -> Option<String> {
    let kind = match key {
        Node::Bytes(kind) => kind,
        Node::Tuple(_) => "tuple",
        Node::Set(_) => "frozenset",
        _ => return of_scalar(key, bytes),
    };
    Some(format!("it is of type {kind}: keys are text, numbers, booleans or None"))
}

fn of_scalar(node: &Node, bytes: &[u8]) -> Option<String> {
    match node {
        Node::Float(value) if !value.is_finite() => {
            Some(format!("{} is not JSON: use None, or text", value.to_string().to_lowercase()))
        }
        Node::Bytes(kind) => {
            Some(format!("a value of type {kind} is not JSON: decode it, or encode it as base64 text"))
        }
        Node::Text(span) => of_text(content(span, bytes)),
        Node::Wide(span) => integer::decimal(content(span, bytes)).err(),
        _ => None,
    }
}

fn of_text(bytes: &[u8]) -> Option<String> {
    let error = std::str::from_utf8(bytes).err()?;
    let (before, rest) = bytes.split_at_checked(error.valid_up_to())?;
    let index = String::from_utf8_lossy(before).chars().count();
    // Python writes a lone surrogate as the three bytes that UTF-8 would have for it.
    let lone = match rest {
        [0xed, second, third, ..] => 0xd000 | u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f),
        _ => 0xfffd,
    };
    Some(format!("the text has a lone surrogate, '\\u{lone:04x}', at index {index}, which UTF-8 has not"))
}

fn content<'a>(span: &Span, bytes: &'a [u8]) -> &'a [u8] {
    bytes.get(span.clone()).unwrap_or_default()
}

/// A key as Python would write it, or a part of it.
fn shown(node: &Node, bytes: &[u8]) -> String {
    let text = match node {
        Node::None => "None".to_owned(),
        Node::Bool(value) => if *value { "True" } else { "False" }.to_owned(),
        Node::Int(value) => value.to_string(),
        Node::UInt(value) => value.to_string(),
        Node::Wide(span) => integer::decimal(content(span, bytes)).unwrap_or_default(),
        Node::Float(value) => format!("{value:?}").to_lowercase(),
        Node::Text(span) => format!("'{}'", String::from_utf8_lossy(content(span, bytes)).escape_debug()),
        Node::Bytes(kind) => format!("<{kind}>"),
        Node::List(_) | Node::Tuple(_) => "<tuple>".to_owned(),
        Node::Set(_) => "<frozenset>".to_owned(),
        Node::Dict(_) => "<dict>".to_owned(),
    };
    if text.chars().count() <= 60 { text } else { text.chars().take(57).chain("...".chars()).collect() }
}

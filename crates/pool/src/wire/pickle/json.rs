//! A result as JSON text, for callers who pass it on.

use std::borrow::Cow;

use super::integer;
use super::node::{Node, Span};
use super::tree::Tree;

impl Tree {
    pub(super) fn to_json(node: &Node, bytes: &[u8]) -> String {
        let mut json = Vec::with_capacity(bytes.len());
        write(node, bytes, &mut json);
        // What is written is text: it consists of texts.
        String::from_utf8(json).unwrap_or_default()
    }
}

fn write(node: &Node, bytes: &[u8], json: &mut Vec<u8>) {
    match node {
        Node::None => json.extend_from_slice(b"null"),
        Node::Bool(value) => json.extend_from_slice(if *value { b"true" } else { b"false" }),
        Node::Int(value) => scalar(value, json),
        Node::UInt(value) => scalar(value, json),
        Node::Float(value) => scalar(value, json),
        Node::Text(span) => scalar(&text(span, bytes), json),
        Node::Wide(span) => json.extend_from_slice(wide(span, bytes).as_bytes()),
        Node::Bytes(_) => json.extend_from_slice(b"null"),
        Node::List(items) | Node::Tuple(items) | Node::Set(items) => {
            json.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                write(item, bytes, json);
            }
            json.push(b']');
        }
        Node::Dict(items) => {
            json.push(b'{');
            for (index, (name, value)) in items.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                scalar(&key(name, bytes), json);
                json.push(b':');
                write(value, bytes, json);
            }
            json.push(b'}');
        }
    }
}

fn scalar(value: &impl serde::Serialize, json: &mut Vec<u8>) {
    // A `Vec` takes whatever is written, and scalars have no errors of their own.
    let _ = serde_json::to_writer(json, value);
}

/// A text, which was seen to be UTF-8 when it was read.
pub(super) fn text<'a>(span: &Span, bytes: &'a [u8]) -> &'a str {
    bytes.get(span.clone()).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
}

/// An integer beyond 64 bits, which was seen not to be too long.
pub(super) fn wide(span: &Span, bytes: &[u8]) -> String {
    integer::decimal(bytes.get(span.clone()).unwrap_or_default()).unwrap_or_default()
}

/// A key as Python's `json` writes it.
pub(super) fn key<'a>(node: &Node, bytes: &'a [u8]) -> Cow<'a, str> {
    Cow::Owned(match node {
        Node::Text(span) => return Cow::Borrowed(text(span, bytes)),
        Node::None => "null".to_owned(),
        Node::Bool(value) => value.to_string(),
        Node::Int(value) => value.to_string(),
        Node::UInt(value) => value.to_string(),
        Node::Wide(span) => wide(span, bytes),
        Node::Float(value) => float(*value),
        // They are refused when a result is read.
        _ => String::new(),
    })
}

/// A finite float as Python's `repr` has it: the fewest digits, and an exponent below 1e-4 and from 1e16 on.
fn float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_keys_are_written_as_python_writes_them() {
        for (value, expected) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-2.5e-7, "-2.5e-07"),
        ] {
            assert_eq!(float(value), expected);
        }
    }
}

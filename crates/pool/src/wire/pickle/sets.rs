//! Sets have no order of their own: they are sorted where Python could sort them.

use std::cmp::Ordering;

use super::node::{Node, Span};

/// Sorts all sets in a value.
pub(super) fn sort(node: &mut Node, bytes: &[u8]) {
    match node {
        Node::Set(items) => {
            items.iter_mut().for_each(|item| sort(item, bytes));
            sort_items(items, bytes);
        }
        Node::List(items) | Node::Tuple(items) => items.iter_mut().for_each(|item| sort(item, bytes)),
        Node::Dict(items) => items.iter_mut().for_each(|(_, value)| sort(value, bytes)),
        _ => {}
    }
}

fn sort_items(items: &mut [Node], bytes: &[u8]) {
    let Some(first) = items.first() else { return };
    if items.iter().all(|item| are_alike(first, item)) {
        items.sort_by(|one, other| order(one, other, bytes));
    }
}

/// Whether one of them is less than the other, or they are equal. Otherwise Python cannot compare them.
fn are_alike(one: &Node, other: &Node) -> bool {
    match (one, other) {
        (Node::Text(_), Node::Text(_)) => true,
        (Node::Tuple(one), Node::Tuple(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| are_alike(one, other))
        }
        _ => number(one).zip(number(other)).is_some(),
    }
}

fn number(node: &Node) -> Option<(i128, f64)> {
    match *node {
        Node::Bool(value) => Some((value.into(), value.into())),
        Node::Int(value) => Some((value.into(), value as f64)),
        Node::UInt(value) => Some((value.into(), value as f64)),
        Node::Float(value) if value.is_finite() => Some((value as i128, value)),
        _ => None,
    }
}

/// Only for values that are alike.
fn order(one: &Node, other: &Node, bytes: &[u8]) -> Ordering {
    let text = |span: &Span| bytes.get(span.clone()).unwrap_or_default();
    match (one, other) {
        // The order of UTF-8 is that of the characters.
        (Node::Text(one), Node::Text(other)) => text(one).cmp(text(other)),
        (Node::Tuple(one), Node::Tuple(other)) => {
            let mut orders = one.iter().zip(other).map(|(one, other)| order(one, other, bytes));
            orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        }
        _ => {
            let (one, other) = (number(one).unwrap_or_default(), number(other).unwrap_or_default());
            one.0.cmp(&other.0).then_with(|| one.1.total_cmp(&other.1))
        }
    }
}

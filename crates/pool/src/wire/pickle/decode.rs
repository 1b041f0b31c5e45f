//! A result as a type of the caller's, as `serde_json` would read it from JSON.

use std::borrow::Cow;

use serde::de::value::{CowStrDeserializer, Error, MapDeserializer, StrDeserializer, StringDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_path_to_error::Path;

use super::json;
use super::node::Node;
use super::tree::Tree;

/// How many containers may be inside each other, as in `serde_json`.
const DEEPEST: usize = 127;

/// By this name `serde_json`'s `RawValue` asks for JSON as it is.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

impl Tree {
    /// # Errors
    /// What does not fit, and where, if that could be found out.
    pub(in crate::wire) fn decode<T: DeserializeOwned>(
        &self,
        bytes: &[u8],
    ) -> Result<T, (Option<Path>, String)> {
        let source = || Source { node: &self.root, bytes, depth: 0 };
        // Tracking the place costs an allocation for each key, so it is done only once decoding has failed.
        T::deserialize(source()).map_err(|error| {
            let place = match serde_path_to_error::deserialize::<_, T>(source()) {
                Ok(_) => None,
                Err(tracked) => Some(tracked.path().clone()),
            };
            (place, error.to_string())
        })
    }

    /// The first integer beyond 64 bits, and where it is.
    pub(in crate::wire) fn wide_integer(&self, bytes: &[u8]) -> Option<(String, String)> {
        if !self.has_wide {
            return None;
        }
        let mut path = vec!["result".to_owned()];
        let number = wide_integer(&self.root, bytes, &mut path)?;
        Some((path.concat(), number))
    }
}

fn wide_integer(node: &Node, bytes: &[u8], path: &mut Vec<String>) -> Option<String> {
    let mut inside = |step: String, item: &Node| {
        path.push(step);
        let found = wide_integer(item, bytes, path);
        if found.is_none() {
            path.pop();
        }
        found
    };
    match node {
        Node::Wide(span) => Some(json::wide(span, bytes)),
        Node::List(items) | Node::Tuple(items) | Node::Set(items) => {
            items.iter().enumerate().find_map(|(index, item)| inside(format!("[{index}]"), item))
        }
        Node::Dict(items) => {
            items.iter().find_map(|(key, item)| inside(format!("['{}']", json::key(key, bytes)), item))
        }
        _ => None,
    }
}

#[derive(Clone, Copy)]
struct Source<'a> {
    node: &'a Node,
    bytes: &'a [u8],
    depth: usize,
}

impl<'a> Source<'a> {
    fn inside(self, node: &'a Node) -> Self {
        Self { node, ..self }
    }

    /// Where the items of a container are read.
    fn entered(self) -> Result<Self, Error> {
        if self.depth >= DEEPEST {
            return Err(Error::custom(format!("it is nested more than {DEEPEST} deep")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> Deserializer<'de> for Source<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node {
            Node::None => visitor.visit_unit(),
            Node::Bool(value) => visitor.visit_bool(*value),
            Node::Int(value) => match u64::try_from(*value) {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => visitor.visit_i64(*value),
            },
            Node::UInt(value) => visitor.visit_u64(*value),
            Node::Float(value) => visitor.visit_f64(*value),
            Node::Text(span) => visitor.visit_borrowed_str(json::text(span, self.bytes)),
            // Callers are told before, with the place.
            Node::Wide(_) => Err(Error::custom("an integer beyond 64 bits")),
            Node::Bytes(kind) => Err(Error::custom(format!("a value of type {kind}"))),
            Node::List(items) | Node::Tuple(items) | Node::Set(items) => {
                let mut sequence = Items { source: self.entered()?, items: items.iter() };
                let value = visitor.visit_seq(&mut sequence)?;
                match sequence.items.len() {
                    0 => Ok(value),
                    more => Err(Error::invalid_length(items.len(), &Fewer(more))),
                }
            }
            Node::Dict(items) => {
                let mut map = Entries { source: self.entered()?, items: items.iter(), value: None };
                let value = visitor.visit_map(&mut map)?;
                match map.items.len() {
                    0 => Ok(value),
                    more => Err(Error::invalid_length(items.len(), &Fewer(more))),
                }
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if *self.node == Node::None { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name != RAW_VALUE {
            return visitor.visit_newtype_struct(self);
        }
        let json = Tree::to_json(self.node, self.bytes);
        let entry: (StrDeserializer<'_, Error>, StringDeserializer<Error>) =
            (RAW_VALUE.into_deserializer(), json.into_deserializer());
        visitor.visit_map(MapDeserializer::new(std::iter::once(entry)))
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node {
            Node::Text(span) => {
                visitor.visit_borrowed_bytes(self.bytes.get(span.clone()).unwrap_or_default())
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.node {
            Node::Text(span) => visitor.visit_enum(json::text(span, self.bytes).into_deserializer()),
            Node::Dict(items) => match items.as_slice() {
                [(key, value)] => {
                    let name = json::key(key, self.bytes);
                    visitor.visit_enum(Variant { name, source: self.entered()?.inside(value) })
                }
                _ => Err(Error::invalid_value(Unexpected::Map, &"a dictionary with one key")),
            },
            _ => Err(Error::custom("invalid type: expected text or a dictionary with one key")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// What a visitor left over.
struct Fewer(usize);

impl de::Expected for Fewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} fewer", self.0)
    }
}

struct Items<'a> {
    source: Source<'a>,
    items: std::slice::Iter<'a, Node>,
}

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.items.next().map(|item| seed.deserialize(self.source.inside(item))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Entries<'a> {
    source: Source<'a>,
    items: std::slice::Iter<'a, (Node, Node)>,
    value: Option<&'a Node>,
}

impl<'a> MapAccess<'a> for Entries<'a> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.items.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(Key(json::key(key, self.source.bytes))).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let value = self.value.take().ok_or_else(|| Error::custom("a value before its key"))?;
        seed.deserialize(self.source.inside(value))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The name of a variant, and what it holds.
struct Variant<'a> {
    name: Cow<'a, str>,
    source: Source<'a>,
}

impl<'a> EnumAccess<'a> for Variant<'a> {
    type Error = Error;
    type Variant = Source<'a>;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Source<'a>), Error> {
        let name: CowStrDeserializer<'a, Error> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self.source))
    }
}

impl<'a> VariantAccess<'a> for Source<'a> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        de::Deserialize::deserialize(self)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }
}

/// A key of a dictionary. As in JSON it is text, and numbers are read from it.
struct Key<'a>(Cow<'a, str>);

macro_rules! parsed {
    ($($method:ident => $visit:ident),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => self.deserialize_any(visitor),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    parsed! {
        deserialize_bool => visit_bool, deserialize_i8 => visit_i8, deserialize_i16 => visit_i16,
        deserialize_i32 => visit_i32, deserialize_i64 => visit_i64, deserialize_i128 => visit_i128,
        deserialize_u8 => visit_u8, deserialize_u16 => visit_u16, deserialize_u32 => visit_u32,
        deserialize_u64 => visit_u64, deserialize_u128 => visit_u128, deserialize_f32 => visit_f32,
        deserialize_f64 => visit_f64,
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(IntoDeserializer::<Error>::into_deserializer(self.0))
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::super::opcode::STOP;
    use super::super::writer;
    use super::*;

    fn decoded<T: DeserializeOwned>(value: &impl Serialize) -> Result<T, (Option<String>, String)> {
        let mut bytes = writer::encode(value, "args[0]").unwrap().bytes;
        bytes.push(STOP);
        let tree = Tree::read(&bytes).unwrap().unwrap();
        tree.decode(&bytes).map_err(|(path, reason)| (path.map(|path| path.to_string()), reason))
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Kind {
        Unit,
        New(i8),
        Pair(u64, String),
        Named { a: Option<f64>, b: Box<Kind> },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Wrapper(Vec<Kind>);

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Shot {
        name: char,
        #[serde(default)]
        frames: BTreeMap<u32, (bool, f32)>,
        #[serde(flatten)]
        rest: HashMap<String, Value>,
    }

    fn kind() -> impl Strategy<Value = Kind> {
        let leaf = prop_oneof![
            Just(Kind::Unit),
            any::<i8>().prop_map(Kind::New),
            (any::<u64>(), ".*").prop_map(|(number, text)| Kind::Pair(number, text)),
        ];
        leaf.prop_recursive(4, 8, 2, |inner| {
            (prop::option::of(-1e9f64..1e9), inner).prop_map(|(a, b)| Kind::Named { a, b: Box::new(b) })
        })
    }

    proptest! {
        #[test]
        fn enums_and_structures_are_read_as_they_were_written(kinds in prop::collection::vec(kind(), 0..6)) {
            let kinds = Wrapper(kinds);
            prop_assert_eq!(decoded::<Wrapper>(&kinds).unwrap(), kinds.clone());
            // `serde_json` agrees on what they are in Python.
            prop_assert_eq!(decoded::<Value>(&kinds).unwrap(), serde_json::to_value(&kinds).unwrap());
        }
    }

    #[test]
    fn keys_are_read_as_numbers_where_numbers_are_asked_for() {
        let shot = json!({"name": "a", "frames": {"7": [true, 0.1]}, "more": [null], "less": {}});
        let read: Shot = decoded(&shot).unwrap();
        assert_eq!(read.frames, BTreeMap::from([(7, (true, 0.1))]));
        assert_eq!(decoded::<Value>(&read).unwrap(), shot);
        assert_eq!(decoded::<HashMap<bool, u8>>(&json!({"true": 1})).unwrap(), HashMap::from([(true, 1)]));
    }

    #[test]
    fn json_is_given_wherever_it_is_asked_for() {
        let value = json!({"a": ["\u{e9}\"", 1.0, -1, u64::MAX, null, true]});
        let raw: HashMap<String, Box<RawValue>> = decoded(&value).unwrap();
        assert_eq!(raw["a"].get(), r#"["é\"",1.0,-1,18446744073709551615,null,true]"#);
        assert_eq!(decoded::<Box<RawValue>>(&value).unwrap().get(), value.to_string());
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_place() {
        let place =
            |outcome: Result<_, (Option<String>, String)>| outcome.map(|_: Shot| ()).unwrap_err().0.unwrap();
        assert_eq!(place(decoded(&json!({"name": "ab"}))), "name");
        assert_eq!(decoded::<Vec<Vec<u8>>>(&json!([[1], [2, 256]])).unwrap_err().0.unwrap(), "[1][1]");
        assert_eq!(decoded::<(u8, u8)>(&json!([1, 2, 3])).unwrap_err().0.unwrap(), ".");
        assert!(decoded::<Kind>(&json!({"New": 1, "Unit": null})).is_err());
        assert!(decoded::<Kind>(&json!("New")).is_err());
    }
}

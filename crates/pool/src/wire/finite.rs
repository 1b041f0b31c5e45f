//! Refuses floats that JSON cannot express. `serde_json` writes `null` for them, which Python would read as
//! None.

use std::fmt::{self, Display};

use serde::ser::{self, Serialize, Serializer};

/// Encodes a value as JSON.
///
/// # Errors
/// The place of what cannot be encoded, and the reason.
pub(crate) fn encode_finite(value: &impl Serialize, place: &str) -> Result<String, (String, String)> {
    let json = serde_json::to_string(value).map_err(|error| (place.to_owned(), error.to_string()))?;
    // Only where a `null` was written can it stand for such a float.
    if json.contains("null") {
        check(value, place)?;
    }
    Ok(json)
}

fn check(value: &impl Serialize, place: &str) -> Result<(), (String, String)> {
    value.serialize(Walk { place: Place { parent: None, step: Step::Root(place) } }).map_err(|fault| {
        match fault {
            Fault::Float { place, value } => (place, format!("{value} is not JSON")),
            Fault::Other(reason) => (place.to_owned(), reason),
        }
    })
}

#[derive(Debug)]
enum Fault {
    Float { place: String, value: f64 },
    Other(String),
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float { place, value } => write!(f, "{place}: {value}"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Fault {}

impl ser::Error for Fault {
    fn custom<T: Display>(message: T) -> Self {
        Self::Other(message.to_string())
    }
}

/// The current place, as a chain on the stack that becomes text only for an error.
#[derive(Clone, Copy)]
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root(&'a str),
    Index(usize),
    Key(&'a str),
}

impl Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root(root) => f.write_str(root),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "['{key}']"),
        }
    }
}

struct Walk<'a> {
    place: Place<'a>,
}

/// Inside a list, a map or a structure.
struct Inside<'a> {
    place: Place<'a>,
    index: usize,
    key: String,
}

impl<'a> Inside<'a> {
    fn of(walk: Walk<'a>) -> Self {
        Self { place: walk.place, index: 0, key: String::new() }
    }

    fn item<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Fault> {
        let place = Place { parent: Some(&self.place), step: Step::Index(self.index) };
        value.serialize(Walk { place })?;
        self.index += 1;
        Ok(())
    }

    fn field<T: ?Sized + Serialize>(&self, key: &str, value: &T) -> Result<(), Fault> {
        value.serialize(Walk { place: Place { parent: Some(&self.place), step: Step::Key(key) } })
    }
}

macro_rules! accepted {
    ($($name:ident: $type:ty),* $(,)?) => {
        $(fn $name(self, _: $type) -> Result<(), Fault> { Ok(()) })*
    };
}

impl<'a> Serializer for Walk<'a> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Inside<'a>;
    type SerializeTuple = Inside<'a>;
    type SerializeTupleStruct = Inside<'a>;
    type SerializeTupleVariant = Inside<'a>;
    type SerializeMap = Inside<'a>;
    type SerializeStruct = Inside<'a>;
    type SerializeStructVariant = Inside<'a>;

    accepted! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_unit_struct: &'static str,
    }

    fn serialize_f32(self, value: f32) -> Result<(), Fault> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Fault> {
        if value.is_finite() {
            return Ok(());
        }
        Err(Fault::Float { place: self.place.to_string(), value })
    }

    fn serialize_none(self) -> Result<(), Fault> {
        Ok(())
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Fault> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Fault> {
        Ok(())
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        Inside::of(self).field(variant, value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Inside<'a>, Fault> {
        Ok(Inside::of(self))
    }

    fn serialize_tuple(self, _: usize) -> Result<Inside<'a>, Fault> {
        Ok(Inside::of(self))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Inside<'a>, Fault> {
        Ok(Inside::of(self))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Inside<'a>, Fault> {
        Ok(Inside::of(self))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Inside<'a>, Fault> {
        Ok(Inside::of(self))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Inside<'a>, Fault> {
        Ok(Inside::of(self))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Inside<'a>, Fault> {
        Ok(Inside::of(self))
    }
}

macro_rules! items {
    ($($trait:ident: $method:ident),*) => {
        $(impl ser::$trait for Inside<'_> {
            type Ok = ();
            type Error = Fault;

            fn $method<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Fault> {
                self.item(value)
            }

            fn end(self) -> Result<(), Fault> {
                Ok(())
            }
        })*
    };
}

items! {
    SerializeSeq: serialize_element, SerializeTuple: serialize_element, SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
}

macro_rules! fields {
    ($($trait:ident),*) => {
        $(impl ser::$trait for Inside<'_> {
            type Ok = ();
            type Error = Fault;

            fn serialize_field<T: ?Sized + Serialize>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Fault> {
                self.field(key, value)
            }

            fn end(self) -> Result<(), Fault> {
                Ok(())
            }
        })*
    };
}

fields! { SerializeStruct, SerializeStructVariant }

impl ser::SerializeMap for Inside<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Fault> {
        // An invalid key was reported by serde_json before.
        let key = serde_json::to_string(key).unwrap_or_default();
        self.key = key.trim_matches('"').to_owned();
        Ok(())
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Fault> {
        self.field(&self.key, value)
    }

    fn end(self) -> Result<(), Fault> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    struct Shape {
        sides: Vec<Option<f32>>,
        kind: Kind,
    }

    #[derive(Serialize)]
    enum Kind {
        Flat,
        High(f64),
        Both { up: f64 },
    }

    fn place(value: &impl Serialize) -> Option<String> {
        encode_finite(value, "args[0]").err().map(|fault| fault.0)
    }

    #[test]
    fn finite_values_of_all_kinds_pass() {
        let raw = serde_json::value::RawValue::from_string("[NaN]".replace("NaN", "1e999")).unwrap();
        assert_eq!(place(&(1, "a", 'b', (), [1.5], None::<f64>, raw, u128::MAX)), None);
        assert_eq!(place(&Shape { sides: vec![], kind: Kind::Flat }), None);
        assert_eq!(place(&BTreeMap::from([(1, 1.0)])), None);
    }

    #[test]
    fn the_first_float_that_is_not_is_found_wherever_it_is() {
        let shape = |sides, kind| Shape { sides, kind };
        assert_eq!(place(&f64::NAN).unwrap(), "args[0]");
        let sides = vec![None, Some(f32::INFINITY)];
        assert_eq!(place(&shape(sides, Kind::Flat)).unwrap(), "args[0]['sides'][1]");
        let high = shape(vec![], Kind::High(f64::NEG_INFINITY));
        assert_eq!(place(&high).unwrap(), "args[0]['kind']['High']");
        let both = shape(vec![], Kind::Both { up: f64::NAN });
        assert_eq!(place(&both).unwrap(), "args[0]['kind']['up']");
        assert_eq!(place(&BTreeMap::from([(7, (1.0, f64::NAN))])).unwrap(), "args[0]['7'][1]");
    }
}

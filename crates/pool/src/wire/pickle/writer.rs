//! Values of Rust as pickles, which every Python loads in C.
//!
//! A value has the same meaning as in JSON: `serde_json`'s rules say what becomes of keys, variants and
//! bytes, and a float that JSON cannot express is refused.

use std::fmt::{self, Display};

use serde::ser::{self, Serialize, Serializer};

use super::opcode;

/// A value that Python loads.
#[derive(Debug)]
pub(super) struct Pickled {
    pub(super) bytes: Vec<u8>,
    /// It is JSON in a `bytes` object, as the caller passes on JSON that is not parsed here.
    pub(super) is_json: bool,
}

/// Encodes a value. It has no header and no end, so that values can be put into others.
///
/// # Errors
/// The place of what cannot be encoded, and the reason.
pub(super) fn encode(value: &impl Serialize, place: &str) -> Result<Pickled, (String, String)> {
    let mut bytes = Vec::new();
    match value.serialize(Writer::new(&mut bytes, place, false)) {
        Ok(()) => Ok(Pickled { bytes, is_json: false }),
        Err(Fault::Unparsed) => {
            bytes.clear();
            value.serialize(Writer::new(&mut bytes, place, true)).map_err(|fault| fault.at(place))?;
            let json = serde_json::to_string(value).map_err(|error| (place.to_owned(), error.to_string()))?;
            bytes.clear();
            sized(&mut bytes, opcode::BINBYTES, json.as_bytes()).map_err(|fault| fault.at(place))?;
            Ok(Pickled { bytes, is_json: true })
        }
        Err(fault) => Err(fault.at(place)),
    }
}

/// Writes a text.
pub(super) fn text(bytes: &mut Vec<u8>, text: &str) -> Result<(), String> {
    sized(bytes, opcode::BINUNICODE, text.as_bytes()).map_err(|fault| fault.to_string())
}

fn sized(bytes: &mut Vec<u8>, code: u8, content: &[u8]) -> Result<(), Fault> {
    // Frames are below 4 GiB, so a longer value could not be sent either.
    let length =
        u32::try_from(content.len()).map_err(|_| Fault::Other("it is longer than 4 GiB".to_owned()))?;
    bytes.push(code);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(content);
    Ok(())
}

#[derive(Debug)]
enum Fault {
    Float {
        place: String,
        value: f64,
    },
    /// JSON that the caller passes on as it is.
    Unparsed,
    Other(String),
}

impl Fault {
    fn at(self, root: &str) -> (String, String) {
        match self {
            Self::Float { place, value } => (place, format!("{value} is not JSON")),
            Self::Unparsed => (root.to_owned(), "JSON that is passed on as it is".to_owned()),
            Self::Other(reason) => (root.to_owned(), reason),
        }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float { place, value } => write!(f, "{place}: {value}"),
            Self::Unparsed => f.write_str("JSON that is passed on as it is"),
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

/// Writes one value.
struct Writer<'a, 'w> {
    place: Place<'a>,
    bytes: &'w mut Vec<u8>,
    /// JSON that is passed on is left out instead of refused: only the rest is looked at.
    skips_json: bool,
}

impl<'a, 'w> Writer<'a, 'w> {
    fn new(bytes: &'w mut Vec<u8>, root: &'a str, skips_json: bool) -> Self {
        Self { place: Place { parent: None, step: Step::Root(root) }, bytes, skips_json }
    }

    fn put(self, code: u8) -> Result<(), Fault> {
        self.bytes.push(code);
        Ok(())
    }

    fn integer(self, value: i128) -> Result<(), Fault> {
        integer(self.bytes, value);
        Ok(())
    }

    fn list(self) -> Inside<'a, 'w> {
        self.bytes.extend_from_slice(&[opcode::EMPTY_LIST, opcode::MARK]);
        Inside::of(self, opcode::APPENDS)
    }

    fn dict(self) -> Inside<'a, 'w> {
        self.bytes.extend_from_slice(&[opcode::EMPTY_DICT, opcode::MARK]);
        Inside::of(self, opcode::SETITEMS)
    }

    /// `{variant: …}`, of which the inner value is still to be written.
    fn variant(self, variant: &'static str) -> Result<Self, Fault> {
        self.bytes.push(opcode::EMPTY_DICT);
        sized(self.bytes, opcode::BINUNICODE, variant.as_bytes())?;
        Ok(self)
    }
}

fn integer(bytes: &mut Vec<u8>, value: i128) {
    if let Ok(value) = i32::try_from(value) {
        bytes.push(opcode::BININT);
        bytes.extend_from_slice(&value.to_le_bytes());
    } else {
        wide(bytes, &value.to_le_bytes());
    }
}

/// An integer in two's complement, the lowest byte first.
fn wide(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend_from_slice(&[opcode::LONG1, value.len() as u8]);
    bytes.extend_from_slice(value);
}

/// Inside a list, a dictionary or a structure.
struct Inside<'a, 'w> {
    place: Place<'a>,
    bytes: &'w mut Vec<u8>,
    skips_json: bool,
    /// What puts the items that were written into their container.
    end: u8,
    /// Whether the container itself is the value of a variant, and to be put into its dictionary.
    in_variant: bool,
    /// This is JSON that is passed on, to be left out.
    is_json: bool,
    index: usize,
    key: String,
}

impl<'a, 'w> Inside<'a, 'w> {
    fn of(writer: Writer<'a, 'w>, end: u8) -> Self {
        let Writer { place, bytes, skips_json } = writer;
        let key = String::new();
        Self { place, bytes, skips_json, end, in_variant: false, is_json: false, index: 0, key }
    }

    fn item<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Fault> {
        let place = Place { parent: Some(&self.place), step: Step::Index(self.index) };
        value.serialize(Writer { place, bytes: self.bytes, skips_json: self.skips_json })?;
        self.index += 1;
        Ok(())
    }

    fn value<T: ?Sized + Serialize>(&mut self, key: &str, value: &T) -> Result<(), Fault> {
        let place = Place { parent: Some(&self.place), step: Step::Key(key) };
        value.serialize(Writer { place, bytes: self.bytes, skips_json: self.skips_json })
    }

    fn field<T: ?Sized + Serialize>(&mut self, key: &'static str, value: &T) -> Result<(), Fault> {
        if self.is_json {
            return Ok(());
        }
        sized(self.bytes, opcode::BINUNICODE, key.as_bytes())?;
        self.value(key, value)
    }

    fn close(self) -> Result<(), Fault> {
        if self.is_json {
            self.bytes.push(opcode::NONE);
            return Ok(());
        }
        self.bytes.push(self.end);
        if self.in_variant {
            self.bytes.push(opcode::SETITEM);
        }
        Ok(())
    }
}

macro_rules! integers {
    ($($name:ident: $type:ty),* $(,)?) => {
        $(fn $name(self, value: $type) -> Result<(), Fault> { self.integer(value.into()) })*
    };
}

impl<'a, 'w> Serializer for Writer<'a, 'w> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Inside<'a, 'w>;
    type SerializeTuple = Inside<'a, 'w>;
    type SerializeTupleStruct = Inside<'a, 'w>;
    type SerializeTupleVariant = Inside<'a, 'w>;
    type SerializeMap = Inside<'a, 'w>;
    type SerializeStruct = Inside<'a, 'w>;
    type SerializeStructVariant = Inside<'a, 'w>;

    integers! {
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
    }

    fn serialize_u128(self, value: u128) -> Result<(), Fault> {
        match i128::try_from(value) {
            Ok(value) => self.integer(value),
            // One byte more, for the sign.
            Err(_) => {
                let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = value.to_le_bytes();
                wide(self.bytes, &[a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, 0]);
                Ok(())
            }
        }
    }

    fn serialize_bool(self, value: bool) -> Result<(), Fault> {
        self.put(if value { opcode::NEWTRUE } else { opcode::NEWFALSE })
    }

    fn serialize_char(self, value: char) -> Result<(), Fault> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Fault> {
        sized(self.bytes, opcode::BINUNICODE, value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Fault> {
        self.collect_seq(value)
    }

    fn serialize_f32(self, value: f32) -> Result<(), Fault> {
        // In JSON it would have no more digits than it takes to tell it from other `f32`.
        self.serialize_f64(value.to_string().parse().unwrap_or_else(|_| value.into()))
    }

    fn serialize_f64(self, value: f64) -> Result<(), Fault> {
        if !value.is_finite() {
            return Err(Fault::Float { place: self.place.to_string(), value });
        }
        self.bytes.push(opcode::BINFLOAT);
        self.bytes.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Fault> {
        self.put(opcode::NONE)
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Fault> {
        self.put(opcode::NONE)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Fault> {
        self.put(opcode::NONE)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Fault> {
        self.serialize_str(variant)
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
        let mut inside = Inside::of(self.variant(variant)?, opcode::SETITEM);
        inside.value(variant, value)?;
        inside.close()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Inside<'a, 'w>, Fault> {
        Ok(self.list())
    }

    fn serialize_tuple(self, _: usize) -> Result<Inside<'a, 'w>, Fault> {
        Ok(self.list())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Inside<'a, 'w>, Fault> {
        Ok(self.list())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Inside<'a, 'w>, Fault> {
        Ok(Inside { in_variant: true, ..self.variant(variant)?.list() })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Inside<'a, 'w>, Fault> {
        Ok(self.dict())
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Inside<'a, 'w>, Fault> {
        // How `serde_json` tells its own serializer of a `RawValue`, and of a number of any precision.
        if name.starts_with("$serde_json::private::") {
            if !self.skips_json {
                return Err(Fault::Unparsed);
            }
            return Ok(Inside { is_json: true, ..Inside::of(self, opcode::NONE) });
        }
        Ok(self.dict())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Inside<'a, 'w>, Fault> {
        Ok(Inside { in_variant: true, ..self.variant(variant)?.dict() })
    }
}

macro_rules! items {
    ($($trait:ident: $method:ident),*) => {
        $(impl ser::$trait for Inside<'_, '_> {
            type Ok = ();
            type Error = Fault;

            fn $method<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Fault> {
                self.item(value)
            }

            fn end(self) -> Result<(), Fault> {
                self.close()
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
        $(impl ser::$trait for Inside<'_, '_> {
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
                self.close()
            }
        })*
    };
}

fields! { SerializeStruct, SerializeStructVariant }

impl ser::SerializeMap for Inside<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Fault> {
        let start = self.bytes.len();
        key.serialize(Writer { place: self.place, bytes: &mut *self.bytes, skips_json: self.skips_json })?;
        self.key.clear();
        if let Some([opcode::BINUNICODE, _, _, _, _, text @ ..]) = self.bytes.get(start..) {
            self.key.push_str(&String::from_utf8_lossy(text));
            return Ok(());
        }
        // `serde_json` knows which other keys there are, and how they become text.
        self.bytes.truncate(start);
        let object = serde_json::to_value(OneKey(key)).map_err(ser::Error::custom)?;
        self.key.extend(object.as_object().and_then(|object| object.keys().next()).cloned());
        sized(self.bytes, opcode::BINUNICODE, self.key.as_bytes())
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Fault> {
        let place = Place { parent: Some(&self.place), step: Step::Key(&self.key) };
        value.serialize(Writer { place, bytes: &mut *self.bytes, skips_json: self.skips_json })
    }

    fn end(self) -> Result<(), Fault> {
        self.close()
    }
}

/// An object with one key.
struct OneKey<'k, K: ?Sized>(&'k K);

impl<K: ?Sized + Serialize> Serialize for OneKey<'_, K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(std::iter::once((self.0, ())))
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
        encode(value, "args[0]").err().map(|fault| fault.0)
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
        let raw = serde_json::value::RawValue::from_string("1".to_owned()).unwrap();
        assert_eq!(place(&(raw, f64::NAN)).unwrap(), "args[0][1]");
    }
}

//! Integers beyond 64 bits, which `serde_json` would turn into floats silently.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Every integer with fewer characters fits into 64 bits.
const DIGITS: usize = 19;

/// An integer that does not fit into 64 bits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Beyond {
    /// Its digits, or the first of them.
    pub(crate) number: String,
    /// `result['a'][3]`.
    pub(crate) place: String,
}

/// The first integer that is neither an `i64` nor a `u64`.
///
/// A single pass over the bytes unless a number is long enough. Invalid JSON is left to the parser.
pub(crate) fn beyond_64_bits(json: &[u8]) -> Option<Beyond> {
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => at = end_of_text(json, at),
            b'-' | b'0'..=b'9' => {
                let end = end_of_number(json, at);
                let number = json.get(at..end).unwrap_or_default();
                if number.len() >= DIGITS && is_beyond(number) {
                    let digits: String = String::from_utf8_lossy(number).chars().take(40).collect();
                    let whole = serde_json::from_slice::<&RawValue>(json).ok();
                    let place = whole.and_then(|whole| path_to_integer(whole, "result".to_owned()));
                    let place = place.unwrap_or_else(|| "result".to_owned());
                    let cut = if number.len() > 40 { "…" } else { "" };
                    return Some(Beyond { number: format!("{digits}{cut}"), place });
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    None
}

fn is_beyond(number: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(number) else { return false };
    let is_integer = text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
    is_integer && text.parse::<i64>().is_err() && text.parse::<u64>().is_err()
}

/// The end of the string that begins at `start`.
fn end_of_text(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        match json.get(at) {
            None => return at,
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

fn end_of_number(json: &[u8], start: usize) -> usize {
    let rest = json.get(start..).unwrap_or_default();
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    start + rest.iter().take_while(|byte| is_part(byte)).count()
}

/// The path to the first integer beyond 64 bits below `place`.
///
/// Lists and objects are taken apart by the parser, one level at a time, so that this knows no more of JSON's
/// syntax than how a value begins. Only for an error: each level is read again.
fn path_to_integer(json: &RawValue, place: String) -> Option<String> {
    let text = json.get();
    match text.as_bytes().first()? {
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            let mut items = items.into_iter().enumerate();
            items.find_map(|(index, item)| path_to_integer(item, format!("{place}[{index}]")))
        }
        b'{' => {
            let Members(members) = serde_json::from_str(text).ok()?;
            members.into_iter().find_map(|(key, item)| path_to_integer(item, format!("{place}['{key}']")))
        }
        b'-' | b'0'..=b'9' => is_beyond(text.as_bytes()).then_some(place),
        _ => None,
    }
}

/// The members of an object in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct Visit;

        impl<'de> Visitor<'de> for Visit {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        source.deserialize_map(Visit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn beyond(json: &str) -> Option<(String, String)> {
        beyond_64_bits(json.as_bytes()).map(|found| (found.place, found.number))
    }

    #[test]
    fn integers_of_64_bits_and_floats_of_any_length_are_accepted() {
        let json = format!("[{}, {}, {}, 1234567890123456789012.5, 1e400]", u64::MAX, i64::MIN, i64::MAX);
        assert_eq!(beyond(&json), None);
        assert_eq!(beyond(r#"{"99999999999999999999": "99999999999999999999\"99999999999999999999"}"#), None);
    }

    #[test]
    fn an_integer_beyond_is_named_with_its_place() {
        let json = r#"{"a": [1, {"b, \"c": [0, -9223372036854775809]}]}"#;
        let place = "result['a'][1]['b, \"c'][1]";
        assert_eq!(beyond(json), Some((place.to_owned(), "-9223372036854775809".to_owned())));
        assert_eq!(beyond("18446744073709551616").map(|found| found.0), Some("result".to_owned()));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_scanned(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            beyond_64_bits(&bytes);
        }

        #[test]
        fn an_integer_is_beyond_exactly_where_no_64_bits_hold_it(number in any::<i128>()) {
            let fits = i64::try_from(number).is_ok() || u64::try_from(number).is_ok();
            prop_assert_eq!(beyond_64_bits(number.to_string().as_bytes()).is_none(), fits);
        }
    }
}

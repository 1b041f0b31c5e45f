//! Integers that `serde_json` would turn into floats without a word, and the places of values in JSON.

/// As many digits as every integer of 64 bits has at most.
const DIGITS: usize = 19;

/// An integer that 64 bits do not hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Beyond {
    /// Its digits, or the first of them.
    pub(super) number: String,
    /// `result['a'][3]`.
    pub(super) place: String,
}

/// The first integer that is neither an `i64` nor a `u64`.
///
/// One pass over the bytes, and nothing more where no run of digits is long enough. JSON with a fault is left to the
/// parser.
pub(super) fn beyond_64_bits(json: &[u8]) -> Option<Beyond> {
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => at = end_of_text(json, at),
            b'-' | b'0'..=b'9' => {
                let end = end_of_number(json, at);
                let number = json.get(at..end).unwrap_or_default();
                if number.len() >= DIGITS && is_beyond(number) {
                    let digits: String = String::from_utf8_lossy(number).chars().take(40).collect();
                    let cut = if number.len() > 40 { "…" } else { "" };
                    return Some(Beyond { number: format!("{digits}{cut}"), place: place_of(json, at) });
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

/// Where a text that begins here ends.
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

enum Inside {
    List(usize),
    Object(String),
}

/// The path to what stands at `target`, from the beginning: `result['a'][3]`.
pub(super) fn place_of(json: &[u8], target: usize) -> String {
    let mut inside = Vec::new();
    let mut text = String::new();
    let mut at = 0;
    while at < target {
        match json.get(at) {
            Some(b'"') => {
                let end = end_of_text(json, at);
                let quoted = json.get(at..end).unwrap_or_default();
                text = serde_json::from_slice(quoted).unwrap_or_else(|_| "?".to_owned());
                at = end;
                continue;
            }
            Some(b'[') => inside.push(Inside::List(0)),
            Some(b'{') => inside.push(Inside::Object(String::new())),
            Some(b']' | b'}') => {
                inside.pop();
            }
            Some(b':') => {
                if let Some(Inside::Object(key)) = inside.last_mut() {
                    *key = std::mem::take(&mut text);
                }
            }
            Some(b',') => {
                if let Some(Inside::List(index)) = inside.last_mut() {
                    *index += 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    let mut place = "result".to_owned();
    for part in &inside {
        match part {
            Inside::List(index) => place.push_str(&format!("[{index}]")),
            Inside::Object(key) => place.push_str(&format!("['{key}']")),
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn beyond(json: &str) -> Option<(String, String)> {
        beyond_64_bits(json.as_bytes()).map(|found| (found.place, found.number))
    }

    #[test]
    fn integers_of_64_bits_and_floats_of_any_length_are_well() {
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
        fn any_bytes_can_be_looked_through(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            beyond_64_bits(&bytes);
        }

        #[test]
        fn an_integer_is_beyond_exactly_where_no_64_bits_hold_it(number in any::<i128>()) {
            let fits = i64::try_from(number).is_ok() || u64::try_from(number).is_ok();
            prop_assert_eq!(beyond_64_bits(number.to_string().as_bytes()).is_none(), fits);
        }
    }
}

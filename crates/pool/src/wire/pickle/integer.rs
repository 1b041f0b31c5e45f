//! Integers as pickles have them: two's complement, the lowest byte first.

use super::node::Node;

/// The most decimal digits that an integer may have. CPython has the same limit by default.
const MOST_DIGITS: usize = 4_300;

/// The integer as one of 64 bits, unless it is beyond.
pub(super) fn narrow(digits: &[u8]) -> Option<Node> {
    let value = wide(digits)?;
    i64::try_from(value).map(Node::Int).or_else(|_| u64::try_from(value).map(Node::UInt)).ok()
}

/// The integer as one of 128 bits, unless it is beyond.
fn wide(digits: &[u8]) -> Option<i128> {
    let sign = if digits.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
    let mut bytes = [sign; 16];
    bytes.get_mut(..digits.len())?.copy_from_slice(digits);
    Some(i128::from_le_bytes(bytes))
}

/// The integer in decimal.
///
/// # Errors
/// It has more digits than Python itself would write.
pub(super) fn decimal(digits: &[u8]) -> Result<String, String> {
    if let Some(value) = wide(digits) {
        return Ok(value.to_string());
    }
    // A digit more takes at least 3.3 bits.
    if digits.len() * 8 > MOST_DIGITS * 10 / 3 + 64 {
        return Err(too_long());
    }
    let negative = digits.last().is_some_and(|last| last & 0x80 != 0);
    let mut carry = true;
    let mut magnitude: Vec<u32> = Vec::with_capacity(digits.len() / 4 + 1);
    for chunk in digits.chunks(4) {
        let mut bytes = [if negative { 0xff } else { 0 }; 4];
        for (place, byte) in bytes.iter_mut().zip(chunk) {
            *place = *byte;
        }
        let word = u32::from_le_bytes(bytes);
        magnitude.push(if negative {
            let (word, over) = (!word).overflowing_add(carry.into());
            carry = over;
            word
        } else {
            word
        });
    }
    if negative && carry {
        magnitude.push(1);
    }
    let mut groups = Vec::new();
    while magnitude.iter().any(|word| *word != 0) {
        let mut rest = 0u64;
        for word in magnitude.iter_mut().rev() {
            let value = rest << 32 | u64::from(*word);
            *word = (value / 1_000_000_000) as u32;
            rest = value % 1_000_000_000;
        }
        groups.push(rest);
        while magnitude.last() == Some(&0) {
            magnitude.pop();
        }
    }
    let mut text = String::from(if negative { "-" } else { "" });
    let mut groups = groups.into_iter().rev();
    text.push_str(&groups.next().unwrap_or_default().to_string());
    for group in groups {
        text.push_str(&format!("{group:09}"));
    }
    if text.trim_start_matches('-').len() > MOST_DIGITS { Err(too_long()) } else { Ok(text) }
}

fn too_long() -> String {
    format!("the integer has too many digits: more than {MOST_DIGITS}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_of_128_bits_are_read_as_they_are(value in any::<i128>(), shift in 0u32..128) {
            let value = value >> shift;
            prop_assert_eq!(decimal(&value.to_le_bytes()).unwrap(), value.to_string());
            let narrow = narrow(&value.to_le_bytes());
            match (i64::try_from(value), u64::try_from(value)) {
                (Ok(value), _) => prop_assert_eq!(narrow, Some(Node::Int(value))),
                (_, Ok(value)) => prop_assert_eq!(narrow, Some(Node::UInt(value))),
                _ => prop_assert_eq!(narrow, None),
            }
        }

        #[test]
        fn the_sign_is_that_of_the_last_byte(value in any::<i128>(), more in 1usize..40) {
            // The same integer in more bytes, beyond what one of 128 bits can hold.
            let sign = if value < 0 { 0xff } else { 0 };
            let digits: Vec<u8> = value.to_le_bytes().into_iter().chain(std::iter::repeat_n(sign, more)).collect();
            prop_assert_eq!(decimal(&digits).unwrap(), value.to_string());
        }
    }

    #[test]
    fn powers_of_two_are_exact() {
        let mut digits = vec![0; 32];
        digits.push(1);
        let text = "115792089237316195423570985008687907853269984665640564039457584007913129639936";
        assert_eq!(decimal(&digits).unwrap(), text);
        let mut digits = vec![0; 32];
        digits.push(0xff);
        assert_eq!(decimal(&digits).unwrap(), format!("-{text}"));
        assert_eq!(decimal(&[]).unwrap(), "0");
        assert!(decimal(&vec![1; 10_000]).is_err());
    }
}

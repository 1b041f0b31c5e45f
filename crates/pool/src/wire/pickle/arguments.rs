//! The arguments of a call, encoded as they are given.

use serde::Serialize;

use super::{opcode, writer};
use crate::wire::messages::before_pickle;

/// How a pickle begins that every Python since 3.4 can load.
const HEADER: [u8; 3] = [opcode::PROTO, 4, opcode::MARK];

/// Arguments by place and by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    by_place: Vec<u8>,
    by_name: Vec<u8>,
    with_json: bool,
}

impl Arguments {
    /// # Errors
    /// The place of what cannot be encoded, and the reason.
    pub(crate) fn add(&mut self, place: &str, value: &impl Serialize) -> Result<(), (String, String)> {
        let value = writer::encode(value, place)?;
        self.with_json |= value.is_json;
        self.by_place.extend_from_slice(&value.bytes);
        Ok(())
    }

    /// # Errors
    /// The place of what cannot be encoded, and the reason.
    pub(crate) fn add_named(
        &mut self,
        place: &str,
        name: &str,
        value: &impl Serialize,
    ) -> Result<(), (String, String)> {
        let value = writer::encode(value, place)?;
        writer::text(&mut self.by_name, name).map_err(|reason| (place.to_owned(), reason))?;
        self.with_json |= value.is_json;
        self.by_name.extend_from_slice(&value.bytes);
        Ok(())
    }

    /// The call of a function as the body of a frame, behind so many bytes for the frame's length.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub(crate) fn encode(&self, prefix: usize, id: u64, function: &str) -> Result<Vec<u8>, String> {
        let mut frame = Vec::with_capacity(64 + function.len() + self.by_place.len() + self.by_name.len());
        frame.resize(prefix, 0);
        frame.extend_from_slice(&before_pickle(id, self.with_json));
        frame.extend_from_slice(&HEADER);
        writer::text(&mut frame, function)?;
        frame.extend_from_slice(&[opcode::EMPTY_LIST, opcode::MARK]);
        frame.extend_from_slice(&self.by_place);
        frame.extend_from_slice(&[opcode::APPENDS, opcode::EMPTY_DICT, opcode::MARK]);
        frame.extend_from_slice(&self.by_name);
        frame.extend_from_slice(&[opcode::SETITEMS, opcode::TUPLE, opcode::STOP]);
        Ok(frame)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn python_loads_what_was_given() {
        let mut arguments = Arguments::default();
        let raw = RawValue::from_string("{ \"n\" : 18446744073709551617 }".to_owned()).unwrap();
        arguments.add("args[0]", &(1, -1, u64::MAX, i64::MIN, u128::MAX, i128::MIN)).unwrap();
        arguments
            .add("args[1]", &(0.1f32, 0.1f64, 'c', "\u{1f600}", [0u8; 2], Some(true), None::<i32>))
            .unwrap();
        arguments.add_named("kwargs['a']", "a", &raw).unwrap();
        arguments.add_named("kwargs['b']", "b", &std::collections::BTreeMap::from([(1, false)])).unwrap();
        let frame = arguments.encode(0, 7, "m:f").unwrap();
        assert_eq!(frame.first(), Some(&b'J'), "an argument is JSON");
        assert_eq!(frame.get(1..9), Some(7u64.to_le_bytes().as_slice()));

        let script = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()))";
        let mut python = Command::new("python3");
        let mut python =
            python.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut python.stdin.take().unwrap(), frame.get(9..).unwrap()).unwrap();
        let output = String::from_utf8(python.wait_with_output().unwrap().stdout).unwrap();
        let integers = format!("1, -1, {}, {}, {}, {}", u64::MAX, i64::MIN, u128::MAX, i128::MIN);
        let expected = format!(
            "('m:f', [[{integers}], [0.1, 0.1, 'c', '\u{1f600}', [0, 0], True, None]], \
             {{'a': b'{{ \"n\" : 18446744073709551617 }}', 'b': {{'1': False}}}})\n"
        );
        assert_eq!(output, expected);
    }
}

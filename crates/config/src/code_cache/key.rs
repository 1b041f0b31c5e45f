//! By what compiled code is known.

use std::fmt::Write;

use blake2::digest::consts::U32;
use blake2::{Blake2b, Digest};

/// The digest of a source (BLAKE2b of 32 bytes): two sources with the same digest are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodeKey([u8; 32]);

impl CodeKey {
    /// The key of a source's bytes.
    pub fn of(source: &[u8]) -> Self {
        Self(digest(&[source]))
    }

    /// The name of the file in which the code is.
    pub(super) fn file_name(&self) -> String {
        let mut name = String::with_capacity(64);
        for byte in self.0 {
            // Writing to a string cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }

    /// What tells that code is whole and this source's.
    pub(super) fn checksum(&self, code: &[u8]) -> [u8; 32] {
        digest(&[&self.0, code])
    }
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Blake2b::<U32>::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

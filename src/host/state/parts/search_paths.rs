//! Variables that are lists of folders. Code that puts a folder before each time that it runs, as launchers
//! do once, would have them grow until no process can be started: a variable's length is limited.

use std::collections::HashSet;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

const SEPARATOR: u8 = if cfg!(windows) { b';' } else { b':' };

/// The variable's value without the folders that stand in it a second time, which are found at their first
/// place in any case. Nothing where there are none, or where it is no list of folders.
pub(super) fn without_copies(key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> Option<Py<PyAny>> {
    let (key, value) = (key.cast::<PyBytes>().ok()?, value.cast::<PyBytes>().ok()?);
    if !key.as_bytes().ends_with(b"PATH") {
        return None;
    }
    let kept = once_each(value.as_bytes())?;
    Some(PyBytes::new(value.py(), &kept).into_any().unbind())
}

fn once_each(value: &[u8]) -> Option<Vec<u8>> {
    let mut seen = HashSet::new();
    let mut are_copies = false;
    let entries = value.split(|byte| *byte == SEPARATOR);
    let kept = entries.filter(|entry| {
        let is_copy = entry.starts_with(b"/") && !seen.insert(*entry);
        are_copies |= is_copy;
        !is_copy
    });
    let kept = kept.collect::<Vec<_>>().join(&SEPARATOR);
    are_copies.then_some(kept)
}

#[cfg(all(test, not(windows)))]
mod tests {
    use super::*;

    #[test]
    fn folders_stay_at_their_first_place_and_all_else_stays() {
        let once = |value: &str| once_each(value.as_bytes()).map(|kept| String::from_utf8(kept).unwrap());
        assert_eq!(once("/a:/b:/a:/c:/b").as_deref(), Some("/a:/b:/c"));
        for whole in ["", "/a", "/a:/b:/c", "a:b:a", "::", "/a::.:/b:"] {
            assert_eq!(once(whole), None);
        }
        assert_eq!(once("/a::/a:x:x:").as_deref(), Some("/a::x:x:"));
    }
}

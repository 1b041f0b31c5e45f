//! The version of a Python.

use std::ffi::CStr;
use std::fmt;
use std::sync::OnceLock;

use pyo3::ffi;

/// A CPython version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct PythonVersion {
    /// 3 in 3.11.7.
    pub major: u8,
    /// 11 in 3.11.7. Compiled modules and libpython belong to one minor version.
    pub minor: u8,
    /// 7 in 3.11.7.
    pub patch: u8,
}

impl PythonVersion {
    pub(super) fn new(major: u8, minor: u8, patch: u8) -> Self {
        Self { major, minor, patch }
    }

    /// The version of the library that this process has loaded. Needs no started interpreter.
    ///
    /// `None` where its version text is not one that CPython writes.
    pub(super) fn of_library() -> Option<Self> {
        // Before initialisation CPython writes the text when it is first asked, and newer ones take it for
        // written as soon as they have begun: of two threads that ask at once, one gets nothing.
        static OF_LIBRARY: OnceLock<Option<PythonVersion>> = OnceLock::new();
        *OF_LIBRARY.get_or_init(|| {
            // SAFETY: returns a pointer to static, NUL-terminated text, and may be called before
            // initialisation.
            let text = unsafe { CStr::from_ptr(ffi::Py_GetVersion()) };
            Self::parse(text.to_str().ok()?)
        })
    }

    /// Whether files made for one, such as compiled modules, belong to the other.
    pub(super) fn same_minor(self, other: Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
    }

    /// From the beginning of `3.11.7 (main, …)`, `3.14.0rc1+ …`.
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text
            .splitn(3, '.')
            .map(|part| part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse().ok());
        Some(Self::new(numbers.next()??, numbers.next()??, numbers.next()??))
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::PythonVersion;

    #[test]
    fn a_version_is_read_from_the_text_that_cpython_gives() {
        let found = PythonVersion::parse("3.11.7 (main, Jan  1 2024, 00:00:00) [GCC 12.2.0]");
        assert_eq!(found, Some(PythonVersion::new(3, 11, 7)));
        assert_eq!(PythonVersion::parse("3.14.0rc1+ (heads/3.14)"), Some(PythonVersion::new(3, 14, 0)));
        assert_eq!(PythonVersion::parse("3.11"), None);
        assert_eq!(PythonVersion::parse(""), None);
    }
}

//! `locale.setlocale`: C's locale, of all categories.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::host::state::layers::setting::Setting;

/// How C writes numbers, dates, texts and so on. The value names all categories.
pub(crate) struct Locale;

/// The name of what is set, or null.
fn name() -> *const c_char {
    // SAFETY: without a locale to set the call gives a text that is C's, or null. It is valid until the
    // locale is set again, for which the interpreter is held.
    unsafe { libc::setlocale(libc::LC_ALL, ptr::null()) }
}

impl Setting for Locale {
    type Value = CString;

    fn find(_: Python<'_>) -> PyResult<Self> {
        Ok(Self)
    }

    fn get(&self, _: Python<'_>) -> Option<CString> {
        let name = name();
        // SAFETY: not null, and ends with a zero.
        (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_owned())
    }

    fn is(&self, _: Python<'_>, value: &CString) -> bool {
        let name = name();
        // SAFETY: not null, and both end with a zero. One call over both texts: each swap makes two.
        !name.is_null() && unsafe { libc::strcmp(name, value.as_ptr()) } == 0
    }

    fn set(&self, _: Python<'_>, name: &CString) -> PyResult<()> {
        // SAFETY: the name ends with a zero. C code of other threads that uses the locale at this moment is
        // as with `locale.setlocale`.
        let set = unsafe { libc::setlocale(libc::LC_ALL, name.as_ptr()) };
        if set.is_null() {
            return Err(PyRuntimeError::new_err(format!("C does not take its own locale {name:?} back")));
        }
        Ok(())
    }
}

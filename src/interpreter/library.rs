//! Which file CPython's code was loaded from.

use std::path::PathBuf;

/// The path by which the loader found the library that holds CPython: libpython, or the program where it is static.
#[cfg(unix)]
pub(super) fn loaded() -> Option<PathBuf> {
    use std::ffi::{CStr, OsStr, c_void};
    use std::mem::MaybeUninit;
    use std::os::unix::ffi::OsStrExt;

    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: `info` is writable memory of the right type, the address is only looked up.
    let found = unsafe { libc::dladdr(pyo3::ffi::Py_GetVersion as *const c_void, info.as_mut_ptr()) };
    if found == 0 {
        return None;
    }
    // SAFETY: all bit patterns of `Dl_info` are valid, zeroed before and now filled in.
    let info = unsafe { info.assume_init() };
    if info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: a NUL-terminated path that the loader keeps for as long as the library is loaded.
    let path = unsafe { CStr::from_ptr(info.dli_fname) };
    Some(PathBuf::from(OsStr::from_bytes(path.to_bytes())))
}

#[cfg(not(unix))]
pub(super) fn loaded() -> Option<PathBuf> {
    None
}

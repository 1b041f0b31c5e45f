//! Which file CPython's code was loaded from.

use std::path::{Path, PathBuf};

/// The folder of the libpython that was linked at build time.
fn linked_folder() -> Option<&'static Path> {
    option_env!("SGTK_HOST_LINKED_LIBDIR").map(Path::new)
}

/// Whether `loaded` is a libpython from another folder than the linked one. A program that holds CPython
/// itself is not.
pub(super) fn is_elsewhere(loaded: &Path) -> bool {
    let name = loaded.file_name().unwrap_or_default().to_string_lossy();
    // A framework's library on macOS is called Python.
    let shared = name.starts_with("libpython") || name == "Python";
    shared && loaded.canonicalize().ok() != counterpart(loaded).and_then(|linked| linked.canonicalize().ok())
}

/// Whether `loaded` was found although the linked library is on this machine: a run path is missing.
pub(super) fn is_substitute(loaded: &Path) -> bool {
    is_elsewhere(loaded) && counterpart(loaded).is_some_and(|linked| linked.exists())
}

fn counterpart(loaded: &Path) -> Option<PathBuf> {
    Some(linked_folder()?.join(loaded.file_name()?))
}

/// The path by which the loader found the library that holds CPython: libpython, or the program where it is
/// static.
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

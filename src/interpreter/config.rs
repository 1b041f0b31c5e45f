//! CPython's `PyPreConfig` and `PyConfig`, owned.
//!
//! <https://docs.python.org/3/c-api/init_config.html>, "Isolated Configuration".

use std::ffi::{CStr, c_char, c_int};
use std::mem::MaybeUninit;
use std::path::Path;

use pyo3::ffi;

use super::error::InterpreterError;

/// What differs from start to start.
pub(super) struct Wanted<'a> {
    /// What `sys.executable` shall be; prefixes and packages are found from it.
    pub(super) executable: &'a Path,
    pub(super) write_bytecode: bool,
}

/// Initialises CPython. On success the calling thread is attached and Python's main thread.
///
/// # Errors
/// [`InterpreterError::Initialization`], after which CPython must not be initialised again.
pub(super) fn initialize(wanted: &Wanted<'_>) -> Result<(), InterpreterError> {
    pre_initialize()?;
    let mut config = Config::isolated();
    // Command lines hold the daemon's business, sometimes its keys: Python sees `sys.argv == ['']`.
    config.0.parse_argv = 0;
    config.0.install_signal_handlers = 0;
    // The C streams are the program's own.
    config.0.configure_c_stdio = 0;
    config.0.write_bytecode = c_int::from(wanted.write_bytecode);
    config.set_executable(wanted.executable)?;
    // SAFETY: nothing is initialised yet (the caller's doing), and `config` is a complete configuration.
    checked(unsafe { ffi::Py_InitializeFromConfig(&config.0) })
}

/// Text is UTF-8 whatever the locale, and the environment has no effect.
fn pre_initialize() -> Result<(), InterpreterError> {
    let mut config = MaybeUninit::<ffi::PyPreConfig>::zeroed();
    // SAFETY: writes all fields of the memory it is given.
    let mut config = unsafe {
        ffi::PyPreConfig_InitIsolatedConfig(config.as_mut_ptr());
        config.assume_init()
    };
    config.utf8_mode = 1;
    // SAFETY: a complete configuration; does nothing where Python was pre-initialised before.
    checked(unsafe { ffi::Py_PreInitialize(&config) })
}

/// A `PyConfig` that frees its strings.
struct Config(ffi::PyConfig);

impl Config {
    fn isolated() -> Self {
        let mut config = MaybeUninit::<ffi::PyConfig>::zeroed();
        // SAFETY: writes all fields of the memory it is given; the strings are null or owned by the
        // configuration, nothing in it points into it, so that it may be moved.
        Self(unsafe {
            ffi::PyConfig_InitIsolatedConfig(config.as_mut_ptr());
            config.assume_init()
        })
    }

    /// `program_name` as well as `executable`: up to 3.10 prefixes are found from either, depending on the
    /// platform.
    fn set_executable(&mut self, path: &Path) -> Result<(), InterpreterError> {
        self.set_path(path, |config| &raw mut config.program_name)?;
        self.set_path(path, |config| &raw mut config.executable)
    }

    #[cfg(unix)]
    fn set_path(
        &mut self,
        path: &Path,
        field: impl FnOnce(&mut ffi::PyConfig) -> *mut *mut libc::wchar_t,
    ) -> Result<(), InterpreterError> {
        use std::os::unix::ffi::OsStrExt;

        let mut text = path.as_os_str().as_bytes().to_vec();
        text.push(0);
        let field = field(&mut self.0);
        // SAFETY: `field` lies in the configuration; `text` is NUL-terminated and copied. Bytes that are not
        // UTF-8 are escaped as `os.fsdecode` does.
        checked(unsafe { ffi::PyConfig_SetBytesString(&mut self.0, field, text.as_ptr().cast::<c_char>()) })
    }

    #[cfg(windows)]
    fn set_path(
        &mut self,
        path: &Path,
        field: impl FnOnce(&mut ffi::PyConfig) -> *mut *mut libc::wchar_t,
    ) -> Result<(), InterpreterError> {
        use std::os::windows::ffi::OsStrExt;

        let text: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
        let field = field(&mut self.0);
        // SAFETY: `field` lies in the configuration; `text` is NUL-terminated and copied.
        checked(unsafe { ffi::PyConfig_SetString(&mut self.0, field, text.as_ptr()) })
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: made by PyConfig_InitIsolatedConfig and cleared once.
        unsafe { ffi::PyConfig_Clear(&mut self.0) }
    }
}

/// A `PyStatus` as a result. A status that asks the process to exit is an error like any other.
fn checked(status: ffi::PyStatus) -> Result<(), InterpreterError> {
    // SAFETY: takes a status by value and only reads it.
    if unsafe { ffi::PyStatus_Exception(status) } == 0 {
        return Ok(());
    }
    // SAFETY: as above.
    let exit = unsafe { ffi::PyStatus_IsExit(status) } != 0;
    let reason = match text(status.err_msg) {
        Some(reason) => reason,
        None if exit => format!("it asked to exit with code {}", status.exitcode),
        None => "it gave no reason".to_owned(),
    };
    Err(InterpreterError::Initialization { function: text(status.func), reason })
}

fn text(text: *const c_char) -> Option<String> {
    // SAFETY: a `PyStatus` holds null or static, NUL-terminated text.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

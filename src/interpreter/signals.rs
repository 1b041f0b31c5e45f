//! Keeps Python's hands off the program's Ctrl-C.
//!
//! `install_signal_handlers = 0` is not enough: the first import of `_signal` (by `subprocess`, `signal`,
//! `asyncio`) makes `signal.default_int_handler` the action for SIGINT where that is the default, and from
//! then on Ctrl-C only sets a flag that no Rust code looks at. So it is imported here, under supervision.

#[cfg(unix)]
pub(super) use unix::Sigint;

#[cfg(unix)]
mod unix {
    use std::mem::MaybeUninit;

    use pyo3::prelude::*;

    /// What SIGINT did before Python was started.
    pub(in super::super) struct Sigint {
        /// `None` where the system would not tell.
        action: Option<libc::sigaction>,
    }

    impl Sigint {
        /// To be called before Python runs any code.
        pub(in super::super) fn save() -> Self {
            let mut action = MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: a null new action changes nothing; `action` is writable memory of the right type.
            let status = unsafe { libc::sigaction(libc::SIGINT, std::ptr::null(), action.as_mut_ptr()) };
            // SAFETY: filled in by the successful call.
            Self { action: (status == 0).then(|| unsafe { action.assume_init() }) }
        }

        /// Imports `_signal`, so that no later import changes the action that is put back after it, and makes
        /// Python's own table true: `asyncio.run` takes SIGINT for itself where it believes that Python's
        /// default handler is in place.
        pub(in super::super) fn keep(self, py: Python<'_>) -> PyResult<()> {
            let module = py.import("_signal")?;
            let was_default = self.action.is_some_and(|action| action.sa_sigaction == libc::SIG_DFL);
            let believed = module.call_method1("getsignal", (libc::SIGINT,))?;
            if was_default && believed.is(module.getattr("default_int_handler")?) {
                // Only Python's main thread may, which a thread that joins a running interpreter need not be.
                let told = module.call_method1("signal", (libc::SIGINT, module.getattr("SIG_DFL")?));
                if let Err(error) = told {
                    tracing::debug!(%error, "Python goes on believing that SIGINT is its own");
                }
            }
            Ok(())
        }
    }

    impl Drop for Sigint {
        /// Also after an initialisation that failed: it may have got as far as `_signal`.
        fn drop(&mut self) {
            if let Some(action) = self.action {
                // SAFETY: `action` is what the system gave for the same signal.
                unsafe { libc::sigaction(libc::SIGINT, &action, std::ptr::null_mut()) };
            }
        }
    }
}

/// Nothing to keep: without `install_signal_handlers` Python takes no console event on this platform.
#[cfg(not(unix))]
pub(super) struct Sigint;

#[cfg(not(unix))]
impl Sigint {
    pub(super) fn save() -> Self {
        Self
    }

    pub(super) fn keep(self, _py: pyo3::Python<'_>) -> pyo3::PyResult<()> {
        Ok(())
    }
}

//! The Python code that is running on this thread.

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrame};

/// The globals of the Python code that is calling us.
pub(crate) fn running_globals(py: Python<'_>) -> Option<Bound<'_, PyDict>> {
    // SAFETY: the interpreter is held; the result is a borrowed reference that the running frame keeps alive,
    // or null where no Python code is running.
    let globals = unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyEval_GetGlobals()) };
    globals?.cast_into().ok()
}

/// The address of the running frame, 0 for none. It identifies the frame as long as that runs.
pub(crate) fn frame_address(py: Python<'_>) -> usize {
    running_frame(py).map_or(0, |frame| frame.address())
}

/// The frame of the Python code that is calling us.
fn running_frame(py: Python<'_>) -> Option<Frame<'_>> {
    // SAFETY: the interpreter is held; the result is a borrowed reference to the running frame, or null.
    unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyEval_GetFrame().cast()) }.map(Frame)
}

/// The frames of this thread, from the code that is calling us outwards.
pub(crate) fn frames(py: Python<'_>) -> impl Iterator<Item = Frame<'_>> {
    std::iter::successors(running_frame(py), Frame::back)
}

/// A frame and those that have called it, outwards.
pub(crate) fn outwards(frame: Bound<'_, PyAny>) -> impl Iterator<Item = Frame<'_>> {
    let is_frame = frame.is_instance_of::<PyFrame>();
    std::iter::successors(is_frame.then_some(Frame(frame)), Frame::back)
}

/// A place in Python code.
pub(crate) struct Place {
    code: Py<PyAny>,
    line: i32,
}

impl Place {
    /// `function 'handle' in /plugins/notify.py, line 12`.
    pub(crate) fn describe(&self, py: Python<'_>) -> String {
        let code = self.code.bind(py);
        let text = |name| code.getattr(name).and_then(|text| text.extract::<String>()).unwrap_or_default();
        let (function, file, line) = (text("co_name"), text("co_filename"), self.line);
        match function.as_str() {
            "<module>" | "" => format!("{file}, line {line}"),
            function => format!("function '{function}' in {file}, line {line}"),
        }
    }
}

/// A function's, module's or class body's code that is running.
pub(crate) struct Frame<'py>(Bound<'py, PyAny>);

impl<'py> Frame<'py> {
    /// Identifies the frame as long as it runs.
    pub(crate) fn address(&self) -> usize {
        self.0.as_ptr() as usize
    }

    /// The frame that called this one.
    fn back(&self) -> Option<Self> {
        // SAFETY: the object is a frame and the interpreter is held; the result is a new reference, or null
        // for the last.
        unsafe {
            Bound::from_owned_ptr_or_opt(self.0.py(), ffi::PyFrame_GetBack(self.0.as_ptr().cast()).cast())
        }
        .map(Frame)
    }

    fn code(&self) -> Option<Bound<'py, PyAny>> {
        // SAFETY: the object is a frame and the interpreter is held; the result is a new reference.
        unsafe {
            Bound::from_owned_ptr_or_opt(self.0.py(), ffi::PyFrame_GetCode(self.0.as_ptr().cast()).cast())
        }
    }

    /// The file that its code is from.
    pub(crate) fn file(&self) -> Option<String> {
        let code = self.code()?;
        code.getattr(intern!(code.py(), "co_filename")).ok()?.extract().ok()
    }

    /// Where it is now.
    pub(crate) fn place(&self) -> Option<Place> {
        // SAFETY: the object is a frame and the interpreter is held.
        let line = unsafe { ffi::PyFrame_GetLineNumber(self.0.as_ptr().cast()) };
        Some(Place { code: self.code()?.unbind(), line })
    }

    /// Whether it runs this code object.
    pub(crate) fn runs(&self, code: &Py<PyAny>) -> bool {
        self.code().is_some_and(|own| own.is(code))
    }

    /// Whether it runs a module's code, or what was given to `exec`: not that of a function.
    pub(crate) fn is_module(&self) -> bool {
        const NEW_LOCALS: u32 = 0x2;
        let flags = self.code().and_then(|code| code.getattr(intern!(code.py(), "co_flags")).ok());
        flags.is_some_and(|flags| flags.extract().is_ok_and(|flags: u32| flags & NEW_LOCALS == 0))
    }

    /// The names that its code sees as global.
    #[cfg(Py_3_11)]
    pub(crate) fn globals(&self) -> Option<Bound<'py, PyDict>> {
        // SAFETY: the object is a frame and the interpreter is held; the result is a new reference.
        let globals = unsafe {
            Bound::from_owned_ptr_or_opt(self.0.py(), ffi::PyFrame_GetGlobals(self.0.as_ptr().cast()))
        };
        globals?.cast_into().ok()
    }

    /// The names that its code sees as global.
    #[cfg(not(Py_3_11))]
    pub(crate) fn globals(&self) -> Option<Bound<'py, PyDict>> {
        self.0.getattr(intern!(self.0.py(), "f_globals")).ok()?.cast_into().ok()
    }
}

//! The Python code that is running on this thread.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The globals of the Python code that is calling us.
pub(crate) fn running_globals(py: Python<'_>) -> Option<Bound<'_, PyDict>> {
    // SAFETY: the interpreter is held; the result is a borrowed reference that the running frame keeps alive, or null
    // where no Python code is running.
    let globals = unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyEval_GetGlobals()) };
    globals?.cast_into().ok()
}

/// The frame of the Python code that is calling us.
pub(crate) fn running_frame(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    // SAFETY: the interpreter is held; the result is a borrowed reference to the running frame, or null.
    unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyEval_GetFrame().cast()) }
}

/// The address of the running frame, 0 for none. It identifies the frame as long as that runs.
pub(crate) fn frame_address(py: Python<'_>) -> usize {
    running_frame(py).map_or(0, |frame| frame.as_ptr() as usize)
}

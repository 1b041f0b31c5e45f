//! What the compiler refuses of a lease.
//!
//! Each case comes twice: as it is refused, and with the one line fixed, as it compiles. So a case that is
//! refused for another reason shows, whatever words the compiler has for it.
//!
//! # A lease cannot outlive its attachment to the interpreter
//! ```compile_fail,E0521
//! # use pyo3::prelude::*;
//! fn keep(host: &sgtk_host::Host) -> sgtk_host::Lease<'_> {
//!     Python::attach(|py| host.lease(py, "project_a").unwrap())
//! }
//! ```
//! ```
//! # use pyo3::prelude::*;
//! fn keep<'py>(host: &sgtk_host::Host, py: Python<'py>) -> sgtk_host::Lease<'py> {
//!     Python::attach(|_| host.lease(py, "project_a").unwrap())
//! }
//! ```
//!
//! # A lease cannot be sent to another thread
//! ```compile_fail,E0277
//! # use pyo3::prelude::*;
//! fn send(lease: sgtk_host::Lease<'static>) {
//!     std::thread::spawn(move || drop(lease));
//! }
//! ```
//! ```
//! # use pyo3::prelude::*;
//! fn send(host: sgtk_host::Host) {
//!     std::thread::spawn(move || drop(host));
//! }
//! ```
//!
//! # A lease cannot be used while its thread is detached
//! ```compile_fail,E0277
//! # use pyo3::prelude::*;
//! fn detach(py: Python<'_>, lease: &sgtk_host::Lease<'_>) -> String {
//!     py.detach(|| lease.project().to_owned())
//! }
//! ```
//! ```
//! # use pyo3::prelude::*;
//! fn detach(py: Python<'_>, lease: &sgtk_host::Lease<'_>) -> String {
//!     let project = lease.project();
//!     py.detach(|| project.to_owned())
//! }
//! ```
//!
//! # The module that a lease gives cannot be borrowed for longer than the lease
//! ```compile_fail,E0505
//! # use pyo3::prelude::*;
//! fn outlive(lease: sgtk_host::Lease<'_>) -> PyResult<()> {
//!     let sgtk: &Bound<'_, PyModule> = lease.sgtk();
//!     drop(lease);
//!     sgtk.getattr("__version__").map(drop)
//! }
//! ```
//! ```
//! # use pyo3::prelude::*;
//! fn outlive(lease: sgtk_host::Lease<'_>) -> PyResult<()> {
//!     let sgtk: &Bound<'_, PyModule> = lease.sgtk();
//!     sgtk.getattr("__version__").map(drop)?;
//!     Ok(drop(lease))
//! }
//! ```

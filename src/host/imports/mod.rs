//! Imports of projects' code: the first of a core, and late ones.

pub(crate) mod caller;
pub(crate) mod compiled;
pub(crate) mod first;
pub(crate) mod generated;
pub(crate) mod harness;
pub(crate) mod late;
pub(crate) mod late_loads;
pub(crate) mod log_records;
pub(crate) mod on_import;
mod provided;
pub(crate) mod unattended;
mod wanted;
pub(crate) mod wrappers;

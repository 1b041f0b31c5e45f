//! C-level work on the interpreter, which knows no project.
//!
//! What is used while an import state changes ([`contents`], [`names`], [`modules`], [`import_locks`]) runs
//! no Python code.

pub(crate) mod at_exit;
pub(crate) mod bytecode;
pub(crate) mod children;
pub(crate) mod code;
pub(crate) mod collector;
pub(crate) mod contents;
pub(crate) mod folder;
pub(crate) mod frames;
pub(crate) mod import;
pub(crate) mod import_caches;
pub(crate) mod import_locks;
pub(crate) mod interruption;
pub(crate) mod modules;
pub(crate) mod names;
pub(crate) mod noted;
pub(crate) mod signals;
pub(crate) mod steps_in_python;
pub(crate) mod time_limit;
pub(crate) mod warning_filters;

//! Whose a module, a finder or a path entry is: the daemon's, or which project's.
//!
//! [`rules::Ownership`] is the one answer: [`rules::Rules`] give it by names and places, [`marks::classify`]
//! by a module's mark as well, and [`newcomers::sort`] for modules that follow from others.

pub(crate) mod acting;
pub(crate) mod cores;
pub(crate) mod culprit;
pub(crate) mod foreign;
pub(crate) mod import_state;
pub(crate) mod marks;
pub(crate) mod newcomers;
pub(crate) mod objects;
pub(crate) mod roots;
pub(crate) mod rules;
pub(crate) mod toolkit_names;

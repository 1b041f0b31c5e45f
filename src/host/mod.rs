//! Many cores in one interpreter: each project's import state is put in place for a lease and parked after
//! it.
//!
//! See [`Host`] for how to use it, and `ARCHITECTURE.md` for how it works.

mod audit;
mod builder;
mod command;
mod dependent;
mod gate;
mod handle;
mod imports;
mod inner;
mod lease;
mod own_bootstraps;
mod ownership;
mod private_state;
mod python;
mod recipe;
mod shutdown;
mod state;
mod succession;
mod upkeep;
mod views;

pub use audit::ForeignModule;
pub use builder::HostBuilder;
pub(crate) use dependent::Dependent;
pub use handle::Host;
pub use imports::late::set_late_import_timeout;
pub use imports::on_import::{Imported, Purpose};
pub(crate) use imports::unattended::learn_function;
pub use lease::Lease;
pub(crate) use lease::forked::end_where_it_came_back;
pub(crate) use lease::lend::{Lender, lending};
pub(crate) use lease::pin::Pin;
pub(crate) use lease::turn::Turn;
pub(crate) use private_state::PrivateState;
pub(crate) use python::frames::running_globals;
pub use python::interruption::{Interruptible, Interruption};
pub(crate) use python::steps_in_python;
pub(crate) use python::time_limit::TimeLimit;
pub(crate) use python::warning_filters::WarningFilters;
pub use recipe::import_sgtk;
pub(crate) use shutdown::wait_for_all;
pub use upkeep::residents::Resident;

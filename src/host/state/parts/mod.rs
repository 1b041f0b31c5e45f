//! The parts of the import state. A new one is a file here and a line in the list below.

mod appeared;
mod bindings;
pub(crate) mod core_names;
pub(crate) mod environment;
pub(super) mod finders;
mod import_functions;
mod interpreter_settings;
mod locale;
mod log_levels;
pub(super) mod loggers;
pub(super) mod modules;
mod noted_settings;
pub(super) mod search_path;
mod search_paths;
mod socket_timeout;
pub(super) mod standard_attributes;
pub(super) mod standard_lists;
mod standard_names;
mod standard_places;
mod standard_watched;
mod sys_attributes;
mod time_zone;
mod working_folder;

use pyo3::prelude::*;

use super::layers::Replaced;
use super::layers::setting::SettingPart;
use super::part::{Part, Visit};
use crate::host::ownership::rules::Rules;

/// Whether an entry of a list is the project's.
pub(crate) type IsProjects = fn(&Rules, &Bound<'_, PyAny>) -> bool;

/// Declares the parts, in the order in which they are put in place and taken out.
macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident: $part:ty,)*) => {
        /// The parts as the daemon has them.
        pub(crate) struct Parts {
            $($(#[$doc])* pub(super) $name: $part,)*
        }

        /// What one project has of each.
        pub(crate) struct Shares {
            $($(#[$doc])* pub(super) $name: <$part as Part>::Share,)*
        }

        impl Parts {
            pub(super) fn new(py: Python<'_>) -> PyResult<Self> {
                Ok(Self { $($name: <$part as Part>::new(py)?,)* })
            }

            /// Puts a project's shares in place: all of them, whatever fails; the first error is the one to
            /// tell.
            pub(super) fn enter(&mut self, visit: &mut Visit<'_, '_>, shares: &mut Shares) -> PyResult<()> {
                let mut outcome = Ok(());
                $(outcome = keep_first(outcome, self.$name.enter(visit, &mut shares.$name));)*
                outcome
            }

            /// Takes a project's shares out, and leaves them as they were when they were put in place.
            pub(super) fn undo(&mut self, visit: &mut Visit<'_, '_>, shares: &mut Shares) -> PyResult<()> {
                let mut outcome = Ok(());
                $(outcome = keep_first(outcome, self.$name.undo(visit, &mut shares.$name));)*
                outcome
            }

            /// Takes a project's shares out, as [`enter`](Self::enter) puts them in. Where they were in place
            /// outside leases, the daemon's changes are its own (`daemons`).
            pub(super) fn leave(
                &mut self,
                visit: &mut Visit<'_, '_>,
                shares: &mut Shares,
                daemons: bool,
            ) -> PyResult<()> {
                let mut outcome = Ok(());
                $(
                    if daemons {
                        outcome = keep_first(outcome, self.$name.keep_for_daemon(visit, &mut shares.$name));
                    }
                    outcome = keep_first(outcome, self.$name.leave(visit, &mut shares.$name));
                )*
                outcome
            }
        }

        impl Shares {
            /// Those of a project that has nothing yet.
            pub(crate) fn new(py: Python<'_>) -> Self {
                Self { $($name: <$part as Part>::empty(py),)* }
            }

            /// Hands on what is the code's rather than its core's.
            pub(super) fn hand_on(&mut self, py: Python<'_>, to: &mut Self, replaced: &mut Replaced) {
                $(<$part as Part>::hand_on(py, &mut self.$name, &mut to.$name, replaced);)*
            }
        }
    };
}

// The order counts: paths tell whose modules are, and modules whose finders.
parts! {
    /// `sys.path`.
    path: search_path::SearchPath,
    /// `sys.modules`, and the attributes of shared packages that lead to a project's modules.
    modules: modules::Modules,
    /// `sys.meta_path` and `sys.path_hooks`.
    finders: finders::Finders,
    /// `builtins.__import__` and its like.
    import_functions: import_functions::ImportFunctions,
    /// The other attributes of `sys`.
    sys: sys_attributes::SysAttributes,
    /// The environment.
    environment: environment::Environment,
    /// `sys.setrecursionlimit`.
    recursion_limit: SettingPart<interpreter_settings::RecursionLimit>,
    /// `sys.set_int_max_str_digits`.
    integer_digits: SettingPart<interpreter_settings::IntegerDigits>,
    /// `sys.setswitchinterval`.
    switch_interval: SettingPart<interpreter_settings::SwitchInterval>,
    /// `gc.enable` and `gc.disable`.
    collector: SettingPart<interpreter_settings::Collector>,
    /// `locale.setlocale`.
    locale: SettingPart<locale::Locale>,
    /// Settings that functions make which are wrapped for it: `random.seed`, limits, signals.
    noted: noted_settings::NotedSettings,
    /// `socket.setdefaulttimeout`.
    socket_timeout: SettingPart<socket_timeout::SocketTimeout>,
    /// The filters of `warnings`, the root logger's handlers, and so on.
    standard_lists: standard_lists::StandardLists,
    /// What code replaces in modules and classes of the standard library: also
    /// `urllib.request.install_opener` and the function that makes contexts for `https`.
    standard_attributes: standard_attributes::StandardAttributes,
    /// The current folder.
    working_folder: working_folder::WorkingFolder,
    /// `logging.disable`. Before the loggers, which remember what it lets through.
    log_switch: SettingPart<log_levels::LogSwitch>,
    /// The loggers.
    loggers: loggers::Loggers,
}

fn keep_first(first: PyResult<()>, next: PyResult<()>) -> PyResult<()> {
    first.and(next)
}

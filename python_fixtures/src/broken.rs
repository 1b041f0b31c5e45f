//! Ways in which a core fails to be one.

use std::path::PathBuf;

/// What is wrong with a core. Apart from `LacksSgtk`, nearly all of it is loaded when it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// Its last module needs a library that is nowhere.
    RaisesImportError,
    /// Its last module is cut off in the middle.
    SyntaxError,
    /// Its last module calls `sys.exit`.
    SystemExit,
    /// Its last module raises `KeyboardInterrupt`.
    KeyboardInterrupt,
    /// There is `tank` but no `sgtk`.
    LacksSgtk,
    /// The package wants a name that one of its modules, left from an older core, has not.
    HalfUpgraded,
    /// Adds paths, finders, attributes of `sys`, environment variables, loggers, handlers, warnings filters
    /// and modules, and raises `ImportError` then.
    LeavesTraces,
    /// Imports without an error, but `sgtk` is not `tank`.
    SgtkIsNotTank,
    /// Imports without an error, but `sgtk` puts this `python` folder of another core first and is that one's
    /// `tank`.
    BorrowsTank(PathBuf),
    /// Its last module sets `fixture_gate.entered` and waits for `fixture_gate.proceed` (see
    /// [`host_packages`](crate::host_packages)); it is a good core then.
    Hangs,
}

impl Broken {
    /// One of each, but for [`Broken::BorrowsTank`], which needs a folder.
    pub fn all() -> Vec<Broken> {
        use Broken::*;
        vec![
            RaisesImportError,
            SyntaxError,
            SystemExit,
            KeyboardInterrupt,
            LacksSgtk,
            HalfUpgraded,
            LeavesTraces,
            SgtkIsNotTank,
            Hangs,
        ]
    }

    /// The folder below `broken/` whose files replace the core's own; none where a file is only taken away.
    pub(crate) fn overlay(&self) -> Option<&'static str> {
        Some(match self {
            Broken::RaisesImportError => "raises_import_error",
            Broken::SyntaxError => "syntax_error",
            Broken::SystemExit => "system_exit",
            Broken::KeyboardInterrupt => "keyboard_interrupt",
            Broken::LacksSgtk => return None,
            Broken::HalfUpgraded => "half_upgraded",
            Broken::LeavesTraces => "leaves_traces",
            Broken::SgtkIsNotTank => "sgtk_is_not_tank",
            Broken::BorrowsTank(_) => "borrows_tank",
            Broken::Hangs => "hangs",
        })
    }
}

//! Tests that need something which a machine may lack.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};

/// Where this is set, to whatever, nothing may be lacking: for CI.
const NOTHING_SKIPPED: &str = "SGTK_HOST_NOTHING_SKIPPED";

/// Says that tests are skipped as the machine lacks `what`, once for each thing and past the test harness,
/// which keeps what passing tests print to itself.
///
/// # Panics
/// Where `SGTK_HOST_NOTHING_SKIPPED` is set, as CI does: there each test has to run.
pub fn missing(what: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    assert!(std::env::var_os(NOTHING_SKIPPED).is_none(), "{what}, and {NOTHING_SKIPPED} is set");
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned()) {
        // Nobody is there to be told where standard error is closed.
        let _ = io::stderr().write_all(format!("skipped: {what}\n").as_bytes());
    }
}

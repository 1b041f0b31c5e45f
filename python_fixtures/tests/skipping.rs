//! What a machine lacks is said, and in CI a failure.

use std::process::{Command, Output};

use sgtk_host_fixtures::missing;

const CHILD: &str = "SGTK_HOST_TEST_LACKS_SOMETHING";

/// Runs a test as the harness does, without `--nocapture`, that lacks something twice.
fn run(nothing_skipped: bool) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["a_test_that_lacks_something", "--exact"]).env(CHILD, "1");
    if nothing_skipped {
        child.env("SGTK_HOST_NOTHING_SKIPPED", "1");
    } else {
        child.env_remove("SGTK_HOST_NOTHING_SKIPPED");
    }
    child.output().unwrap()
}

#[test]
fn a_test_that_lacks_something() {
    if std::env::var_os(CHILD).is_some() {
        missing("there is no such thing");
        missing("there is no such thing");
    }
}

#[test]
fn what_is_missing_is_said_once_past_the_harness() {
    let output = run(false);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "skipped: there is no such thing\n");
}

#[test]
fn where_nothing_may_be_skipped_it_is_a_failure() {
    let output = run(true);
    assert!(!output.status.success(), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stdout)
            .contains("there is no such thing, and SGTK_HOST_NOTHING_SKIPPED")
    );
}

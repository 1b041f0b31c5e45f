//! Tests in a process of their own, for behaviour that is global to a process: starting the interpreter,
//! signals, the first import.

use std::process::Command;

/// Set in the child to the name of the one test that it runs.
const CHILD: &str = "SGTK_HOST_ISOLATED_TEST";

/// Whether this process is a child that runs the test called `name`.
pub fn in_child(name: &str) -> bool {
    std::env::var(CHILD).is_ok_and(|running| running == name)
}

/// Runs `body` in a process of its own and fails with that process's output where `body` fails.
///
/// To be called first in the `#[test]` function whose full name in its test binary is `name`: that binary is
/// started again for this test alone.
pub fn isolated(name: &str, body: impl FnOnce()) {
    isolated_with(name, |_| (), body);
}

/// As [`isolated`]; `prepare` changes the child's command: its environment, its working folder.
pub fn isolated_with(name: &str, prepare: impl FnOnce(&mut Command), body: impl FnOnce()) {
    if in_child(name) {
        return body();
    }
    let executable = std::env::current_exe().expect("the test binary's own path");
    let mut child = Command::new(executable);
    child.args([name, "--exact", "--nocapture", "--include-ignored"]).env(CHILD, name);
    prepare(&mut child);
    let output = child.output().expect("the test binary starts again");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{name} in a process of its own: {}\n--- stdout\n{stdout}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr),
    );
}

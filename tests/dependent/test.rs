//! An integration test that starts the Python that it was linked with.

use sgtk_host::interpreter::Interpreter;

#[test]
fn the_linked_python_starts() {
    Interpreter::start_default().unwrap();
}

#[test]
fn the_build_script_is_the_documentations() {
    let (script, documentation) = (include_str!("build.rs"), include_str!("../../docs/linking.md"));
    assert!(
        documentation.contains(&format!("```rust,no_run\n{script}```\n")),
        "docs/linking.md shows another one"
    );
}

//! Links what cargo builds here (tests, examples, benches) so that it loads the libpython it was linked with, hands
//! that library's folder to dependents, and remembers which Python it was.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    pyo3_build_config::use_pyo3_cfgs();
    // Without a run path the loader may find another libpython of the same name, silently.
    pyo3_build_config::add_libpython_rpath_link_args();
    let python = pyo3_build_config::get();
    let version = python.target_abi().version();
    println!("cargo::rustc-env=SGTK_HOST_LINKED_VERSION={}.{}", version.major, version.minor);
    if let Some(folder) = python.lib_dir() {
        // Run paths are not inherited: dependents read DEP_SGTK_HOST_LIBDIR in their own build script.
        println!("cargo::metadata=libdir={folder}");
        println!("cargo::rustc-env=SGTK_HOST_LINKED_LIBDIR={folder}");
    }
    // Its own `sys.executable`, so the interpreter itself where `python` is a launcher's shim.
    if let Some(executable) = python.executable() {
        println!("cargo::rustc-env=SGTK_HOST_LINKED_PYTHON={executable}");
    }
}

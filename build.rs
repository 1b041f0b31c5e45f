//! Links what cargo builds here (tests, examples, benches) so that it loads the libpython it was linked with, and hands
//! that library's folder to dependents.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    pyo3_build_config::use_pyo3_cfgs();
    // Without a run path the loader may find another libpython of the same name, silently.
    pyo3_build_config::add_libpython_rpath_link_args();
    if let Some(folder) = pyo3_build_config::get().lib_dir() {
        println!("cargo::metadata=libdir={folder}");
    }
}

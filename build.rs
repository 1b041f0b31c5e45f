//! Looks for the libpython that is to be linked, links what cargo builds here (tests, examples, benches) so
//! that it loads that one, hands its folder to dependents, and remembers which Python it was.

use std::env;
use std::path::{Path, PathBuf};

#[path = "build/library.rs"]
mod library;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    pyo3_build_config::use_pyo3_cfgs();
    let python = pyo3_build_config::get();
    let version = python.target_abi().version();
    println!("cargo::rustc-env=SGTK_HOST_LINKED_VERSION={}.{}", version.major, version.minor);
    // Its own `sys.executable`, so the interpreter itself where `python` is a launcher's shim.
    if let Some(executable) = python.executable() {
        println!("cargo::rustc-env=SGTK_HOST_LINKED_PYTHON={executable}");
    }
    let found = match find(python) {
        Ok(found) => found,
        Err(unlinkable) => {
            println!("cargo::error={unlinkable}");
            return;
        }
    };
    // Without a run path the loader may find another libpython of the same name, silently.
    pyo3_build_config::add_libpython_rpath_link_args();
    if let Some(folder) = found.or_else(|| python.lib_dir().map(PathBuf::from)) {
        let folder = folder.display();
        println!("cargo::rustc-env=SGTK_HOST_LINKED_LIBDIR={folder}");
        // Run paths are not inherited: dependents read DEP_SGTK_HOST_LIBDIR in their own build script.
        // Windows has none.
        if env::var_os("CARGO_CFG_UNIX").is_some() {
            println!("cargo::metadata=libdir={folder}");
        }
    }
}

/// The folder of the shared library, where it can be told.
fn find(python: &pyo3_build_config::InterpreterConfig) -> Result<Option<PathBuf>, library::Unlinkable> {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    // For another system the linker's own folders are not known here; a framework (macOS) has its library
    // elsewhere.
    let framework = python.python_framework_prefix().is_some_and(|prefix| !prefix.is_empty());
    let (Some(name), false) = (python.lib_name(), framework || variable("HOST") != variable("TARGET")) else {
        return Ok(None);
    };
    let version = python.target_abi().version();
    let searched = library::Python {
        executable: python.executable().unwrap_or("the chosen Python"),
        version: format!("{}.{}", version.major, version.minor),
        shared: python.shared(),
        library: name,
        folder: python.lib_dir().map(Path::new),
    };
    let folders = library::search_folders(&variable("CARGO_ENCODED_RUSTFLAGS"));
    let linking = library::Linking { system: &variable("CARGO_CFG_TARGET_OS"), folders };
    let linker = env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    library::find(&searched, &linking, |file| library::ask(Path::new(&linker), file))
}

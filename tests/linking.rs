//! What the build says where there is no libpython to link with.

#[path = "../build/library.rs"]
mod library;

use std::fs;
use std::path::{Path, PathBuf};

use library::{Linking, Python, ask, find, search_folders};

const FILE: &str = "libpython3.11.so";

fn python(folder: Option<&Path>) -> Python<'_> {
    Python {
        executable: "/usr/bin/python3",
        version: "3.11".to_owned(),
        shared: true,
        library: "python3.11",
        folder,
    }
}

fn on(system: &str) -> Linking<'_> {
    Linking { system, folders: Vec::new() }
}

/// A linker that finds nothing in folders of its own.
fn none(_: &str) -> Option<Option<PathBuf>> {
    Some(None)
}

#[test]
fn a_missing_library_is_one_sentence_that_names_the_file_and_the_package_of_each_system() {
    let folder = tempfile::tempdir().unwrap();
    // What Debian installs without `python3-dev`.
    fs::write(folder.path().join("libpython3.11.so.1.0"), "").unwrap();
    let error = find(&python(Some(folder.path())), &on("linux"), none).unwrap_err().to_string();
    let place = folder.path().display();
    let begin = format!(
        "the linker needs {FILE} to embed /usr/bin/python3, and it is not in {place}, nor in the linker's"
    );
    assert!(error.starts_with(&begin), "{error}");
    for package in [
        "python3-dev or libpython3.11-dev (Debian, Ubuntu)",
        "python3-devel (Fedora, Rocky)",
        "PYTHON_CONFIGURE_OPTS=--enable-shared",
        "PYO3_PYTHON=",
    ] {
        assert!(error.contains(package), "{error}");
    }
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn a_python_that_was_built_without_a_shared_library_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("libpython3.11.a"), "").unwrap();
    let python = Python { shared: false, ..python(Some(folder.path())) };
    let error = find(&python, &on("linux"), none).unwrap_err().to_string();
    assert!(
        error.starts_with("/usr/bin/python3 was built without a shared library (libpython3.11.so)"),
        "{error}"
    );
    assert!(error.contains("PYTHON_CONFIGURE_OPTS=--enable-shared"), "{error}");
}

#[test]
fn the_pythons_own_folder_comes_first_and_the_linker_is_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), "").unwrap();
    let found = find(&python(Some(folder.path())), &on("linux"), |_| panic!("asked")).unwrap();
    assert_eq!(found.as_deref(), Some(folder.path()));
}

#[test]
#[cfg(unix)]
fn a_link_that_leads_nowhere_is_no_library() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("libpython3.11.so.1.0", folder.path().join(FILE)).unwrap();
    find(&python(Some(folder.path())), &on("linux"), none).unwrap_err();
}

#[test]
fn a_library_in_the_linkers_own_folders_is_good_enough() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = Path::new("/usr/lib/x86_64-linux-gnu");
    for own in [Some(folder.path()), None] {
        let found = find(&python(own), &on("linux"), |file| Some(Some(elsewhere.join(file)))).unwrap();
        assert_eq!(found.as_deref(), Some(elsewhere));
    }
}

#[test]
fn a_library_in_a_folder_of_rustflags_is_good_enough() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), "").unwrap();
    let flags = format!("-Copt-level=1\u{1f}-L\u{1f}native={}", folder.path().display());
    let linking = Linking { system: "linux", folders: search_folders(&flags) };
    assert_eq!(find(&python(None), &linking, none).unwrap().as_deref(), Some(folder.path()));
}

#[test]
fn folders_are_taken_from_every_form_of_the_flag() {
    let flags =
        ["-La", "-L", "native=b", "-Lall=c", "-C", "link-arg=-Ld", "-Clink-args=-Le -lm -Lf", "-Clinker=cc"];
    let folders = search_folders(&flags.join("\u{1f}"));
    assert_eq!(folders, ["a", "b", "c", "d", "e", "f"].map(PathBuf::from));
    assert_eq!(search_folders(""), [""; 0].map(PathBuf::from));
}

#[test]
fn on_macos_the_library_has_its_own_ending_and_on_windows_none_is_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let own = python(Some(folder.path()));
    let error = find(&own, &on("macos"), none).unwrap_err().to_string();
    assert!(error.contains("libpython3.11.dylib"), "{error}");
    fs::write(folder.path().join("libpython3.11.dylib"), "").unwrap();
    assert!(find(&own, &on("macos"), none).is_ok());
    assert_eq!(find(&own, &on("windows"), |_| panic!("asked")), Ok(None));
}

#[test]
fn a_linker_that_cannot_be_asked_is_left_to_say_it_itself() {
    assert_eq!(find(&python(None), &on("linux"), |_| None), Ok(None));
    assert_eq!(ask(Path::new("/is/not/there"), FILE), None);
    // Not a compiler's driver.
    assert_eq!(ask(Path::new("/bin/false"), FILE), None);
    assert_eq!(ask(Path::new("/bin/true"), FILE), None);
}

#[test]
#[cfg(target_os = "linux")]
fn the_systems_own_linker_tells_what_it_finds() {
    assert_eq!(ask(Path::new("cc"), "libnothing-of-this-name.so"), Some(None));
    let found = ask(Path::new("cc"), "libc.so").unwrap().expect("the C library");
    assert!(found.is_absolute() || found.is_file(), "{}", found.display());
}

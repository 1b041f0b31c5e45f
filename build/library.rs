//! Whether the linker will find libpython, asked before it is needed. What the linker itself says fills a
//! screen and names no package.

use std::fmt;
use std::path::{Path, PathBuf};

/// The Python that is to be embedded, as its own `sysconfig` and pyo3 tell of it.
#[derive(Debug)]
pub(crate) struct Python<'a> {
    pub(crate) executable: &'a str,
    /// `3.11`
    pub(crate) version: String,
    /// Whether it was built with a shared library.
    pub(crate) shared: bool,
    /// What is linked: `python3.11` for `libpython3.11.so`.
    pub(crate) library: &'a str,
    pub(crate) folder: Option<&'a Path>,
}

/// The part of the build that decides where libraries are looked for.
#[derive(Debug)]
pub(crate) struct Linking<'a> {
    /// `CARGO_CFG_TARGET_OS`
    pub(crate) system: &'a str,
    /// Of `-L` in `RUSTFLAGS`.
    pub(crate) folders: Vec<PathBuf>,
}

/// Why a Python cannot be linked with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unlinkable {
    executable: String,
    version: String,
    /// The file that the linker looks for.
    file: String,
    /// Where it is not; `None` where the Python has none to begin with.
    looked_in: Option<Vec<PathBuf>>,
}

impl fmt::Display for Unlinkable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { executable, version, file, looked_in } = self;
        match looked_in {
            None => write!(
                f,
                "{executable} was built without a shared library ({file}), so it cannot be embedded"
            )?,
            Some(folders) => {
                write!(f, "the linker needs {file} to embed {executable}, and it is not in ")?;
                for folder in folders {
                    write!(f, "{}, ", folder.display())?;
                }
                f.write_str("nor in the linker's own folders")?;
            }
        }
        write!(
            f,
            ": install python3-dev or libpython{version}-dev (Debian, Ubuntu) or python3-devel (Fedora, \
             Rocky), build pyenv's with PYTHON_CONFIGURE_OPTS=--enable-shared, or choose another Python with \
             PYO3_PYTHON=/path/to/python3"
        )
    }
}

/// The folder of the shared library that the linker will take. `None` where that is not to be told before: on
/// Windows, where nothing is looked for, and where `ask_linker` cannot tell.
///
/// `ask_linker` is given a file's name, and gives the path at which the linker finds it in folders of its
/// own, `Some(None)` where it does not find it.
///
/// # Errors
/// It will find none.
pub(crate) fn find(
    python: &Python<'_>,
    linking: &Linking<'_>,
    ask_linker: impl FnOnce(&str) -> Option<Option<PathBuf>>,
) -> Result<Option<PathBuf>, Unlinkable> {
    let ending = match linking.system {
        "windows" | "cygwin" => return Ok(None),
        "macos" | "ios" => "dylib",
        _ => "so",
    };
    let file = format!("lib{}.{ending}", python.library);
    let unlinkable = |looked_in| {
        let (executable, version) = (python.executable.to_owned(), python.version.clone());
        Unlinkable { executable, version, file: file.clone(), looked_in }
    };
    if !python.shared {
        return Err(unlinkable(None));
    }
    let folders: Vec<PathBuf> =
        python.folder.map(Path::to_owned).into_iter().chain(linking.folders.iter().cloned()).collect();
    if let Some(folder) = folders.iter().find(|folder| folder.join(&file).is_file()) {
        return Ok(Some(folder.clone()));
    }
    match ask_linker(&file) {
        Some(Some(path)) => Ok(path.parent().map(Path::to_owned)),
        Some(None) => Err(unlinkable(Some(folders))),
        None => Ok(None),
    }
}

/// The folders of `-L` in rustc's flags, as `CARGO_ENCODED_RUSTFLAGS` has them, and of `-L` among the
/// linker's arguments.
pub(crate) fn search_folders(flags: &str) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let mut flags = flags.split('\x1f');
    while let Some(flag) = flags.next() {
        if let Some(folder) = flag.strip_prefix("-L") {
            let folder = if folder.is_empty() { flags.next().unwrap_or_default() } else { folder };
            let kinds = ["native=", "all=", "dependency=", "crate=", "framework="];
            let folder = kinds.iter().find_map(|kind| folder.strip_prefix(kind)).unwrap_or(folder);
            folders.push(PathBuf::from(folder));
        } else if let Some(option) = flag.strip_prefix("-C") {
            let option = if option.is_empty() { flags.next().unwrap_or_default() } else { option };
            if let Some((_, arguments)) =
                option.split_once('=').filter(|(name, _)| name.starts_with("link-arg"))
            {
                folders.extend(
                    arguments
                        .split(' ')
                        .filter_map(|argument| argument.strip_prefix("-L"))
                        .map(PathBuf::from),
                );
            }
        }
    }
    folders
}

/// Asks a linker that is a C compiler's driver, as `cc` is. `None` where it is none of those, or not there.
pub(crate) fn ask(linker: &Path, file: &str) -> Option<Option<PathBuf>> {
    let output = std::process::Command::new(linker).arg(format!("-print-file-name={file}")).output().ok()?;
    let answer = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    match answer.trim_end() {
        "" => None,
        // It repeats the name where it finds nothing.
        name if name == file => Some(None),
        path => Some(Some(PathBuf::from(path))),
    }
}

//! What both examples need: is a module the right core's, how much memory is in use, which of many times is
//! typical.

use std::error::Error;
use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule};
use sgtk_host::config::CoreLocation;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What a core that is a clone of `tk-core` says instead of a version.
const NO_VERSION: &str = "HEAD";

/// The core that a project has to have.
pub(crate) struct Expected {
    pub(crate) python: PathBuf,
    pub(crate) version: Option<String>,
}

impl From<&CoreLocation> for Expected {
    fn from(core: &CoreLocation) -> Self {
        Self { python: core.python().to_owned(), version: core.version().map(str::to_owned) }
    }
}

/// What is wrong with the modules that Python code sees while a project is in place, measured by what its
/// files said before. Nothing where `sgtk` and `tank` are that core's.
pub(crate) fn wrong_core(py: Python<'_>, expected: &Expected) -> PyResult<Option<String>> {
    let modules = py.import("sys")?.getattr("modules")?;
    for name in ["sgtk", "tank"] {
        let module = modules.get_item(name)?;
        if let Some(fault) = fault_of(module.cast::<PyModule>()?, expected)? {
            return Ok(Some(format!("'{name}' {fault}")));
        }
    }
    Ok(None)
}

/// What is wrong with a module that should be `sgtk` of the expected core: the file it comes from, or its
/// version.
pub(crate) fn fault_of(module: &Bound<'_, PyModule>, expected: &Expected) -> PyResult<Option<String>> {
    let (file, version) = (text(&module.dict(), "__file__")?, text(&module.dict(), "__version__")?);
    Ok(fault_of_file(file.as_deref(), version.as_deref(), expected))
}

/// What is wrong with a module that should be `sgtk` of the expected core, by the file and the version that
/// it has.
pub(crate) fn fault_of_file(
    file: Option<&str>,
    version: Option<&str>,
    expected: &Expected,
) -> Option<String> {
    let Some(file) = file else { return Some("has no file".to_owned()) };
    if !lies_in(Path::new(file), &expected.python) {
        return Some(format!("is {file}, expected in {}", expected.python.display()));
    }
    match (version, &expected.version) {
        (Some(found), Some(version)) if found != version && ![found, &**version].contains(&NO_VERSION) => {
            Some(format!("is {found}, expected {version}"))
        }
        _ => None,
    }
}

/// The version that an `sgtk` says it is.
pub(crate) fn version_of(sgtk: &Bound<'_, PyModule>) -> String {
    text(&sgtk.dict(), "__version__").ok().flatten().unwrap_or_else(|| "unknown".to_owned())
}

/// A text in a module's dictionary. Attributes are not asked for, as a module may make them up.
fn text(globals: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<String>> {
    globals.get_item(name)?.map(|value| value.extract()).transpose()
}

/// Whether a file lies below a folder, by name or once links are followed.
fn lies_in(file: &Path, folder: &Path) -> bool {
    file.starts_with(folder)
        || matches!((file.canonicalize(), folder.canonicalize()), (Ok(file), Ok(folder)) if file.starts_with(&folder))
}

/// The process's resident memory in bytes, where the platform tells (Linux).
pub(crate) fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Bytes as a person reads them.
pub(crate) fn mebibytes(bytes: Option<u64>) -> String {
    bytes
        .map_or_else(|| "unknown".to_owned(), |bytes| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)))
}

/// The microseconds that `percent` of all times do not exceed, where there are any.
pub(crate) fn percentile(times: &[Duration], percent: usize) -> Option<u128> {
    let mut times = times.to_vec();
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(rank).map(Duration::as_micros)
}

/// Microseconds as a person reads them.
pub(crate) fn micros(time: Option<u128>) -> String {
    time.map_or_else(|| "none".to_owned(), |time| format!("{time} µs"))
}

/// Writes a figure and what it is.
pub(crate) fn figure(out: &mut dyn Write, name: &str, value: impl Display) -> io::Result<()> {
    writeln!(out, "{name:<15}  {value}")
}

/// The exit status of a program whose work came to `outcome`: whether everything was right, or why it could
/// not go on.
pub(crate) fn exit_status(program: &str, outcome: Result<bool, Box<dyn Error>>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Whoever has closed the pipe has seen enough, and need not be told.
            let io = error.downcast_ref::<io::Error>();
            if io.is_none_or(|error| error.kind() != io::ErrorKind::BrokenPipe) {
                eprintln!("{program}: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Removes temporary folders where the program is ended by Ctrl-C or SIGTERM, which then ends it as ever: no
/// destructor runs.
pub(crate) fn remove_when_interrupted(folders: Vec<PathBuf>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            for folder in &folders {
                // Again, should somebody have written to it meanwhile.
                let _ = fs::remove_dir_all(folder).or_else(|_| fs::remove_dir_all(folder));
            }
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    });
    Ok(())
}

/// Prints what the library tells of its work to standard error.
pub(crate) fn show_tracing() {
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::DEBUG);
    log.init();
}

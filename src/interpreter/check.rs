//! Tries the Python executable in a process of its own: a failed initialisation in ours could not be
//! repeated.

use std::path::{self, Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use sgtk_config::python::{run, steers_python};

use super::error::ExecutableFault;
use super::version::PythonVersion;

/// Begins the line that answers; a launcher may write lines of its own.
const MARK: &str = "sgtk-host-check";

/// Asks for: implementation, version, whether free-threaded, `sys.executable` in hexadecimal (paths need not
/// be text). Runs on any Python 3, so that an old one can say its version.
const QUESTION: &str = "\
import sys
errors = getattr(sys, 'getfilesystemencodeerrors', lambda: 'surrogateescape')()
path = (sys.executable or '').encode(sys.getfilesystemencoding(), errors)
free = 't' in getattr(sys, 'abiflags', '') or 'free-threading' in sys.version
hexed = ''.join('%02x' % byte for byte in path)
fields = (sys.implementation.name,) + tuple(sys.version_info[:3]) + (int(free), 'x' + hexed)
sys.stdout.write('\\nsgtk-host-check %s %d %d %d %d %s\\n' % fields)
";

/// What the executable says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checked {
    /// Its `sys.executable`: another file where the chosen one is a launcher.
    pub(super) executable: PathBuf,
    pub(super) version: PythonVersion,
}

/// Runs `chosen` to see that it is a CPython of the `expected` minor version.
pub(super) fn check(
    chosen: &Path,
    expected: PythonVersion,
    timeout: Option<Duration>,
) -> Result<Checked, ExecutableFault> {
    // A bare name would be looked up on PATH.
    let chosen = path::absolute(chosen).map_err(|source| ExecutableFault::Unrunnable { source })?;
    let mut command = Command::new(&chosen);
    // Without `site`: its start-up files are not to run twice.
    command.args(["-I", "-S", "-c", QUESTION]);
    for (name, _) in std::env::vars_os() {
        // PYTHONHOME breaks a Python even under -I where it is read before the arguments are.
        if steers_python(&name) {
            command.env_remove(name);
        }
    }
    let limit = timeout.unwrap_or(Duration::MAX);
    let outcome = run(command, limit)
        .map_err(|source| ExecutableFault::Unrunnable { source })?
        .ok_or(ExecutableFault::Hung { limit })?;
    if let Some(status) = outcome.status.filter(|status| !ExitStatus::success(status)) {
        let stderr = outcome.stderr.trim().to_owned();
        return Err(ExecutableFault::Exited { status, stderr });
    }
    let Some(answer) = parse(&outcome.stdout) else {
        return Err(ExecutableFault::Answer { stdout: outcome.stdout.trim().chars().take(500).collect() });
    };
    answer.judge(expected, chosen)
}

/// An answer to the question.
struct Answer<'a> {
    implementation: &'a str,
    version: PythonVersion,
    free_threaded: bool,
    executable: Vec<u8>,
}

impl Answer<'_> {
    fn judge(self, expected: PythonVersion, chosen: PathBuf) -> Result<Checked, ExecutableFault> {
        if self.implementation != "cpython" {
            return Err(ExecutableFault::Implementation { found: self.implementation.to_owned() });
        }
        if !self.version.same_minor(expected) {
            return Err(ExecutableFault::Version { expected, found: self.version });
        }
        if self.free_threaded {
            return Err(ExecutableFault::FreeThreaded);
        }
        let executable = native_path(self.executable).unwrap_or(chosen);
        Ok(Checked { executable, version: self.version })
    }
}

fn parse(stdout: &str) -> Option<Answer<'_>> {
    let line = stdout.lines().find_map(|line| line.strip_prefix(MARK))?;
    let mut fields = line.split_ascii_whitespace();
    let implementation = fields.next()?;
    let mut number = || fields.next()?.parse::<u8>().ok();
    let version = PythonVersion::new(number()?, number()?, number()?);
    let free_threaded = number()? != 0;
    let executable = unhex(fields.next()?.strip_prefix('x')?)?;
    Some(Answer { implementation, version, free_threaded, executable })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// `None` where Python does not know its executable.
#[cfg(unix)]
fn native_path(bytes: Vec<u8>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    (!bytes.is_empty()).then(|| PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

#[cfg(not(unix))]
fn native_path(bytes: Vec<u8>) -> Option<PathBuf> {
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {

    use std::path::PathBuf;

    use super::{ExecutableFault, PythonVersion, parse};

    const EXPECTED: PythonVersion = PythonVersion { major: 3, minor: 11, patch: 7 };

    fn judged(line: &str) -> Result<PathBuf, ExecutableFault> {
        let checked = parse(line).unwrap().judge(EXPECTED, PathBuf::from("/chosen"));
        checked.map(|checked| checked.executable)
    }

    #[test]
    fn the_answer_is_found_among_a_launchers_own_lines() {
        let found = judged("choosing 3.11 …\nsgtk-host-check cpython 3 11 2 0 x2f70\nbye\n");
        assert_eq!(found.unwrap(), PathBuf::from("/p"));
    }

    #[test]
    fn a_python_that_does_not_know_its_executable_is_the_one_chosen() {
        assert_eq!(judged("sgtk-host-check cpython 3 11 7 0 x").unwrap(), PathBuf::from("/chosen"));
    }

    #[test]
    fn another_version_or_implementation_or_a_free_threaded_build_is_refused() {
        let version = judged("sgtk-host-check cpython 3 12 1 0 x2f70").unwrap_err();
        assert_eq!(version.to_string(), "expected Python 3.11, found 3.12.1");
        let pypy = judged("sgtk-host-check pypy 3 11 7 0 x2f70").unwrap_err();
        assert_eq!(pypy.to_string(), "expected cpython, found pypy");
        assert!(matches!(judged("sgtk-host-check cpython 3 11 7 1 x"), Err(ExecutableFault::FreeThreaded)));
    }

    #[test]
    fn a_line_that_is_no_answer_is_none() {
        for line in ["", "Python 3.11.7", "sgtk-host-check", "sgtk-host-check cpython 3 11 7 0 xzz"] {
            assert!(parse(line).is_none(), "{line:?}");
        }
    }
}

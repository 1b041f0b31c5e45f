//! A log file that is rotated at midnight, ten kept, as Python's TimedRotatingFileHandler does it.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::{Timestamp, Zoned};

/// How many old files are kept.
const KEPT: usize = 10;

/// A log file.
#[derive(Debug)]
pub struct Rotating {
    path: PathBuf,
    file: Option<File>,
    /// Which file that is: its device and number.
    is: (u64, u64),
    /// The day, in local time, that the file is of.
    day: Option<Date>,
    /// Whether it was told that it cannot be written.
    told: bool,
}

impl Rotating {
    /// A log file that is opened when it is first written to.
    #[must_use]
    pub fn new(path: PathBuf) -> Rotating {
        Rotating { path, file: None, is: (0, 0), day: None, told: false }
    }

    /// Appends a line. What cannot be written is told once, on standard error. Whether it was written.
    pub fn write(&mut self, line: &str) -> bool {
        let today = Zoned::now().date();
        match self.append(line, today) {
            Ok(()) => {
                self.told = false;
                true
            }
            Err(error) => {
                self.file = None;
                if !std::mem::replace(&mut self.told, true) {
                    let _ = writeln!(io::stderr(), "cannot write the log {}: {error}", self.path.display());
                }
                false
            }
        }
    }

    fn append(&mut self, line: &str, today: Date) -> io::Result<()> {
        if self.day.is_none() {
            self.day = Some(day_of(&self.path).unwrap_or(today));
        }
        if let Some(day) = self.day.filter(|day| *day < today) {
            self.file = None;
            rotate(&self.path, day)?;
            self.day = Some(today);
        }
        // Others may have moved it, as logrotate does, or removed its folder.
        if self.file.is_some() && fs::metadata(&self.path).ok().is_none_or(|found| id(&found) != self.is) {
            self.file = None;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    fs::create_dir_all(folder)?;
                }
                let file = OpenOptions::new().append(true).create(true).open(&self.path)?;
                self.is = id(&file.metadata()?);
                self.file.insert(file)
            }
        };
        file.write_all(format!("{line}\n").as_bytes())
    }
}

/// Which file it is.
fn id(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// The local day on which a file was written last.
fn day_of(path: &Path) -> Option<Date> {
    let time = fs::metadata(path).and_then(|found| found.modified()).ok()?;
    let time = Timestamp::try_from(time).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::system()).date())
}

/// Names the file after its day, and removes the oldest.
fn rotate(path: &Path, day: Date) -> io::Result<()> {
    let named = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    match fs::rename(path, named(&format!(".{day}"))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let begin = format!("{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let mut old: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.strip_prefix(&begin).is_some_and(|rest| rest.parse::<Date>().is_ok()) {
            old.push(entry.path());
        }
    }
    old.sort();
    let surplus = old.len().saturating_sub(KEPT);
    old.iter().take(surplus).try_for_each(fs::remove_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_others_have_moved_or_removed_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/log");
        let mut log = Rotating::new(path.clone());
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        assert!(log.write("one"));
        fs::rename(&path, path.with_extension("1")).unwrap();
        assert!(log.write("two") && log.write("three"));
        assert_eq!((read(&path.with_extension("1")), read(&path)), ("one\n".into(), "two\nthree\n".into()));
        // As `copytruncate` does.
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        assert!(log.write("four"));
        assert_eq!(read(&path), "four\n");
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        assert!(log.write("five"));
        assert_eq!(read(&path), "five\n");
        // The folder's name is taken by something else.
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path.parent().unwrap(), "").unwrap();
        assert!(!log.write("six"));
        fs::remove_file(path.parent().unwrap()).unwrap();
        assert!(log.write("seven"));
        assert_eq!(read(&path), "seven\n");
    }

    #[test]
    fn at_a_new_day_the_file_gets_the_name_of_the_old_one_and_ten_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Rotating::new(path.clone());
        let first: Date = "2031-01-30".parse().unwrap();
        log.day = Some(first);
        for day in first.series(jiff::Span::new().days(1)).take(13) {
            log.append(&day.to_string(), day).unwrap();
        }
        // A clock that is set back changes nothing.
        log.append("back", first).unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!((names.len(), names[0].as_str(), names[1].as_str()), (11, "log", "log.2031-02-01"));
        assert_eq!(fs::read_to_string(folder.path().join("log.2031-02-01")).unwrap(), "2031-02-01\n");
        assert_eq!(fs::read_to_string(path).unwrap(), "2031-02-11\nback\n");
    }
}

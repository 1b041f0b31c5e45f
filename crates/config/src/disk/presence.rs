//! Looking at files that may be missing, or may not be files.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// What stands where a small text file may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Missing,
    Bytes(Vec<u8>),
    /// Not a regular file, and what it is instead. It was not opened.
    NotAFile(&'static str),
    /// Larger than was asked for, and its size in bytes, at least.
    TooLarge(u64),
}

/// The metadata of `path` with links followed, or `None` where nothing is there.
///
/// A link that leads nowhere, `path` itself or a folder on the way to it from `within`, is an error and not
/// an absence: somebody meant something to be there (a disk that is not mounted), and the next rule would
/// find another core.
pub(crate) fn look(path: &Path, within: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if is_absence(&error) => match broken_link(path, within) {
            Some(link) => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} is a link to nowhere", link.display()),
            )),
            None => Ok(None),
        },
        Err(error) => Err(error),
    }
}

/// What a folder's metadata, or the lack of it, amounts to: `Ok` for a folder, else what is there in a few
/// words.
pub(crate) fn folder(path: &Path) -> Result<(), String> {
    match look(path, path) {
        Ok(Some(metadata)) if metadata.is_dir() => Ok(()),
        Ok(Some(metadata)) => Err(kind(metadata.file_type()).to_owned()),
        Ok(None) => Err("nothing".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads a file of at most `limit` bytes. Never waits for a pipe's other end, and never reads from a device.
pub(crate) fn read(path: &Path, within: &Path, limit: u64) -> io::Result<Contents> {
    let Some(metadata) = look(path, within)? else { return Ok(Contents::Missing) };
    // A device may do something on being opened, so this is asked before...
    if !metadata.is_file() {
        return Ok(Contents::NotAFile(kind(metadata.file_type())));
    }
    let file = open(path)?;
    // ... and after, of the file that is open, since another may have taken its place.
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(Contents::NotAFile(kind(metadata.file_type())));
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    let read = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if read > limit {
        return Ok(Contents::TooLarge(read.max(metadata.len())));
    }
    Ok(Contents::Bytes(bytes))
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        options.custom_flags(flags.bits().cast_signed());
    }
    options.open(path)
}

/// A file in place of a folder on the way counts as absence too, as it does for Python's `os.path.exists`.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn broken_link<'a>(path: &'a Path, within: &Path) -> Option<&'a Path> {
    let mut way = path.ancestors().take_while(|folder| folder.starts_with(within));
    way.find(|folder| {
        fs::symlink_metadata(folder).is_ok_and(|metadata| metadata.is_symlink())
            && fs::metadata(folder).is_err_and(|error| is_absence(&error))
    })
}

fn kind(file_type: FileType) -> &'static str {
    if file_type.is_dir() {
        return "a folder";
    }
    if file_type.is_file() {
        return "a file";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if file_type.is_fifo() {
            return "a named pipe";
        }
        if file_type.is_socket() {
            return "a socket";
        }
        if file_type.is_block_device() || file_type.is_char_device() {
            return "a device";
        }
    }
    "no regular file"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_refused_beyond() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "1234").unwrap();
        assert_eq!(read(&file, folder.path(), 4).unwrap(), Contents::Bytes(b"1234".to_vec()));
        assert_eq!(read(&file, folder.path(), 3).unwrap(), Contents::TooLarge(4));
    }

    #[test]
    fn what_is_not_there_is_missing_also_below_a_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        for path in ["absent", "file/below"] {
            assert_eq!(read(&folder.path().join(path), folder.path(), 4).unwrap(), Contents::Missing);
        }
    }

    #[test]
    fn a_folder_in_place_of_a_file_is_named_as_such() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path(), folder.path(), 4).unwrap(), Contents::NotAFile("a folder"));
    }

    #[cfg(unix)]
    mod on_unix {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::symlink;

        use super::*;

        #[test]
        fn a_pipe_that_nobody_writes_to_does_not_block() {
            let folder = tempfile::tempdir().unwrap();
            let pipe = folder.path().join("pipe");
            let name = std::ffi::CString::new(pipe.as_os_str().as_bytes()).unwrap();
            // SAFETY: `name` is a NUL-terminated path that outlives the call.
            assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
            assert_eq!(read(&pipe, folder.path(), 4).unwrap(), Contents::NotAFile("a named pipe"));
            // Also where it takes the file's place between looking and opening.
            assert!(!open(&pipe).unwrap().metadata().unwrap().is_file());
        }

        #[test]
        fn a_device_is_not_read() {
            let device = Path::new("/dev/zero");
            assert_eq!(read(device, device, 4).unwrap(), Contents::NotAFile("a device"));
        }

        #[test]
        fn a_link_to_nowhere_is_an_error_wherever_it_stands_on_the_way() {
            let folder = tempfile::tempdir().unwrap();
            let link = folder.path().join("link");
            symlink(folder.path().join("unmounted"), &link).unwrap();
            for path in [link.clone(), link.join("install/core/file")] {
                let error = look(&path, folder.path()).unwrap_err();
                assert_eq!(error.to_string(), format!("{} is a link to nowhere", link.display()));
            }
        }

        #[test]
        fn links_in_a_circle_are_an_error() {
            let folder = tempfile::tempdir().unwrap();
            let link = folder.path().join("link");
            symlink(&link, &link).unwrap();
            look(&link, folder.path()).unwrap_err();
        }
    }
}

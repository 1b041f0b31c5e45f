//! The platforms that Toolkit knows, and what differs between them in the files of a configuration.

use std::fmt;

/// A platform as Toolkit names it in `core_*.cfg` and `interpreter_*.cfg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Platform {
    /// Linux, and any other Unix that is not macOS.
    Linux,
    /// macOS.
    Darwin,
    /// Windows.
    Windows,
}

impl Platform {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Linux, Self::Darwin, Self::Windows];

    /// The platform this is compiled for.
    #[must_use]
    pub const fn current() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else if cfg!(target_os = "macos") {
            Self::Darwin
        } else {
            Self::Linux
        }
    }

    /// The name in the middle of Toolkit's file names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linux => "Linux",
            Self::Darwin => "Darwin",
            Self::Windows => "Windows",
        }
    }

    /// The file in `install/core` that names where an attached configuration's core is.
    #[must_use]
    pub const fn core_pointer(self) -> &'static str {
        match self {
            Self::Linux => "core_Linux.cfg",
            Self::Darwin => "core_Darwin.cfg",
            Self::Windows => "core_Windows.cfg",
        }
    }

    /// The file in `config/core` that names the Python a configuration wants.
    #[must_use]
    pub const fn interpreter_file(self) -> &'static str {
        match self {
            Self::Linux => "interpreter_Linux.cfg",
            Self::Darwin => "interpreter_Darwin.cfg",
            Self::Windows => "interpreter_Windows.cfg",
        }
    }

    /// Whether a path means the same folder whatever the current folder is. On Windows that takes a drive or
    /// a share: `\core` alone depends on the current drive.
    pub(crate) fn is_absolute(self, path: &str) -> bool {
        let mut bytes = path.bytes();
        match self {
            Self::Linux | Self::Darwin => bytes.next() == Some(b'/'),
            Self::Windows => match (bytes.next(), bytes.next(), bytes.next()) {
                (Some(letter), Some(b':'), Some(end)) if letter.is_ascii_alphabetic() => {
                    self.is_separator(end)
                }
                (Some(first), Some(second), Some(server)) => {
                    self.is_separator(first) && self.is_separator(second) && !self.is_separator(server)
                }
                _ => false,
            },
        }
    }

    pub(crate) const fn is_separator(self, byte: u8) -> bool {
        byte == b'/' || (byte == b'\\' && matches!(self, Self::Windows))
    }

    /// Whether `byte` can be part of a variable's name after a `$`: what `os.path.expandvars` takes on each
    /// platform.
    pub(crate) const fn in_variable_name(self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || byte == b'_' || (byte == b'-' && matches!(self, Self::Windows))
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_are_toolkits() {
        for platform in Platform::ALL {
            assert_eq!(platform.core_pointer(), format!("core_{platform}.cfg"));
            assert_eq!(platform.interpreter_file(), format!("interpreter_{platform}.cfg"));
        }
    }

    #[test]
    fn absolute_is_judged_by_the_platforms_own_rules() {
        for platform in [Platform::Linux, Platform::Darwin] {
            assert!(platform.is_absolute("/mnt/studio"));
            assert!(platform.is_absolute("/"));
            for path in ["", "mnt", "./mnt", "~", "C:/mnt", r"C:\mnt", r"\mnt", r"\\server\share"] {
                assert!(!platform.is_absolute(path), "{path}");
            }
        }
        for path in ["C:/mnt", r"c:\mnt", r"\\server\share", "//server/share", r"\\?\C:\mnt"] {
            assert!(Platform::Windows.is_absolute(path), "{path}");
        }
        for path in ["", "mnt", "C:", "C:mnt", r"\mnt", "/mnt", "//", "///", "1:/mnt", "é:/mnt"] {
            assert!(!Platform::Windows.is_absolute(path), "{path}");
        }
    }
}

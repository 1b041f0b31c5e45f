//! What a file looks like from outside.

use std::fs::{self, Metadata};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::presence;

/// A file as it was at one moment, without its contents: which one it is, its size, and when it was last
/// modified. Two that are equal mean that nobody has written to the file in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Missing,
    Unreadable,
    There { identity: Identity, size: u64, modified: Option<SystemTime> },
}

impl Stamp {
    pub(super) const MISSING: Self = Self(State::Missing);
    pub(super) const UNREADABLE: Self = Self(State::Unreadable);

    /// The file there, with links followed, as it is now. One that is missing or cannot be looked at has a
    /// stamp as well.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(metadata) => Self::of(&metadata),
            Err(error) if presence::is_absence(&error) => Self(State::Missing),
            Err(_) => Self(State::Unreadable),
        }
    }

    /// Whether the file was written to within this time, or has times of the future. By this machine's clock.
    pub(crate) fn is_recent(self, within: Duration) -> bool {
        match self.0 {
            State::There { modified: Some(modified), .. } => {
                modified.elapsed().map_or(true, |age| age < within)
            }
            State::There { modified: None, .. } => true,
            State::Missing | State::Unreadable => false,
        }
    }

    /// What became of a file that was so and is `now` so, in words; nothing where it is the same file, of the
    /// same size, written to at the same time. That its permissions or its links have changed does not count.
    pub(super) fn what_became(self, now: Self) -> Option<&'static str> {
        match (self.0, now.0) {
            (State::Missing, State::Missing) => None,
            (State::Missing, _) => Some("has come"),
            (_, State::Missing) => Some("has gone"),
            (
                State::There { identity, size, modified },
                State::There { identity: other, size: other_size, modified: other_modified },
            ) => {
                let same = identity.is_file(&other) && size == other_size && modified == other_modified;
                (!same).then_some("was replaced")
            }
            (State::Unreadable, State::Unreadable) => None,
            (State::Unreadable, _) => Some("was replaced"),
            (_, State::Unreadable) => Some("cannot be read any more"),
        }
    }

    /// When the file's entry last changed, which no copy can put back; where the system does not tell, when
    /// the file was made or written to.
    pub(crate) fn entry_changed(self) -> Option<SystemTime> {
        match self.0 {
            State::There { identity, modified, .. } => identity.changed_at(modified),
            State::Missing | State::Unreadable => None,
        }
    }

    fn modified(self) -> Option<SystemTime> {
        match self.0 {
            State::There { modified, .. } => modified,
            State::Missing | State::Unreadable => None,
        }
    }

    /// Whether it was last written to before the other was, and its entry changed no later. Both are asked,
    /// as one of them is lost where a folder is copied as a whole.
    pub(crate) fn is_older_than(self, other: Self) -> bool {
        let is_older = matches!((self.modified(), other.modified()), (Some(one), Some(other)) if one < other);
        is_older && self.entry_changed() <= other.entry_changed()
    }

    /// Whether it was written to, or has got its place, after the other.
    pub(crate) fn is_newer_than(self, other: Self) -> bool {
        self.modified() > other.modified() || self.entry_changed() > other.entry_changed()
    }

    /// Whether it is the same file, or folder, and was written to since it was as `before` says.
    pub(crate) fn is_rewritten(self, before: Self) -> bool {
        match (self.0, before.0) {
            (
                State::There { identity, modified, .. },
                State::There { identity: other, modified: other_modified, .. },
            ) => identity.is_file(&other) && modified != other_modified,
            _ => false,
        }
    }

    /// In bytes; nothing of a file that is missing or cannot be looked at.
    pub(crate) fn size(self) -> Option<u64> {
        match self.0 {
            State::There { size, .. } => Some(size),
            State::Missing | State::Unreadable => None,
        }
    }

    #[cfg(test)]
    pub(super) fn written(at: SystemTime) -> Self {
        Self(State::There { identity: Identity::written(at), size: 0, modified: Some(at) })
    }

    /// Whether there is a file.
    pub(crate) fn is_there(self) -> bool {
        matches!(self.0, State::There { .. })
    }

    pub(super) fn of(metadata: &Metadata) -> Self {
        Self(State::There {
            identity: Identity::of(metadata),
            size: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}

/// Which file it is, whatever its name, and when its entry in the file system last changed: what copies a
/// file with its old times changes that all the same.
#[cfg(unix)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

#[cfg(unix)]
impl Identity {
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Self { device: metadata.dev(), inode: metadata.ino(), changed }
    }

    fn changed_at(&self, _modified: Option<SystemTime>) -> Option<SystemTime> {
        let (seconds, nanoseconds) = self.changed;
        let seconds = Duration::from_secs(u64::try_from(seconds).ok()?);
        SystemTime::UNIX_EPOCH.checked_add(seconds + Duration::from_nanos(u64::try_from(nanoseconds).ok()?))
    }

    #[cfg(test)]
    fn written(at: SystemTime) -> Self {
        let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let changed = (at.as_secs().cast_signed(), i64::from(at.subsec_nanos()));
        Self { device: 0, inode: 0, changed }
    }

    /// Whether both are one file, whatever became of its entry.
    fn is_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// The standard library gives neither there; the time of creation takes their place.
#[cfg(not(unix))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    created: Option<SystemTime>,
}

#[cfg(not(unix))]
impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self { created: metadata.created().ok() }
    }

    fn changed_at(&self, modified: Option<SystemTime>) -> Option<SystemTime> {
        self.created.max(modified)
    }

    #[cfg(test)]
    fn written(at: SystemTime) -> Self {
        Self { created: Some(at) }
    }

    fn is_file(&self, other: &Self) -> bool {
        self == other
    }
}

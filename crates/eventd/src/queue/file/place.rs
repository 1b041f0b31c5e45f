//! On what kind of file system a state lies.

use std::path::Path;

/// The kind of the network file system that a state is on, or would be made on. None for a local one.
///
/// SQLite's write-ahead log, and the lock that keeps two daemons apart, are promises of local ones.
#[must_use]
pub fn network_file_system(state: &Path) -> Option<&'static str> {
    let there = state.ancestors().find(|path| path.exists())?;
    #[cfg(target_os = "linux")]
    return named(rustix::fs::statfs(there).ok()?.f_type as u32);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = there;
        None
    }
}

/// The names of the numbers that `statfs` gives (`linux/magic.h`, and those of file systems out of the tree).
#[cfg(target_os = "linux")]
fn named(number: u32) -> Option<&'static str> {
    Some(match number {
        0x0000_6969 => "NFS",
        0xff53_4d42 | 0xfe53_4d42 | 0x0000_517b => "SMB",
        0x0bd0_0bd0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x00c3_6400 => "Ceph",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x0102_1997 => "9P",
        0x1983_0326 => "BeeGFS",
        _ => return None,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn shares_are_known_by_their_numbers_and_a_local_folder_is_none() {
        assert_eq!((named(0x6969), named(0xff53_4d42), named(0xef53)), (Some("NFS"), Some("SMB"), None));
        assert_eq!(network_file_system(Path::new("/proc/not/there/yet.db")), None);
    }
}

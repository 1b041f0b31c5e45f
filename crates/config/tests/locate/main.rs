//! Which core a project gets, for whole folders of configurations.
//!
//! Only on Unix, where a path of this machine can be absolute by every platform's rules: `//tmp` is a share
//! to Windows and the same as `/tmp` here. So all three platforms' files are followed to real folders on one
//! machine.
#![cfg(unix)]

mod kinds;
mod listing;
mod missing;
mod names;
mod pointers;
mod projects;
mod studio;
mod upgrades;

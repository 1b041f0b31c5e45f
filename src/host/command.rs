//! Children of the daemon's.

use std::ffi::OsStr;
use std::process::Command;

use pyo3::prelude::*;

use super::handle::Host;
use super::python::folder;
use super::state::world::World;

impl Host {
    /// A command that starts with the daemon's own environment and current folder, whatever project is in
    /// place when it is started: not with that one's `TANK_CURRENT_PC`, for example. What is to be another is
    /// set on the command as usual.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        Python::attach(|py| {
            command.env_clear().envs(std::env::vars_os());
            if let Ok(world) = World::lock(py) {
                for (name, value) in world.daemons_variables(py) {
                    match value {
                        Some(value) => command.env(name, value),
                        None => command.env_remove(name),
                    };
                }
            }
            if let Some(folder) = folder::daemons() {
                command.current_dir(folder);
            }
        });
        command
    }
}

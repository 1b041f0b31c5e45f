//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: event_daemon [--configs DIR] [--plugins DIR]... [--events FILE|-] [--workers N] [--log]
       event_daemon --bootstrap [--plugins DIR]... [--events FILE|-] [--log]

  --configs DIR   a folder with a pipeline configuration for each project
  --plugins DIR   a folder of event plugins, as shotgunEvents has them; may be given again
  --events FILE   event-log entries, one JSON object a line; - is standard input
  --bootstrap     bootstrap an engine for each project, from a site that the fixtures bring along
  --workers N     run the plugins in worker processes, one for each project and at most N at a time
  --log           print what the library and the plugins log to standard error

What is not given is what the fixtures bring along. They know nothing of other cores, so --configs needs --plugins and
--events.";

/// What the command line asks for. A path that is not given is the fixtures'.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) configs: Option<PathBuf>,
    pub(crate) plugins: Vec<PathBuf>,
    pub(crate) events: Option<PathBuf>,
    pub(crate) bootstrap: bool,
    pub(crate) workers: Option<usize>,
    pub(crate) log: bool,
    pub(crate) help: bool,
}

impl Options {
    /// # Errors
    /// What is wrong with the arguments.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut path = |option: &str| match arguments.next() {
                Some(value) if !value.is_empty() => Ok(PathBuf::from(value)),
                _ => Err(format!("{option} needs a value")),
            };
            match argument.to_str() {
                Some(option @ "--configs") => set(&mut options.configs, option, path(option)?)?,
                Some(option @ "--events") => set(&mut options.events, option, path(option)?)?,
                Some(option @ "--plugins") => options.plugins.push(path(option)?),
                Some("--bootstrap") => options.bootstrap = true,
                Some(option @ "--workers") => {
                    let number = path(option)?;
                    let number = number.to_str().and_then(|number| number.parse().ok());
                    let number = number.filter(|number| *number > 0);
                    let number = number.ok_or("--workers needs a number, at least 1")?;
                    set(&mut options.workers, option, number)?;
                }
                Some("--log") => options.log = true,
                Some("--help" | "-h") => options.help = true,
                _ => return Err(format!("unknown argument '{}'", argument.display())),
            }
        }
        if options.configs.is_some() && (options.plugins.is_empty() || options.events.is_none()) {
            return Err("--configs needs --plugins and --events".to_owned());
        }
        if options.bootstrap && options.workers.is_some() {
            return Err("--bootstrap is for engines in process, so --workers does not go with it".to_owned());
        }
        if options.bootstrap && options.configs.is_some() {
            return Err(
                "--bootstrap has configurations of its own, so --configs does not go with it".to_owned()
            );
        }
        Ok(options)
    }
}

fn set<T>(into: &mut Option<T>, option: &str, value: T) -> Result<(), String> {
    match into.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("{option} is given twice")),
    }
}

//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: doctor [--json] [--rounds N] [--log] [DIR]

  DIR         a folder with a pipeline configuration for each project; default: the fixtures'
  --json      print one JSON object instead of tables
  --rounds N  how many swaps to measure after the pairs; default: 1000
  --log       print what the library logs to standard error";

/// What the command line asks for.
pub(crate) struct Options {
    /// The fixtures', where none is given.
    pub(crate) configs: Option<PathBuf>,
    pub(crate) json: bool,
    pub(crate) rounds: u32,
    pub(crate) log: bool,
    pub(crate) help: bool,
}

impl Options {
    /// # Errors
    /// What is wrong with the arguments.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut options = Self { configs: None, json: false, rounds: 1000, log: false, help: false };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--json") => options.json = true,
                Some("--log") => options.log = true,
                Some("--help" | "-h") => options.help = true,
                Some("--rounds") => {
                    let number = arguments.next().unwrap_or_default();
                    let parsed = number.to_str().and_then(|number| number.parse().ok());
                    options.rounds = parsed
                        .ok_or_else(|| format!("--rounds needs a number, not '{}'", number.display()))?;
                }
                Some(option) if option.starts_with('-') || option.is_empty() => {
                    return Err(format!("unknown argument '{option}'"));
                }
                _ => {
                    if options.configs.replace(argument.into()).is_some() {
                        return Err("only one folder can be examined".to_owned());
                    }
                }
            }
        }
        Ok(options)
    }
}

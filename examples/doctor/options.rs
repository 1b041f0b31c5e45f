//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
usage: doctor [--json] [--pairs all|sample] [--rounds N] [--log] [DIR]

  DIR         a folder with a pipeline configuration for each project; default: the fixtures'
  --json      print one JSON object instead of tables
  --pairs P   which ordered pairs of projects to swap: all of them (default), or a sample in which each project comes
              before and after some others
  --rounds N  how many swaps to measure after the pairs; default: 1000
  --log       print what the library logs to standard error";

/// Which ordered pairs of projects are swapped.
#[derive(Clone, Copy)]
pub(crate) enum Pairs {
    All,
    Sample,
}

impl Pairs {
    /// The pairs among so many projects, by their places.
    pub(crate) fn among(self, projects: usize) -> Vec<(usize, usize)> {
        let follows = |from: usize, to: usize| match self {
            Self::All => from != to,
            // Those that stand 1, 2, 4, 8… places behind in the ring: a few for each, near and far.
            Self::Sample => ((to + projects - from) % projects).is_power_of_two(),
        };
        let all = (0..projects).flat_map(|from| (0..projects).map(move |to| (from, to)));
        all.filter(|(from, to)| follows(*from, *to)).collect()
    }
}

/// What the command line asks for.
pub(crate) struct Options {
    /// The fixtures', where none is given.
    pub(crate) configs: Option<PathBuf>,
    pub(crate) json: bool,
    pub(crate) pairs: Pairs,
    pub(crate) rounds: u32,
    pub(crate) log: bool,
    pub(crate) help: bool,
}

impl Options {
    /// # Errors
    /// What is wrong with the arguments.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut options =
            Self { configs: None, json: false, pairs: Pairs::All, rounds: 1000, log: false, help: false };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--json") => options.json = true,
                Some("--log") => options.log = true,
                Some("--help" | "-h") => options.help = true,
                Some("--pairs") => {
                    options.pairs = match arguments.next().unwrap_or_default().to_str() {
                        Some("all") => Pairs::All,
                        Some("sample") => Pairs::Sample,
                        _ => return Err("--pairs is all or sample".to_owned()),
                    };
                }
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

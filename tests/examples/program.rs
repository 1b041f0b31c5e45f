//! Runs an example.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The command of an example, which `cargo test` has built next to the tests.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    // target/<profile>/deps/<this test>
    let profile: PathBuf = test.ancestors().nth(2).unwrap().to_owned();
    let program = profile.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        program.is_file(),
        "{} is not built: run `cargo build --examples` before a single test",
        program.display()
    );
    Command::new(program)
}

/// What a program wrote, and its exit status.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or_else(|| panic!("{output:?}")),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The value of one of the figures at the end.
    pub(crate) fn figure(&self, name: &str) -> &str {
        let mut figures = self.stdout.lines().filter_map(|line| line.strip_prefix(name));
        let value = figures.find(|rest| rest.starts_with("  ")).map(str::trim);
        value.unwrap_or_else(|| panic!("no figure '{name}': {self:?}"))
    }

    /// The line of the event with this id, its columns separated by single spaces.
    pub(crate) fn event(&self, id: &str) -> String {
        let lines = self.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut lines = lines.filter(|words| words.first() == Some(&id));
        lines.next().unwrap_or_else(|| panic!("no event {id}: {self:?}")).join(" ")
    }
}

/// Runs an example to its end, with `input` on its standard input.
pub(crate) fn run(mut command: Command, input: &str) -> Ran {
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = streams.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Ran::of(child.wait_with_output().unwrap())
}

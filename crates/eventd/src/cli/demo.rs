//! `demo`.

use std::process::ExitCode;

use clap::Args;

use super::Error;

/// Options of `demo`.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Where the status page is.
    #[arg(long, default_value = "127.0.0.1:8710")]
    http: String,
}

impl Demo {
    pub(super) async fn run(self) -> Result<ExitCode, Error> {
        Err(format!("not yet at {}", self.http).into())
    }
}

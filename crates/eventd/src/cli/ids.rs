//! `import-ids` and `export-ids`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::{Error, prepare, say};
use crate::control::{Request, socket};
use crate::lanes::ids;
use crate::queue::Queue as _;
use crate::queue::file::FileQueue;

/// Options of `import-ids`.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file. Default: [daemon] eventIdFile.
    file: Option<PathBuf>,
    /// Also where this daemon has a state of its own already, which is moved aside.
    #[arg(long)]
    force: bool,
}

/// Options of `export-ids`.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The file. Default: [daemon] eventIdFile.
    file: Option<PathBuf>,
}

fn file(named: Option<PathBuf>, settings: &crate::config::Settings) -> Result<PathBuf, Error> {
    let file = named.or_else(|| settings.event_id_file.clone());
    let file = file.ok_or("[daemon] eventIdFile is not set; name a file")?;
    Ok(std::path::absolute(&file)?)
}

impl Import {
    pub(super) async fn run(self, config: Option<&Path>) -> Result<ExitCode, Error> {
        let settings = prepare::settings(config).await?;
        let file = file(self.file, &settings)?;
        let state = &settings.state;
        if state.exists() && !self.force {
            let words = "there is a state already, {}, which would be lost; --force moves it aside";
            return Err(words.replace("{}", &state.display().to_string()).into());
        }
        // Before anything is touched.
        let workers = prepare::workers(&settings)?;
        let site = settings.sites.first().ok_or("there is no site")?;
        let plan = ids::read(&workers, &settings.plugin_paths, &site.name, &file).await;
        prepare::end(workers, Duration::ZERO).await;
        let plan = plan?.ok_or_else(|| format!("{} knows none of the plugins", file.display()))?;
        if state.exists() {
            // Its lock says that no daemon has it.
            FileQueue::open(state)?.shut_down().await?;
            let with = |more: &str| {
                let mut name = state.as_os_str().to_owned();
                name.push(more);
                PathBuf::from(name)
            };
            // One that was moved aside before stays.
            let mut aside = ".before-import".to_owned();
            let mut number = 1;
            while with(&aside).exists() {
                number += 1;
                aside = format!(".before-import-{number}");
            }
            for suffix in ["", "-wal", "-shm"] {
                if with(suffix).exists() {
                    std::fs::rename(with(suffix), with(&format!("{aside}{suffix}")))?;
                }
            }
        }
        let queue = FileQueue::open(state)?;
        let imported = ids::import(&queue, plan).await;
        queue.shut_down().await?;
        let ids::Imported { plugins, cursor } = imported?;
        say(format_args!("{plugins} plugins go on, the site is polled after event {cursor}"));
        Ok(ExitCode::SUCCESS)
    }
}

impl Export {
    pub(super) async fn run(self, config: Option<&Path>) -> Result<ExitCode, Error> {
        let settings = prepare::settings(config).await?;
        let file = file(self.file, &settings)?;
        let path = file.to_string_lossy().into_owned();
        // By the daemon, where one runs: it has the state.
        let plugins = match socket::ask(&settings.socket, &Request::ExportIds { path: path.clone() }).await {
            Ok(answer) => answer.get("plugins").and_then(serde_json::Value::as_u64).unwrap_or_default(),
            Err(error) if !error.is_absent() => return Err(error.into()),
            Err(_) if !settings.state.exists() => {
                let words = "there is no state, {}, and so nothing to write: no daemon has run with this \
                             configuration";
                return Err(words.replace("{}", &settings.state.display().to_string()).into());
            }
            Err(_) => {
                let shared = prepare::shared(Arc::clone(&settings), prepare::workers(&settings)?, false)?;
                let written = ids::export(&shared, &path).await;
                prepare::end(Arc::clone(&shared.workers), Duration::ZERO).await;
                shared.queue.shut_down().await?;
                written? as u64
            }
        };
        say(format_args!("{plugins} plugins are written to {path}"));
        Ok(ExitCode::SUCCESS)
    }
}

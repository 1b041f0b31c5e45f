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
        if state.exists() {
            if !self.force {
                let words = "there is a state already, {}, which would be lost; --force moves it aside";
                return Err(words.replace("{}", &state.display().to_string()).into());
            }
            // Its lock says that no daemon has it.
            FileQueue::open(state)?.shut_down().await?;
            for suffix in ["", "-wal", "-shm"] {
                let with = |more: &str| {
                    let mut name = state.as_os_str().to_owned();
                    name.push(more);
                    PathBuf::from(name)
                };
                if with(suffix).exists() {
                    std::fs::rename(with(suffix), with(&format!(".before-import{suffix}")))?;
                }
            }
        }
        let shared = prepare::shared(Arc::clone(&settings), prepare::workers(&settings)?, false)?;
        let site = settings.sites.first().ok_or("there is no site")?;
        let imported =
            ids::import(&*shared.queue, &shared.workers, &settings.plugin_paths, &site.name, &file).await;
        prepare::end(Arc::clone(&shared.workers), Duration::ZERO).await;
        shared.queue.shut_down().await?;
        match imported? {
            Some(imported) => {
                let (plugins, cursor) = (imported.plugins, imported.cursor);
                say(format_args!("{plugins} plugins go on, the site is polled after event {cursor}"));
                Ok(ExitCode::SUCCESS)
            }
            None => Err(format!("{} knows none of the plugins", file.display()).into()),
        }
    }
}

impl Export {
    pub(super) async fn run(self, config: Option<&Path>) -> Result<ExitCode, Error> {
        let settings = prepare::settings(config).await?;
        let file = file(self.file, &settings)?;
        let path = file.to_string_lossy().into_owned();
        // By the daemon, where one runs: it has the state.
        if let Ok(answer) = socket::ask(&settings.socket, &Request::ExportIds { path: path.clone() }).await {
            let plugins = answer.get("plugins").unwrap_or(&serde_json::Value::Null);
            say(format_args!("{plugins} plugins are written to {path}"));
            return Ok(ExitCode::SUCCESS);
        }
        let shared = prepare::shared(Arc::clone(&settings), prepare::workers(&settings)?, false)?;
        let written = ids::export(&shared, &path).await;
        prepare::end(Arc::clone(&shared.workers), Duration::ZERO).await;
        shared.queue.shut_down().await?;
        say(format_args!("{} plugins are written to {path}", written?));
        Ok(ExitCode::SUCCESS)
    }
}

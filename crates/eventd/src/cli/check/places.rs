//! What a daemon needs beside a site and plugins: folders that it may write, the ids of shotgunEvents, mail.

use std::path::Path;

use rustix::fs::{Access, access};

use super::{LIMIT, Report};
use crate::config::Settings;
use crate::lanes::ids;
use crate::queue::file::network_file_system;
use crate::workers::{Worker, Workers};

pub(super) async fn about(settings: &Settings, workers: &Workers, report: &mut Report) {
    for (what, path) in
        [("the state", Some(&settings.state)), ("[daemon] pidFile", settings.pid_file.as_ref())]
    {
        if let Some(path) = path {
            writable(what, path, report);
        }
    }
    let log = settings.log_file.as_ref().map(|name| settings.log_file_path(name));
    if let Some(log) = log {
        writable("the log", &log, report);
    }
    if let Some(kind) = network_file_system(&settings.state) {
        let state = settings.state.display();
        report
            .note(&format!("the state, {state}, is on a share ({kind}): set [eventd] state to a local disk"));
    }
    about_ids(settings, workers, report).await;
    if settings.emails.is_some() {
        let worker = Worker::Plain("mail".to_owned());
        let path = settings.path.to_string_lossy().into_owned();
        match workers.call::<()>(&worker, "mail:attempt", |call| call.arg(path), Some(LIMIT)).await {
            Ok(()) => report.good("[emails] server: it answers; nothing was sent"),
            Err(error) => report.bad(&format!("[emails] server: {}", error.message)),
        }
    }
}

/// Whether a file can be written, or made with the folders that it is in.
fn writable(what: &str, path: &Path, report: &mut Report) {
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let reason = match access(there, Access::WRITE_OK) {
        Ok(()) if there != path && !there.is_dir() => "it is no folder".to_owned(),
        Ok(()) if there == path && path.is_dir() => "it is a folder".to_owned(),
        Ok(()) => return,
        Err(error) => std::io::Error::from(error).to_string(),
    };
    report.bad(&format!("{what}, {}, cannot be written: {}: {reason}", path.display(), there.display()));
}

/// What becomes of the ids of shotgunEvents, where a daemon would take them over.
async fn about_ids(settings: &Settings, workers: &Workers, report: &mut Report) {
    let (Some(file), Some(site)) = (&settings.event_id_file, settings.sites.first()) else { return };
    if settings.state.exists() || !file.exists() {
        return;
    }
    match ids::read(workers, &settings.plugin_paths, &site.name, file).await {
        Ok(Some(plan)) => {
            let ids::Imported { plugins, cursor } = plan.imported();
            report.good(&format!(
                "{}: plugins that would go on where shotgunEvents was: {plugins}, after event {cursor}",
                file.display()
            ));
        }
        Ok(None) => report.note(&format!("{} knows none of the plugins", file.display())),
        Err(error) => report.bad(&error.to_string()),
    }
}

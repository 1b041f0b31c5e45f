//! The fixtures' site, and the engines that are bootstrapped from it.

use std::io;
use std::ops::ControlFlow;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use sgtk_host::{Bootstrap, BootstrapCallbacks, Engine, Error, Host};
use sgtk_host_fixtures::{Core, Project, Studio, bundled_versions};

use crate::events::EventProject;

/// A site on this machine that knows the projects of the bundled events, each with a distributed
/// configuration.
pub(crate) struct Site {
    studio: Studio,
    bars: MultiProgress,
}

impl Site {
    /// Lays the configurations down and starts the site. `bars` is where the progress of bootstraps is drawn.
    pub(crate) fn start(bars: MultiProgress) -> io::Result<Self> {
        let studio = Studio::new(&Core::newer("v0.24.0"))?;
        for (id, (name, version)) in (101..).zip(bundled_versions()) {
            // Before v0.23 cores bring their libraries along in another way.
            let core = if version < "v0.23" { Core::older(version) } else { Core::newer(version) };
            studio.project(&Project::new(id, name, core))?;
        }
        Ok(Self { studio, bars })
    }

    /// The temporary folder of all that it laid down.
    pub(crate) fn root(&self) -> std::path::PathBuf {
        self.studio.root()
    }

    /// What `SHOTGUN_HOME` has to be: where Toolkit keeps its cache.
    pub(crate) fn home(&self) -> std::path::PathBuf {
        self.studio.home()
    }

    /// The version of the core that a project's configuration asks for.
    pub(crate) fn version(&self, project: &str) -> Option<&'static str> {
        bundled_versions().into_iter().find(|(name, _)| *name == project).map(|(_, version)| version)
    }

    /// Bootstraps the engine of a project, with a progress bar of its own.
    pub(crate) fn bootstrap(&self, host: &Host, project: &EventProject) -> Result<Engine, Error> {
        let known = bundled_versions().into_iter().position(|(name, _)| name == project.shown);
        // One that is not known is the site's to refuse.
        let id = 101 + u32::try_from(known.unwrap_or(usize::MAX)).unwrap_or(9_000);
        let bar = self.bars.add(ProgressBar::new(100));
        if let Ok(style) = ProgressStyle::with_template("{prefix:<10} {bar:40} {percent:>3} %  {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(project.shown.clone());
        let drawn = bar.clone();
        let bootstrap = Bootstrap::project(id)
            .core(self.studio.start())
            .site(self.studio.site().url())
            .script_user(Studio::SCRIPT, Studio::KEY)
            .build()?;
        let callbacks = BootstrapCallbacks::new().on_progress(move |progress| {
            drawn.set_position((progress.fraction * 100.0) as u64);
            drawn.set_message(progress.message.clone());
            ControlFlow::Continue(())
        });
        let engine = host.bootstrap_with(&bootstrap, &callbacks);
        bar.finish_and_clear();
        engine
    }
}

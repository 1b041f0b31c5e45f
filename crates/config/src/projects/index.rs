//! What the configurations below the base folder say of themselves, read once and again when it has changed.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::choice::{Choice, Claim, choose};
use super::reference::{Key, ProjectRef};
use super::settings::{self, ProjectConfiguration, Settings};
use crate::disk::Stamp;
use crate::{ConfigError, project_name};

/// For how long a configuration that was found is only looked at itself. Another one that claims its project
/// since is noticed after that at the latest; a new folder at once.
const FRESH: Duration = Duration::from_secs(5);

/// Longer than a tick of any file system's clock that counts in less than seconds.
const TICKS: Duration = Duration::from_millis(100);

/// How many configurations an error lists.
const NAMED: usize = 5;

/// All configurations below one base folder.
#[derive(Debug, Default)]
pub(crate) struct Index(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    latest: Option<Arc<Survey>>,
    /// What each folder with a project said when it could be read last.
    before: Arc<HashMap<String, Settings>>,
}

/// What all of them said at one moment.
#[derive(Debug)]
struct Survey {
    base: Stamp,
    at: Instant,
    folders: BTreeMap<String, Read>,
}

impl Survey {
    /// Why a configuration that said something once cannot be read now; nothing where it can.
    fn why_unreadable(&self, folder: &str) -> Option<String> {
        match self.folders.get(folder).map(|read| &read.settings) {
            Some(Ok(Some(_))) => None,
            Some(Err(reason)) => Some(reason.clone()),
            Some(Ok(None)) | None => Some("it is missing, and was there before".to_owned()),
        }
    }
}

#[derive(Clone, Debug)]
struct Read {
    stamp: Stamp,
    /// Whether the file had not been written to just before: times on disk advance in ticks, and a file that
    /// is rewritten within one has the same stamp.
    settled: bool,
    settings: Result<Option<Settings>, String>,
}

impl Read {
    /// Whether what was read is still what the file says that has this stamp now.
    fn is(&self, stamp: Stamp) -> bool {
        self.settled && self.stamp == stamp
    }
}

impl Index {
    /// The configuration that is meant by `project`.
    pub(crate) fn find(
        &self,
        base: &Path,
        project: &ProjectRef,
    ) -> Result<ProjectConfiguration, ConfigError> {
        if let Key::Folder(name) = &project.key {
            project_name::check(name)?;
        }
        let latest = self.0.lock().latest.clone();
        if let Some(survey) = latest
            && survey.at.elapsed() < FRESH
            && let Ok(found) = self.choose(base, project, &survey)
            && survey.folders.get(&found.folder).is_some_and(|read| read.is(stamp(&found.path)))
            && survey.base == Stamp::at(base)
        {
            return Ok(found);
        }
        let survey = self.survey(base)?;
        self.choose(base, project, &survey)
    }

    /// What each folder says of itself, or why it cannot be read.
    pub(crate) fn all(
        &self,
        base: &Path,
    ) -> Result<HashMap<String, Result<ProjectConfiguration, ConfigError>>, ConfigError> {
        let survey = self.survey(base)?;
        let all = survey.folders.iter().map(|(folder, read)| {
            let settings = read.settings.clone().map_err(|reason| unreadable(base, folder, reason));
            let said = settings.map(|settings| configuration(base, folder, settings.unwrap_or_default()));
            (folder.clone(), said)
        });
        Ok(all.collect())
    }

    /// Takes this folder for one that was never looked at.
    pub(crate) fn forget(&self, folder: &str) {
        let mut known = self.0.lock();
        Arc::make_mut(&mut known.before).remove(folder);
        known.latest = None;
    }

    /// Reads what has changed since it was read last.
    fn survey(&self, base: &Path) -> Result<Arc<Survey>, ConfigError> {
        let (latest, before) = {
            let known = self.0.lock();
            (known.latest.clone(), Arc::clone(&known.before))
        };
        // Before the folder is read: one that comes meanwhile is seen the next time.
        let (stamp_of_base, at) = (Stamp::at(base), Instant::now());
        let refused = |error| ConfigError::of_base(base, &error);
        let mut folders = BTreeMap::new();
        for entry in fs::read_dir(base).map_err(refused)? {
            let entry = entry.map_err(refused)?;
            let Ok(folder) = entry.file_name().into_string() else { continue };
            if project_name::check(&folder).is_err() || entry.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            let path = entry.path();
            let stamp = stamp(&path);
            let same = latest.as_ref().and_then(|latest| latest.folders.get(&folder));
            let read = match same.filter(|read| read.is(stamp) && read.settings.is_ok()) {
                Some(read) => read.clone(),
                None => Read {
                    stamp,
                    settled: !stamp.is_recent(TICKS),
                    settings: read(&path, before.get(&folder)),
                },
            };
            folders.insert(folder, read);
        }
        let survey = Arc::new(Survey { base: stamp_of_base, at, folders });
        let mut known = self.0.lock();
        for (folder, read) in &survey.folders {
            if let Ok(Some(settings)) = &read.settings
                && known.before.get(folder) != Some(settings)
            {
                Arc::make_mut(&mut known.before).insert(folder.clone(), settings.clone());
            }
        }
        known.latest = Some(Arc::clone(&survey));
        Ok(survey)
    }

    fn choose(
        &self,
        base: &Path,
        project: &ProjectRef,
        survey: &Survey,
    ) -> Result<ProjectConfiguration, ConfigError> {
        let before = Arc::clone(&self.0.lock().before);
        let now = survey.folders.iter().filter_map(|(folder, read)| match &read.settings {
            Ok(Some(settings)) => Some(Claim { folder, settings, readable: true }),
            _ => None,
        });
        let gone = before.iter().filter(|(folder, _)| {
            !matches!(survey.folders.get(*folder), Some(Read { settings: Ok(Some(_)), .. }))
        });
        let gone = gone.map(|(folder, settings)| Claim { folder, settings, readable: false });
        let mut claims: Vec<_> = now.chain(gone).collect();
        if matches!(choose(project, &claims), Choice::Several(_)) {
            claims.retain(|claim| !is_second_name(base, claim, &survey.folders));
        }
        let never_read = || {
            let unread = survey
                .folders
                .iter()
                .filter(|(folder, read)| read.settings.is_err() && !before.contains_key(*folder));
            let named = |(folder, read): (&String, &Read)| match &read.settings {
                Err(reason) => format!("{folder:?} ({reason})"),
                Ok(_) => format!("{folder:?}"),
            };
            let mut names: Vec<_> = unread.take(NAMED + 1).map(named).collect();
            if names.len() > NAMED {
                names.truncate(NAMED);
                names.push("others".to_owned());
            }
            names.join(", ")
        };
        match choose(project, &claims) {
            Choice::One { folder, by_name } => {
                let is_folder = matches!(project.key, Key::Folder(_));
                let unread = if by_name || is_folder { String::new() } else { never_read() };
                if !unread.is_empty() {
                    let (project, found) = (project.to_string(), folder.to_owned());
                    return Err(ConfigError::ProjectUndecided { project, found, unreadable: unread });
                }
                let settings =
                    survey.folders.get(folder).and_then(|read| read.settings.clone().ok().flatten());
                Ok(configuration(base, folder, settings.unwrap_or_default()))
            }
            Choice::Unreadable { folder } => {
                let reason = survey.why_unreadable(folder).unwrap_or_default();
                Err(unreadable(base, folder, reason))
            }
            Choice::None => self.without_settings(base, project, survey, never_read()),
            Choice::Several(claims) => {
                let claims = claims.iter().map(|(folder, name)| {
                    let name = name.map(str::to_owned);
                    let said = name.into_iter().chain(survey.why_unreadable(folder)).collect::<Vec<_>>();
                    if said.is_empty() {
                        format!("{folder:?}")
                    } else {
                        format!("{folder:?} ({})", said.join("; "))
                    }
                });
                let claims = claims.collect::<Vec<_>>().join(" and ");
                Err(ConfigError::AmbiguousProject {
                    project: project.to_string(),
                    claims,
                    base: base.to_owned(),
                })
            }
        }
    }

    /// A folder may be a configuration that says nothing of itself.
    fn without_settings(
        &self,
        base: &Path,
        project: &ProjectRef,
        survey: &Survey,
        never_read: String,
    ) -> Result<ProjectConfiguration, ConfigError> {
        if let (Key::Folder(folder), None) = (&project.key, &project.configuration) {
            match survey.folders.get(folder).map(|read| &read.settings) {
                Some(Err(reason)) => return Err(unreadable(base, folder, reason.clone())),
                Some(Ok(_)) => return Ok(configuration(base, folder, Settings::default())),
                None => {}
            }
        }
        let (project, base) = (project.to_string(), base.to_owned());
        Err(ConfigError::NoConfiguration { project, base, unreadable: never_read })
    }
}

fn read(path: &Path, before: Option<&Settings>) -> Result<Option<Settings>, String> {
    let read = settings::read(path)?;
    let cut = before.and_then(|before| read.as_ref()?.cut_short(before));
    cut.map_or(Ok(read), |reason| Err(format!("{reason}: it may be being written")))
}

/// Whether the folder is a link to another one below the base: one configuration with two names.
fn is_second_name(base: &Path, claim: &Claim<'_>, folders: &BTreeMap<String, Read>) -> bool {
    let path = base.join(claim.folder);
    if !path.is_symlink() {
        return false;
    }
    let (Ok(target), Ok(base)) = (path.canonicalize(), base.canonicalize()) else { return false };
    let name = target.strip_prefix(base).ok().and_then(Path::to_str);
    name.is_some_and(|name| name != claim.folder && folders.contains_key(name))
}

fn stamp(configuration: &Path) -> Stamp {
    Stamp::at(&configuration.join(settings::FILE))
}

fn configuration(base: &Path, folder: &str, settings: Settings) -> ProjectConfiguration {
    ProjectConfiguration { folder: folder.to_owned(), path: base.join(folder), settings }
}

fn unreadable(base: &Path, folder: &str, reason: String) -> ConfigError {
    let file = base.join(folder).join(settings::FILE);
    ConfigError::ConfigurationUnreadable { folder: folder.to_owned(), file, reason }
}

//! The rules by which a project's core is found, in order.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use super::listing::{self, STORAGE_ROOTS, STUDIO};
use super::{
    Configs, CoreKind, CoreLocation, Rule, StudioFallback, Trail, evidence, interpreter_file, memory,
    pointer, version,
};
use crate::Platform;
use crate::disk::presence::{self, Contents};
use crate::{ConfigError, PointerProblem, project_name};

/// The file by which the published recipe and `tk-core` know that a core is really there, and not its API
/// proxy.
const UPGRADER: &str = "_core_upgrader.py";

/// Finds the core of `project`. `trail` gets each step, also where the result is an error.
pub(super) fn resolve(
    configs: &Configs,
    project: &str,
    trail: &mut Trail,
) -> Result<CoreLocation, ConfigError> {
    project_name::check(project)?;
    if !configs.base.is_absolute() {
        return Err(ConfigError::RelativeBase { base: configs.base.to_path_buf() });
    }
    let configuration = configs.base.join(project);
    let search = Search { configs, project, configuration: &configuration };

    let (kind, core_root) = search.core_root(trail)?;
    let install_core = install_core(&core_root);
    let python = search.python_folder(&install_core, trail)?;
    let marks = search.marks(&install_core, trail)?;
    let version = version::read(&install_core, trail);
    let environment = configs.environment_of(project);
    let interpreter = interpreter_file::read(&core_root, configs.platform, environment, trail);
    let has_storage_roots = search.has_storage_roots(trail)?;
    configs.memory.remember(project, kind, &install_core, marks);

    Ok(CoreLocation {
        project: project.to_owned(),
        kind,
        install_core,
        python,
        has_storage_roots,
        pointer: search.pointer_file(configs.platform),
        pipeline_configuration: Some(configuration),
        version,
        interpreter,
        trail: trail.clone(),
    })
}

fn install_core(root: &Path) -> PathBuf {
    root.join("install").join("core")
}

/// One search for one project's core.
struct Search<'a> {
    configs: &'a Configs,
    project: &'a str,
    configuration: &'a Path,
}

impl Search<'_> {
    /// The folder that holds the core's `install`, and `config` beside it.
    fn core_root(&self, trail: &mut Trail) -> Result<(CoreKind, PathBuf), ConfigError> {
        let exists = self.configuration_exists(trail)?;
        if self.is_localized(trail)? {
            return Ok((CoreKind::Localized, self.configuration.to_owned()));
        }
        if let Some(root) = self.attached(trail)? {
            self.refuse_proxies(&root, trail)?;
            return Ok((CoreKind::Attached, root));
        }
        // The studio core's own folder can be answered with no other core than that.
        if self.project != STUDIO {
            self.refuse_what_had_a_core(trail)?;
            self.refuse_unless_fallback_is_meant(exists, trail)?;
        }
        let root = self.studio(trail)?;
        self.refuse_proxies(&root, trail)?;
        Ok((CoreKind::Studio, root))
    }

    /// A missing folder decides nothing by itself: the published recipe goes on to the studio core.
    fn configuration_exists(&self, trail: &mut Trail) -> Result<bool, ConfigError> {
        let metadata = self.look(Rule::Configuration, self.configuration, trail)?;
        let is_folder = metadata.as_ref().is_some_and(Metadata::is_dir);
        let found = match metadata {
            _ if is_folder => "a folder",
            Some(_) => "no folder",
            None => "nothing",
        };
        trail.add(Rule::Configuration, self.configuration, found);
        Ok(is_folder)
    }

    /// A configuration that had a core of its own or a pointer gets no other one, whatever is missing at this
    /// moment.
    fn refuse_what_had_a_core(&self, trail: &mut Trail) -> Result<(), ConfigError> {
        let file = self.pointer_file(self.configs.platform);
        let pointers = self.pointers_of_others();
        if !pointers.is_empty() {
            let project = self.project.to_owned();
            return Err(ConfigError::PointerMissing { project, file, others: pointers.join(" and ") });
        }
        let core = install_core(self.configuration);
        let left = evidence::of_core(self.configuration)
            .map_err(|source| self.unreadable(Rule::CoreBefore, &core, source, trail))?;
        let found = left.or_else(|| {
            let kind = self.configs.memory.kind(self.project)?;
            Some(format!("nothing, and the core was {kind} when it was last found"))
        });
        let Some(found) = found else { return Ok(()) };
        trail.add(Rule::CoreBefore, &core, found.as_str());
        Err(ConfigError::CoreUndecided { project: self.project.to_owned(), core, found, pointer: file })
    }

    fn refuse_unless_fallback_is_meant(&self, exists: bool, trail: &mut Trail) -> Result<(), ConfigError> {
        let fallback = self.configs.studio_fallback;
        let project = self.project.to_owned();
        if !exists && fallback != StudioFallback::Always {
            // Where the base folder itself cannot be listed, that is the reason.
            let names = listing::projects(&self.configs.base)?;
            return Err(ConfigError::UnknownProject {
                closest: listing::closest(self.project, names).into(),
                folder: self.configuration.to_owned(),
                project,
            });
        }
        match fallback {
            StudioFallback::Always => Ok(()),
            StudioFallback::Never => {
                let file = self.pointer_file(self.configs.platform);
                Err(ConfigError::PointerMissing { project, file, others: String::new() })
            }
            StudioFallback::ExistingConfigurations => {
                let settings = self.configuration.join("config").join("core");
                let is_configuration = evidence::is_configuration(self.configuration)
                    .map_err(|source| self.unreadable(Rule::Configuration, &settings, source, trail))?;
                if is_configuration {
                    return Ok(());
                }
                trail.add(Rule::Configuration, &settings, "no files");
                Err(ConfigError::NotAConfiguration { project, folder: self.configuration.to_owned() })
            }
        }
    }

    /// Which of the files are there that a whole core has. One that was there before is missed.
    fn marks(&self, core: &Path, trail: &mut Trail) -> Result<Vec<&'static str>, ConfigError> {
        let marks = memory::MARKS.into_iter().filter(|mark| core.join(mark).exists()).collect::<Vec<_>>();
        let before = self.configs.memory.marks(core);
        let missing: Vec<_> = before.into_iter().filter(|mark| !marks.contains(mark)).collect();
        if missing.is_empty() {
            return Ok(marks);
        }
        let missing = format!("{}, which it had before", missing.join(" and "));
        trail.add(Rule::CoreBefore, core, format!("no {missing}"));
        Err(ConfigError::CoreIncomplete { project: self.project.to_owned(), core: core.to_owned(), missing })
    }

    fn is_localized(&self, trail: &mut Trail) -> Result<bool, ConfigError> {
        let upgrader = install_core(self.configuration).join(UPGRADER);
        let found = self.look(Rule::LocalizedCore, &upgrader, trail)?.is_some();
        trail.add(Rule::LocalizedCore, &upgrader, if found { "found" } else { "nothing" });
        Ok(found)
    }

    /// The folder that the configuration's pointer names, or `None` where there is no pointer.
    fn attached(&self, trail: &mut Trail) -> Result<Option<PathBuf>, ConfigError> {
        let file = self.pointer_file(self.configs.platform);
        let Some(bytes) = self.pointer_bytes(&file, trail)? else { return Ok(None) };
        let environment = self.configs.environment_of(self.project);
        let (value, followed) = match pointer::parse(&bytes, self.configs.platform, environment) {
            Ok(pointer) => (pointer.value, follow(pointer.folder)),
            Err(refused) => (refused.value, Err(refused.problem)),
        };
        match followed {
            Ok(root) => {
                trail.add(Rule::CorePointer, &file, format!("{value:?}, which is {}", root.display()));
                Ok(Some(root))
            }
            Err(problem) => {
                trail.add(Rule::CorePointer, &file, format!("{value:?}: {problem}"));
                let problem = Box::new(problem);
                Err(ConfigError::Pointer { project: self.project.to_owned(), file, value, problem })
            }
        }
    }

    fn pointer_bytes(&self, file: &Path, trail: &mut Trail) -> Result<Option<Vec<u8>>, ConfigError> {
        let limit = pointer::LIMIT;
        let contents = presence::read(file, self.configuration, limit)
            .map_err(|source| self.unreadable(Rule::CorePointer, file, source, trail))?;
        let (project, file) = (self.project.to_owned(), file.to_owned());
        match contents {
            Contents::Bytes(bytes) => Ok(Some(bytes)),
            Contents::Missing => {
                let others = self.pointers_of_others();
                let but =
                    if others.is_empty() { String::new() } else { format!(", but {}", others.join(" and ")) };
                trail.add(Rule::CorePointer, &file, format!("nothing{but}"));
                Ok(None)
            }
            Contents::NotAFile(found) => {
                trail.add(Rule::CorePointer, &file, found);
                Err(ConfigError::PointerNotAFile { project, file, found })
            }
            Contents::TooLarge(size) => {
                trail.add(Rule::CorePointer, &file, format!("{size} bytes, more than {limit}"));
                Err(ConfigError::PointerTooLarge { project, file, size, limit })
            }
        }
    }

    fn pointers_of_others(&self) -> Vec<&'static str> {
        let others = Platform::ALL
            .into_iter()
            .filter(|&platform| platform != self.configs.platform && self.pointer_file(platform).is_file());
        others.map(Platform::core_pointer).collect()
    }

    fn studio(&self, trail: &mut Trail) -> Result<PathBuf, ConfigError> {
        let root = self.configs.base.join(STUDIO);
        let core = install_core(&root);
        let metadata = presence::look(&core, &root)
            .map_err(|source| self.unreadable(Rule::StudioCore, &core, source, trail))?;
        let found = metadata.is_some_and(|metadata| metadata.is_dir());
        trail.add(Rule::StudioCore, &core, if found { "a folder" } else { "no folder" });
        if found {
            return Ok(root);
        }
        let pointer = self.pointer_file(self.configs.platform);
        Err(ConfigError::StudioCoreMissing { project: self.project.to_owned(), pointer, core })
    }

    /// The API proxies of an attached configuration look like a core and load another one, in the worst case
    /// themselves, forever.
    fn refuse_proxies(&self, root: &Path, trail: &mut Trail) -> Result<(), ConfigError> {
        let core = install_core(root);
        let mut pointers = Platform::ALL.into_iter().map(|platform| core.join(platform.core_pointer()));
        match pointers.find(|pointer| pointer.is_file()) {
            Some(pointer) if !core.join(UPGRADER).exists() => {
                trail.add(Rule::CorePointer, &pointer, "there is no core beside it");
                Err(ConfigError::CoreElsewhere { project: self.project.to_owned(), core, pointer })
            }
            _ => Ok(()),
        }
    }

    fn python_folder(&self, install_core: &Path, trail: &mut Trail) -> Result<PathBuf, ConfigError> {
        let python = install_core.join("python");
        check_python_folder(self.project, &python, trail)?;
        Ok(python)
    }

    fn has_storage_roots(&self, trail: &mut Trail) -> Result<bool, ConfigError> {
        let roots = self.configuration.join(STORAGE_ROOTS);
        let found = self.look(Rule::StorageRoots, &roots, trail)?.is_some_and(|metadata| metadata.is_file());
        trail.add(Rule::StorageRoots, &roots, if found { "found" } else { "no file" });
        Ok(found)
    }

    fn pointer_file(&self, platform: Platform) -> PathBuf {
        install_core(self.configuration).join(platform.core_pointer())
    }

    fn look(&self, rule: Rule, path: &Path, trail: &mut Trail) -> Result<Option<Metadata>, ConfigError> {
        presence::look(path, self.configuration).map_err(|source| self.unreadable(rule, path, source, trail))
    }

    fn unreadable(&self, rule: Rule, file: &Path, source: io::Error, trail: &mut Trail) -> ConfigError {
        unreadable(self.project, rule, file, source, trail)
    }
}

fn unreadable(project: &str, rule: Rule, file: &Path, cause: io::Error, trail: &mut Trail) -> ConfigError {
    trail.add(rule, file, cause.to_string());
    ConfigError::Unreadable { project: project.to_owned(), file: file.to_owned(), cause }
}

/// Whether `import sgtk` has what it needs in a core's `python` folder.
pub(super) fn check_python_folder(
    project: &str,
    python: &Path,
    trail: &mut Trail,
) -> Result<(), ConfigError> {
    let mut missing = Vec::new();
    for (name, files) in [("sgtk", &["sgtk/__init__.py", "sgtk.py"][..]), ("tank", &["tank/__init__.py"])] {
        let mut found = false;
        for file in files {
            let path = python.join(file);
            let metadata = presence::look(&path, python)
                .map_err(|source| unreadable(project, Rule::PythonFolder, &path, source, trail))?;
            found |= metadata.is_some_and(|metadata| metadata.is_file());
        }
        if !found {
            missing.push(format!("{name} ({})", files.join(" or ")));
        }
    }
    if missing.is_empty() {
        trail.add(Rule::PythonFolder, python, "sgtk and tank");
        return Ok(());
    }
    let missing = missing.join(", ");
    trail.add(Rule::PythonFolder, python, format!("no {missing}"));
    Err(ConfigError::CoreIncomplete { project: project.to_owned(), core: python.to_owned(), missing })
}

/// Looks whether the folder that a pointer names is there and has a core.
fn follow(root: PathBuf) -> Result<PathBuf, PointerProblem> {
    if let Err(found) = presence::folder(&root) {
        return Err(PointerProblem::NotAFolder { folder: root, found });
    }
    let core = install_core(&root);
    if let Err(found) = presence::folder(&core) {
        return Err(PointerProblem::NoCore { core, found });
    }
    Ok(root)
}

//! The rules by which a project's core is found, in order.

use std::io;
use std::path::{Path, PathBuf};

use super::presence::{self, Contents};
use super::{
    ConfigError, Configs, CoreKind, CoreLocation, Platform, PointerProblem, Rule, Trail, interpreter_file,
    pointer, project_name, version,
};

/// The folder below the base folder that holds the core of projects that name none.
pub(super) const STUDIO: &str = "studio";

/// The file by which Toolkit knows a pipeline configuration.
pub(super) const STORAGE_ROOTS: &str = "config/core/roots.yml";

/// The file by which the published recipe and `tk-core` know that a core is really there, and not its API proxy.
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
    let version = version::read(&install_core, trail);
    let interpreter = interpreter_file::read(&core_root, configs.platform, &configs.environment, trail);
    let has_storage_roots = search.has_storage_roots(trail)?;

    Ok(CoreLocation {
        project: project.to_owned(),
        kind,
        install_core,
        python,
        has_storage_roots,
        pointer: search.pointer_file(configs.platform),
        pipeline_configuration: configuration,
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
            self.refuse_proxies(&root)?;
            return Ok((CoreKind::Attached, root));
        }
        if !self.configs.studio_fallback {
            let project = self.project.to_owned();
            return Err(if exists {
                ConfigError::PointerMissing { project, file: self.pointer_file(self.configs.platform) }
            } else {
                ConfigError::ConfigurationMissing { project, folder: self.configuration.to_owned() }
            });
        }
        let root = self.studio(trail)?;
        self.refuse_proxies(&root)?;
        Ok((CoreKind::Studio, root))
    }

    /// A missing folder decides nothing by itself: the published recipe goes on to the studio core.
    fn configuration_exists(&self, trail: &mut Trail) -> Result<bool, ConfigError> {
        let metadata = self.look(self.configuration)?;
        let is_folder = metadata.as_ref().is_some_and(std::fs::Metadata::is_dir);
        let found = match metadata {
            _ if is_folder => "a folder",
            Some(_) => "no folder",
            None => "nothing",
        };
        trail.add(Rule::Configuration, self.configuration, found);
        Ok(is_folder)
    }

    fn is_localized(&self, trail: &mut Trail) -> Result<bool, ConfigError> {
        let upgrader = install_core(self.configuration).join(UPGRADER);
        let found = self.look(&upgrader)?.is_some();
        trail.add(Rule::LocalizedCore, &upgrader, if found { "found" } else { "nothing" });
        Ok(found)
    }

    fn attached(&self, trail: &mut Trail) -> Result<Option<PathBuf>, ConfigError> {
        let platform = self.configs.platform;
        let file = self.pointer_file(platform);
        let contents = presence::read(&file, self.configuration, pointer::LIMIT);
        let bytes = match contents.map_err(|source| self.unreadable(&file, source))? {
            Contents::Bytes(bytes) => bytes,
            Contents::Missing => {
                trail.add(Rule::CorePointer, &file, self.pointers_of_others());
                return Ok(None);
            }
            Contents::NotAFile(found) => {
                trail.add(Rule::CorePointer, &file, found);
                return Err(ConfigError::PointerNotAFile { project: self.project.to_owned(), file, found });
            }
            Contents::TooLarge(size) => {
                trail.add(Rule::CorePointer, &file, format!("{size} bytes"));
                let limit = pointer::LIMIT;
                return Err(ConfigError::PointerTooLarge {
                    project: self.project.to_owned(),
                    file,
                    size,
                    limit,
                });
            }
        };
        let (value, followed) = match pointer::parse(&bytes, platform, &self.configs.environment) {
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
                Err(ConfigError::Pointer { project: self.project.to_owned(), file, value, problem })
            }
        }
    }

    /// For the trail: a pointer for other platforms only is most often one that was forgotten for this one.
    fn pointers_of_others(&self) -> String {
        let others: Vec<_> = Platform::ALL
            .into_iter()
            .filter(|&platform| platform != self.configs.platform && self.pointer_file(platform).is_file())
            .map(Platform::core_pointer)
            .collect();
        if others.is_empty() {
            "nothing".to_owned()
        } else {
            format!("nothing, but {}", others.join(" and "))
        }
    }

    fn studio(&self, trail: &mut Trail) -> Result<PathBuf, ConfigError> {
        let root = self.configs.base.join(STUDIO);
        let core = install_core(&root);
        let metadata = presence::look(&core, &root).map_err(|source| self.unreadable(&core, source))?;
        let found = metadata.is_some_and(|metadata| metadata.is_dir());
        trail.add(Rule::StudioCore, &core, if found { "a folder" } else { "no folder" });
        if found {
            return Ok(root);
        }
        let pointer = self.pointer_file(self.configs.platform);
        Err(ConfigError::StudioCoreMissing { project: self.project.to_owned(), pointer, core })
    }

    /// The API proxies of an attached configuration look like a core and load another one, in the worst case
    /// themselves, for ever.
    fn refuse_proxies(&self, root: &Path) -> Result<(), ConfigError> {
        let core = install_core(root);
        let pointer = core.join(self.configs.platform.core_pointer());
        if pointer.is_file() && !core.join(UPGRADER).exists() {
            return Err(ConfigError::CoreElsewhere { project: self.project.to_owned(), core, pointer });
        }
        Ok(())
    }

    fn python_folder(&self, install_core: &Path, trail: &mut Trail) -> Result<PathBuf, ConfigError> {
        let python = install_core.join("python");
        let mut missing = Vec::new();
        for (name, files) in [("sgtk", &["sgtk/__init__.py", "sgtk.py"][..]), ("tank", &["tank/__init__.py"])]
        {
            let mut found = false;
            for file in files {
                let path = python.join(file);
                let metadata =
                    presence::look(&path, &python).map_err(|source| self.unreadable(&path, source))?;
                found |= metadata.is_some_and(|metadata| metadata.is_file());
            }
            if !found {
                missing.push(format!("{name} ({})", files.join(" or ")));
            }
        }
        if missing.is_empty() {
            trail.add(Rule::PythonFolder, &python, "sgtk and tank");
            return Ok(python);
        }
        let missing = missing.join(", ");
        trail.add(Rule::PythonFolder, &python, format!("no {missing}"));
        Err(ConfigError::CoreIncomplete { project: self.project.to_owned(), python, missing })
    }

    fn has_storage_roots(&self, trail: &mut Trail) -> Result<bool, ConfigError> {
        let roots = self.configuration.join(STORAGE_ROOTS);
        let found = self.look(&roots)?.is_some_and(|metadata| metadata.is_file());
        trail.add(Rule::StorageRoots, &roots, if found { "found" } else { "no file" });
        Ok(found)
    }

    fn pointer_file(&self, platform: Platform) -> PathBuf {
        install_core(self.configuration).join(platform.core_pointer())
    }

    fn look(&self, path: &Path) -> Result<Option<std::fs::Metadata>, ConfigError> {
        presence::look(path, self.configuration).map_err(|source| self.unreadable(path, source))
    }

    fn unreadable(&self, file: &Path, source: io::Error) -> ConfigError {
        ConfigError::Unreadable { project: self.project.to_owned(), file: file.to_owned(), source }
    }
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

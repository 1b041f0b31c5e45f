//! Cores: which generation, which version, what is wrong with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::archive::{PYTHONS, same_file, write_zip};
use crate::broken::Broken;
use crate::generated;
use crate::sources::{Entry, read_tree, source, write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    Older,
    Newer,
    Generated(usize),
}

/// A core to be laid down. The same sources serve every version: each module has the version in
/// `CORE_VERSION`, so that a mix shows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a core is laid down by `Configs`, or by `lay`"]
pub struct Core {
    version: String,
    generation: Generation,
    vendor_lines: usize,
    broken: Option<Broken>,
}

impl Core {
    fn new(version: impl Into<String>, generation: Generation) -> Core {
        Core { version: version.into(), generation, vendor_lines: 0, broken: None }
    }

    /// Like v0.20 to v0.22: libraries are packages below `tank_vendor`, with a `six` that appends a finder.
    pub fn older(version: impl Into<String>) -> Core {
        Core::new(version, Generation::Older)
    }

    /// Like v0.23.7 and later: libraries come under their real names from zips that go to `sys.path[0]`, with
    /// a finder that an attribute of `sys` keeps.
    pub fn newer(version: impl Into<String>) -> Core {
        Core::new(version, Generation::Newer)
    }

    /// A core of the newer generation, for benches: its first import adds exactly `modules` names to
    /// `sys.modules` apart from the standard library's, about half of them the `sgtk.x` aliases of the
    /// `tank.x`.
    ///
    /// # Panics
    ///
    /// When `modules` is less than 50.
    pub fn generated(modules: usize) -> Core {
        assert!(modules >= 50, "a generated core has 50 modules or more");
        Core::new(format!("v0.{modules}.0"), Generation::Generated(modules))
    }

    /// Makes the newer generation's `yaml` import a generated module of about so many lines, which costs its
    /// compilation at every import, as nothing caches the bytecode of what is in a zip.
    pub fn vendor_lines(mut self, lines: usize) -> Core {
        self.vendor_lines = lines;
        self
    }

    /// The same core, but broken.
    pub fn broken(mut self, broken: Broken) -> Core {
        self.broken = Some(broken);
        self
    }

    /// The same core, and nothing wrong with it.
    pub fn repaired(mut self) -> Core {
        self.broken = None;
        self
    }

    /// The version, as `sgtk.__version__` and `info.yml` have it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether it is of the generation of [`Core::newer`].
    pub fn is_newer(&self) -> bool {
        self.generation != Generation::Older
    }

    /// Lays the core down as `<root>/install/core`, replacing what is there, bytecode included.
    ///
    /// # Errors
    ///
    /// When a file can't be read or written.
    pub fn lay(&self, root: &Path) -> io::Result<PathBuf> {
        let install = root.join("install").join("core");
        if install.exists() {
            fs::remove_dir_all(&install)?;
        }
        for entry in self.tree()? {
            write(&install.join(&entry.path), &entry.text)?;
        }
        if self.is_newer() {
            self.lay_requirements(&install.join("requirements"))?;
        }
        Ok(install)
    }

    /// The files of the core; of two with the same path the later one counts.
    fn tree(&self) -> io::Result<Vec<Entry>> {
        let elsewhere = match &self.broken {
            Some(Broken::BorrowsTank(python)) => python.to_string_lossy().replace('\\', "/"),
            _ => String::new(),
        };
        let placeholders = [("@VERSION@", self.version.as_str()), ("@ELSEWHERE@", elsewhere.as_str())];
        let read = |path: &str| read_tree(&source(path), &placeholders);

        let mut entries = read("cores/shared")?;
        match self.generation {
            Generation::Older => {
                entries.extend(under("python", read("cores/older/python")?));
                entries.extend(under("python/tank_vendor", read("cores/libraries")?));
            }
            Generation::Newer => entries.extend(under("python", read("cores/newer/python")?)),
            Generation::Generated(modules) => {
                entries.retain(|entry| generated::keeps(&entry.path));
                let vendor = read("cores/newer/python")?;
                entries.extend(under("python", vendor).into_iter().filter(|e| generated::keeps(&e.path)));
                entries.extend(under("python", read("cores/generated/python")?));
                entries.extend(under("python", generated::modules(modules, &self.version)));
            }
        }
        match &self.broken {
            Some(Broken::LacksSgtk) => entries.retain(|entry| !entry.path.starts_with("python/sgtk")),
            Some(broken) => {
                if let Some(overlay) = broken.overlay() {
                    entries.extend(read(&format!("broken/{overlay}"))?);
                }
            }
            None => {}
        }
        Ok(entries)
    }

    fn lay_requirements(&self, requirements: &Path) -> io::Result<()> {
        let placeholders = [("@VERSION@", self.version.as_str())];
        let mut packages = read_tree(&source("cores/newer/vendor/pkgs"), &placeholders)?;
        packages.extend(read_tree(&source("cores/libraries"), &placeholders)?);
        packages.sort_by(|a, b| a.path.cmp(&b.path));
        if matches!(self.generation, Generation::Generated(_)) {
            packages.retain(|entry| generated::vendors(&entry.path));
        }
        if self.vendor_lines > 0 {
            generated::weigh_down(&mut packages, self.vendor_lines, &self.version);
        }
        let first = requirements.join(PYTHONS[0]).join("pkgs.zip");
        write_zip(&first, &packages)?;
        for python in PYTHONS {
            let folder = requirements.join(python);
            write(&folder.join("certs").join("cacert.pem"), "no certificates\n")?;
            if python != PYTHONS[0] {
                same_file(&first, &folder.join("pkgs.zip"))?;
            }
        }
        if self.generation == Generation::Newer {
            let sdk = read_tree(&source("cores/newer/vendor/any/flow_data_sdk"), &placeholders)?;
            write_zip(&requirements.join("any").join("flow_data_sdk.zip"), &sdk)?;
        }
        Ok(())
    }
}

fn under(folder: &str, entries: Vec<Entry>) -> Vec<Entry> {
    entries.into_iter().map(|entry| Entry { path: Path::new(folder).join(entry.path), ..entry }).collect()
}

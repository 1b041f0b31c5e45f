//! Cores of any size, for benches.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::sources::Entry;

/// The shared files that a generated core has as well.
const KEPT: [&str; 8] = [
    "info.yml",
    "_core_upgrader.py",
    "python/sgtk/__init__.py",
    "python/tank/constants.py",
    "python/tank/errors.py",
    "python/tank/log.py",
    "python/tank/late_a.py",
    "python/tank_vendor/__init__.py",
];

/// The names that the import of a generated core adds without any generated module: `tank` and its modules
/// `constants`, `errors`, `log`, `bulk`, each as `sgtk` too; `tank_vendor`; `shotgun_api3`, its `shotgun`,
/// `yaml`, its `loader`; and the two packages' names below `tank_vendor`.
const BASE: usize = 2 * 5 + 1 + 4 + 2;

pub(crate) fn keeps(path: &Path) -> bool {
    KEPT.iter().any(|kept| path == Path::new(kept))
}

/// Whether a generated core's zip has that file.
pub(crate) fn vendors(path: &Path) -> bool {
    path.starts_with("shotgun_api3") || path.starts_with("yaml")
}

/// The generated modules, and `tank.bulk` that imports them all.
pub(crate) fn modules(total: usize, version: &str) -> Vec<Entry> {
    let missing = total - BASE;
    let mut entries = Vec::new();
    let mut bulk = String::from("\"\"\"Imports the generated modules.\"\"\"\n\n");
    let _ = writeln!(bulk, "CORE_VERSION = \"{version}\"\n");
    for index in 0..missing / 2 {
        let name = format!("m{index:04}");
        let _ = writeln!(bulk, "from . import {name}");
        entries.push(Entry {
            path: PathBuf::from(format!("tank/bulk/{name}.py")),
            text: format!("\"\"\"Module {index}.\"\"\"\n\nCORE_VERSION = \"{version}\"\n{}", definitions(8)),
        });
    }
    if missing % 2 == 1 {
        // Below `tank_vendor` a name has no alias.
        bulk.push_str("import tank_vendor.odd\n");
        let text = format!("\"\"\"Makes the number odd.\"\"\"\n\nCORE_VERSION = \"{version}\"\n");
        entries.push(Entry { path: "tank_vendor/odd.py".into(), text });
    }
    entries.push(Entry { path: "tank/bulk/__init__.py".into(), text: bulk });
    entries
}

/// Adds a module of about `lines` lines to the vendored `yaml`, which imports it.
pub(crate) fn weigh_down(packages: &mut Vec<Entry>, lines: usize, version: &str) {
    for entry in packages.iter_mut().filter(|entry| entry.path == Path::new("yaml/__init__.py")) {
        entry.text.push_str("\nfrom . import tables\n");
    }
    let text = format!("\"\"\"Generated.\"\"\"\n\nCORE_VERSION = \"{version}\"\n{}", definitions(lines / 11));
    packages.push(Entry { path: "yaml/tables.py".into(), text });
}

/// So many classes of eleven lines.
fn definitions(classes: usize) -> String {
    let mut text = String::new();
    for index in 0..classes {
        let _ = write!(
            text,
            "\n\nclass Row{index}(object):\n    \"\"\"Row {index}.\"\"\"\n\n    def __init__(self, first, second={index}):\n        \
             self.first, self.second = first, second\n\n    def total(self, *others):\n        \
             values = [other.second * {index} for other in others if other is not self]\n        \
             return sum(values, self.second) if values else self.first\n"
        );
    }
    text
}

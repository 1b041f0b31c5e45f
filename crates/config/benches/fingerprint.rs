//! What it costs to look whether a core on disk has changed: the files that decide, and all of them.
//!
//! `CORE=/path/to/install/core cargo bench -p sgtk-config` measures a real one. Its floor is as many looks at
//! files.

#![allow(missing_docs, reason = "criterion's macro makes a public function")]

use std::fs;
use std::path::{Path, PathBuf};

use criterion::{Criterion, criterion_group, criterion_main};
use sgtk_config::{Configs, Fingerprint};
use sgtk_host_fixtures::{Configs as Folder, Core};

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn fingerprints(criterion: &mut Criterion) {
    let folder = Folder::new().unwrap();
    folder.localized("project", &Core::generated(400)).unwrap();
    let configs = Configs::new(folder.base());
    let location = configs.locate("project").unwrap();
    let core = std::env::var_os("CORE").map_or_else(|| location.install_core().to_owned(), PathBuf::from);

    let mut all = Vec::new();
    files(&core.join("python"), &mut all);
    let mut group = criterion.benchmark_group("fingerprint");
    group.bench_function("locate", |bencher| bencher.iter(|| configs.locate("project").unwrap()));
    group.bench_function("quick", |bencher| bencher.iter(|| Fingerprint::quick(&location)));
    let full = Fingerprint::of_core(&core);
    group.bench_function(format!("full, {} files", full.len()), |bencher| {
        bencher.iter(|| Fingerprint::of_core(&core));
    });
    group.bench_function(format!("floor: metadata of {} files", all.len()), |bencher| {
        bencher.iter(|| all.iter().filter(|path| fs::metadata(path).is_ok()).count());
    });
    group.finish();
}

criterion_group!(benches, fingerprints);
criterion_main!(benches);

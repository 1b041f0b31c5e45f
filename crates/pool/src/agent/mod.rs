//! The Python side of a worker: what a worker process runs.
//!
//! A worker is started as `python -X utf8 -I -S -c LOADER` and reads [`source`] as its first frame, so that
//! nothing long is in its arguments and no file is needed. The pieces are compiled when they are first
//! needed, and kept so in the code cache: a form feed parts them, and the first line of each is its name.

/// What stands after `-c`.
pub(crate) const LOADER: &str = include_str!("loader.py");

macro_rules! bundle {
    ($first:literal => $first_path:literal $(, $name:literal => $path:literal)* $(,)?) => {
        concat!($first, "\n", include_str!($first_path) $(, "\x0c", $name, "\n", include_str!($path))*)
    };
}

/// The first frame that a worker reads. `code_cache`: the folder where compiled code is kept.
pub(crate) fn source(code_cache: Option<&str>) -> String {
    let steps = sgtk_config::BOOTSTRAP_STEPS;
    match code_cache.filter(|folder| !folder.contains('\x0c')) {
        Some(folder) => format!("{OWN}\x0cbootstrap.py\n{steps}\x0ccode_cache\n{folder}"),
        None => format!("{OWN}\x0cbootstrap.py\n{steps}"),
    }
}

/// All but the steps of a bootstrap, which the daemon's interpreter runs as well.
const OWN: &str = bundle! {
    "agent.py" => "agent.py",
    "calls.py" => "calls.py",
    "code.py" => "code.py",
    "cores.py" => "cores.py",
    "errors.py" => "errors.py",
    "own_state.py" => "own_state.py",
    "pickles.py" => "pickles.py",
    "project.py" => "project.py",
    "records.py" => "records.py",
    "store.py" => "store.py",
    "template.py" => "template.py",
    "values.py" => "values.py",
    "wire.py" => "wire.py",
};

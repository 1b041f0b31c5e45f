//! Code objects of projects' modules.
//!
//! Code is immutable and costs more than all else of a core: to compile, and in memory. So all projects on
//! the same files have the same code objects, and what was compiled once is [kept on disk](CodeStore). Both
//! know it by the contents of the source: a file that was replaced is never served with the code of the one
//! before.

use std::collections::{HashMap, VecDeque};
use std::ffi::c_char;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyCode};
use sgtk_config::{CodeCache, CodeKey, CodeStore};

use super::import::import_for_host;

type Compiled = Py<PyAny>;

/// By the source's path, which code objects show, then by the source. Projects keep the code alive.
static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

type Known = HashMap<String, HashMap<CodeKey, Weak<Compiled>>>;

/// The code objects of one project's modules.
pub(crate) struct Codes {
    store: Option<Arc<CodeStore>>,
    /// By the hash of the path. Where two paths have the same, one goes without.
    kept: Mutex<HashMap<u64, Arc<Compiled>>>,
    texts: Mutex<Texts>,
}

/// The texts that were compiled during the first import.
enum Texts {
    /// The first import is over.
    Over,
    Used {
        texts: Vec<String>,
        /// Whether what is on disk was asked for.
        are_read: bool,
        /// Whether one of them had to be compiled.
        are_new: bool,
    },
}

/// Code objects that are kept for projects to come.
type KeptCodes = HashMap<u64, Arc<Compiled>>;

/// The code of states that were dropped last. Bootstraps start from the same core again and again, and a
/// project often comes back: what is on disk need not be read again then.
static DROPPED_LAST: Mutex<VecDeque<KeptCodes>> = Mutex::new(VecDeque::new());

/// Of how many dropped states the code is kept.
const DROPPED_KEPT: usize = 8;

impl Codes {
    pub(crate) fn new(store: Option<Arc<CodeStore>>) -> Self {
        let texts = Texts::Used { texts: Vec::new(), are_read: false, are_new: false };
        Self { store, kept: Mutex::default(), texts: Mutex::new(texts) }
    }

    /// None yet, with the same cache on disk.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.store.clone())
    }

    /// Whether code is kept on disk.
    pub(crate) fn are_stored(&self) -> bool {
        self.store.is_some()
    }

    /// The code of the source at `path`: what is known, in memory or on disk, else what `compile` gives.
    pub(crate) fn code(
        &self,
        py: Python<'_>,
        path: &str,
        source: &[u8],
        compile: impl FnOnce() -> PyResult<Compiled>,
    ) -> PyResult<Compiled> {
        let key = CodeKey::of(source);
        let code = match known(path, &key) {
            Some(code) => code,
            None => {
                let code = match self.stored(py, path, &key) {
                    Some(code) => code,
                    None => {
                        let code = compile()?;
                        self.write(py, &key, code.bind(py));
                        code
                    }
                };
                let code = Arc::new(code);
                remember(path, key, &code);
                code
            }
        };
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let replaced = self.kept.lock().insert(hasher.finish(), Arc::clone(&code));
        drop(replaced);
        Ok(code.clone_ref(py))
    }

    /// Lets go of the code as its state is dropped. What nobody has any more then goes.
    pub(crate) fn retire(&self) {
        let codes = std::mem::take(&mut *self.kept.lock());
        let oldest = {
            let mut last = DROPPED_LAST.lock();
            last.push_back(codes);
            if last.len() > DROPPED_KEPT { last.pop_front() } else { None }
        };
        drop(oldest);
        forget_unused();
    }

    fn stored(&self, py: Python<'_>, path: &str, key: &CodeKey) -> Option<Compiled> {
        let code = self.read(py, key)?.and_then(|code| with_file_name(code, path));
        match code {
            Ok(code) => Some(code.unbind()),
            Err(error) => {
                tracing::warn!(path, %error, "failed to read compiled code, compiling anew");
                None
            }
        }
    }

    /// What is kept on disk under a key, where there is anything.
    pub(crate) fn read<'py>(&self, py: Python<'py>, key: &CodeKey) -> Option<PyResult<Bound<'py, PyAny>>> {
        let store = self.store.as_ref()?;
        // Detached, as the disk may be slow.
        Some(load(py, &py.detach(|| store.get(key))?))
    }

    /// Whether it is time to ask for the texts on disk: once, in the first import.
    pub(crate) fn is_first_unknown_text(&self) -> bool {
        match &mut *self.texts.lock() {
            Texts::Used { are_read, .. } => !std::mem::replace(are_read, true),
            Texts::Over => false,
        }
    }

    /// Notes a text that was compiled, or was known, in the first import.
    pub(crate) fn note_text(&self, text: &str, is_new: bool) {
        if let Texts::Used { texts, are_new, .. } = &mut *self.texts.lock()
            && self.store.is_some()
        {
            texts.push(text.to_owned());
            *are_new |= is_new;
        }
    }

    /// The texts that the first import has used, where it is worth keeping them. It is over then.
    pub(crate) fn take_texts(&self) -> Option<Vec<String>> {
        match std::mem::replace(&mut *self.texts.lock(), Texts::Over) {
            Texts::Used { texts, are_new: true, .. } => Some(texts),
            _ => None,
        }
    }

    /// Keeps something on disk.
    pub(crate) fn write(&self, py: Python<'_>, key: &CodeKey, code: &Bound<'_, PyAny>) {
        let Some(store) = &self.store else { return };
        match dump(code) {
            Ok(code) => {
                let code = code.as_bytes();
                py.detach(|| store.put(key, code));
            }
            Err(error) => tracing::warn!(%error, "failed to write compiled code"),
        }
    }
}

fn known(path: &str, key: &CodeKey) -> Option<Arc<Compiled>> {
    KNOWN.lock().get(path)?.get(key)?.upgrade()
}

fn remember(path: &str, key: CodeKey, code: &Arc<Compiled>) {
    let mut known = KNOWN.lock();
    let of_path = known.entry(path.to_owned()).or_default();
    of_path.retain(|_, code| code.strong_count() > 0);
    of_path.insert(key, Arc::downgrade(code));
}

/// Lets go of what dropped states had, too.
pub(crate) fn forget_dropped() {
    let all = std::mem::take(&mut *DROPPED_LAST.lock());
    drop(all);
    forget_unused();
}

/// Forgets what no project has any more.
fn forget_unused() {
    KNOWN.lock().retain(|_, of_path| {
        of_path.retain(|_, code| code.strong_count() > 0);
        !of_path.is_empty()
    });
}

/// The caches on disk that are open. Hosts of one process have one in common.
static STORES: Mutex<Vec<(CodeCache, Weak<CodeStore>)>> = Mutex::new(Vec::new());

/// Opens the cache on disk for the running Python. Where it cannot be used there is none, and the log says
/// so.
pub(crate) fn open_store(py: Python<'_>, cache: &CodeCache) -> PyResult<Option<Arc<CodeStore>>> {
    let Some(python) = python_tag(py)? else { return Ok(None) };
    let is_open = |(known, store): &(CodeCache, Weak<CodeStore>)| {
        store.upgrade().filter(|_| known.folder() == cache.folder())
    };
    let open = STORES.lock().iter().find_map(is_open);
    if open.is_some() {
        return Ok(open);
    }
    match py.detach(|| CodeStore::open(cache, &python)) {
        Ok(store) => {
            let store = store.map(Arc::new);
            let mut stores = STORES.lock();
            stores.retain(|(_, store)| store.strong_count() > 0);
            stores.extend(store.iter().map(|store| (cache.clone(), Arc::downgrade(store))));
            Ok(store)
        }
        Err(error) if cache.is_named() => {
            tracing::warn!(%error, "compiled code is not kept on disk");
            Ok(None)
        }
        Err(error) => {
            tracing::info!(%error, "compiled code is not kept on disk");
            Ok(None)
        }
    }
}

/// What tells code of this Python from others': as the agent of workers has it.
fn python_tag(py: Python<'_>) -> PyResult<Option<String>> {
    let sys = import_for_host(py, "sys")?;
    let tag: Option<String> = sys.getattr("implementation")?.getattr("cache_tag")?.extract()?;
    let magic: Vec<u8> = import_for_host(py, "importlib.util")?.getattr("MAGIC_NUMBER")?.extract()?;
    let magic: String = magic.iter().map(|byte| format!("{byte:02x}")).collect();
    let optimize: u32 = sys.getattr("flags")?.getattr("optimize")?.extract()?;
    Ok(tag.map(|tag| format!("{tag}-{magic}-{optimize}")))
}

/// What was [dumped](dump).
fn load<'py>(py: Python<'py>, code: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let length =
        ffi::Py_ssize_t::try_from(code.len()).map_err(|error| PyOverflowError::new_err(error.to_string()))?;
    // SAFETY: the interpreter is held, and the bytes are `length` long; they are read only. They were written
    // by this user or root, as is seen to where they come from. The result is a new reference or null with an
    // exception set.
    unsafe {
        let code = ffi::PyMarshal_ReadObjectFromString(code.as_ptr().cast::<c_char>(), length);
        Bound::from_owned_ptr_or_err(py, code)
    }
}

/// A code object that nobody else has yet, as that of the file at `path`.
fn with_file_name<'py>(code: Bound<'py, PyAny>, path: &str) -> PyResult<Bound<'py, PyAny>> {
    static FIX_FILE_NAME: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = code.py();
    if !code.is_instance_of::<PyCode>() {
        return Err(PyTypeError::new_err(format!("it is {} and no code", code.get_type().name()?)));
    }
    if code.getattr("co_filename")?.extract::<&str>().is_ok_and(|file| file != path) {
        // As CPython does with compiled code beside a source.
        let fix = FIX_FILE_NAME.get_or_try_init(py, || {
            PyResult::Ok(import_for_host(py, "_imp")?.getattr("_fix_co_filename")?.unbind())
        })?;
        fix.call1(py, (&code, path))?;
    }
    Ok(code)
}

fn dump<'py>(code: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    /// What CPython 3.9 to 3.13 write.
    const VERSION: std::ffi::c_int = 4;
    // SAFETY: the interpreter is held and the object is alive. The result is a new reference to bytes, or
    // null with an exception set.
    let bytes = unsafe {
        Bound::from_owned_ptr_or_err(code.py(), ffi::PyMarshal_WriteObjectToString(code.as_ptr(), VERSION))?
    };
    Ok(bytes.cast_into()?)
}

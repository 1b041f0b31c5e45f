//! Whole-dictionary and whole-list work that runs no Python code.
//!
//! `sys.modules`, `sys.path` and their like must keep their identity, so they are emptied and filled in
//! place. Filling an empty dictionary from another is one copy of its table in CPython (`dict_merge`), far
//! cheaper than a call for each name, and keeps the order.

use std::cell::Cell;
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList};

use super::names::Names;

/// A dictionary's keys and values, in order.
pub(crate) type Items<'py> = Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>;

/// Where an iteration over a dictionary stands. Nothing may change the dictionary before the iteration ends.
struct Walk<'a, 'py> {
    dict: &'a Bound<'py, PyDict>,
    position: ffi::Py_ssize_t,
}

impl<'a, 'py> Walk<'a, 'py> {
    fn over(dict: &'a Bound<'py, PyDict>) -> Self {
        Self { dict, position: 0 }
    }

    /// The next key and value, borrowed from the dictionary.
    #[inline]
    fn next(&mut self) -> Option<(*mut ffi::PyObject, *mut ffi::PyObject)> {
        let (mut key, mut value) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: `dict` is a dictionary (or a subclass of it), the interpreter is held (`Bound`), and the
        // three out pointers are valid. PyDict_Next runs no Python code.
        let more = unsafe {
            ffi::PyDict_Next(self.dict.as_ptr(), &raw mut self.position, &raw mut key, &raw mut value)
        };
        (more != 0).then_some((key, value))
    }
}

/// Copies a dictionary's items out. Unlike pyo3's iteration this cannot fail while the dictionary changes
/// later.
pub(crate) fn items<'py>(dict: &Bound<'py, PyDict>) -> Items<'py> {
    let py = dict.py();
    let mut walk = Walk::over(dict);
    let mut items = Vec::with_capacity(dict.len());
    while let Some((key, value)) = walk.next() {
        // SAFETY: PyDict_Next gave two borrowed references that are alive, since the dictionary holds them
        // and nothing runs in between; `from_borrowed_ptr` takes references of our own.
        items.push(unsafe { (Bound::from_borrowed_ptr(py, key), Bound::from_borrowed_ptr(py, value)) });
    }
    items
}

/// A number that no two states of any dictionary share, where this Python keeps one (PEP 509; gone in 3.14).
#[cfg(not(Py_3_14))]
#[cfg_attr(
    Py_3_12,
    expect(deprecated, reason = "kept up to date by 3.12 and 3.13; later versions go without")
)]
pub(crate) fn version(dict: &Bound<'_, PyDict>) -> Option<u64> {
    // SAFETY: the object is a dictionary and the interpreter is held, so nobody writes the field meanwhile.
    Some(unsafe { (*dict.as_ptr().cast::<ffi::PyDictObject>()).ma_version_tag })
}

#[cfg(Py_3_14)]
pub(crate) fn version(_dict: &Bound<'_, PyDict>) -> Option<u64> {
    None
}

/// An object's own dictionary, where it is a plain one, with a [version] that tells what is set in the
/// object.
///
/// CPython 3.13 keeps an object's values beside its dictionary, and sets them there without a new version:
/// such an object is given a dictionary that has them itself.
pub(crate) fn attributes<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    let py = object.py();
    let dict: Bound<'py, PyDict> = object.getattr(&Names::of(py).dict).ok()?.cast_into_exact().ok()?;
    #[cfg(all(Py_3_13, not(Py_3_14)))]
    {
        // SAFETY: the object is a dictionary and the interpreter is held.
        let has_values_elsewhere =
            unsafe { !(*dict.as_ptr().cast::<ffi::PyDictObject>()).ma_values.is_null() };
        if has_values_elsewhere {
            let own = PyDict::new(py);
            own.update(dict.as_mapping()).ok()?;
            // SAFETY: the interpreter is held and all three are objects. This is what `object.__setattr__`
            // does: it runs no Python code, and takes a reference of its own to `own`.
            let failed = unsafe {
                ffi::PyObject_GenericSetAttr(object.as_ptr(), Names::of(py).dict.as_ptr(), own.as_ptr())
            };
            if failed != 0 {
                drop(PyErr::take(py));
                return None;
            }
            return Some(own);
        }
    }
    Some(dict)
}

/// A dictionary's contents at one moment, to put in place and to compare with.
pub(crate) struct Snapshot {
    dict: Py<PyDict>,
    /// The addresses of the keys and values, which `dict` keeps alive.
    ///
    /// Comparing with these takes half the time of walking two dictionaries.
    addresses: Vec<(usize, usize)>,
    /// The version that the live dictionary had when it last was found, or made, equal to this.
    equal_at: Cell<Option<u64>>,
}

impl Snapshot {
    /// Of a dictionary's contents as they are now.
    pub(crate) fn of(dict: &Bound<'_, PyDict>) -> PyResult<Self> {
        let snapshot = Self::keep(dict.copy()?);
        snapshot.equal_at.set(version(dict));
        Ok(snapshot)
    }

    /// Of a dictionary that nobody else will change.
    pub(crate) fn keep(dict: Bound<'_, PyDict>) -> Self {
        let dict = compact(dict);
        let mut walk = Walk::over(&dict);
        let mut addresses = Vec::with_capacity(dict.len());
        while let Some((key, value)) = walk.next() {
            addresses.push((key as usize, value as usize));
        }
        Self { dict: dict.unbind(), addresses, equal_at: Cell::new(None) }
    }

    pub(crate) fn dict<'py>(&self, py: Python<'py>) -> &Bound<'py, PyDict> {
        self.dict.bind(py)
    }

    /// Whether `live` holds the very same keys and values in the same order. Compares identities only.
    pub(crate) fn matches(&self, live: &Bound<'_, PyDict>) -> bool {
        let version = version(live);
        if version.is_some() && version == self.equal_at.get() {
            return true;
        }
        if live.len() != self.addresses.len() {
            return false;
        }
        let mut walk = Walk::over(live);
        let matches = self
            .addresses
            .iter()
            .all(|wanted| walk.next().is_some_and(|(key, value)| *wanted == (key as usize, value as usize)));
        if matches {
            self.equal_at.set(version);
        }
        matches
    }

    /// Notes that `live` is known to hold these contents now.
    pub(crate) fn note_equal(&self, live: &Bound<'_, PyDict>) {
        self.equal_at.set(version(live));
    }

    /// Gives `live` these contents in this order.
    ///
    /// The caller keeps alive all that `live` held (phase one of two): what is let go of here must not be the
    /// last reference, or a destructor would run in the middle of the change.
    pub(crate) fn put(&self, live: &Bound<'_, PyDict>) -> PyResult<()> {
        live.clear();
        live.update(self.dict(live.py()).as_mapping())?;
        self.equal_at.set(version(live));
        Ok(())
    }

    /// The dictionary, to be dropped later.
    pub(crate) fn into_any(self) -> Py<PyAny> {
        self.dict.into_any()
    }
}

/// The same contents in a table without gaps, and no larger than it has to be: only such a one is copied as a
/// whole.
fn compact(dict: Bound<'_, PyDict>) -> Bound<'_, PyDict> {
    let compact = PyDict::new(dict.py());
    match compact.update(dict.as_mapping()) {
        Ok(()) => compact,
        Err(_) => dict,
    }
}

/// The dictionary's value under `key`, by identity and hash of strings alone: no Python code runs for `str`
/// keys.
pub(crate) fn get<'py>(dict: &Bound<'py, PyDict>, key: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    dict.get_item(key).ok().flatten()
}

/// The keys that were added after this one, the newest first; all where it is not there.
pub(crate) fn keys_after<'py>(
    dict: &Bound<'py, PyDict>,
    known: Option<&Py<PyAny>>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let is_new = |key: &PyResult<Bound<'py, PyAny>>| {
        known.is_none_or(|known| key.as_ref().map_or(true, |key| !key.is(known)))
    };
    newest_first(dict)?.take_while(is_new).collect()
}

/// The key that was added last.
pub(crate) fn newest_key<'py>(dict: &Bound<'py, PyDict>) -> PyResult<Option<Bound<'py, PyAny>>> {
    newest_first(dict)?.next().transpose()
}

fn newest_first<'py>(dict: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyIterator>> {
    dict.call_method0(&Names::of(dict.py()).reversed)?.try_iter()
}

/// Whether the list holds the very same objects in the same order.
pub(crate) fn same_list(list: &Bound<'_, PyList>, wanted: &[Py<PyAny>]) -> bool {
    let there = list.as_ptr().cast::<ffi::PyListObject>();
    let length = list.len();
    if length != wanted.len() || length == 0 {
        return length == wanted.len();
    }
    // SAFETY: the interpreter is held and nothing runs in between, so that the list, which is not empty,
    // keeps its table of that many pointers. `Py` is such a pointer (`repr(transparent)`).
    unsafe {
        let there = std::slice::from_raw_parts((*there).ob_item.cast::<usize>(), length);
        there == std::slice::from_raw_parts(wanted.as_ptr().cast::<usize>(), length)
    }
}

/// Gives `live` the contents of `wanted`, in place; as with [`Snapshot::put`] the caller keeps the old ones
/// alive.
pub(crate) fn replace_list(live: &Bound<'_, PyList>, wanted: &[Py<PyAny>]) -> PyResult<()> {
    let wanted = PyList::new(live.py(), wanted)?;
    live.set_slice(0, live.len(), wanted.as_any())
}

/// The list's objects.
pub(crate) fn list_items(list: &Bound<'_, PyList>) -> Vec<Py<PyAny>> {
    list.iter().map(Bound::unbind).collect()
}

/// A weak reference to an object, where it can have one.
pub(crate) fn reference<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: the interpreter is held and the object is alive; without a callback the second pointer is null.
    // The result is a new reference or null with an exception set, which `from_owned_ptr_or_err` takes over.
    let reference = unsafe {
        Bound::from_owned_ptr_or_err(object.py(), ffi::PyWeakref_NewRef(object.as_ptr(), ptr::null_mut()))
    };
    reference.ok()
}

/// What a weak reference refers to, where that is still alive.
pub(crate) fn referent<'py>(reference: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    reference.call0().ok().filter(|object| !object.is_none())
}

//! A crate that needs Toolkit in its tests only.

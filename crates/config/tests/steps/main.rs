//! The steps of a bootstrap in Python, run as a worker runs them: in a process of their own.

mod asked;
mod keys;
mod locked;
mod rewritten;
mod steered;
mod studio;

//! Which configuration is a project's, by what events say of it: its number, its tank name, its folder.

mod choice;
mod index;
mod reference;
mod settings;

pub(crate) use index::Index;
pub use reference::ProjectRef;
pub use settings::ProjectConfiguration;

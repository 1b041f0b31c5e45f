//! The import states and the interpreter they take turns in: all that a project's Toolkit has put there, in
//! parts.

pub(crate) mod layers;
pub(crate) mod off_turn;
pub(crate) mod part;
pub(crate) mod parts;
pub(crate) mod retire;
pub(crate) mod verify;
pub(crate) mod world;

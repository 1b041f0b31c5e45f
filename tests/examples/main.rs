//! The examples as people run them: the programs that cargo has built, with their output and exit status.

mod daemon;
mod doctor;
mod program;
mod workers;

//! An event daemon for ShotGrid (Flow Production Tracking); see the library.

fn main() -> std::process::ExitCode {
    sgtk_eventd::cli::main()
}

//! Lays the bundled configurations down in a folder that stays:
//! `cargo run -p sgtk-host-fixtures --example lay_bundled -- FOLDER`.

use sgtk_host_fixtures::{Configs, lay_bundled};

fn main() -> std::io::Result<()> {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: lay_bundled FOLDER");
        std::process::exit(2);
    };
    let configs = Configs::at(folder)?;
    lay_bundled(&configs)?;
    println!("{}", configs.base().display());
    Ok(())
}

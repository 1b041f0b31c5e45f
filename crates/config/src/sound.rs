//! Whether files that were edited can be read at all, before what is in memory is given up for them.

use std::io;
use std::path::Path;

use saphyr_parser::Parser;

/// Sees that a YAML file can be parsed. One that is gone is passed over.
///
/// # Errors
/// Why it cannot.
pub fn check_yaml(file: &Path) -> Result<(), String> {
    let text = match std::fs::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(|error| error.to_string())?,
    };
    let text = std::str::from_utf8(&text).map_err(|_| "it is not UTF-8".to_owned())?;
    Parser::new_from_str(text).find_map(Result::err).map_or(Ok(()), |error| Err(error.to_string()))
}

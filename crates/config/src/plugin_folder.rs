//! Folders of event plugins.

use std::path::Path;

/// A plugin folder as Python is to have it on `sys.path`: absolute, there, and text.
///
/// # Errors
/// Why it cannot be used, to go behind its name.
pub fn plugin_folder(folder: &Path) -> Result<String, String> {
    let absolute = std::path::absolute(folder).map_err(|error| error.to_string())?;
    if !absolute.is_dir() {
        return Err("it is not a folder".to_owned());
    }
    absolute.into_os_string().into_string().map_err(|_| "it is not UTF-8".to_owned())
}

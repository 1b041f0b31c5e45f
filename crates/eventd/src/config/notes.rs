//! Lines for the log about what the file says: keys without effect, values that are most likely meant
//! otherwise. Nothing here refuses anything.

use std::path::Path;

use super::keys::{KEYS, SITE};
use super::values::{Found, Section, Value, comment_in};

/// The keys of paths, by section. Some have lists.
const PATHS: [(&str, &[&str]); 4] = [
    ("daemon", &["pidfile", "eventidfile", "logpath", "logfile"]),
    ("plugins", &["paths"]),
    ("sgtk", &["paths", "configs", "core"]),
    ("eventd", &["state", "socket", "python", "python_paths"]),
];

/// Keys whose values may have anything in them.
const FREE: [&str; 3] = ["key", "password", "subject"];

/// Lines for what has no effect, or another one than it looks like.
pub(super) fn notes(found: &Found) -> Vec<String> {
    let mut notes = Vec::new();
    let mails = Section::new(&found.sections, "emails").boolean("enabled", false).unwrap_or(false);
    for (section, values) in &found.sections {
        let known = KEYS.iter().find(|(name, _)| name == section).map(|(_, keys)| *keys);
        let known = if section.starts_with(SITE) {
            Some(&["server", "name", "key", "proxy_server"][..])
        } else {
            known
        };
        let Some(keys) = known else {
            notes.push(format!("[{section}]: left to the plugins, which read it by logger.config"));
            continue;
        };
        for (key, value) in values {
            let name = keys.iter().find(|known| known.eq_ignore_ascii_case(key));
            let Some(name) = name else {
                // Those of `[DEFAULT]` are in all sections.
                if !found.defaults.contains(key) {
                    notes.push(format!(
                        "[{section}] {key}: no such key is known; plugins can read it by logger.config"
                    ));
                }
                continue;
            };
            let matters = section != "emails" || mails;
            if matters && found.inherited.contains(&(section.clone(), key.clone())) {
                let variable = key.to_ascii_uppercase();
                notes.push(format!(
                    "[{section}] {name}: it is not in the file, and comes out of the environment's variable \
                     of that name, {variable} or {key}, as in shotgunEvents"
                ));
            }
            if let Value::Text(text) = value {
                let of = |words: String| format!("[{section}] {name}: {words}");
                notes.extend(odd(section, key, text).into_iter().map(of));
            }
        }
    }
    notes
}

/// What is odd about a value.
fn odd(section: &str, key: &str, text: &str) -> Vec<String> {
    let written = |name: &str| format!("is taken as it is written; variables are written %({name})s");
    if let Some(name) = braced(text) {
        return vec![format!("${{{name}}} {}", written(name))];
    }
    if FREE.contains(&key) {
        return Vec::new();
    }
    let text = text.trim();
    if comment_in(text) {
        return vec![
            "what comes after ';' or '#' is a part of the value: comments have lines of their own".into(),
        ];
    }
    let is_path = PATHS.iter().any(|(of, keys)| *of == section && keys.contains(&key));
    let mut told = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        if part.len() > 1
            && ['"', '\''].iter().any(|quote| part.starts_with(*quote) && part.ends_with(*quote))
        {
            told.push("the quotes are a part of the value".into());
        } else if !is_path {
        } else if let Some(name) = part.split('$').nth(1) {
            let name: String = name.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            told.push(format!("${name} {}", written(&name)));
        } else if part.starts_with('~') {
            told.push("~ is taken as it is written; the home folder is %(HOME)s".into());
        } else if Path::new(part).is_relative() && !is_name(key, part) {
            let from = std::env::current_dir().unwrap_or_default();
            told.push(format!(
                "'{part}' is looked for in the folder in which the daemon is started: now {}",
                from.display()
            ));
        }
    }
    told
}

/// Whether it is a name, and no path: of a log file in `logPath`, of a program.
fn is_name(key: &str, part: &str) -> bool {
    key == "logfile" || key == "python" && !part.contains('/')
}

/// The name in a `${NAME}`.
fn braced(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("${")?;
    rest.split_once('}').map(|(name, _)| name)
}

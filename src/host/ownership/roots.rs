//! Folders and zips, and whether a path lies in one.

use std::path::{MAIN_SEPARATOR, Path};

/// Folders and zips, each with a separator at its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roots(Vec<String>);

impl Roots {
    /// Adds a folder or zip. A relative path, or the root of the file system, is passed over: it would take
    /// in everything.
    pub(crate) fn add(&mut self, root: &str) {
        if !Path::new(root).is_absolute() {
            return;
        }
        let root = format!("{}{MAIN_SEPARATOR}", root.trim_end_matches(['/', '\\']));
        if root.len() > 1 && !self.0.contains(&root) {
            self.0.push(root);
        }
    }

    /// Adds those of `others`.
    pub(crate) fn extend(&mut self, others: &Self) {
        for root in &others.0 {
            if !self.0.contains(root) {
                self.0.push(root.clone());
            }
        }
    }

    /// Those that are not among `others`.
    pub(crate) fn without(&self, others: &Self) -> Self {
        Self(self.0.iter().filter(|root| !others.0.contains(root)).cloned().collect())
    }

    /// Whether a path is one of the roots, or lies in one.
    pub(crate) fn contain(&self, path: &str) -> bool {
        let is_root = |root: &str| root.strip_suffix(MAIN_SEPARATOR) == Some(path);
        self.0.iter().any(|root| path.starts_with(root.as_str()) || is_root(root))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether `path` lies in `folder`, by its name or by where the folder's links lead.
pub(crate) fn is_under(path: &str, folder: &Path) -> bool {
    let path = Path::new(path);
    path.starts_with(folder) || folder.canonicalize().is_ok_and(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::Roots;

    #[test]
    #[cfg(unix)]
    fn a_root_contains_itself_and_what_lies_below_it_only() {
        let mut roots = Roots::default();
        for root in ["/a/core/", "/", "relative"] {
            roots.add(root);
        }
        for (path, expected) in
            [("/a/core", true), ("/a/core/x.py", true), ("/a/core_2/x.py", false), ("/x", false)]
        {
            assert_eq!(roots.contain(path), expected, "{path}");
        }
    }
}

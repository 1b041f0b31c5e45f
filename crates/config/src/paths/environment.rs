//! The variables that a pointer may use, read once.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use crate::Platform;

/// A copy of an environment.
pub(crate) struct Environment {
    variables: HashMap<OsString, OsString>,
    /// The account's folder as the system knows it, where no variable names it.
    account_home: Option<PathBuf>,
}

impl Environment {
    pub(crate) fn of_process() -> Self {
        // Services are often started without `HOME`; Python then asks the system too.
        let account_home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        Self { variables: std::env::vars_os().collect(), account_home }
    }

    pub(crate) fn of<K: Into<OsString>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, account_home: None }
    }

    /// The same with more variables, or other values.
    pub(crate) fn with<K: Into<OsString>, V: Into<OsString>>(
        &self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let mut all = self.variables.clone();
        all.extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        Self { variables: all, account_home: self.account_home.clone() }
    }

    /// The variable's value, which may be empty. On Windows names are the same in upper and lower case.
    pub(crate) fn get(&self, name: &str, platform: Platform) -> Option<&OsStr> {
        let exact = self.variables.get(OsStr::new(name));
        let found = if platform == Platform::Windows && exact.is_none() {
            let mut variables = self.variables.iter();
            variables.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        } else {
            exact
        };
        found.map(OsString::as_os_str)
    }

    /// The variable's value where it is set to something.
    pub(crate) fn filled(&self, name: &str, platform: Platform) -> Option<&OsStr> {
        self.get(name, platform).filter(|value| !value.is_empty())
    }

    /// The folder that `~` stands for.
    pub(crate) fn home(&self, platform: Platform) -> Option<OsString> {
        let home = match platform {
            Platform::Linux | Platform::Darwin => self.filled("HOME", platform).map(OsStr::to_owned),
            Platform::Windows => self.filled("USERPROFILE", platform).map(OsStr::to_owned).or_else(|| {
                let mut home = self.get("HOMEDRIVE", platform).unwrap_or_default().to_owned();
                home.push(self.filled("HOMEPATH", platform)?);
                Some(home)
            }),
        };
        home.or_else(|| self.account_home.clone().map(PathBuf::into_os_string))
    }
}

impl fmt::Debug for Environment {
    /// Says how much there is and nothing of what it is: environments hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("variables", &self.variables.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_windows_ignores_the_case_of_a_name() {
        let environment = Environment::of([("Studio", "/mnt")]);
        assert_eq!(environment.get("STUDIO", Platform::Windows), Some(OsStr::new("/mnt")));
        assert_eq!(environment.get("STUDIO", Platform::Linux), None);
        assert_eq!(environment.get("Studio", Platform::Linux), Some(OsStr::new("/mnt")));
    }

    #[test]
    fn home_is_the_platforms_own_variable() {
        let both = Environment::of([("HOME", "/home/a"), ("USERPROFILE", r"C:\Users\a")]);
        assert_eq!(both.home(Platform::Linux), Some("/home/a".into()));
        assert_eq!(both.home(Platform::Darwin), Some("/home/a".into()));
        assert_eq!(both.home(Platform::Windows), Some(r"C:\Users\a".into()));
        let split = Environment::of([("HOMEDRIVE", "D:"), ("HOMEPATH", r"\Users\a")]);
        assert_eq!(split.home(Platform::Windows), Some(r"D:\Users\a".into()));
        assert_eq!(split.home(Platform::Linux), None);
    }

    #[test]
    fn an_empty_home_is_no_home() {
        assert_eq!(Environment::of([("HOME", "")]).home(Platform::Linux), None);
    }

    #[test]
    fn debug_output_shows_no_values() {
        let environment = Environment::of([("SHOTGUN_KEY", "open sesame")]);
        assert!(!format!("{environment:?}").contains("sesame"));
    }
}

//! An option that cannot work.

/// An option that cannot work, of any builder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot use {setting} {value}: {reason}")]
#[non_exhaustive]
pub struct SettingError {
    /// The name of the builder's method.
    pub setting: &'static str,
    /// The value that was given.
    pub value: String,
    /// What is wrong with it, or what would work.
    pub reason: String,
}

impl SettingError {
    /// `value` is shown as it is: quote it where it is text, and show no key.
    pub fn new(setting: &'static str, value: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { setting, value: value.into(), reason: reason.into() }
    }
}

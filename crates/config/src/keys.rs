//! Keys that must be seen nowhere: not in errors, not in logs, whatever Toolkit's code writes there.
//!
//! `sgtk-host` and `sgtk-pool` put the keys of a [`Bootstrap`](crate::Bootstrap) to use themselves.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use secrecy::{ExposeSecret, SecretString};

/// What stands in a text where a secret stood.
const HIDDEN: &str = "[hidden]";

/// A secret that is shorter than this, in bytes, is not looked for: its letters are in every text.
const SHORTEST: usize = 4;

/// How many secrets are learned while others are in use, before the first is forgotten again. A session has a
/// new one for each hour or so.
const LEARNED: usize = 256;

/// The secrets that are in use, in all the forms in which a text may hold them.
static IN_USE: RwLock<Vec<(u64, Forms)>> = RwLock::new(Vec::new());

/// Tells who put secrets to use.
static NEXT: AtomicU64 = AtomicU64::new(0);

#[derive(Default)]
struct Forms {
    given: Vec<SecretString>,
    /// The oldest first.
    learned: VecDeque<Vec<SecretString>>,
}

impl Forms {
    fn all(&self) -> impl Iterator<Item = &str> {
        self.given.iter().chain(self.learned.iter().flatten()).map(ExposeSecret::expose_secret)
    }
}

/// Secrets in use. As long as this lives, [`redacted`] hides them.
///
/// ```
/// use sgtk_config::keys::{Secrets, redacted};
///
/// let secrets = Secrets::in_use(["the key of the script".to_owned().into()]);
/// secrets.learner().learn("b2d5a1f0-token-of-a-session");
/// assert_eq!(redacted("token b2d5a1f0-token-of-a-session"), "token [hidden]");
/// ```
#[must_use = "the secrets are hidden as long as this lives"]
pub struct Secrets(u64);

impl Secrets {
    /// Puts secrets to use. Of an address with `user:password@` in it, the password is one of its own.
    pub fn in_use(secrets: impl IntoIterator<Item = SecretString>) -> Self {
        let given = secrets.into_iter().flat_map(|secret| forms(secret.expose_secret())).collect();
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        IN_USE.write().push((id, Forms { given, learned: VecDeque::new() }));
        Self(id)
    }

    /// Adds secrets that come up later: keys that Toolkit reads from a file, tokens of sessions.
    pub fn learner(&self) -> Learner {
        Learner(self.0)
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        IN_USE.write().retain(|(id, _)| *id != self.0);
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// Adds to [`Secrets`] from anywhere.
#[derive(Clone, Debug)]
pub struct Learner(u64);

impl Learner {
    /// Has a secret hidden as long as the [`Secrets`] live, or until very many others were learned after it.
    /// One that is known already, or too short to be looked for, changes nothing.
    pub fn learn(&self, secret: &str) {
        let forms = forms(secret);
        let known = |of: &Forms| forms.iter().all(|form| of.all().any(|other| other == form.expose_secret()));
        let in_use = IN_USE.read();
        let news = in_use.iter().find(|(id, _)| *id == self.0).is_some_and(|(_, of)| !known(of));
        drop(in_use);
        if !news {
            return;
        }
        let mut in_use = IN_USE.write();
        if let Some((_, of)) = in_use.iter_mut().find(|(id, _)| *id == self.0) {
            of.learned.push_back(forms);
            if of.learned.len() > LEARNED {
                of.learned.pop_front();
            }
        }
        drop(in_use);
        let told = TOLD.read().clone();
        if let Some(tell) = told {
            tell(secret);
        }
    }
}

type Told = Arc<dyn Fn(&str) + Send + Sync>;

/// Who is told of secrets that are learned.
static TOLD: RwLock<Option<Told>> = RwLock::new(None);

/// Has a function be told of each secret that is [learned](Learner::learn) from now on, of whatever
/// [`Secrets`]: for a process whose output another one shows. The last function that was given counts.
// For `sgtk-eventd`, whose process of all projects tells the daemon.
#[doc(hidden)]
pub fn on_learned(function: impl Fn(&str) + Send + Sync + 'static) {
    *TOLD.write() = Some(Arc::new(function));
}

/// All that a text may hold of a secret.
fn forms(secret: &str) -> Vec<SecretString> {
    let mut forms = written(secret);
    if let Some(password) = password(secret) {
        forms.extend(written(password));
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms.sort();
    forms.dedup();
    forms.into_iter().map(SecretString::from).collect()
}

/// A secret as a text may show it: as it is, in JSON, each of them by Python's `repr` as well, and in an
/// address. What the client logs of a request is the `repr` of JSON.
fn written(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).unwrap_or_default();
    let json = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or_default();
    let mut forms = vec![percent_encoded(secret, b"/"), percent_encoded(secret, b"")];
    for text in [secret.to_owned(), json.to_owned(), ascii_json(json)] {
        let doubled = text.replace('\\', "\\\\");
        forms.extend([doubled.replace('\'', "\\'"), doubled, text]);
    }
    forms
}

/// JSON as Python writes it by default: what is not ASCII as its UTF-16 units.
fn ascii_json(json: &str) -> String {
    let escape = |unit: &u16| format!("\\u{unit:04x}");
    let mut units = [0; 2];
    json.chars().fold(String::new(), |text, character| match character {
        _ if character.is_ascii() => text + character.encode_utf8(&mut [0; 4]),
        _ => text + &character.encode_utf16(&mut units).iter().map(escape).collect::<String>(),
    })
}

/// As `urllib.parse.quote` writes it.
fn percent_encoded(text: &str, safe: &[u8]) -> String {
    text.bytes().fold(String::new(), |encoded, byte| match byte {
        b'_' | b'.' | b'-' | b'~' => encoded + char::from(byte).encode_utf8(&mut [0; 4]),
        _ if byte.is_ascii_alphanumeric() || safe.contains(&byte) => {
            encoded + char::from(byte).encode_utf8(&mut [0; 4])
        }
        _ => encoded + &format!("%{byte:02X}"),
    })
}

fn password(address: &str) -> Option<&str> {
    let (login, _) = address.rsplit_once('@')?;
    let login = login.split_once("://").map_or(login, |(_, login)| login);
    Some(login.split_once(':')?.1)
}

/// The text without the secrets that are in use.
pub fn redacted(text: &str) -> Cow<'_, str> {
    let in_use = IN_USE.read();
    let forms = in_use.iter().flat_map(|(_, forms)| forms.all());
    let mut shown: Vec<&str> = forms.filter(|form| text.contains(form)).collect();
    // The longer first, so that no part of one is left over where another, of other options perhaps, is
    // hidden in it.
    shown.sort_by_key(|form| std::cmp::Reverse(form.len()));
    let mut text = Cow::Borrowed(text);
    for form in shown {
        if text.contains(form) {
            text = Cow::Owned(text.replace(form, HIDDEN));
        }
    }
    text
}

/// How many bytes at the end of a text may be the beginning of a secret that is in use: what is shown in
/// parts is to be cut before them.
// For `sgtk-pool`, which forwards what workers print as it comes.
#[doc(hidden)]
#[must_use]
pub fn begun_at_end(text: &[u8]) -> usize {
    let in_use = IN_USE.read();
    let forms = in_use.iter().flat_map(|(_, forms)| forms.all());
    forms.map(|form| longest_beginning(form, text)).max().unwrap_or(0)
}

/// How many bytes at the end of the text are the beginning of the form, and not all of it.
fn longest_beginning(form: &str, text: &[u8]) -> usize {
    let longest = form.len().saturating_sub(1).min(text.len());
    let begun = |length: &usize| text.ends_with(form.as_bytes().get(..*length).unwrap_or_default());
    (1..=longest).rev().find(begun).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    #[test]
    fn a_secret_is_hidden_in_every_form_as_long_as_it_is_in_use() {
        let key = "it's a \"key\" \\ of ours";
        let secrets = Secrets::in_use([secret(key)]);
        let json = serde_json::to_string(key).unwrap();
        let text = format!("raw {key}, json {json}, repr 'it\\'s a \"key\" \\\\ of ours'");
        assert_eq!(redacted(&text), "raw [hidden], json \"[hidden]\", repr '[hidden]'");
        drop(secrets);
        assert_eq!(redacted(key), key);
    }

    #[test]
    fn what_python_makes_of_a_key_in_a_request_or_an_address_is_hidden() {
        let _secrets = Secrets::in_use([secret("it's \"a\" k\\y/é😀")]);
        // As CPython 3.11 prints them.
        for text in [
            r#"dumps: {"script_key": "it's \"a\" k\\y/\u00e9\ud83d\ude00"}"#,
            r#"of that: b'{"script_key": "it\'s \\"a\\" k\\\\y/\\u00e9\\ud83d\\ude00"}'"#,
            r"quote: it%27s%20%22a%22%20k%5Cy/%C3%A9%F0%9F%98%80",
            r"quote, nothing safe: it%27s%20%22a%22%20k%5Cy%2F%C3%A9%F0%9F%98%80",
        ] {
            let hidden = redacted(text);
            assert!(hidden.contains(HIDDEN) && !hidden.contains("it"), "{hidden}");
        }
    }

    #[test]
    fn a_key_that_is_part_of_another_leaves_nothing_of_it() {
        let _shorter = Secrets::in_use([secret("studio key")]);
        let _longer = Secrets::in_use([secret("studio key, the second")]);
        assert_eq!(redacted("studio key and studio key, the second"), "[hidden] and [hidden]");
    }

    #[test]
    fn the_password_of_a_proxy_is_hidden_by_itself_too() {
        let _secrets = Secrets::in_use([secret("renderer:opensesame@proxy.example:8080")]);
        let text = "http://renderer:opensesame@proxy.example:8080 refused password opensesame";
        assert_eq!(redacted(text), "http://[hidden] refused password [hidden]");
    }

    #[test]
    fn a_secret_that_two_have_in_use_stays_hidden_until_the_second_lets_go() {
        let first = Secrets::in_use([secret("shared key of two")]);
        let second = Secrets::in_use([secret("shared key of two")]);
        drop(first);
        assert_eq!(redacted("shared key of two"), HIDDEN);
        drop(second);
    }

    #[test]
    fn what_is_learned_later_is_hidden_in_every_form_until_the_others_go() {
        let secrets = Secrets::in_use([]);
        let learner = secrets.learner();
        learner.learn("learned/later");
        learner.clone().learn("learned/later");
        learner.learn("abc");
        assert_eq!(redacted("abc learned/later learned%2Flater"), "abc [hidden] [hidden]");
        drop(secrets);
        learner.learn("learned/later");
        assert_eq!(redacted("learned/later"), "learned/later");
    }

    #[test]
    fn of_very_many_that_are_learned_the_first_are_forgotten_and_the_given_ones_never() {
        let secrets = Secrets::in_use([secret("given at first")]);
        for number in 0..=LEARNED {
            secrets.learner().learn(&format!("learned token {number:05}"));
        }
        let last = format!("learned token {LEARNED:05}");
        assert_eq!(redacted("learned token 00000"), "learned token 00000");
        for hidden in ["given at first", "learned token 00001", &last] {
            assert_eq!(redacted(hidden), HIDDEN);
        }
    }

    #[test]
    fn who_wants_to_know_is_told_of_each_secret_that_is_learned_once() {
        let told = Arc::new(RwLock::new(Vec::new()));
        let list = Arc::clone(&told);
        on_learned(move |secret| list.write().push(secret.to_owned()));
        let secrets = Secrets::in_use([secret("one that was given to be told")]);
        for text in ["one that was given to be told", "one that is learned to be told", "abc"] {
            secrets.learner().learn(text);
            secrets.learner().learn(text);
        }
        // Other tests learn as well.
        let told = told.read().clone();
        let told: Vec<_> =
            told.iter().filter(|text| text.ends_with("to be told") || *text == "abc").collect();
        assert_eq!(told, ["one that is learned to be told"]);
    }

    // Of one form, as other tests have secrets in use at the same time, which begin with common letters.
    #[test]
    fn the_beginning_of_a_secret_at_the_end_of_a_text_is_known() {
        let form = "zq-begun-zq-begun-key";
        for (text, begun) in [
            ("", 0),
            ("nothing of it", 0),
            ("ends with zq-be", 5),
            ("ends with zq-begun-zq-be", 14),
            ("all of it: zq-begun-zq-begun-key", 0),
            ("zq-begun-zq-begun-ke", 20),
        ] {
            assert_eq!(longest_beginning(form, text.as_bytes()), begun, "{text}");
        }
    }

    #[test]
    fn of_all_secrets_in_use_the_longest_beginning_counts() {
        let _secrets = Secrets::in_use([secret("zx-begun-one"), secret("begun-two")]);
        assert_eq!(begun_at_end(b"ends with zx-begun-"), 9);
    }

    #[test]
    fn nothing_of_a_secret_is_in_its_debug_form() {
        assert_eq!(format!("{:?}", Secrets::in_use([secret("a key to hide")])), "Secrets(..)");
    }
}

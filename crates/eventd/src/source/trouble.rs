//! What is wrong with a site that could not be asked, for people.

use std::path::Path;

use crate::workers::CallError;

/// Whether the site has taken a question and not answered it.
#[must_use]
pub fn is_silent(error: &CallError) -> bool {
    ["TimeoutError", "timeout"].iter().any(|class| error.is_a(class))
}

/// What is raised where an answer cannot be read.
const NOT_THE_SITES: [&str; 7] = [
    "JSONDecodeError",
    "ResponseError",
    "BadStatusLine",
    "NotTheSites",
    "FailedToDecompressContent",
    "EOFError",
    "UnicodeDecodeError",
];

/// What went wrong, with what to do about it where that is known.
#[must_use]
pub fn told(error: &CallError) -> String {
    let is_any = |classes: &[&str]| classes.iter().any(|class| error.is_a(class));
    let advice = if error.is_a("AuthenticationFault") {
        "; check [shotgun] name and key"
    } else if error.is_a("SSLError") || error.message.contains("CERTIFICATE_VERIFY_FAILED") {
        "; the site's certificate is not trusted or has expired: check the clock, the proxy and \
         SHOTGUN_API_CACERTS"
    } else if error.is_a("ModuleNotFoundError") && error.message.contains("shotgun_api3") {
        "; install shotgun_api3 for the Python of [eventd] python, or name its folder in python_paths"
    } else if error.message.contains("requires Python version") {
        "; name a newer Python in [eventd] python, or an older shotgun_api3 in python_paths"
    } else if is_any(&["gaierror", "ServerNotFoundError"]) {
        "; the name cannot be looked up: check [shotgun] server, the proxy and this machine's DNS"
    } else if is_any(&["ConnectionResetError", "IncompleteRead", "BrokenPipeError"]) {
        "; the connection to the site was cut"
    } else if is_silent(error) || error.is_a("ConnectionRefusedError") {
        "; nobody answers there: is the site, or the proxy, there?"
    } else if is_any(&NOT_THE_SITES) {
        "; the answer is not the site's: check [shotgun] server and the proxy"
    } else if error.is_a("ProtocolError")
        && [" 301 ", " 302 ", " 303 ", " 307 ", " 308 ", " 404 "]
            .iter()
            .any(|status| error.message.contains(status))
    {
        "; the site is not there, or elsewhere: check [shotgun] server and the proxy"
    } else if error.is_a("ProtocolError") {
        "; the site, or a proxy before it, has an error of its own"
    } else {
        ""
    };
    let certificates = std::env::var("SHOTGUN_API_CACERTS").ok().filter(|path| !Path::new(path).is_file());
    if let Some(path) = certificates.filter(|_| error.is_a("FileNotFoundError")) {
        return format!("{}; SHOTGUN_API_CACERTS is {path}, which is no file", error.message);
    }
    format!("{}{advice}", error.message)
}

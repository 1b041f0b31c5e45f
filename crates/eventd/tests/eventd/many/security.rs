//! Connections that nobody else can read, and what is never in the stream.

use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::server::{Server, program};
use super::studio::Many;
use crate::bad_days::Authority;
use crate::daemon::python;

/// What the documentation says that the daemon's user needs.
const PERMISSIONS: &str = r#"
accounts {
  STUDIO {
    jetstream: enabled
    users: [ {
      user: eventd, password: "a-nats-password"
      permissions: {
        publish: ["sgtk.>", "$JS.API.>", "$JS.ACK.>", "$KV.SGTK_STATE.>", "_INBOX.>"]
        subscribe: ["sgtk.>", "_INBOX.>"]
      }
    } ]
  }
}"#;

#[test]
fn the_connection_is_encrypted_and_both_ends_show_certificates() {
    let Some(program) = program() else { return };
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("ca.pem"), &authority.pem).unwrap();
    authority.certify(4000, &path("server.pem"), &path("server.key"));
    authority.certify(4000, &path("host.pem"), &path("host.key"));
    let shown = |name: &str| path(name).display().to_string();
    let tls = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}",
        shown("server.pem"),
        shown("server.key"),
        shown("ca.pem")
    );
    let server = Server::with_lines(&program, "sync_interval: always", &tls);
    let url = format!("url: tls://127.0.0.1:{}", server.port());
    let mut many = Many::on(server, python, 2);
    many.studio.set("nats", &url).set("nats", &format!("tls_ca: {}", shown("ca.pem")));
    let output = many.command("a", &["serve", "--host", "a"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("cannot connect to the NATS server tls://"), "{told}");
    many.studio.set("nats", &format!("tls_cert: {}", shown("host.pem")));
    many.studio.set("nats", &format!("tls_key: {}", shown("host.key")));
    let (_hosts, _publisher) = many.start();
    many.add(2);
    assert_eq!(many.until_all_done().again, 0);
}

#[test]
fn an_accounts_user_needs_what_is_documented_and_no_secret_is_in_the_stream_or_the_log() {
    let Some(program) = program() else { return };
    let Some(python) = python() else { return };
    let server = Server::with_lines(&program, "sync_interval: always", PERMISSIONS);
    let url = format!("url: nats://eventd:a-nats-password@127.0.0.1:{}", server.port());
    let mut many = Many::on(server, python, 2);
    many.studio.set("nats", &url);
    // Its error has the keys in it, and so have the local variables.
    many.studio.project_plugin(
        "note.py",
        "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note, None, None, False)

def note(sg, logger, event, args):
    key = sg.config.api_key + logger.config.get('shotgun', 'key')
    raise ValueError(key)
",
    );
    let (hosts, publisher) = many.start();
    many.add(1);
    many.studio.until("both are dead letters", || many.said("a", &["dead"]).lines().count() == 2);
    assert!(many.said("a", &["dead", "--full"]).contains("ValueError"));
    for (_, host) in hosts {
        assert!(host.stop().success());
    }
    assert!(publisher.stop().success());
    many.server.kill();
    let stdout = many.studio.path("stdout");
    let mut texts = vec![(stdout.clone(), fs::read(stdout).unwrap())];
    read_all(&many.server.store(), &mut texts);
    read_all(&many.studio.path("logs"), &mut texts);
    let found = |word: &str| {
        let at = |text: &[u8]| text.windows(word.len()).position(|part| part == word.as_bytes());
        let mut found = texts.iter().filter_map(|(path, text)| Some((path, text, at(text)?)));
        found.next().map(|(path, text, at)| {
            let around = text.get(at.saturating_sub(200)..(at + 200).min(text.len())).unwrap_or_default();
            format!("{}: {}", path.display(), String::from_utf8_lossy(around))
        })
    };
    assert!(found("ValueError").is_some());
    for secret in ["a-daemons-key", "a-plugins-key", "a-nats-password"] {
        assert_eq!(found(secret), None);
    }
}

/// A server whose accounts are an operator's, one of them with no more than so many consumers, and the
/// credentials of a user of that.
fn with_accounts(program: &Path, consumers: i64) -> (Server, String) {
    let [operator, account, system] =
        [KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account()];
    let user = KeyPair::new_user();
    // Without these an account has no JetStream.
    let unlimited = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
        "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": consumers,
    });
    let of_operator = json!({"type": "operator", "version": 2});
    let of_account = json!({"type": "account", "version": 2, "limits": unlimited});
    let of_system = json!({"type": "account", "version": 2, "limits": {"subs": -1, "conn": -1, "data": -1}});
    let of_user = json!({
        "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1,
        "pub": {"allow": ["sgtk.>", "$JS.API.>", "$JS.ACK.>", "$KV.SGTK_STATE.>", "_INBOX.>"]},
        "sub": {"allow": ["sgtk.>", "_INBOX.>"]},
    });
    let lines = format!(
        "operator: {}\nsystem_account: {system}\nresolver: MEMORY\nresolver_preload {{ {account}: \
         {}\n{system}: {} }}",
        token(&operator, &operator, &of_operator),
        token(&operator, &account, &of_account),
        token(&operator, &system, &of_system),
        account = account.public_key(),
        system = system.public_key(),
    );
    let credentials = format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        token(&account, &user, &of_user),
        user.seed().unwrap()
    );
    (Server::with_lines(program, "sync_interval: always", &lines), credentials)
}

#[test]
fn a_host_shows_its_credentials_file() {
    let Some(program) = program() else { return };
    let Some(python) = python() else { return };
    let (server, credentials) = with_accounts(&program, -1);
    let mut many = Many::on(server, python, 2);
    let output = many.command("a", &["serve", "--host", "a"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("authorization"), "{told}");
    let file = many.studio.path("eventd.creds");
    fs::write(&file, credentials).unwrap();
    many.studio.set("nats", &format!("credentials: {}", file.display()));
    let (_hosts, _publisher) = many.start();
    many.add(2);
    assert_eq!(many.until_all_done().again, 0);
}

#[test]
fn an_account_with_too_few_consumers_is_told_of() {
    let Some(program) = program() else { return };
    let Some(python) = python() else { return };
    let (server, credentials) = with_accounts(&program, 1);
    let mut many = Many::on(server, python, 2);
    let file = many.studio.path("eventd.creds");
    fs::write(&file, credentials).unwrap();
    many.studio.set("nats", &format!("credentials: {}", file.display()));
    let output = many.command("p", &["publish", "--host", "p"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let words = "refuses to make the stream SGTK_EV, whose max_consumers is 10000: ";
    assert!(!output.status.success() && told.contains(words) && told.contains("10026"), "{told}");
}

/// What the documentation says of several places: an account for each, and one that watches.
const PLACES: &str = r#"
accounts {
  PARIS {
    jetstream: enabled, users: [ { user: eventd-paris, password: "a-paris-password" } ]
    exports: [ { stream: "sgtk.host.*", accounts: [WATCH] } ]
  }
  LONDON {
    jetstream: enabled, users: [ { user: eventd-london, password: "a-london-password" } ]
    exports: [ { stream: "sgtk.host.*", accounts: [WATCH] } ]
  }
  WATCH {
    users: [ { user: watch, password: "a-watch-password" } ]
    imports: [
      { stream: { account: PARIS, subject: "sgtk.host.*" }, prefix: paris }
      { stream: { account: LONDON, subject: "sgtk.host.*" }, prefix: london }
    ]
  }
}"#;

#[test]
fn places_with_accounts_of_their_own_have_nothing_of_each_other_and_are_watched_from_a_third() {
    let Some(program) = program() else { return };
    let Some(python) = python() else { return };
    let server = Server::with_lines(&program, "sync_interval: always", PLACES);
    let address =
        |user: &str, password: &str| format!("nats://{user}:{password}@127.0.0.1:{}", server.port());
    let place = |name: &str| {
        let mut many = Many::on(Server::none(), python.clone(), 2);
        let url = address(&format!("eventd-{name}"), &format!("a-{name}-password"));
        many.studio.set("nats", &format!("url: {url}"));
        many.studio.set("nats", &format!("monitor: {}", server.monitor()));
        many
    };
    let mut places = ["paris", "london"].map(place);
    let _members = places.each_ref().map(|many| {
        let publisher = many.publisher("p");
        many.until_logged("p", "polling begins");
        let host = many.spawn("a", &["serve", "--host", "a", "--hosts", "a"]);
        many.until_ready("a");
        (publisher, host)
    });
    // In one place alone.
    places[0].add(3);
    let verdict = places[0].until_all_done();
    assert_eq!((verdict.again, verdict.pairs.len()), (0, 2), "{verdict:?}");
    for (many, events) in places.iter().zip([6, 0]) {
        many.studio.until("it has its own hosts", || {
            let status = many.status("a");
            let hosts: Vec<_> =
                status["hosts"].as_array().unwrap().iter().map(|host| &host["name"]).collect();
            hosts == ["a", "p (publisher)"]
        });
        many.studio.until("it has its own events", || many.status("a")["events"] == events);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let heard = runtime.block_on(async {
        let login = ("watch".to_owned(), "a-watch-password".to_owned());
        let options = async_nats::ConnectOptions::with_user_and_password(login.0, login.1);
        let client = options.connect(server.url()).await.unwrap();
        let mut heard = std::collections::BTreeSet::new();
        let mut beats = client.subscribe("*.sgtk.host.*").await.unwrap();
        while heard.len() < 2 {
            let beat = futures_util::StreamExt::next(&mut beats).await.unwrap();
            if beat.subject.as_str().ends_with(".sgtk.host.a") {
                heard.insert(beat.subject.to_string());
            }
        }
        heard.into_iter().collect::<Vec<_>>()
    });
    assert_eq!(heard, ["london.sgtk.host.a", "paris.sgtk.host.a"]);
}

/// A JSON Web Token as NATS has them: what `nats` says of `of`, signed by `by`.
fn token(by: &KeyPair, of: &KeyPair, nats: &Value) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let claims = json!({"jti": of.public_key(), "iat": 1, "iss": by.public_key(), "sub": of.public_key(), "nats": nats});
    let signed = format!("{}.{}", part(&json!({"typ": "JWT", "alg": "ed25519-nkey"})), part(&claims));
    let signature = by.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn read_all(folder: &Path, texts: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, texts);
        } else {
            let text = fs::read(&path).unwrap();
            texts.push((path, text));
        }
    }
}

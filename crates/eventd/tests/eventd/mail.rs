//! Mails about errors.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::daemon::{Studio, python};

/// A mail server on the loopback interface: what comes, it keeps.
struct MailServer {
    port: u16,
    mails: Arc<Mutex<Vec<Mail>>>,
}

#[derive(Clone, Debug, Default)]
struct Mail {
    to: Vec<String>,
    text: String,
}

impl MailServer {
    fn start() -> MailServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mails: Arc<Mutex<Vec<Mail>>> = Arc::default();
        let kept = Arc::clone(&mails);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A client that goes away in the middle has sent nothing.
                let _ = talk(stream, &kept);
            }
        });
        MailServer { port, mails }
    }

    fn mails(&self) -> Vec<Mail> {
        self.mails.lock().unwrap().clone()
    }
}

/// What a client of SMTP is told (RFC 5321).
fn talk(mut stream: TcpStream, kept: &Mutex<Vec<Mail>>) -> std::io::Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines();
    let mut mail = Mail::default();
    let mut in_text = false;
    stream.write_all(b"220 here\r\n")?;
    for line in lines {
        let line = line?;
        if in_text {
            in_text = line != ".";
            if in_text {
                mail.text.push_str(&format!("{line}\n"));
                continue;
            }
            kept.lock().unwrap().push(std::mem::take(&mut mail));
        }
        let answer = match line.split(' ').next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" | "MAIL" | "." => "250 yes",
            "RCPT" => {
                mail.to.push(line.split(['<', '>']).nth(1).unwrap_or_default().to_owned());
                "250 yes"
            }
            "DATA" => {
                in_text = true;
                "354 go on"
            }
            "QUIT" => "221 bye",
            _ => "500 what",
        };
        stream.write_all(format!("{answer}\r\n").as_bytes())?;
    }
    Ok(())
}

fn with_mail(studio: &mut Studio, server: &MailServer) {
    for line in
        ["enabled: True", "from: daemon@example.com", "to: td@example.com, it@example.com", "subject: [SG]"]
    {
        studio.set("emails", line);
    }
    studio.set("emails", "server: 127.0.0.1").set("emails", &format!("port: {}", server.port));
}

fn raising(emails: &str) -> String {
    format!(
        "
def registerCallbacks(reg):
    {emails}
    reg.registerCallback('plugin', 'a-plugins-key', fail, stopOnError=False)

def fail(sg, logger, event, args):
    done(event['id'])
    raise ValueError('wrong with %d' % event['id'])
"
    )
}

#[test]
fn the_first_error_is_mailed_at_once_and_a_storm_is_one_mail() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    let server = MailServer::start();
    with_mail(&mut studio, &server);
    // So long that nothing but the end of the daemon ends the storm.
    studio.set("eventd", "mail_digest: 1h");
    studio.plugin("fails.py", &raising("pass"));
    let daemon = studio.start_polling();
    let ids = studio.events("A", &[None; 40]);
    studio.until_recorded(40);
    studio.until("the first is mailed", || server.mails().len() == 1);
    assert!(daemon.stop().success());
    let mails = server.mails();
    assert_eq!(mails.len(), 2, "{mails:#?}");
    for mail in &mails {
        assert_eq!(mail.to, ["td@example.com", "it@example.com"]);
    }
    let text = |mail: &Mail| decoded(&mail.text);
    assert!(text(&mails[0]).contains(&format!("wrong with {}", ids[0])), "{}", text(&mails[0]));
    assert!(text(&mails[0]).contains("Subject: [SG] CRITICAL: plugin.fails.fail"), "{}", text(&mails[0]));
    let storm = text(&mails[1]);
    assert!(storm.contains("Subject: [SG] CRITICAL: 39 errors"), "{storm}");
    for id in &ids[1..] {
        assert!(storm.contains(&format!("ValueError: wrong with {id}\n")), "{id}: {storm}");
    }
}

/// The subject, and the text out of base64.
fn decoded(mail: &str) -> String {
    let script = "
import email, email.header, sys
mail = email.message_from_string(sys.stdin.read())
print('Subject:', email.header.make_header(email.header.decode_header(mail['Subject'])))
print(mail.get_payload(decode=True).decode('utf-8'))";
    let mut child = std::process::Command::new("python3")
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(mail.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_plugin_says_to_whom_its_errors_go() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    let server = MailServer::start();
    with_mail(&mut studio, &server);
    studio.set("eventd", "mail_digest: 1h");
    studio.plugin("nobody.py", &raising("reg.setEmails(False)"));
    studio.plugin("somebody.py", &raising("reg.setEmails('ada@example.com')"));
    let daemon = studio.start_polling();
    studio.events("A", &[None]);
    studio.until_recorded(2);
    assert!(daemon.stop().success());
    let mails = server.mails();
    assert!(!mails.is_empty());
    for mail in &mails {
        assert_eq!(mail.to, ["ada@example.com"]);
        assert!(decoded(&mail.text).contains("plugin.somebody"), "{mails:#?}");
    }
}

#[test]
fn a_plugin_that_stops_is_one_mail_to_its_own_people_and_addresses_that_are_none_are_left_out() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    let server = MailServer::start();
    with_mail(&mut studio, &server);
    studio.set("eventd", "mail_digest: 1h").set("eventd", "lanes: plugin");
    let stopping = |emails: &str| raising(emails).replace(", stopOnError=False", "");
    studio.plugin("some.py", &stopping("reg.setEmails(os.environ.get('NOT_SET'), 'ada@example.com')"));
    studio.plugin("none.py", &stopping("reg.setEmails(os.environ.get('NOT_SET', ''))"));
    let daemon = studio.start_polling();
    studio.events("A", &[None]);
    studio.until("both have stopped", || studio.log("daemon").matches("the plugin has stopped").count() == 2);
    assert!(daemon.stop().success());
    let mails = server.mails();
    assert_eq!(mails.len(), 1, "{mails:#?}");
    assert_eq!(mails[0].to, ["ada@example.com"]);
    for (name, left) in [("some", "ada@example.com"), ("none", "nobody")] {
        let log = studio.log(&format!("plugin.{name}"));
        assert!(log.contains(&format!("is left out; errors are mailed to {left}")), "{log}");
    }
}

#[test]
fn what_the_daemon_says_of_a_plugin_goes_to_the_plugins_people() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    let server = MailServer::start();
    with_mail(&mut studio, &server);
    studio.set("eventd", "retry_after: 0s");
    let source = raising("reg.setEmails('ada@example.com')").replace(", stopOnError=False", "");
    studio
        .plugin("ends.py", &source.replace("raise ValueError('wrong with %d' % event['id'])", "os._exit(3)"));
    let daemon = studio.start_polling();
    studio.events("A", &[None]);
    studio.until("it is mailed", || !server.mails().is_empty());
    assert!(daemon.stop().success());
    for mail in server.mails() {
        assert_eq!(mail.to, ["ada@example.com"], "{mail:?}");
    }
}

//! The status page in a real browser: Chromium, driven by its own driver (WebDriver).

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use sgtk_host_fixtures::missing;

use crate::daemon::{Studio, family, python, signal_all};

/// Chromium's driver. It ends with this value, and so do all browsers that it has started.
pub(crate) struct Driver {
    child: Child,
    port: u16,
}

impl Driver {
    /// None, with a note, where there is no Chromium.
    pub(crate) fn start() -> Option<Driver> {
        let found = |name: &str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
        };
        let (Some(driver), Some(_)) = (found("chromedriver"), found("chromium")) else {
            missing("there is no chromium with a chromedriver on the PATH");
            return None;
        };
        // It looks for a free port and listens on it later, on two networks: another program may be faster.
        let started = (0..10).find_map(|_| Driver::started(&driver));
        Some(started.expect("chromedriver does not start"))
    }

    fn started(program: &Path) -> Option<Driver> {
        let mut command = Command::new(program);
        let mut child = command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // It goes on writing there, to nobody.
        let port = lines.map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        if port.is_none() {
            let _ = child.kill();
            let _ = child.wait();
        }
        port.map(|port| Driver { child, port })
    }

    pub(crate) async fn browser(&self) -> Client {
        // A container has no sandbox to offer, and little shared memory.
        let options = serde_json::json!({ "goog:chromeOptions": {
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,900"],
        } });
        let options = options.as_object().unwrap().clone();
        ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(options)
            .connect(&format!("http://127.0.0.1:{}", self.port))
            .await
            .unwrap()
    }

    /// Has it end its browsers, with the folders that they have made, and then itself.
    fn shut_down(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET /shutdown HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", self.port)?;
        let mut first = [0];
        stream.read_exact(&mut first)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Noted before: those whose parent has ended are nobody's.
        let all = family(self.child.id());
        // It may have ended.
        let _ = self.shut_down();
        signal_all(&all, "KILL");
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_test_that_fails_in_the_middle_leaves_no_browser_running() {
    let Some(driver) = Driver::start() else { return };
    let browser = driver.browser().await;
    let all = family(driver.child.id());
    assert!(all.len() > 1, "the driver has started no browser");
    drop(driver);
    let lives = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // One that has ended and whose parent has not asked for it does nothing any more.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    };
    let end = std::time::Instant::now() + Duration::from_secs(90);
    while all.iter().any(lives) {
        assert!(std::time::Instant::now() < end, "{all:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(browser);
}

const FAILS: &str = "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', bill)

def bill(sg, logger, event, args):
    if os.path.exists('broken'):
        raise ConnectionError('no <img src=x onerror=\"document.title=1\"> server')
    done('billing', event['id'])
";

const NOTE: &str = "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note, stopOnError=False)

def note(sg, logger, event, args):
    if event['event_type'] == 'Odd' and os.path.exists('broken'):
        raise ValueError('an odd event')
    done('notes', event['id'])
";

/// Waits until the text of the page has these words.
pub(crate) async fn until_shown(browser: &Client, words: &[&str]) -> String {
    let end = std::time::Instant::now() + Duration::from_secs(90);
    loop {
        let body = browser.find(Locator::Css("body")).await.unwrap().text().await.unwrap();
        if words.iter().all(|words| body.contains(words)) {
            return body;
        }
        assert!(std::time::Instant::now() < end, "{words:?}: {body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Clicks what an XPath leads to. The page may replace it meanwhile: then the new one.
async fn click(browser: &Client, path: &str) {
    let end = std::time::Instant::now() + Duration::from_secs(90);
    loop {
        let clicked = match browser.find(Locator::XPath(path)).await {
            Ok(found) => found.click().await,
            Err(error) => Err(error),
        };
        let Err(error) = clicked else { return };
        assert!(std::time::Instant::now() < end, "{path}: {error}");
    }
}

/// Presses the button of a row of a table that has these words.
async fn press(browser: &Client, row: &str, button: &str) {
    click(browser, &format!("//tr[contains(., '{row}')]//button[. = '{button}']")).await;
}

#[tokio::test]
async fn in_a_browser_the_page_shows_what_failed_and_its_buttons_work_with_the_token() {
    let Some(python) = python() else { return };
    let Some(driver) = Driver::start() else { return };
    let mut studio = Studio::new(python);
    studio
        .set("eventd", "http: 127.0.0.1:0")
        .set("eventd", "http_token: open-sesame")
        .set("eventd", "lanes: plugin");
    studio.plugin("billing.py", FAILS);
    studio.plugin("notes.py", NOTE);
    let daemon = studio.start_polling();
    std::fs::write(studio.path("broken"), "").unwrap();
    let some = studio.events("Odd", &[Some(176), Some(177)]);
    let log = studio.log("daemon");
    let address = log.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let browser = driver.browser().await;
    browser.goto(&format!("http://{address}/")).await.unwrap();
    assert_eq!(browser.title().await.unwrap(), "sgtk-eventd");
    let why = "bill: ConnectionError: no <img src=x onerror=\"document.title=1\"> server";
    until_shown(
        &browser,
        &["billing", "stopped", why, "note: ValueError: an odd event", &some[0].to_string()],
    )
    .await;
    // What plugins say is text.
    assert!(browser.find_all(Locator::Css("img")).await.unwrap().is_empty());
    assert_eq!(browser.title().await.unwrap(), "sgtk-eventd");
    // A traceback is behind its reason.
    click(&browser, "//*[@id='lanes']//summary").await;
    until_shown(&browser, &["Traceback (most recent call last)", "Local variables"]).await;
    if let Some(path) = std::env::var_os("EVENTD_PICTURE") {
        std::fs::write(path, browser.screenshot().await.unwrap()).unwrap();
    }
    // Without the token nothing happens.
    press(&browser, "billing", "Skip").await;
    until_shown(&browser, &["the token is wrong"]).await;
    let token = browser.find(Locator::Id("token")).await.unwrap();
    token.send_keys("open-sesame\t").await.unwrap();
    press(&browser, "billing", "Skip").await;
    until_shown(&browser, &["skipped by hand"]).await;
    std::fs::remove_file(studio.path("broken")).unwrap();
    press(&browser, "stopped", "Retry").await;
    studio.until_recorded(1);
    assert_eq!(studio.record(), [format!("billing {}", some[1])]);
    press(&browser, "an odd event", "Retry").await;
    let record = studio.until_recorded(2);
    assert!(record[1].starts_with("notes "), "{record:?}");
    browser.close().await.unwrap();
    assert!(daemon.stop().success());
}

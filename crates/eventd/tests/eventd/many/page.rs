//! The status page of a host, in a real browser.

use super::studio::Many;
use crate::browser::{Driver, until_shown};

#[tokio::test]
async fn in_a_browser_the_page_of_one_host_shows_all_of_them_and_which_is_silent() {
    let Some(mut many) = Many::new(2) else { return };
    let Some(driver) = Driver::start() else { return };
    let _publisher = many.publisher("p");
    let arguments = ["serve", "--host", "a", "--hosts", "a,b", "--http", "127.0.0.1:0"];
    let _host = many.spawn("a", &arguments);
    let other = many.spawn("b", &["serve", "--host", "b", "--hosts", "a,b"]);
    many.until_logged("p", "polling begins");
    for name in ["a", "b"] {
        many.until_ready(name);
    }
    many.add(2);
    many.until_all_done();
    let log = many.log("a");
    let address = log.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let browser = driver.browser().await;
    browser.goto(&format!("http://{address}/")).await.unwrap();
    let last = many.events[&2][1].to_string();
    let published = format!("host p (publisher): event {last}");
    until_shown(&browser, &["host a: runs 0", "host b: runs 0", &published, "note 1 idle", "note 2 idle"])
        .await;
    other.kill();
    until_shown(&browser, &["host a: runs 0", "host b: silent"]).await;
    browser.close().await.unwrap();
}

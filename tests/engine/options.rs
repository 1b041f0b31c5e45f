//! Options that cannot work are refused before anything is done.

use std::time::Duration;

use sgtk_host::{Bootstrap, BootstrapBuilder};

fn complete() -> BootstrapBuilder {
    Bootstrap::project(1)
        .core("/studio/core/python")
        .site("https://studio.example")
        .script_user("daemon", "key")
}

#[test]
fn what_is_complete_is_taken() {
    let bootstrap = complete().build().unwrap();
    assert_eq!(bootstrap.to_string(), "Project 1 (tk-shell)");
    assert_eq!(bootstrap.target().unwrap().id, 1);
    assert_eq!(bootstrap.core(), std::path::Path::new("/studio/core/python"));
}

#[test]
fn what_cannot_work_is_refused_by_name() {
    let nothing = || Bootstrap::project(1);
    let cases: [(BootstrapBuilder, &str); 16] = [
        (nothing().site("https://studio.example").script_user("daemon", "key"), "core"),
        (nothing().core("/core").script_user("daemon", "key"), "site"),
        (complete().core(""), "core"),
        (complete().site("  "), "site"),
        (complete().site("https://studio\n.example"), "site"),
        (complete().script_user("daemon", "  "), "script_user"),
        (complete().script_user("daemon", "a line of a file\n"), "script_user"),
        (complete().script_user("", "key"), "script_user"),
        (complete().engine(""), "engine"),
        (complete().http_proxy(""), "http_proxy"),
        (nothing().core("/core").site("https://s.example").http_proxy("proxy.example:8080"), "http_proxy"),
        (complete().base_configuration(""), "base_configuration"),
        (complete().pipeline_configuration(-1), "pipeline_configuration"),
        (complete().site_timeout(Duration::ZERO), "site_timeout"),
        (complete().variable("TANK_CURRENT_PC", "/own"), "variable"),
        (complete().bundle_cache_fallback_path(""), "bundle_cache_fallback_path"),
    ];
    for (builder, expected) in cases {
        let error = builder.build().expect_err(expected);
        assert_eq!(error.setting, expected, "{error}");
    }
}

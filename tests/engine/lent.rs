//! Others have their turns while a bootstrap waits for the site.

use std::time::Duration;

use pyo3::prelude::*;
use sgtk_host::{Engine, Error, Host};
use sgtk_host_fixtures::{Fault, Request, Studio};

use crate::support::{alone, assert_own, bootstrap, options, studio};

/// Far longer than anything here takes: a lease that waits for a site that hangs fails.
const LIMIT: Duration = Duration::from_secs(120);

fn host(studio: &Studio) -> Host {
    Host::builder().configs(studio.home()).lease_timeout(LIMIT).build().unwrap()
}

/// Runs `meanwhile` while a bootstrap of project 176 waits for an answer of the site, which it is told of,
/// and gives its engine.
fn while_the_site_hangs(
    host: &Host,
    studio: &Studio,
    meanwhile: impl FnOnce(&dyn Fn() -> bool),
) -> Result<Engine, Error> {
    studio.site().forget_requests().unwrap();
    studio.site().fault_times("read", Fault::Hang, 1).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| host.bootstrap(&options(studio, 176).build().unwrap()));
        let hangs = |request: &Request| request.fault.is_some();
        while !studio.site().requests().unwrap().iter().any(hangs) {
            std::thread::yield_now();
        }
        meanwhile(&|| !waiting.is_finished());
        studio.site().release().unwrap();
        waiting.join().unwrap()
    })
}

#[test]
fn while_a_bootstrap_waits_for_the_site_engines_are_leased_bootstrapped_and_destroyed() {
    alone("lent::while_a_bootstrap_waits_for_the_site_engines_are_leased_bootstrapped_and_destroyed", || {
        let studio = studio();
        let host = host(&studio);
        let alive = bootstrap(&host, &studio, 177);
        let waited = while_the_site_hangs(&host, &studio, |is_waiting| {
            assert_own(&alive, "v0.23.8");
            let other = bootstrap(&host, &studio, 178);
            assert_own(&other, "v0.24.0");
            assert_eq!(Python::attach(|py| host.audit(py).unwrap()), []);
            other.destroy().unwrap();
            assert!(is_waiting());
        });
        let waited = waited.unwrap();
        assert_own(&waited, "v0.22.7");
        assert_own(&alive, "v0.23.8");
        assert_eq!(Python::attach(|py| host.audit(py).unwrap()), []);
        waited.destroy().unwrap();
    });
}

#[test]
fn a_host_that_is_shut_down_waits_for_a_bootstrap_that_has_lent_its_turn() {
    alone("lent::a_host_that_is_shut_down_waits_for_a_bootstrap_that_has_lent_its_turn", || {
        let studio = studio();
        let (host, other) = (host(&studio), host(&studio));
        let ended = while_the_site_hangs(&host, &studio, |is_waiting| {
            let engine = bootstrap(&other, &studio, 177);
            assert_own(&engine, "v0.23.8");
            std::thread::scope(|scope| {
                let shutting_down = scope.spawn(|| host.shutdown());
                // It begins with this.
                while !matches!(host.with_sgtk("none", |_| Ok(())), Err(Error::HostShutDown { .. })) {
                    std::thread::yield_now();
                }
                engine.destroy().unwrap();
                assert!(is_waiting() && !shutting_down.is_finished());
                studio.site().release().unwrap();
                shutting_down.join().unwrap().unwrap();
                assert_eq!(host.engines(), []);
            });
        });
        assert!(matches!(ended, Err(Error::HostShutDown { .. } | Error::Bootstrap { .. })));
    });
}

//! Nobody is asked anything, and a limit holds whatever a bootstrap waits for.

use std::time::Duration;

use pyo3::prelude::*;
use sgtk_host::{BootstrapCallbacks, BootstrapFailure, Error, Host};
use sgtk_host_fixtures::Fault;

use crate::support::{alone, assert_own, bootstrap, host, options, studio};

#[track_caller]
fn kind(error: &Error) -> BootstrapFailure {
    let Error::Bootstrap { kind, .. } = error else { panic!("{error}") };
    *kind
}

#[test]
fn a_user_that_would_have_to_be_asked_for_is_an_error_at_once() {
    alone("unattended::a_user_that_would_have_to_be_asked_for_is_an_error_at_once", || {
        let studio = studio();
        let host = host(&studio);
        // Standard input that never ends, as a terminal is.
        let (_kept, input) = std::io::pipe().map(|(reader, writer)| (writer, reader)).unwrap();
        rustix::stdio::dup2_stdin(&input).unwrap();
        let asks = BootstrapCallbacks::new().user(|sgtk| {
            sgtk.getattr("authentication")?.getattr("ShotgunAuthenticator")?.call0()?.call_method0("get_user")
        });
        let error = host.bootstrap_with(&options(&studio, 176).build().unwrap(), &asks).unwrap_err();
        assert_eq!(kind(&error), BootstrapFailure::Authentication, "{error}");
        assert!(error.to_string().contains("nobody to ask"), "{error}");
        let engine = bootstrap(&host, &studio, 176);
        let asks = "__import__('sgtk').authentication.ShotgunAuthenticator().get_user()";
        let error = engine
            .with(|engine| engine.py().eval(&std::ffi::CString::new(asks).unwrap(), None, None).map(drop))
            .unwrap_err();
        assert!(error.to_string().contains("nobody to ask"), "{error}");
    });
}

#[test]
fn programs_that_toolkit_starts_cannot_ask_either() {
    alone("unattended::programs_that_toolkit_starts_cannot_ask_either", || {
        let studio = studio();
        let host = host(&studio);
        let engine = bootstrap(&host, &studio, 176);
        let child = "__import__('subprocess').check_output(\
                     ['sh', '-c', 'echo $GIT_TERMINAL_PROMPT $GIT_ASKPASS $GIT_SSH_COMMAND'], text=True)";
        let child = std::ffi::CString::new(child).unwrap();
        let told = engine.with(|engine| engine.py().eval(&child, None, None)?.extract::<String>()).unwrap();
        assert_eq!(told.trim(), "0 true ssh -o BatchMode=yes");
        assert_eq!(std::env::var_os("GIT_TERMINAL_PROMPT"), None);
    });
}

#[test]
fn a_site_that_hangs_holds_a_bootstrap_no_longer_than_its_own_limit() {
    alone("unattended::a_site_that_hangs_holds_a_bootstrap_no_longer_than_its_own_limit", || {
        let studio = studio();
        let host = host(&studio);
        bootstrap(&host, &studio, 177).destroy().unwrap();
        for call in ["read", "info"] {
            studio.site().fault(call, Fault::Hang).unwrap();
            // Nothing but the limit of the whole would ever end it.
            let hasty = options(&studio, 177).site_timeout(None).timeout(Duration::from_millis(900));
            let error = host.bootstrap(&hasty.build().unwrap()).unwrap_err();
            assert_eq!(kind(&error), BootstrapFailure::TimedOut, "{error}");
            studio.site().clear_faults().unwrap();
            studio.site().release().unwrap();
        }
        // Connections that outlive a bootstrap have the engine's own limit, not what was left of the
        // bootstrap's.
        let engine = host.bootstrap(&options(&studio, 177).timeout(Duration::from_secs(50)).build().unwrap());
        let engine = engine.unwrap();
        let limit = engine.with(|engine| {
            engine.getattr("shotgun")?.getattr("config")?.getattr("timeout_secs")?.extract::<f64>()
        });
        assert_eq!(limit.unwrap(), 60.0);
        assert_own(&engine, "v0.23.8");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_that_never_ends_goes_with_the_bootstrap_that_has_started_it() {
    alone("unattended::a_program_that_never_ends_goes_with_the_bootstrap_that_has_started_it", || {
        let studio = studio();
        let host = host(&studio);
        bootstrap(&host, &studio, 177).destroy().unwrap();
        // One of the daemon's own on this thread, which is to live on.
        let mut own = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        for command in ["sleep 1000", "trap '' TERM; (trap '' TERM; sleep 1000 & wait) & wait; sleep 1000"] {
            let command = command.to_owned();
            let waits = BootstrapCallbacks::new().pre_engine_start(move |context| {
                context.py().import("os")?.call_method1("system", (&command,)).map(drop)
            });
            let hasty = options(&studio, 177).timeout(Duration::from_secs(5)).build().unwrap();
            let error = host.bootstrap_with(&hasty, &waits).unwrap_err();
            assert_eq!(kind(&error), BootstrapFailure::TimedOut, "{error}");
        }
        assert!(own.try_wait().unwrap().is_none(), "the daemon's own child was ended");
        own.kill().unwrap();
        own.wait().unwrap();
    });
}

#[cfg(target_os = "linux")]
#[test]
fn so_does_one_that_another_thread_of_the_bootstrap_has_started() {
    alone("unattended::so_does_one_that_another_thread_of_the_bootstrap_has_started", || {
        let studio = studio();
        let host = host(&studio);
        bootstrap(&host, &studio, 177).destroy().unwrap();
        let folder = tempfile::tempdir().unwrap();
        // A hook of the project's own, which waits for a thread that waits for a program.
        let hook = "
import subprocess, threading
import sgtk

def wait(context):
    threads = [
        threading.Thread(target=lambda: subprocess.call(['sleep', '1000'])),
        threading.Thread(target=lambda: __import__('os').system('sleep 1000')),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
";
        std::fs::write(folder.path().join("a_hook.py"), hook).unwrap();
        let host = Host::builder().configs(studio.home()).plugin_path(folder.path()).build().unwrap();
        let hasty = options(&studio, 177).pre_engine_hook("a_hook:wait").timeout(Duration::from_secs(5));
        let error = host.bootstrap(&hasty.build().unwrap()).unwrap_err();
        assert_eq!(kind(&error), BootstrapFailure::TimedOut, "{error}");
        let children = std::fs::read_to_string("/proc/self/task/self/children").unwrap_or_default();
        assert_eq!(children, "");
    });
}

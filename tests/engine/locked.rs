//! One project bootstrapped by several at the same time: here, and in another process.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sgtk_host::{BootstrapFailure, Error};
use sgtk_host_fixtures::Studio;

use crate::support::{alone, assert_own, bootstrap, host, options, studio};

/// Another process that holds the lock of project 176's folder, until it is told to end or is killed.
struct Holder(Child);

impl Holder {
    fn of(studio: &Studio) -> Self {
        let code = "
import fcntl, os, sys
os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True)
lock = open(sys.argv[1], 'a')
fcntl.flock(lock, fcntl.LOCK_EX)
lock.write('process %s on a machine' % os.getpid())
lock.flush()
print(flush=True)
sys.stdin.read()
";
        let python = std::env::var_os("PYO3_PYTHON").unwrap_or_else(|| "python3".into());
        let mut child = Command::new(python)
            .args(["-c", code])
            .arg(lock(studio))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
        Self(child)
    }

    fn name(&self) -> String {
        format!("process {} on a machine", self.0.id())
    }

    fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lock(_: &Studio) -> PathBuf {
    let home = PathBuf::from(std::env::var_os("SHOTGUN_HOME").unwrap());
    home.join("127.0.0.1").join("p176c1176.basic..lock")
}

#[test]
fn a_bootstrap_waits_for_another_processes_and_others_have_their_turn_meanwhile() {
    alone("locked::a_bootstrap_waits_for_another_processes_and_others_have_their_turn_meanwhile", || {
        let studio = studio();
        let host = host(&studio);
        let mut holder = Holder::of(&studio);
        let locked = lock(&studio);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| bootstrap(&host, &studio, 176));
            // Whole bootstraps of another project, before and while that one waits.
            for _ in 0..3 {
                let other = bootstrap(&host, &studio, 177);
                assert_own(&other, "v0.23.8");
                other.destroy().unwrap();
            }
            assert!(!waiting.is_finished());
            holder.end();
            let engine = waiting.join().unwrap();
            assert_own(&engine, "v0.22.7");
            engine.destroy().unwrap();
        });
        // Nobody holds it now.
        let text = std::fs::read_to_string(locked).unwrap();
        assert_eq!(text, "");
    });
}

#[test]
fn the_wait_ends_with_the_bootstraps_time_limit_and_names_who_holds_the_lock() {
    alone("locked::the_wait_ends_with_the_bootstraps_time_limit_and_names_who_holds_the_lock", || {
        let studio = studio();
        let host = host(&studio);
        let mut holder = Holder::of(&studio);
        let hasty = options(&studio, 176).timeout(Duration::from_secs(5)).build().unwrap();
        let error = host.bootstrap(&hasty).unwrap_err();
        let Error::Bootstrap { kind: BootstrapFailure::TimedOut, cause, .. } = &error else {
            panic!("{error}")
        };
        let Error::FolderLocked { path, holder: named, .. } = &**cause else { panic!("{error}") };
        assert_eq!((path, named), (&lock(&studio), &holder.name()));
        holder.end();
        bootstrap(&host, &studio, 176).destroy().unwrap();
    });
}

#[test]
fn threads_that_bootstrap_one_project_each_get_an_engine() {
    alone("locked::threads_that_bootstrap_one_project_each_get_an_engine", || {
        let studio = studio();
        let host = host(&studio);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| bootstrap(&host, &studio, 176))).collect();
            for thread in threads {
                assert_own(&thread.join().unwrap(), "v0.22.7");
            }
        });
    });
}

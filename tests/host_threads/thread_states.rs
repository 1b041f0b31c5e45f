//! What Python code keeps for each thread, on threads of Rust's.

use std::sync::mpsc;
use std::thread;

use pyo3::prelude::*;
use sgtk_host::Host;
use sgtk_host_fixtures::bundled;

use crate::counter::Counter;
use crate::support::host;
use crate::workshop::{alone, eval};

/// How many thread states the interpreter has.
fn states() -> usize {
    use pyo3::ffi;
    Python::attach(|_| {
        // SAFETY: the interpreter is held, so the list of its thread states does not change.
        unsafe {
            let mut state = ffi::PyInterpreterState_ThreadHead(ffi::PyInterpreterState_Get());
            let mut count = 0;
            while !state.is_null() {
                count += 1;
                state = ffi::PyThreadState_Next(state);
            }
            count
        }
    })
}

#[test]
fn a_thread_finds_what_python_code_has_kept_for_it() {
    alone("thread_states::a_thread_finds_what_python_code_has_kept_for_it", || {
        let (configs, counter) = (bundled().unwrap(), Counter::new());
        let host = host(&configs);
        let leases = |_| {
            let calls = (0..6).map(|index| counter.call(&host, ["project_a", "project_b"][index % 2]));
            assert_eq!(calls.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
        };
        thread::scope(|scope| (0..3).for_each(|index| drop(scope.spawn(move || leases(index)))));
        // The thread that started Python has had one all along.
        leases(3);
    });
}

#[test]
fn a_lease_that_the_caller_attaches_for_keeps_the_state_as_well() {
    alone("thread_states::a_lease_that_the_caller_attaches_for_keeps_the_state_as_well", || {
        let (configs, counter) = (bundled().unwrap(), Counter::new());
        let host = host(&configs);
        let leases = || {
            (1..4).for_each(|expected: u32| {
                let calls: u32 = Python::attach(|py| {
                    let _lease = host.lease(py, "project_a").unwrap();
                    counter.count(py)
                });
                assert_eq!(calls, expected);
            });
        };
        thread::scope(|scope| scope.spawn(leases).join().unwrap());
    });
}

#[test]
fn what_was_kept_for_a_thread_goes_with_it() {
    alone("thread_states::what_was_kept_for_a_thread_goes_with_it", || {
        let (configs, counter) = (bundled().unwrap(), Counter::new());
        let host = host(&configs);
        let call = |host: Host, counter: &Counter| {
            let counter = counter.clone();
            thread::spawn(move || assert_eq!(counter.call(&host, "project_a"), 1)).join().unwrap();
        };
        call(host.clone(), &counter);
        let before = states();
        for _ in 0..500 {
            call(host.clone(), &counter);
        }
        crate::workshop::until("all connections are closed", || counter.ended() == 501);
        crate::workshop::until("all thread states are deleted", || states() <= before);
    });
}

#[test]
fn a_thread_can_end_while_the_one_that_joins_it_holds_the_interpreter() {
    alone("thread_states::a_thread_can_end_while_the_one_that_joins_it_holds_the_interpreter", || {
        let (configs, counter) = (bundled().unwrap(), Counter::new());
        let host = host(&configs);
        for _ in 0..3 {
            let (leased, has_leased) = mpsc::channel();
            let (host, counter) = (host.clone(), counter.clone());
            let ending = thread::spawn(move || leased.send(counter.call(&host, "project_a")).unwrap());
            has_leased.recv().unwrap();
            Python::attach(|_| ending.join().unwrap());
        }
        crate::workshop::until("all connections are closed", || counter.ended() == 3);
    });
}

#[test]
fn a_host_in_a_thread_local_can_go_at_the_threads_end() {
    thread_local!(static HOST: std::cell::RefCell<Option<Host>> = const { std::cell::RefCell::new(None) });
    alone("thread_states::a_host_in_a_thread_local_can_go_at_the_threads_end", || {
        let configs = bundled().unwrap();
        for _ in 0..3 {
            let host = host(&configs);
            let ending = thread::spawn(move || {
                HOST.set(Some(host));
                HOST.with_borrow(|host| host.as_ref().unwrap().with_sgtk("project_a", |_| Ok(())).unwrap());
            });
            ending.join().unwrap();
        }
        let left: bool = Python::attach(|py| eval(py, "'tank' in __import__('sys').modules", &[]));
        assert!(!left);
    });
}

/// A thread-local that leases when its thread ends, sets the file mode mask as Toolkit does around copying,
/// and imports. A panic there would end the process.
struct AtEnd(Host, mpsc::Sender<[Result<String, String>; 3]>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        let version = |sgtk: &Bound<'_, PyModule>| sgtk.getattr("__version__")?.extract::<String>();
        let leased = self.0.with_sgtk("project_a", |sgtk| {
            eval::<u32>(sgtk.py(), "__import__('os').umask(0o22)", &[]);
            version(sgtk)
        });
        let imported = self.0.import_sgtk("project_b");
        let imported = imported.and_then(|sgtk| Ok(Python::attach(|py| version(sgtk.bind(py)))?));
        let plain = Python::attach(|py| version(&py.import("sgtk")?)).map_err(|error| error.to_string());
        self.0.forget_sgtk().unwrap();
        let told =
            [leased.map_err(|error| error.to_string()), imported.map_err(|error| error.to_string()), plain];
        self.1.send(told).unwrap();
    }
}

#[test]
fn destructors_of_thread_locals_may_lease_whichever_comes_first() {
    thread_local!(static END: std::cell::RefCell<Option<AtEnd>> = const { std::cell::RefCell::new(None) });
    alone("thread_states::destructors_of_thread_locals_may_lease_whichever_comes_first", || {
        let configs = bundled().unwrap();
        let host = host(&configs);
        host.with_sgtk("project_b", |_| Ok(())).unwrap();
        let before = states();
        for (is_first, has_leased) in [(true, true), (true, false), (false, true), (false, false)] {
            let (end, told) = mpsc::channel();
            let host = host.clone();
            let ending = thread::spawn(move || {
                // Thread-locals go in the reverse order of their first use.
                if is_first {
                    END.set(Some(AtEnd(host.clone(), end.clone())));
                }
                if has_leased {
                    host.with_sgtk("project_d", |sgtk| {
                        Ok(eval::<u32>(sgtk.py(), "__import__('os').umask(0o22)", &[]))
                    })
                    .unwrap();
                    host.import_sgtk("project_d").unwrap();
                    host.forget_sgtk().unwrap();
                }
                if !is_first {
                    END.set(Some(AtEnd(host, end)));
                }
            });
            ending.join().unwrap();
            let expected = ["v0.24.0", "v0.22.5", "v0.22.5"].map(|version| Ok(version.to_owned()));
            assert_eq!(told.recv().unwrap(), expected, "{is_first}, {has_leased}");
        }
        crate::workshop::until("all thread states are deleted", || states() <= before);
    });
}

#[test]
fn a_thread_of_pythons_own_ends_as_ever() {
    alone("thread_states::a_thread_of_pythons_own_ends_as_ever", || {
        let (configs, counter) = (bundled().unwrap(), Counter::new());
        let host = host(&configs);
        counter.call(&host, "project_a");
        let before = states();
        Python::attach(|py| {
            let late = {
                let lease = host.lease(py, "project_a").unwrap();
                lease.getattr("util").unwrap().getattr("late").unwrap().unbind()
            };
            let run = r"
import threading
for _ in range(20):
    thread = threading.Thread(target=late)
    thread.start()
    thread.join()
";
            crate::workshop::run(py, run, &[("late", late.bind(py))]);
        });
        crate::workshop::until("all thread states are deleted", || states() <= before);
    });
}

#[test]
fn tokios_threads_have_one_state_each() {
    alone("thread_states::tokios_threads_have_one_state_each", || {
        let (configs, counter) = (bundled().unwrap(), Counter::new());
        let host = host(&configs);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        for expected in 1..4 {
            let (host, counter) = (host.clone(), counter.clone());
            let calls = runtime.block_on(runtime.spawn(async move { counter.call(&host, "project_a") }));
            assert_eq!(calls.unwrap(), expected);
        }
        // Its threads are joined while this one holds the interpreter.
        Python::attach(|_| drop(runtime));
        crate::workshop::until("the connection is closed", || counter.ended() == 1);
    });
}

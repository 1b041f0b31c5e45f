//! Plugins that harm their process. Each test is a process of its own, which has as many descriptors, threads
//! and children at the end as at the beginning.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sgtk_host_fixtures::{isolated, misbehaving_plugins};
use sgtk_pool::{Call, Delivery, PoolError, WorkerPool};

use crate::support::{LONG, Studio, out_of_time, until};

/// In the environment of all that the pool starts, so that the test finds those that nobody knows of any
/// more.
const MARK: &str = "SGTK_HOST_MISBEHAVING";

/// Calls for a project that does harm while another goes on.
struct Harm<'a> {
    pool: &'a WorkerPool,
}

impl Harm<'_> {
    fn call(&self, call: Call) -> Result<Value, PoolError> {
        self.pool.call("bad", call)
    }

    fn result(&self, function: &str, argument: impl serde::Serialize) -> Value {
        self.call(Call::new(function).arg(argument)).unwrap_or_else(|error| panic!("{function}: {error}"))
    }

    /// How the worker was lost in this call.
    fn lost(&self, call: Call) -> String {
        let error = self.call(call).expect_err("the worker is lost");
        assert_eq!(error.delivery(), Delivery::MayHaveRun, "{error}");
        match error {
            PoolError::WorkerLost { how, .. } => how,
            error => panic!("{error:?}"),
        }
    }

    /// Makes a call that does not come back. A limit that was up before the call was sent, on a busy machine,
    /// says nothing of the harm that it does.
    fn runs_out_of_time(&self, call: impl Fn(Duration) -> Call) {
        let error = out_of_time(|limit| self.call(call(limit)));
        assert_eq!(error.delivery(), Delivery::MayHaveRun, "{error}");
    }

    /// The class of the exception that this call ended with.
    fn raised(&self, call: Call) -> String {
        let error = self.call(call).expect_err("the call raises");
        assert_eq!(error.delivery(), Delivery::Ran, "{error}");
        error.python().unwrap_or_else(|| panic!("{error:?}")).type_name.clone()
    }

    fn works(&self) {
        assert_eq!(self.result("told:echo", 1), 1);
    }
}

/// Runs a test with workers that were started, and with such as were forked.
#[track_caller]
fn harm(name: &str, test: impl Fn(&Harm<'_>)) {
    isolated(&format!("misbehaving::{name}"), || {
        for templates in [false, true] {
            println!("with templates: {templates}");
            run(templates, &test);
        }
    });
}

fn run(templates: bool, test: &impl Fn(&Harm<'_>)) {
    let studio = Studio::of(&["bad", "good"]);
    let before = (descriptors(), threads());
    let pool = studio
        .options()
        .plugin_path(misbehaving_plugins())
        .templates(templates)
        .env(MARK, std::process::id().to_string())
        .back_off(Duration::from_millis(1), Duration::from_millis(10))
        .circuit_after(1000)
        .grace(Duration::from_millis(1500), Duration::from_millis(200))
        .build()
        .unwrap();
    let good = || pool.call::<Value>("good", Call::new("told:identity")).unwrap()["pid"].clone();
    let pid = good();
    test(&Harm { pool: &pool });
    assert_eq!(good(), pid, "the other project's worker is the same");
    pool.shutdown(Duration::from_millis(500)).unwrap();
    drop(pool);
    until("all processes have ended", || marked().is_empty());
    until("descriptors and threads are as before", || (descriptors(), threads()) == before);
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// The processes that the pool, or what it has started, has started, but for those that have ended and are
/// another's to wait for.
fn marked() -> Vec<u32> {
    let mark = format!("{MARK}={}", std::process::id());
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        let environment =
            fs::read(Path::new("/proc").join(pid.to_string()).join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
            || is_zombie_child(*pid)
    })
    .collect()
}

/// A child of this process that was not waited for. It has no environment any more.
fn is_zombie_child(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    (fields.next(), fields.next()) == (Some("Z"), Some(std::process::id().to_string().as_str()))
}

#[test]
fn exits_by_exception() {
    harm("exits_by_exception", |harm| {
        assert_eq!(harm.raised(Call::new("bad_exits:with_sys_exit").arg(3)), "SystemExit");
        assert_eq!(harm.raised(Call::new("bad_exits:with_keyboard_interrupt")), "KeyboardInterrupt");
        assert_eq!(harm.raised(Call::new("bad_import_exits:call")), "SystemExit");
        assert_eq!(harm.raised(Call::new("bad_import_syntax:call")), "SyntaxError");
        assert_eq!(harm.raised(Call::new("bad_import_fails:call")), "ModuleNotFoundError");
        harm.works();
        assert_eq!(harm.pool.stats().lost, 0);
    });
}

#[test]
fn exits_in_the_middle() {
    harm("exits_in_the_middle", |harm| {
        for (call, how) in [
            (Call::new("bad_exits:at_once").arg(0), "status 0"),
            (Call::new("bad_exits:at_once").arg(7), "status 7"),
            (Call::new("bad_exits:by_signal").arg(9), "SIGKILL"),
            (Call::new("bad_exits:by_signal").arg(15), "SIGTERM"),
            (Call::new("bad_exits:by_null_pointer"), "SIGSEGV"),
            (Call::new("bad_exits:by_abort"), "SIGABRT"),
        ] {
            let found = harm.lost(call);
            assert!(found.contains(how), "{found}, not {how}");
            harm.works();
        }
    });
}

#[test]
fn hangs() {
    harm("hangs", |harm| {
        // The start of the worker is not part of the timeout.
        harm.works();
        for function in ["for_ever", "in_c", "ignoring_sigterm"] {
            harm.runs_out_of_time(|limit| Call::new(format!("bad_hangs:{function}")).timeout(limit));
            harm.works();
        }
    });
}

#[test]
fn a_late_answer_is_never_another_calls() {
    harm("a_late_answer_is_never_another_calls", |harm| {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..3 {
            let gate = folder.path().join(format!("gate{number}"));
            harm.runs_out_of_time(|limit| Call::new("bad_hangs:answers_late").arg(&gate).timeout(limit));
            fs::write(&gate, "").unwrap();
            harm.works();
        }
    });
}

#[test]
fn leaves_grandchildren() {
    harm("leaves_grandchildren", |harm| {
        assert!(harm.call(Call::new("bad_children:holds_pipes")).unwrap().is_u64());
        let how = harm.lost(Call::new("bad_children:holds_pipes_and_dies"));
        assert!(how.contains("status 9"), "{how}");
        harm.works();
    });
}

#[test]
fn leaves_grandchildren_that_never_stop_printing() {
    harm("leaves_grandchildren_that_never_stop_printing", |harm| {
        let how = harm.lost(Call::new("bad_children:escapes_and_floods"));
        assert!(how.contains("status 9"), "{how}");
        harm.works();
    });
}

#[test]
fn forks() {
    harm("forks", |harm| {
        let call = |function: &str| harm.call(Call::new(format!("bad_children:{function}"))).unwrap();
        assert_eq!(call("forks_and_returns"), "the parent's answer");
        assert_eq!(call("forks_and_raises"), 256);
        assert_eq!(call("forks_and_logs"), 0);
        assert!(call("forks_and_stays").is_u64());
        assert!(call("holds_everything").is_u64());
        harm.works();
        assert_eq!(harm.pool.stats().lost, 0);
    });
}

#[test]
fn uses_multiprocessing() {
    harm("uses_multiprocessing", |harm| {
        for method in ["fork", "spawn"] {
            let call = Call::new("bad_children:uses_a_pool").arg(method).arg([1, 2, 3]);
            assert_eq!(harm.call(call.timeout(LONG)).unwrap(), json!([1, 4, 9]), "{method}");
        }
    });
}

#[test]
fn prints_without_end() {
    harm("prints_without_end", |harm| {
        assert_eq!(harm.result("bad_prints:megabytes", 8), 8);
        assert_eq!(harm.result("bad_prints:one_long_line", 8), 8);
        assert_eq!(harm.result("bad_prints:binary", 1000), 1000);
        harm.works();
        assert_eq!(harm.pool.stats().lost, 0);
    });
}

#[test]
fn closes_every_descriptor() {
    harm("closes_every_descriptor", |harm| {
        let how = harm.lost(Call::new("bad_descriptors:closes_all"));
        assert!(how.contains("status 70") || how.contains("closed"), "{how}");
        harm.works();
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(harm.result("bad_descriptors:closes_and_opens", folder.path())[0], 3);
        harm.works();
        for file in fs::read_dir(folder.path()).unwrap() {
            assert_eq!(file.unwrap().metadata().unwrap().len(), 0);
        }
    });
}

#[test]
fn writes_to_the_protocols_descriptors() {
    harm("writes_to_the_protocols_descriptors", |harm| {
        let errors = harm.call(Call::new("bad_descriptors:writes_to_low_numbers")).unwrap();
        assert!(errors.as_array().unwrap().iter().all(|error| *error == libc::EBADF), "{errors}");
        let how = harm.lost(Call::new("bad_descriptors:writes_to_every_pipe"));
        assert!(how.contains("bytes at once"), "{how}");
        harm.works();
    });
}

#[test]
fn reads_from_the_protocols_descriptors() {
    harm("reads_from_the_protocols_descriptors", |harm| {
        assert_eq!(harm.call(Call::new("bad_descriptors:reads_from_every_pipe")).unwrap(), 0);
        // Its pipe never waits any more, so the worker may have to end; the next call is served all the same.
        harm.works();
    });
}

#[test]
fn returns_too_much() {
    harm("returns_too_much", |harm| {
        let error = harm.call(Call::new("bad_results:mebibytes").arg(100)).unwrap_err();
        let PoolError::InvalidResult { place, reason, .. } = &error else { panic!("{error:?}") };
        assert_eq!(place, "result");
        assert!(reason.contains("more than the limit"), "{reason}");
        let text: Value = harm.result("bad_results:mebibytes", 50);
        assert_eq!(text.as_str().map(str::len), Some(50 << 20));
        harm.works();
        assert_eq!(harm.pool.stats().lost, 0);
    });
}

#[test]
fn recurses_until_the_stack_ends() {
    harm("recurses_until_the_stack_ends", |harm| {
        assert_eq!(harm.raised(Call::new("bad_recursion:for_ever")), "RecursionError");
        // Newer Pythons notice the end of the stack in C code, too.
        match harm.call(Call::new("bad_recursion:until_the_stack_ends")).unwrap_err() {
            PoolError::WorkerLost { how, .. } => assert!(how.contains("SIGSEGV"), "{how}"),
            PoolError::Python { error, .. } => assert_eq!(error.type_name, "RecursionError"),
            error => panic!("{error:?}"),
        }
        harm.works();
    });
}

#[test]
fn leaves_threads_running() {
    harm("leaves_threads_running", |harm| {
        for daemon in [true, false] {
            let call = Call::new("bad_threads:leaves_running").arg(3).arg(daemon);
            assert!(harm.call(call).unwrap().as_u64() >= Some(4));
        }
        assert_eq!(harm.call(Call::new("bad_threads:prints_later")).unwrap(), "now");
        harm.works();
    });
}

#[test]
fn raises_what_cannot_be_shown() {
    harm("raises_what_cannot_be_shown", |harm| {
        for (function, class) in [
            ("str_raises", "bad_raises._StrRaises"),
            ("str_exits", "bad_raises._StrExits"),
            ("str_is_none", "bad_raises._StrIsNone"),
            ("odd_class", "bad_raises._OddlyMade"),
            ("surrogates", "RuntimeError"),
            ("own_cause", "RuntimeError"),
        ] {
            assert_eq!(harm.raised(Call::new(format!("bad_raises:{function}"))), class);
        }
        assert_eq!(harm.raised(Call::new("bad_raises:long_text").arg(50_000_000)), "RuntimeError");
        harm.works();
        assert_eq!(harm.pool.stats().lost, 0);
    });
}

#[test]
fn has_a_signal_delivered_in_a_call() {
    harm("has_a_signal_delivered_in_a_call", |harm| {
        let error = harm.call(Call::new("bad_signals:raises_now")).unwrap_err();
        let message = error.python().map(|error| &*error.message);
        assert_eq!(message, Some("a signal's handler, at no good moment"), "{error}");
        harm.works();
        assert_eq!(harm.pool.stats().lost, 0);
    });
}

#[test]
fn has_a_signal_delivered_when_it_is_not_called() {
    harm("has_a_signal_delivered_when_it_is_not_called", |harm| {
        let pid = harm.call(Call::new("bad_signals:raises_when_it_comes")).unwrap().as_i64().unwrap();
        let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::ALARM).unwrap();
        until("the worker has ended", || harm.pool.stats().lost == 1);
        harm.works();
    });
}

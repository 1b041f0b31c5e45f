//! Output, log records, ends, and what plugins do to their process.

use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;
use serde_json::json;
use sgtk_host_fixtures::Configs;

use crate::driver::{Worker, core_for, entry, one_python, runs, under_each_python, wait_until};

#[test]
fn what_is_printed_is_out_before_the_call_is_answered() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        worker.pipes.result("told:say", json!(["printed \u{e9}", "wrong"]));
        assert_eq!((worker.stdout().as_str(), worker.stderr().as_str()), ("printed \u{e9}\n", "wrong\n"));
        worker.pipes.result("bad_prints:odd_text", json!([]));
        assert!(worker.stdout().contains("lone \\ud800, zero \0"));
    });
}

#[test]
fn a_plugin_may_close_and_replace_the_streams() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        assert_eq!(worker.pipes.result("bad_prints:closes_the_streams", json!([])), "closed");
        assert_eq!(worker.pipes.result("bad_prints:replaces_the_streams", json!([])), "gone");
        assert_eq!(worker.pipes.result("told:echo", json!([1])), 1);
        assert_eq!(worker.end().0.code(), Some(0));
    });
}

#[test]
fn log_records_of_toolkit_and_of_plugins_come_once_each() {
    under_each_python(|python| {
        let configs = Configs::new().unwrap();
        let core = configs.localized("project_a", &core_for(python)).unwrap();
        let mut worker = Worker::start(python);
        let mut request = entry(&configs, "project_a", &core);
        request["log_level"] = json!("INFO");
        worker.pipes.enter(request);
        worker.pipes.result("told:log", json!(["sgtk.core.api", 10, "too low"]));
        worker.pipes.result("told:log", json!(["sgtk.core.api", 30, "of toolkit"]));
        worker.pipes.result("told:log", json!(["my.plugin", 20, "of a plugin"]));
        worker.pipes.result("told:log_exception", json!(["my.plugin"]));
        let record = worker.pipes.record();
        assert_eq!(
            (&record["logger"], &record["level"], &record["message"]),
            (&json!("sgtk.core.api"), &json!(30), &json!("of toolkit"))
        );
        assert_eq!((&record["pid"], &record["thread"]), (&json!(worker.pid()), &json!("MainThread")));
        assert_eq!(worker.pipes.record()["message"], "of a plugin");
        let record = worker.pipes.record();
        assert_eq!(record["message"], "it failed: here");
        assert!(record["exc"].as_str().unwrap().contains("KeyError: 'logged'"), "{record}");
    });
}

#[test]
fn a_worker_that_is_told_to_ends_well() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        let hook = "import atexit; atexit.register(print, 'at the end')";
        worker.pipes.result("builtins:exec", json!([hook]));
        worker.pipes.end();
        assert_eq!(worker.wait().code(), Some(0));
        assert_eq!((worker.stdout().as_str(), worker.stderr().as_str()), ("at the end\n", ""));
    });
}

#[test]
fn threads_left_running_do_not_keep_a_worker() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        assert_eq!(worker.pipes.result("bad_threads:leaves_running", json!([2, false])), 3);
        assert_eq!(worker.end().0.code(), Some(0));
    });
}

#[test]
fn threads_of_an_executor_are_told_to_end() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        worker.pipes.result("bad_threads:keeps_an_executor", json!([]));
        worker.pipes.end();
        assert_eq!(worker.wait().code(), Some(0));
        // Not cut off: the thread came to its own end.
        assert_eq!(worker.stdout(), "task done\n");
    });
}

#[test]
fn a_crash_says_where_it_was() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        worker.pipes.begin("bad_exits:by_null_pointer", json!([]), json!({}));
        assert_eq!(worker.pipes.next(), None);
        assert_eq!(worker.wait().signal(), Some(libc::SIGSEGV));
        assert!(worker.stderr().contains("in by_null_pointer"), "{}", worker.stderr());
    });
}

#[test]
fn sigterm_ends_a_worker_and_says_where_it_was() {
    under_each_python(|python| {
        for function in ["for_ever", "in_c"] {
            let mut worker = Worker::entered(python);
            worker.pipes.begin(&format!("bad_hangs:{function}"), json!([]), json!({}));
            let path = format!("/proc/{}/wchan", worker.pid());
            // In the call: it has read the request, and waits for or does something else.
            wait_until("the worker is in its call", || {
                !std::fs::read_to_string(&path).unwrap_or_default().contains("pipe")
            });
            // Not before the call has begun, which nothing outside tells: so until the stack shows it.
            worker.kill(Signal::TERM);
            assert_eq!(worker.wait().signal(), Some(libc::SIGTERM));
            assert!(worker.stderr().contains("most recent call first"), "{}", worker.stderr());
        }
    });
}

#[test]
fn an_idle_worker_ends_with_its_daemon() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        worker.pipes.lifeline = None;
        assert_eq!(worker.wait().signal(), Some(libc::SIGKILL));
    });
}

#[test]
fn a_busy_worker_and_its_grandchildren_end_with_the_daemon() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        let grandchild = worker.pipes.result("bad_children:holds_everything", json!([])).as_u64().unwrap();
        let forked = worker.pipes.result("bad_children:forks_and_stays", json!([])).as_u64().unwrap();
        worker.pipes.begin("bad_hangs:ignoring_sigterm", json!([]), json!({}));
        worker.pipes.lifeline = None;
        assert_eq!(worker.wait().signal(), Some(libc::SIGKILL));
        wait_until("the grandchildren end", || !runs(grandchild) && !runs(forked));
    });
}

#[test]
fn a_worker_whose_daemon_is_gone_before_it_starts_does_not_start() {
    let mut worker = Worker::start_orphaned(one_python());
    assert_eq!(worker.wait().signal(), Some(libc::SIGKILL));
}

#[test]
fn grandchildren_get_none_of_the_protocols_pipes() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        for function in ["holds_everything", "forks_and_stays"] {
            let pid = worker.pipes.result(&format!("bad_children:{function}"), json!([])).as_u64().unwrap();
            let pipes = || -> Vec<String> {
                let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
                let links = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok());
                let links = links.map(|link| link.to_string_lossy().into_owned());
                links.filter(|link| link.starts_with("pipe:")).collect()
            };
            wait_until("the grandchild has no pipe", || pipes().is_empty());
            rustix::process::kill_process(crate::driver::pid_of(pid.try_into().unwrap()), Signal::KILL)
                .unwrap();
        }
    });
}

#[test]
fn a_call_that_forks_is_answered_once_and_by_the_worker() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        assert_eq!(worker.pipes.result("bad_children:forks_and_returns", json!([])), "the parent's answer");
        assert_eq!(worker.pipes.result("bad_children:forks_and_raises", json!([])), 256);
        assert!(worker.stderr().contains("RuntimeError: in the child"), "{}", worker.stderr());
        assert_eq!(worker.pipes.result("bad_children:forks_and_logs", json!([])), 0);
        assert_eq!(worker.pipes.result("told:echo", json!([1])), 1);
    });
}

#[test]
fn multiprocessing_works_in_a_worker() {
    under_each_python(|python| {
        for method in ["fork", "spawn"] {
            let mut worker = Worker::entered(python);
            let squares = worker.pipes.result("bad_children:uses_a_pool", json!([method, [1, 2, 3]]));
            assert_eq!(squares, json!([1, 4, 9]), "{method}");
        }
    });
}

#[test]
fn closing_every_descriptor_ends_the_worker_and_harms_no_file() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        worker.pipes.begin("bad_descriptors:closes_all", json!([]), json!({}));
        assert_eq!(worker.pipes.next(), None);
        assert_eq!(worker.wait().code(), Some(70));

        let folder = tempfile::tempdir().unwrap();
        let mut worker = Worker::entered(python);
        let opened = worker.pipes.result("bad_descriptors:closes_and_opens", json!([folder.path()]));
        assert_eq!(opened[0], 3);
        assert_eq!(worker.pipes.result("told:echo", json!([1])), 1);
        for file in std::fs::read_dir(folder.path()).unwrap() {
            assert_eq!(file.unwrap().metadata().unwrap().len(), 0);
        }
    });
}

#[test]
fn the_protocols_pipes_are_not_where_a_plugin_would_guess() {
    let mut worker = Worker::entered(one_python());
    let errors = worker.pipes.result("bad_descriptors:writes_to_low_numbers", json!([]));
    assert!(errors.as_array().unwrap().iter().all(|error| *error == json!(libc::EBADF)), "{errors}");
    assert_eq!(worker.pipes.result("told:echo", json!([1])), 1);
}

#[test]
fn a_signals_handler_that_raises_between_calls_ends_the_worker_with_the_reason() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        worker.pipes.result("bad_signals:raises_when_it_comes", json!([]));
        worker.kill(Signal::ALARM);
        assert_eq!(worker.wait().code(), Some(70));
        assert!(worker.stderr().contains("the worker has failed"), "{}", worker.stderr());
        assert!(worker.stderr().contains("at no good moment"), "{}", worker.stderr());
    });
}

#[test]
fn an_interrupt_is_an_error_of_the_call_that_runs() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        worker.pipes.begin("bad_exits:by_signal", json!([libc::SIGINT]), json!({}));
        assert_eq!(worker.pipes.answer()["error"]["type"], "KeyboardInterrupt");
        assert_eq!(worker.pipes.result("told:echo", json!([1])), 1);
    });
}

#[test]
fn the_stacks_end_is_an_error_or_a_crash_and_never_a_wrong_answer() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        worker.pipes.begin("bad_recursion:until_the_stack_ends", json!([]), json!({}));
        match worker.pipes.next() {
            Some(answer) => assert_eq!(answer["error"]["type"], "RecursionError", "{answer}"),
            None => assert_eq!(worker.wait().signal(), Some(libc::SIGSEGV)),
        }
    });
}

#[test]
fn the_end_of_the_requests_is_an_end_like_any() {
    let mut worker = Worker::entered(one_python());
    worker.pipes.close_requests();
    assert_eq!(worker.wait().code(), Some(0));
}

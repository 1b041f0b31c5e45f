//! Workers forked from a template.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use serde_json::{Value, json};
use sgtk_host_fixtures::{Configs, Python};

use crate::driver::{Pipes, Template, core_for, entry, runs, under_each_python, wait_until};

struct Studio {
    configs: Configs,
    core: std::path::PathBuf,
}

/// Two projects attached to one core.
fn studio(python: &Python) -> Studio {
    let configs = Configs::new().unwrap();
    let core = core_for(python);
    configs.attached("project_a", &core).unwrap();
    configs.attached("project_b", &core).unwrap();
    Studio { core: configs.shared(&core), configs }
}

impl Studio {
    fn template(&self, python: &Python) -> Template {
        let mut template = Template::start(python, &self.core);
        let told = template.worker.pipes.answer();
        assert!(told.get("template").is_some(), "{told}");
        template
    }

    fn enter(&self, pipes: &mut Pipes, project: &str) -> Value {
        let answer = pipes.enter(entry(&self.configs, project, &self.core));
        assert!(answer.get("entered").is_some(), "{answer}");
        answer["entered"].clone()
    }
}

#[test]
fn a_forked_worker_is_its_projects_like_one_that_was_started() {
    under_each_python(|python| {
        let studio = studio(python);
        let mut template = studio.template(python);
        let mut started = crate::driver::Worker::start(python);
        let plain = studio.enter(&mut started.pipes, "project_a");
        let plain_identity = started.pipes.result("told:identity", json!([]));

        let workers: Vec<(u64, Pipes)> = ["project_a", "project_b"]
            .into_iter()
            .map(|project| {
                let (pid, mut pipes) = template.fork();
                let entered = studio.enter(&mut pipes, project);
                assert_eq!(entered, plain);
                let identity = pipes.result("told:identity", json!([]));
                assert_eq!((&identity["pid"], &identity["group"]), (&json!(pid), &json!(pid)));
                let config = studio.configs.config(project);
                assert_eq!(identity["current_pc"], config.to_str().unwrap());
                for same in ["path", "threads", "encodings", "sigterm", "sigchld", "blocked", "stdin"] {
                    assert_eq!(identity[same], plain_identity[same], "{same}");
                }
                let toolkit = pipes.result("told:toolkit", json!([]));
                assert_eq!(toolkit["same"], true);
                (pid, pipes)
            })
            .collect();
        drop(workers);
    });
}

#[test]
fn forked_workers_draw_different_random_numbers() {
    under_each_python(|python| {
        let studio = studio(python);
        let mut template = studio.template(python);
        let mut draw = || {
            let (_, mut pipes) = template.fork();
            studio.enter(&mut pipes, "project_a");
            pipes.result("told:identity", json!([]))["random"].take()
        };
        assert_ne!(draw(), draw());
    });
}

#[test]
fn a_forked_worker_has_no_descriptor_of_its_template() {
    under_each_python(|python| {
        let studio = studio(python);
        let mut template = studio.template(python);
        let (_, mut other) = template.fork();
        studio.enter(&mut other, "project_b");
        let (_, mut pipes) = template.fork();
        studio.enter(&mut pipes, "project_a");
        let open = pipes.result("told:descriptors", json!([]));
        let links: Vec<&str> =
            open.as_object().unwrap().values().map(|link| link.as_str().unwrap()).collect();
        assert_eq!(links.iter().filter(|link| link.starts_with("pipe:")).count(), 4, "{open}");
        assert!(!links.iter().any(|link| link.starts_with("socket:")), "{open}");
    });
}

#[test]
fn the_log_of_a_forked_worker_is_its_own() {
    under_each_python(|python| {
        let studio = studio(python);
        let mut template = studio.template(python);
        let (first_pid, mut first) = template.fork();
        let (second_pid, mut second) = template.fork();
        for (pid, pipes, project) in
            [(first_pid, &mut first, "project_a"), (second_pid, &mut second, "project_b")]
        {
            studio.enter(pipes, project);
            pipes.result("told:log", json!(["sgtk.core", 40, project]));
            let record = pipes.record();
            assert_eq!((&record["message"], &record["pid"]), (&json!(project), &json!(pid)));
        }
    });
}

#[test]
fn a_template_tells_how_its_workers_ended_once_they_are_watched() {
    under_each_python(|python| {
        let studio = studio(python);
        let mut template = studio.template(python);
        let (pid, mut pipes) = template.fork();
        studio.enter(&mut pipes, "project_a");
        pipes.begin("bad_exits:at_once", json!([7]), json!({}));
        assert_eq!(pipes.next(), None);
        // Nobody has said that it is watched: its number is not free yet.
        wait_until("the worker has ended", || !runs(pid));
        assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
        template.send(&json!({ "watching": pid }));
        let told = template.worker.pipes.answer();
        assert_eq!(told["ended"], pid);
        let status = ExitStatus::from_raw(told["status"].as_i64().unwrap().try_into().unwrap());
        assert_eq!(status.code(), Some(7));

        let (pid, mut pipes) = template.fork();
        template.send(&json!({ "watching": pid }));
        studio.enter(&mut pipes, "project_a");
        pipes.lifeline = None;
        let told = template.worker.pipes.answer();
        assert_eq!((&told["ended"], &told["status"]), (&json!(pid), &json!(libc::SIGKILL)));
    });
}

#[test]
fn forked_workers_outlive_their_template_and_not_the_daemon() {
    under_each_python(|python| {
        let studio = studio(python);
        let mut template = studio.template(python);
        let (pid, mut pipes) = template.fork();
        studio.enter(&mut pipes, "project_a");
        let mut worker = template.close_socket();
        assert_eq!(worker.wait().code(), Some(0));
        assert_eq!(pipes.result("told:echo", json!([1])), 1);
        pipes.lifeline = None;
        wait_until("the worker ends", || !runs(pid));
    });
}

#[test]
fn forking_leaves_nothing_in_the_template() {
    under_each_python(|python| {
        let studio = studio(python);
        let mut template = studio.template(python);
        let folder = format!("/proc/{}/fd", template.worker.pid());
        let open = || std::fs::read_dir(&folder).unwrap().count();
        let before = open();
        for _ in 0..10 {
            let (pid, mut pipes) = template.fork();
            template.send(&json!({ "watching": pid }));
            pipes.end();
            assert_eq!(template.worker.pipes.answer(), json!({"ended": pid, "status": 0}));
            assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
        }
        assert_eq!(open(), before);
        template.send(&json!({"end": true}));
        assert_eq!(template.worker.wait().code(), Some(0));
    });
}

#[test]
fn a_request_to_fork_without_descriptors_is_an_error_and_the_next_one_works() {
    let python = crate::driver::one_python();
    let studio = studio(python);
    let mut template = studio.template(python);
    template.send(&json!({"fork": {}}));
    let answer = template.worker.pipes.answer();
    assert_eq!(answer["forked"], Value::Null);
    assert!(answer["error"]["message"].as_str().unwrap().starts_with("0 descriptors came"), "{answer}");
    let (_, mut pipes) = template.fork();
    studio.enter(&mut pipes, "project_a");
}

#[test]
fn a_template_ends_with_the_daemon() {
    under_each_python(|python| {
        let studio = studio(python);
        let mut template = studio.template(python);
        template.worker.pipes.lifeline = None;
        assert_eq!(template.worker.wait().signal(), Some(libc::SIGKILL));
    });
}

#[test]
fn a_core_that_leaves_a_thread_running_is_no_template() {
    under_each_python(|python| {
        let studio = studio(python);
        let tank = Configs::python(&studio.core).join("tank/__init__.py");
        let text = std::fs::read_to_string(&tank).unwrap();
        let thread = "import threading, time\n\
            threading.Thread(target=time.sleep, args=(600,), name='metrics', daemon=True).start()\n";
        std::fs::write(&tank, text + thread).unwrap();
        let mut template = Template::start(python, &studio.core);
        let told = template.worker.pipes.answer();
        assert_eq!(told, json!({"unfit": ["thread 'metrics'"]}));
        assert_eq!(template.worker.wait().code(), Some(1));
    });
}

#[test]
fn a_core_that_holds_a_connection_is_no_template_and_one_with_an_open_file_is() {
    under_each_python(|python| {
        let studio = studio(python);
        let tank = Configs::python(&studio.core).join("tank/__init__.py");
        let text = std::fs::read_to_string(&tank).unwrap();
        let file = "import tank\n_open = open(__file__)\n_open.read(10)\n";
        std::fs::write(&tank, format!("{text}{}", file.replace("import tank\n", ""))).unwrap();
        let mut template = studio.template(python);
        let mut positions = Vec::new();
        for _ in 0..2 {
            let (_, mut pipes) = template.fork();
            studio.enter(&mut pipes, "project_a");
            let read = "import tank, os; os.read(tank._open.fileno(), 100)";
            pipes.result("builtins:exec", json!([read]));
            let tell = "__import__('os').lseek(__import__('tank')._open.fileno(), 0, 1)";
            positions.push(pipes.result("builtins:eval", json!([tell])));
        }
        assert_eq!(positions[0], positions[1]);

        std::fs::write(&tank, format!("{text}import socket\n_pair = socket.socketpair()\n")).unwrap();
        let mut template = Template::start(python, &studio.core);
        let told = template.worker.pipes.answer();
        assert!(told["unfit"][0].as_str().unwrap().starts_with("open descriptor of socket:"), "{told}");
    });
}

#[test]
fn a_core_that_cannot_be_imported_is_an_error_of_the_template() {
    under_each_python(|python| {
        let configs = Configs::new().unwrap();
        let core = configs.broken("project_x", sgtk_host_fixtures::Broken::RaisesImportError).unwrap();
        let mut template = Template::start(python, &core);
        let told = template.worker.pipes.answer();
        assert_eq!(told["failed"]["step"], "import", "{told}");
    });
}

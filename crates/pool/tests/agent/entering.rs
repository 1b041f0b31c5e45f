//! Entering a project, and what a worker finds around it.

use serde_json::{Value, json};
use sgtk_host_fixtures::{Broken, Configs, Core, misbehaving_plugins};

use crate::driver::{Worker, core_for, entry, one_python, under_each_python};

#[test]
fn a_localized_project_is_entered_with_its_own_core_first_on_the_path() {
    under_each_python(|python| {
        let configs = Configs::new().unwrap();
        let core = configs.localized("project_a", &Core::older("v0.22.5")).unwrap();
        let mut worker = Worker::start(python);
        let entered = worker.pipes.enter(entry(&configs, "project_a", &core))["entered"].take();
        assert_eq!(entered["core_version"], "v0.22.5");
        assert_eq!(entered["core"], core.join("install/core").to_str().unwrap());
        let identity = worker.pipes.result("told:identity", json!([]));
        let python_folder = Configs::python(&core);
        assert_eq!(identity["path"][0], python_folder.to_str().unwrap());
        assert_eq!(identity["path"][1], misbehaving_plugins().to_str().unwrap());
        assert_eq!(identity["current_pc"], configs.config("project_a").to_str().unwrap());
    });
}

/// Else the first look for garbage after the import would be at all of it.
#[test]
fn what_the_import_of_a_core_has_made_is_old_for_the_collector() {
    under_each_python(|python| {
        // Python 3.7 does not tell, and 3.12 has frozen objects itself, which are left alone.
        if [(3, 7), (3, 12)].contains(&python.version) {
            return;
        }
        let configs = Configs::new().unwrap();
        let core = configs.localized("project_a", &core_for(python)).unwrap();
        let mut worker = Worker::start(python);
        worker.pipes.enter(entry(&configs, "project_a", &core));
        assert_eq!(worker.pipes.result("told:is_old_for_the_collector", json!([])), true);
        assert_eq!(worker.pipes.result("gc:isenabled", json!([])), true);
    });
}

#[test]
fn the_plugins_come_after_a_newer_core_and_its_libraries() {
    let configs = Configs::new().unwrap();
    let core = configs.localized("project_a", &core_for(one_python())).unwrap();
    let mut worker = Worker::start(one_python());
    worker.pipes.enter(entry(&configs, "project_a", &core));
    let path = worker.pipes.result("told:identity", json!([]))["path"].take();
    let place = |wanted: &std::path::Path| {
        let mut entries = path.as_array().unwrap().iter();
        entries.position(|entry| entry == wanted.to_str().unwrap()).unwrap_or_else(|| panic!("{path}"))
    };
    assert_eq!(place(&Configs::python(&core)) + 1, place(&misbehaving_plugins()));
    assert!(path[0].as_str().unwrap().ends_with(".zip"), "{path}");
}

#[test]
fn an_attached_project_has_its_own_configuration_and_a_studio_one_has_none() {
    let configs = Configs::new().unwrap();
    let shared = Core::older("v0.22.5");
    configs.attached("project_b", &shared).unwrap();
    let studio = configs.studio(&Core::older("v0.20.35")).unwrap();
    configs.unattached("project_c").unwrap();

    let mut attached = Worker::start(one_python());
    attached.pipes.enter(entry(&configs, "project_b", &configs.shared(&shared)));
    let identity = attached.pipes.result("told:identity", json!([]));
    assert_eq!(identity["current_pc"], configs.config("project_b").to_str().unwrap());

    let mut unattached = Worker::start(one_python());
    let mut request = entry(&configs, "project_c", &studio);
    request["current_pc"] = Value::Null;
    request["configuration"] = json!(configs.config("project_c"));
    unattached.pipes.enter(request);
    assert_eq!(unattached.pipes.result("told:identity", json!([]))["current_pc"], Value::Null);
    let tank = unattached.pipes.result("told:tank_of", json!([]));
    assert_eq!(tank["path"], configs.config("project_c").to_str().unwrap());
}

#[test]
fn a_current_pc_of_the_daemon_is_not_the_projects() {
    let configs = Configs::new().unwrap();
    let core = configs.localized("project_a", &core_for(one_python())).unwrap();
    let mut worker = Worker::start_with(one_python(), None, |command| {
        command.env("TANK_CURRENT_PC", "/somebody/elses");
    });
    worker.pipes.enter(entry(&configs, "project_a", &core));
    let identity = worker.pipes.result("told:identity", json!([]));
    assert_eq!(identity["current_pc"], configs.config("project_a").to_str().unwrap());
}

#[test]
fn a_broken_core_is_an_error_with_step_and_cause_and_ends_the_worker() {
    let elsewhere = Configs::new().unwrap();
    let other = elsewhere.localized("other", &Core::newer("v0.23.8")).unwrap();
    for (broken, step, class) in [
        (Broken::RaisesImportError, "import", "ModuleNotFoundError"),
        (Broken::SyntaxError, "import", "SyntaxError"),
        (Broken::SystemExit, "import", "SystemExit"),
        (Broken::KeyboardInterrupt, "import", "KeyboardInterrupt"),
        (Broken::LacksSgtk, "import", "ModuleNotFoundError"),
        (Broken::HalfUpgraded, "import", "ImportError"),
        (Broken::SgtkIsNotTank, "verify", "sgtk_host.WrongCore"),
        (Broken::BorrowsTank(Configs::python(&other)), "verify", "sgtk_host.WrongCore"),
    ] {
        let configs = Configs::new().unwrap();
        let core = configs.broken("project_x", broken.clone()).unwrap();
        let mut worker = Worker::start(one_python());
        let failed = worker.pipes.enter(entry(&configs, "project_x", &core))["failed"].take();
        assert_eq!(failed["step"], step, "{broken:?}: {failed}");
        assert_eq!(failed["error"]["type"], class, "{broken:?}: {failed}");
        assert_eq!(worker.pipes.next(), None);
        assert_eq!(worker.wait().code(), Some(1), "{broken:?}");
    }
}

#[test]
fn a_worker_is_an_ordinary_process_of_its_own() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        let pid = worker.pid();
        let identity = worker.pipes.result("told:identity", json!([]));
        assert_eq!((&identity["pid"], &identity["group"]), (&json!(pid), &json!(pid)));
        assert_eq!(identity["python"], json!([python.version.0, python.version.1]));
        assert_eq!(identity["executable"], python.executable.to_str().unwrap());
        assert_eq!((&identity["threads"], &identity["stdin"]), (&json!(1), &json!("")));
        assert_eq!(identity["arguments"], json!(["-c"]));
        assert_eq!(identity["encodings"], json!(["utf-8", "utf-8", "backslashreplace"]));
        assert_eq!(worker.hello["pid"], pid);
        assert_eq!(worker.hello["protocol"], 1);
    });
}

#[test]
fn the_site_packages_are_there_unless_they_are_not_wanted() {
    under_each_python(|python| {
        for wanted in [true, false] {
            let mut worker = Worker::start(python);
            worker.pipes.enter(json!({"site_packages": wanted, "plugin_paths": [misbehaving_plugins()]}));
            let path = worker.pipes.result("told:identity", json!([]))["path"].take();
            let found = path.as_array().unwrap().iter().any(|entry| {
                let entry = entry.as_str().unwrap();
                entry.contains("site-packages") || entry.contains("dist-packages")
            });
            assert_eq!(found, wanted, "{path}");
        }
    });
}

#[test]
fn signals_are_as_usual_whatever_the_daemon_has_blocked_and_ignored() {
    use std::os::unix::process::CommandExt;

    let mut worker = Worker::start_with(one_python(), None, |command| {
        let block = || {
            // SAFETY: only functions that may be called after a fork.
            unsafe {
                let mut all = std::mem::zeroed();
                libc::sigfillset(&mut all);
                libc::sigprocmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
                libc::signal(libc::SIGTERM, libc::SIG_IGN);
                libc::signal(libc::SIGCHLD, libc::SIG_IGN);
                libc::signal(libc::SIGINT, libc::SIG_IGN);
            }
            Ok(())
        };
        // SAFETY: as above.
        unsafe { command.pre_exec(block) };
    });
    worker.pipes.enter_nothing();
    let identity = worker.pipes.result("told:identity", json!([]));
    assert_eq!(identity["blocked"], json!([]));
    assert!(identity["sigchld"].as_str().unwrap().contains('0') || identity["sigchld"] == "Handlers.SIG_DFL");
    worker.kill(rustix::process::Signal::TERM);
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(worker.wait().signal(), Some(libc::SIGTERM));
}

#[test]
fn nothing_but_its_pipes_is_open_in_a_worker() {
    let (ours, leaked) = rustix::pipe::pipe().unwrap();
    let mut worker = Worker::entered(one_python());
    drop((ours, leaked));
    let open = worker.pipes.result("told:descriptors", json!([]));
    let pipes = open.as_object().unwrap().values().filter(|link| link.as_str().unwrap().starts_with("pipe:"));
    assert_eq!(pipes.count(), 4, "{open}");
    let high = open.as_object().unwrap().keys().filter(|number| number.parse::<u32>().unwrap() > 7);
    assert_eq!(high.count(), 4, "{open}");
}

//! Workers forked from a template are like those that were started.

use serde_json::Value;
use sgtk_host_fixtures::{Configs, Core, bundled, bundled_versions, misbehaving_plugins};
use sgtk_pool::{Call, WorkerPool};

use crate::support::until;

fn pool(configs: &Configs, templates: bool) -> WorkerPool {
    let options = WorkerPool::builder().configs(configs.base()).plugin_path(misbehaving_plugins());
    options.templates(templates).build().unwrap()
}

fn identity(pool: &WorkerPool, project: &str) -> Value {
    pool.call(project, Call::new("told:identity")).unwrap()
}

#[test]
fn a_forked_worker_is_its_projects_in_every_way() {
    let configs = bundled().unwrap();
    let (started, forked) = (pool(&configs, false), pool(&configs, true));
    for (project, version) in bundled_versions() {
        let (one, other) = (identity(&started, project), identity(&forked, project));
        for same in
            ["path", "current_pc", "threads", "python", "encodings", "sigterm", "sigchld", "blocked", "stdin"]
        {
            assert_eq!(one[same], other[same], "{project}: {same}");
        }
        assert_eq!(other["pid"], other["group"], "{project}");
        assert_ne!(one["random"], other["random"], "{project}");
        for pool in [&started, &forked] {
            let toolkit: Value = pool.call(project, Call::new("told:toolkit")).unwrap();
            assert_eq!((&toolkit["version"], &toolkit["same"]), (&version.into(), &true.into()), "{project}");
        }
    }
    assert_eq!((started.stats().forked, forked.stats().started), (0, 0));
}

#[test]
fn forked_workers_of_one_template_draw_different_random_numbers() {
    let configs = bundled().unwrap();
    let pool = pool(&configs, true);
    // Both are attached to one core.
    let numbers = ["project_e", "project_f"].map(|project| identity(&pool, project)["random"].clone());
    assert_ne!(numbers[0], numbers[1]);
}

#[test]
fn a_worker_has_only_its_own_pipes_forked_or_started() {
    let configs = bundled().unwrap();
    for templates in [false, true] {
        let pool = pool(&configs, templates);
        identity(&pool, "project_e");
        let open: Value = pool.call("project_f", Call::new("told:descriptors")).unwrap();
        let links = || open.as_object().unwrap().values().filter_map(Value::as_str);
        // Requests, answers, records, lifeline, standard output and error.
        assert_eq!(links().filter(|link| link.starts_with("pipe:")).count(), 6, "{open}");
        assert_eq!(links().filter(|link| link.starts_with("socket:")).count(), 0, "{open}");
    }
}

#[test]
fn an_upgraded_core_is_forked_from_a_new_template() {
    let configs = Configs::new().unwrap();
    configs.attached("a", &Core::newer("v0.24.0")).unwrap();
    configs.attached("b", &Core::newer("v0.24.0")).unwrap();
    let options = WorkerPool::builder().configs(configs.base()).plugin_path(misbehaving_plugins());
    let pool = options.revalidate_after(std::time::Duration::ZERO).build().unwrap();
    let version = |project: &str| -> String {
        let toolkit: Value = pool.call(project, Call::new("told:toolkit")).unwrap();
        toolkit["version"].as_str().unwrap().to_owned()
    };
    assert_eq!(version("a"), "v0.24.0");
    configs.upgrade("a", &Core::newer("v0.24.1")).unwrap();
    // The first of it, which had no worker before, and the one that has one.
    assert_eq!((version("b"), version("a")), ("v0.24.1".to_owned(), "v0.24.1".to_owned()));
    assert_eq!(pool.stats().started, 0, "{:?}", pool.stats());
}

/// A configuration for each of these projects, with a core of its own.
fn localized(projects: &[&str]) -> Configs {
    let configs = Configs::new().unwrap();
    for project in projects {
        configs.localized(project, &Core::newer("v0.24.0")).unwrap();
    }
    configs
}

#[test]
fn a_template_without_workers_makes_room_for_another_and_one_with_workers_stays() {
    let configs = localized(&["a", "b", "c"]);
    let options = WorkerPool::builder().configs(configs.base()).plugin_path(misbehaving_plugins());
    let pool = options.max_templates(2).build().unwrap();
    let [a, b] = ["a", "b"].map(|project| identity(&pool, project)["pid"].clone());
    identity(&pool, "c");
    let stats = pool.stats();
    assert_eq!((stats.forked, stats.started, stats.templates), (2, 1, 2));
    pool.evict("b");
    until("the third has a template", || {
        pool.evict("c");
        identity(&pool, "c");
        assert_eq!(pool.stats().templates, 2);
        pool.stats().forked == 3
    });
    // That of the first has not ended: another one can be forked.
    assert_eq!(identity(&pool, "a")["pid"], a);
    pool.evict("a");
    assert_ne!(identity(&pool, "a")["pid"], a);
    assert_ne!(identity(&pool, "b")["pid"], b);
    assert_eq!(pool.stats().templates, 2);
}

#[test]
fn there_are_no_more_templates_than_there_may_be_workers() {
    let projects = ["a", "b", "c", "d"];
    let configs = localized(&projects);
    let options = WorkerPool::builder().configs(configs.base()).plugin_path(misbehaving_plugins());
    let pool = options.max_workers(1).build().unwrap();
    for project in projects {
        identity(&pool, project);
        assert_eq!(pool.stats().templates, 1);
    }
    assert_eq!(pool.stats().evicted, 3);
}

#[test]
fn templates_that_are_not_needed_for_long_end_too() {
    let configs = localized(&["a"]);
    let options = WorkerPool::builder().configs(configs.base()).plugin_path(misbehaving_plugins());
    let pool = options.idle_timeout(std::time::Duration::from_millis(50)).build().unwrap();
    identity(&pool, "a");
    until("both have ended", || pool.stats().templates == 0 && pool.stats().idle_ended == 1);
    identity(&pool, "a");
    assert_eq!(pool.stats().forked, 2);
}

#[test]
fn a_worker_whose_template_was_replaced_is_still_reaped_by_it() {
    let configs = Configs::new().unwrap();
    configs.attached("a", &Core::newer("v0.24.0")).unwrap();
    configs.attached("b", &Core::newer("v0.24.0")).unwrap();
    let options = WorkerPool::builder().configs(configs.base()).plugin_path(misbehaving_plugins());
    let pool = options.revalidate_after(None).build().unwrap();
    identity(&pool, "a");
    configs.upgrade("a", &Core::newer("v0.24.1")).unwrap();
    identity(&pool, "b");
    assert_eq!((pool.stats().forked, pool.stats().templates), (2, 1));
    let error = pool.call::<Value>("a", Call::new("bad_exits:at_once").arg(7)).unwrap_err();
    assert!(error.to_string().contains("status 7"), "{error}");
}

#[test]
fn a_core_that_cannot_be_forked_has_its_workers_started() {
    let configs = Configs::new().unwrap();
    let core = configs.localized("a", &Core::newer("v0.24.0")).unwrap();
    let tank = Configs::python(&core).join("tank/__init__.py");
    let text = std::fs::read_to_string(&tank).unwrap();
    let thread = "import threading\n_wait = threading.Event()\nthreading.Thread(target=_wait.wait, \
                  daemon=True).start()\n";
    std::fs::write(&tank, text + thread).unwrap();
    let pool = pool(&configs, true);
    assert_eq!(identity(&pool, "a")["threads"], 2);
    assert_eq!((pool.stats().started, pool.stats().forked), (1, 0));
}

#[test]
fn workers_live_on_when_their_template_dies() {
    let configs = Configs::new().unwrap();
    configs.localized("a", &Core::newer("v0.24.0")).unwrap();
    let pool = pool(&configs, true);
    let before = identity(&pool, "a")["pid"].as_u64().unwrap();
    let parent = || -> i32 {
        let stat = std::fs::read_to_string(format!("/proc/{before}/stat")).unwrap();
        stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap()
    };
    let template = parent();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(template).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    until("the worker has another parent", || parent() != template);
    assert_eq!(identity(&pool, "a")["pid"], before);
    // One that dies without a parent that tells how is replaced, from a new template.
    assert!(pool.call::<Value>("a", Call::new("bad_exits:at_once").arg(1)).is_err());
    assert_ne!(identity(&pool, "a")["pid"], before);
}

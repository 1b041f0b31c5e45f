//! The published recipe on these fixtures fails as it does on real cores: fixtures on which it works would
//! prove nothing. `project_a` is newer and localized, `project_b` older and attached, `project_c` on the
//! studio's older core, `project_d` newer and localized, of another version.

#[path = "python/mod.rs"]
mod python;

use python::run;
use sgtk_host_fixtures::{Configs, Core, bundled};

#[test]
fn as_it_was_published_it_fails_at_the_second_project() {
    let told = run(
        &bundled().unwrap(),
        "
print(import_sgtk('project_a', verbatim=True).__version__)
print(attempt(lambda: import_sgtk('project_b', verbatim=True)))
",
    );
    assert_eq!(told, ["v0.24.0", "RuntimeError: dictionary changed size during iteration"]);
}

#[test]
fn alone_in_a_process_every_project_imports() {
    let configs = bundled().unwrap();
    for (project, version) in sgtk_host_fixtures::bundled_versions() {
        let told = run(&configs, &format!("print(import_sgtk('{project}').__version__)"));
        assert_eq!(told, [version], "{project}");
    }
}

#[test]
fn in_one_process_two_of_five_imports_fail_and_one_is_a_mix() {
    let told = run(
        &bundled().unwrap(),
        "
for project in ('project_a', 'project_b', 'project_c', 'project_d', 'project_a'):
    outcome = attempt(import_sgtk, project).split(':')[0]
    tank = sys.modules.get('tank')
    print(project, outcome, tank and tank.__version__, tank and sys.modules['shotgun_api3'].CORE_VERSION)
",
    );
    assert_eq!(
        told,
        [
            "project_a fine v0.24.0 v0.24.0",
            "project_b ImportError None None",
            "project_c ImportError None None",
            "project_d fine v0.23.8 v0.24.0",
            "project_a fine v0.24.0 v0.24.0",
        ]
    );
}

#[test]
fn after_a_newer_core_the_older_ones_fail() {
    let told = run(
        &bundled().unwrap(),
        "
import_sgtk('project_a')
print(attempt(import_sgtk, 'project_b'))
print(attempt(import_sgtk, 'project_c'))
",
    );
    for line in &told {
        assert!(
            line.starts_with("ImportError: cannot import name 'sgsix' from 'shotgun_api3.lib'"),
            "{line}"
        );
        assert!(line.contains("project_a"), "{line}");
    }
    assert_eq!(told.len(), 2);
}

#[test]
fn a_newer_core_runs_the_libraries_and_the_finder_of_the_newer_one_before() {
    let told = run(
        &bundled().unwrap(),
        "
import_sgtk('project_a')
sgtk = import_sgtk('project_d')
print(sgtk.__version__, sgtk.util.shotgun.API_VERSION, sgtk.util.yaml_cache.YAML_VERSION)
print(sys._tank_vendor_meta_finder.core_version)
print(sys.modules['tank_vendor'].certificate_wrappers())
print([name for name in sgtk.util.foreign_modules() if name.startswith('tank')])
",
    );
    assert_eq!(
        told,
        [
            "v0.23.8 v0.24.0 v0.24.0",
            "v0.24.0",
            "['v0.23.8', 'v0.24.0']",
            "['tank_vendor.flow_data_sdk', 'tank_vendor.packaging', 'tank_vendor.shotgun_api3', \
             'tank_vendor.shotgun_api3.lib', 'tank_vendor.shotgun_api3.lib.httplib2', 'tank_vendor.yaml']",
        ]
    );
}

#[test]
fn a_pointer_that_ends_in_a_newline_silently_gives_another_projects_core() {
    let configs = bundled().unwrap();
    let shared = configs.shared(&Core::older("v0.22.5"));
    configs.pointer("project_b", format!("{}\n", shared.display())).unwrap();
    let told = run(
        &configs,
        "
import_sgtk('project_a')
print(os.path.isdir(sys.path[0]), import_sgtk('project_b').__version__, os.path.isdir(sys.path[0]))
print('project_a' in sys.modules['tank'].__file__)
",
    );
    // The zip that the core put first is not a folder either; it was taken off, and the core's own entry
    // stayed.
    assert_eq!(told, ["False v0.24.0 False", "True"]);
}

#[test]
fn the_path_grows_with_every_swap() {
    let told = run(
        &bundled().unwrap(),
        "
for _ in range(4):
    import_sgtk('project_a'), import_sgtk('project_d')
    print(len(sys.path))
",
    );
    let lengths: Vec<usize> = told.iter().map(|line| line.parse().unwrap()).collect();
    let steps: Vec<usize> = lengths.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(steps, [4, 4, 4], "two zips and the core, less one, for each of two swaps");
}

#[test]
fn every_swap_leaves_a_log_handler() {
    let told = run(
        &bundled().unwrap(),
        "
for project in ('project_a', 'project_d', 'project_e', 'project_a'):
    import_sgtk(project)
    print([handler.core_version for handler in logging.getLogger('sgtk').handlers])
",
    );
    assert_eq!(told[3], "['v0.24.0', 'v0.23.8', 'v0.23.10', 'v0.24.0']");
}

#[test]
fn modules_whose_names_only_start_like_toolkits_are_gone_for_good() {
    let told = run(
        &bundled().unwrap(),
        "
sys.path.append(HOST_PACKAGES)
import tankobon, sgtk_studio_utils
tankobon.state['opened'] = 1
import_sgtk('project_a')
print([name in sys.modules for name in ('tankobon', 'tankobon.volume', 'sgtk_studio_utils')])
import tankobon as again
print(again is tankobon, again.state)
",
    );
    assert_eq!(told, ["[False, False, False]", "False {'opened': 0}"]);
}

#[test]
fn a_failed_import_leaves_no_usable_toolkit() {
    let told = run(
        &bundled().unwrap(),
        "
import_sgtk('project_a')
attempt(import_sgtk, 'project_b')
print('sgtk' in sys.modules, 'tank' in sys.modules, 'tank_vendor.shotgun_api3' in sys.modules)
print(attempt(importlib.import_module, 'sgtk').split(':')[0])
",
    );
    assert_eq!(told, ["False False True", "ImportError"]);
}

#[test]
fn a_late_import_of_the_core_before_lands_in_the_one_after() {
    let told = run(
        &bundled().unwrap(),
        "
before = import_sgtk('project_a')
import_sgtk('project_d')
for kind in ('from_absolute', 'from_relative', 'absolute', 'the_core', 'by_importlib'):
    print(before.__version__, kind, before.util.late(kind)[kind])
",
    );
    assert_eq!(
        told,
        [
            "v0.24.0 from_absolute v0.23.8",
            // A relative import too: the name that it stands for is looked up in `sys.modules`.
            "v0.24.0 from_relative v0.23.8",
            "v0.24.0 absolute v0.23.8",
            "v0.24.0 the_core v0.23.8",
            "v0.24.0 by_importlib v0.23.8",
        ]
    );
}

#[test]
fn a_plugin_stays_with_the_core_that_it_imported_at_the_top() {
    let configs = bundled().unwrap();
    let told = run(
        &configs,
        &format!(
            "
sys.path.append({:?})
import_sgtk('project_a')
import report_core
import_sgtk('project_d')
import report_core
print(report_core.report_core(None, logging, {{'id': 1, 'project': 'project_d'}}, None)['version'])
",
            sgtk_host_fixtures::plugins().display().to_string()
        ),
    );
    assert_eq!(told, ["v0.24.0"]);
}

#[test]
fn cores_that_were_swapped_out_stay_in_memory() {
    let told = run(
        &bundled().unwrap(),
        "
import gc, weakref
pinned = weakref.ref(import_sgtk('project_a').util.pins.Pinned)
handler = weakref.ref(sys.modules['tank.log'].CoreHandler)
for project in ('project_d', 'project_a', 'project_d'):
    import_sgtk(project)
gc.collect()
print(pinned() is not None, handler() is not None)
",
    );
    assert_eq!(told, ["True True"]);
}

#[test]
fn attached_and_studio_cores_get_no_configuration() {
    // The recipe goes past the API proxy, which would have named it.
    let configs = Configs::new().unwrap();
    configs.attached("project_b", &Core::older("v0.22.5")).unwrap();
    let told = run(&configs, "import_sgtk('project_b'); print(os.environ.get('TANK_CURRENT_PC'))");
    assert_eq!(told, ["None"]);
}

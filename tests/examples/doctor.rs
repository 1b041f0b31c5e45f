use serde_json::Value;
use sgtk_host_fixtures::{Broken, Configs, Core, bundled_versions};

use crate::program::{Ran, example, run};

fn examine(configs: Option<&Configs>, arguments: &[&str]) -> Ran {
    let mut command = example("doctor");
    command.args(arguments);
    if let Some(configs) = configs {
        command.arg(configs.base());
    }
    run(command, "")
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

#[test]
fn the_fixtures_are_right_and_all_fields_say_so() {
    let ran = examine(None, &["--json", "--rounds", "60"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let found = json(&ran);
    assert_eq!(found["right"], true);
    assert!(found["python"]["version"].as_str().unwrap().starts_with("3."));
    assert!(found["python"]["executable"].is_string());
    assert!(found["python"].get("library").is_some());
    assert!(found["configs"].is_string());

    let projects = found["projects"].as_array().unwrap();
    assert_eq!(projects.len(), bundled_versions().len());
    for (project, (name, version)) in projects.iter().zip(bundled_versions()) {
        assert_eq!(project["project"], name);
        assert_eq!(project["version"], version);
        assert_eq!(project["imported_version"], version);
        assert!(["localized", "attached", "studio"].contains(&project["kind"].as_str().unwrap()));
        assert!(project["core"].as_str().unwrap().ends_with("core"));
        assert!(project["modules"].as_u64().unwrap() > 10);
        assert!(project["import_ms"].as_f64().unwrap() > 0.0);
        assert_eq!(project["error"], Value::Null);
        assert_eq!(project["trail"][0]["rule"], "configuration");
        assert!(project["trail"][0]["path"].as_str().unwrap().ends_with(name));
        assert_eq!(project["trail"][0]["found"], "a folder");
    }

    let pairs = projects.len() * (projects.len() - 1);
    assert_eq!(found["pairs_tried"], pairs);
    assert_eq!(found["pairs_right"], pairs);
    assert_eq!(found["pairs_not_tried"], 0);
    assert_eq!(found["foreign"], Value::Array(Vec::new()));
    assert_eq!(found["errors"], Value::Array(Vec::new()));
    assert_eq!(found["rounds"], 60);
    assert_eq!(found["rounds_right"], 60);
    let (p50, p99) = (found["swap_us"]["p50"].as_u64().unwrap(), found["swap_us"]["p99"].as_u64().unwrap());
    assert!(0 < p50 && p50 <= p99, "{p50} {p99}");
    if cfg!(target_os = "linux") {
        assert!(found["memory"]["before"].as_u64().unwrap() > 0);
        assert!(found["memory"]["after"].as_u64().unwrap() > 0);
    }
}

#[test]
fn the_tables_say_that_the_fixtures_are_right() {
    let ran = examine(None, &["--rounds", "10"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    for (project, version) in bundled_versions() {
        let is_row = |line: &str| {
            let words: Vec<_> = line.split_whitespace().collect();
            words.get(1) == Some(&project) && words.get(4) == Some(&version) && words.last() == Some(&"ok")
        };
        assert!(ran.stdout.lines().any(is_row), "{project}: {}", ran.stdout);
    }
    assert_eq!(ran.figure("pairs right"), ran.figure("pairs tried"));
    assert_eq!(ran.figure("rounds right"), "10");
    assert!(ran.stdout.ends_with("Everything is right.\n"), "{}", ran.stdout);
}

#[test]
fn projects_that_cannot_be_imported_are_wrong_and_harm_no_other() {
    let configs = Configs::new().unwrap();
    configs.localized("a", &Core::newer("v0.24.0")).unwrap();
    configs.broken("b_leaves_traces", Broken::LeavesTraces).unwrap();
    configs.attached("c", &Core::older("v0.22.5")).unwrap();
    configs.attached("d_lost", &Core::older("v0.22.5")).unwrap();
    configs.pointer("d_lost", "relative/path").unwrap();

    let ran = examine(Some(&configs), &["--json", "--rounds", "5"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    let found = json(&ran);
    assert_eq!(found["right"], false);
    let errors: Vec<_> =
        found["projects"].as_array().unwrap().iter().map(|project| project["error"].as_str()).collect();
    assert!(errors[0].is_none() && errors[2].is_none(), "{errors:?}");
    assert!(errors[1].unwrap().contains("ImportError"), "{errors:?}");
    assert!(errors[3].unwrap().contains("relative/path"), "{errors:?}");
    assert_eq!(found["errors"].as_array().unwrap().len(), 2, "{found}");
    assert_eq!(found["errors"][0]["during"], "import of b_leaves_traces");
    assert_eq!((&found["pairs_tried"], &found["pairs_right"]), (&2.into(), &2.into()));
    assert_eq!(found["pairs_not_tried"], 10);

    let ran = examine(Some(&configs), &["--rounds", "5"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    let verdict = ran.stdout.lines().last().unwrap();
    assert!(verdict.starts_with("Something is wrong: 2 of 4 projects cannot be imported"), "{verdict}");
}

#[test]
fn each_configuration_is_in_the_table_with_its_number_or_with_what_is_wrong() {
    let configs = Configs::new().unwrap();
    configs.localized("main", &Core::newer("v0.24.0")).unwrap();
    configs.project("main", 87, "client/show", "Primary").unwrap();
    configs.localized("half", &Core::newer("v0.24.0")).unwrap();
    std::fs::remove_file(configs.config("half").join("install/core/info.yml")).unwrap();
    std::fs::remove_dir_all(configs.config("half").join("install/core/python")).unwrap();
    configs.attached("lost", &Core::older("v0.22.5")).unwrap();
    configs.pointer("lost", "/no/such\n/folder\n").unwrap();
    configs.localized("not_yaml", &Core::newer("v0.24.0")).unwrap();
    std::fs::write(configs.config("not_yaml").join("config/core/pipeline_configuration.yml"), "a: [\n")
        .unwrap();

    let ran = examine(Some(&configs), &["--rounds", "2"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    let row = |name: &str| {
        let mut rows = ran.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|words| words.get(1) == Some(&name) && words.len() > 7);
        row.unwrap_or_else(|| panic!("no row of {name}: {}", ran.stdout)).join(" ")
    };
    assert!(row("main").contains(" main 87 localized v0.24.0 v0.24.0 ") && row("main").ends_with(" ok"));
    assert!(row("half").contains("incomplete") && row("half").contains("python"), "{}", row("half"));
    assert!(row("lost").contains("/no/such"), "{}", row("lost"));
    assert!(row("not_yaml").contains("pipeline_configuration.yml"), "{}", row("not_yaml"));
    // The whole of it stands below.
    assert!(ran.stdout.contains("import of lost:\n"), "{}", ran.stdout);

    let found = json(&examine(Some(&configs), &["--json", "--rounds", "2"]));
    let of = |name: &str| {
        let projects = found["projects"].as_array().unwrap();
        projects.iter().find(|project| project["project"] == name).unwrap().clone()
    };
    assert_eq!((&of("main")["id"], &of("main")["configuration"]), (&87.into(), &"Primary".into()));
    assert_eq!(found["projects"].as_array().unwrap().len(), 4);
    assert_eq!(found["pairs_not_tried"], 12);
}

#[test]
fn a_sample_of_the_pairs_has_each_project_come_before_and_after_others() {
    let configs = Configs::new().unwrap();
    for number in 0..5 {
        let core = if number % 2 == 0 { Core::newer("v0.24.0") } else { Core::older("v0.22.5") };
        configs.attached(&format!("project_{number}"), &core).unwrap();
    }
    let ran = examine(Some(&configs), &["--pairs", "sample", "--rounds", "2"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    // One, two and four places further.
    assert_eq!(ran.figure("pairs tried"), "15  (a sample)");
    assert_eq!(ran.figure("pairs right"), "15");
    let marks: Vec<_> =
        ran.stdout.lines().skip_while(|line| !line.starts_with("from\\to")).skip(1).take(5).collect();
    for row in &marks {
        assert_eq!((row.matches('.').count(), row.matches('-').count()), (3, 1), "{marks:?}");
    }
}

#[cfg(unix)]
#[test]
fn on_a_terminal_a_bar_tells_how_far_it_is_and_elsewhere_there_is_none() {
    let ran = examine(None, &["--rounds", "5"]);
    assert!(!ran.stderr.contains("importing"), "{ran:?}");
    let python = std::env::var("PYO3_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut command = std::process::Command::new(python);
    command.args(["-c", "import pty, sys; pty.spawn(sys.argv[1:])"]);
    command.arg(example("doctor").get_program()).args(["--rounds", "5"]);
    let ran = run(command, "");
    for shown in ["importing", "swapping pairs", "left", "Everything is right."] {
        assert!(ran.stdout.contains(shown), "{shown}: {ran:?}");
    }
}

#[test]
fn a_folder_without_projects_is_wrong() {
    let configs = Configs::new().unwrap();
    let ran = examine(Some(&configs), &[]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stdout.ends_with("Something is wrong: there are no projects.\n"), "{}", ran.stdout);
}

#[test]
fn a_folder_that_is_not_there_is_an_error_that_names_it() {
    let ran = examine(None, &["/no/such/folder"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("/no/such/folder"), "{ran:?}");
}

#[test]
fn wrong_arguments_are_answered_with_the_usage() {
    let cases: [&[&str]; 7] = [
        &["--nonsense"],
        &["--pairs"],
        &["--pairs", "some"],
        &["--rounds"],
        &["--rounds", "-1"],
        &["a", "b"],
        &[""],
    ];
    for arguments in cases {
        let ran = examine(None, arguments);
        assert_eq!(ran.status, 2, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains("usage: doctor"), "{arguments:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
}

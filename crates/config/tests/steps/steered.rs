//! Nothing in the environment decides what the caller has not asked for.

use sgtk_config::STEERING_VARIABLES;

use crate::studio::{project, run, studio};

const WHERE: &str = "
engine = boot()
told = steps.describe(engine)
print(told['project_id'], told['configuration_id'], told['core_version'], told['differences'])
";

#[test]
fn a_configuration_of_another_project_in_the_environment_is_not_taken() {
    let studio = studio();
    let environment = [("SHOTGUN_PIPELINE_CONFIGURATION_ID", "1176")];
    assert_eq!(run(&studio, project(&studio, 177), &environment, WHERE), ["177 1177 v0.23.8 []"]);
}

#[test]
fn an_override_in_the_environment_is_taken_only_where_overrides_are_allowed() {
    let studio = studio();
    let folder = studio.configuration(176);
    let environment = [("TK_BOOTSTRAP_CONFIG_OVERRIDE", folder.to_str().unwrap())];
    assert_eq!(run(&studio, project(&studio, 177), &environment, WHERE), ["177 1177 v0.23.8 []"]);
    let allowed = project(&studio, 177).allow_config_overrides(true);
    assert_eq!(run(&studio, allowed, &environment, WHERE), ["177 None v0.22.7 []"]);
}

#[test]
fn a_projects_code_finds_none_of_the_variables_that_steer_unless_they_are_its_own() {
    let studio = studio();
    let environment: Vec<_> = STEERING_VARIABLES.iter().map(|name| (*name, "1176")).collect();
    let script = "
boot()
print(sorted(name for name in OPTIONS['steering_variables'] if name in os.environ), os.environ['STUDIO_CORE'])
";
    let own = project(&studio, 177).variable("SHOTGUN_SITE", "x").variable("STUDIO_CORE", "24");
    assert_eq!(run(&studio, own, &environment, script), ["['SHOTGUN_SITE'] 24"]);
}

/// What steers another project's bootstrap in Toolkit's own manager: the fixtures have the hazard.
#[test]
fn toolkits_own_manager_is_steered() {
    let studio = studio();
    let environment = [("SHOTGUN_PIPELINE_CONFIGURATION_ID", "1176")];
    let script = "
import sgtk
user = steps._user(sgtk, OPTIONS)
manager = sgtk.bootstrap.ToolkitManager(sg_user=user)
print(manager.pipeline_configuration)
";
    assert_eq!(run(&studio, project(&studio, 177), &environment, script), ["1176"]);
}

#[test]
fn every_variable_that_steers_is_in_the_documentation() {
    let table =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/variables.md")).unwrap();
    for name in STEERING_VARIABLES {
        assert!(table.contains(&format!("| `{name}` |")), "{name}");
    }
}

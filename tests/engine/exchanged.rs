//! Bootstraps that put another generation's core in the place of the one that they start from.

use sgtk_host_fixtures::{Core, Project, Studio};

use crate::support::{alone, assert_own, bootstrap, host};

#[test]
fn a_core_whose_first_import_is_that_of_its_other_name_takes_the_place_of_another() {
    alone(
        "exchanged::a_core_whose_first_import_is_that_of_its_other_name_takes_the_place_of_another",
        || {
            let [older, newer] = [Core::older("v0.22.7"), Core::newer("v0.24.0")];
            for (start, own) in [(&newer, &older), (&older, &newer), (&older, &older), (&newer, &newer)] {
                let studio = Studio::new(start).unwrap();
                studio.project(&Project::new(176, "bunny", own.clone())).unwrap();
                let host = host(&studio);
                for _ in 0..2 {
                    let engine = bootstrap(&host, &studio, 176);
                    assert_own(&engine, own.version());
                    engine.destroy().unwrap();
                }
            }
        },
    );
}

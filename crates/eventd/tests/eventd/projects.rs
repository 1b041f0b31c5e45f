//! Plugins that run on their project's core.

use std::fs;

use sgtk_host_fixtures::{Core, Project};

use crate::daemon::{Studio, event, over_both};

over_both!(
    with_a_lane_for_each_plugin_of_a_project_a_slow_one_delays_nobody,
    a_project_whose_configuration_the_site_names_is_bootstrapped_by_its_id,
);

const SLOW: &str = "
import time

def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note)

def note(sg, logger, event, args):
    import sgtk
    while not os.path.exists('go'):
        time.sleep(0.01)
    done('slow', event['id'], sgtk.__version__)
";

const GOOD: &str = "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note)

def note(sg, logger, event, args):
    import sgtk
    done('good', event['id'], sgtk.__version__)
";

fn with_a_lane_for_each_plugin_of_a_project_a_slow_one_delays_nobody(mut studio: Studio) {
    studio.set("sgtk", "lanes: plugin");
    studio.project_plugin("a_slow.py", SLOW);
    studio.project_plugin("b_good.py", GOOD);
    studio.configuration(176, "bunny", "v0.24.0");
    let daemon = studio.start_polling();
    let ids = studio.events("A", &[Some(176); 3]);
    let of = |word: &str| ids.iter().map(|id| format!("{word} {id} v0.24.0")).collect::<Vec<_>>();
    assert_eq!(studio.until_recorded(3), of("good"));
    // A new plugin has a lane of its own as well.
    studio.project_plugin("c_new.py", &GOOD.replace("'good'", "'new'"));
    studio.until("it has a lane", || studio.said(&["status"]).contains("c_new"));
    let more = studio.events("A", &[Some(176)])[0];
    let record = studio.until_recorded(5);
    assert!(record.contains(&format!("new {more} v0.24.0")), "{record:?}");
    fs::write(studio.path("go"), "").unwrap();
    assert_eq!(studio.until_recorded(9)[5..8], of("slow"));
    assert!(daemon.stop().success());
}

fn a_project_whose_configuration_the_site_names_is_bootstrapped_by_its_id(mut studio: Studio) {
    let distributed = sgtk_host_fixtures::Studio::new(&Core::newer("v0.24.0")).unwrap();
    for (id, name, version) in [(276, "agent", "v0.22.7"), (277, "caminandes", "v0.23.8")] {
        let core = if version < "v0.23" { Core::older(version) } else { Core::newer(version) };
        distributed.project(&Project::new(id, name, core)).unwrap();
    }
    let site = distributed.site();
    for (name, key) in [("daemon", "a-daemons-key"), ("plugin", "a-plugins-key")] {
        site.script_user(name, key).unwrap();
    }
    studio
        .set("shotgun", &format!("server: {}", site.url()))
        .set("sgtk", &format!("core: {}", distributed.start().display()))
        .env("SHOTGUN_HOME", distributed.home());
    studio.project_plugin("good.py", GOOD);
    studio.configuration(176, "bunny", "v0.24.0");
    site.events(&[event("Before_Everything", None)]).unwrap();
    let daemon = studio.start();
    let polled = || site.counts().unwrap().get("read:EventLogEntry").copied().unwrap_or(0) > 1;
    studio.until("it polls", polled);
    // By folder, by the site, and one of which nobody knows a configuration.
    let entries = [176, 276, 277, 999].map(|id| event("A", Some(id)));
    let ids = site.events(&entries).unwrap();
    let mut record = studio.until_recorded(3);
    record.sort();
    let wanted = ["v0.24.0", "v0.22.7", "v0.23.8"].iter().zip(&ids);
    let mut wanted: Vec<_> = wanted.map(|(version, id)| format!("good {id} {version}")).collect();
    wanted.sort();
    assert_eq!(record, wanted);
    assert!(!studio.log("daemon").contains("a-daemons-key"));
    assert!(daemon.stop().success());
    let told = studio.said(&["check"]);
    for words in
        ["project 176: the core of 'bunny' works", "project 276: bootstrapped", "project 277: bootstrapped"]
    {
        assert!(told.contains(words), "{words}: {told}");
    }
}

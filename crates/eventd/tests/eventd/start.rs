//! From start to stop.

use crate::daemon::{Studio, over_both};

over_both!(plugins_of_both_kinds_get_the_events_of_two_projects_and_a_restart_goes_on);

const EVENTS: &str = "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note, None, 'the args')

def note(sg, logger, event, args):
    project = event['project'] and event['project']['id']
    found = sg.find_one('Project', [['id', 'is', project]], ['name']) if project else None
    logger.info('seen %d', event['id'])
    done('plain', event['id'], event['event_type'], found and found['name'], args)
";

const TOOLKIT: &str = "
import sgtk

def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note, {'Shotgun_Shot_New': None})

def note(sg, logger, event, args):
    done('core', event['id'], event['project']['id'], sgtk.__version__)
";

fn plugins_of_both_kinds_get_the_events_of_two_projects_and_a_restart_goes_on(studio: Studio) {
    studio.plugin("note.py", EVENTS);
    studio.project_plugin("versions.py", TOOLKIT);
    studio.configuration(176, "bunny", "v0.24.0");
    studio.configuration(177, "sintel", "v0.23.8");
    let daemon = studio.start_polling();
    let ids = studio.events("Shotgun_Shot_New", &[Some(176), Some(177), None, Some(176)]);
    let mut record = studio.until_recorded(7);
    record.sort();
    let wanted = [
        format!("core {} 176 v0.24.0", ids[0]),
        format!("core {} 177 v0.23.8", ids[1]),
        format!("core {} 176 v0.24.0", ids[3]),
        format!("plain {} Shotgun_Shot_New bunny the args", ids[0]),
        format!("plain {} Shotgun_Shot_New sintel the args", ids[1]),
        format!("plain {} Shotgun_Shot_New None the args", ids[2]),
        format!("plain {} Shotgun_Shot_New bunny the args", ids[3]),
    ];
    let mut wanted = wanted.to_vec();
    wanted.sort();
    assert_eq!(record, wanted);
    assert!(studio.log("plugin.note").contains(&format!(" - plugin.note.note - INFO - seen {}", ids[3])));
    assert!(studio.log("daemon.timing").contains(&format!("event_id={}", ids[0])));
    assert!(daemon.stop().success());

    // What happens meanwhile is not lost, and nothing comes again.
    let more = studio.events("Shotgun_Asset_New", &[Some(177)]);
    let daemon = studio.start_polling();
    let record = studio.until_recorded(8);
    assert_eq!(record[7], format!("plain {} Shotgun_Asset_New sintel the args", more[0]));
    assert!(daemon.stop().success());
    assert_eq!(studio.record().len(), 8);
}

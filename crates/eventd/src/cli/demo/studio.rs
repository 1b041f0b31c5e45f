//! The demo's studio: a site on which something happens, plugins of all kinds, projects with cores of their
//! own.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sgtk_host_fixtures::{Configs, Core, Site};

/// What the page's buttons want to know.
pub(super) const TOKEN: &str = "demo";

const KEY: &str = "a-key-for-the-demo";

const PROJECTS: [(i64, &str, &str); 3] =
    [(70, "bunny", "v0.24.0"), (71, "sintel", "v0.23.8"), (72, "tears", "v0.22.5")];

/// The plugins, plain ones and those that run on their project's core.
const PLUGINS: [(&str, &str, &str); 4] = [
    ("plugins", "status_notes.py", include_str!("plugins/status_notes.py")),
    ("plugins", "thumbnails.py", include_str!("plugins/thumbnails.py")),
    ("plugins", "billing.py", include_str!("plugins/billing.py")),
    ("toolkit_plugins", "folders.py", include_str!("plugins/folders.py")),
];

/// The demo's studio. It goes when this value does.
pub(super) struct Studio {
    site: Site,
    folder: tempfile::TempDir,
    _configs: Configs,
}

impl Studio {
    /// Starts the site by `python3`, and writes all files.
    pub(super) fn new() -> io::Result<Studio> {
        let site = Site::start_by("python3".as_ref())
            .map_err(|error| io::Error::other(format!("cannot start the demo's site by python3: {error}")))?;
        for script in ["daemon", "plugins"] {
            site.script_user(script, KEY)?;
        }
        let folder = tempfile::Builder::new().prefix("sgtk-eventd-demo-").tempdir()?;
        let configs = Configs::new()?;
        for (id, name, version) in PROJECTS {
            site.project(id, name)?;
            let core = if version < "v0.23" { Core::older(version) } else { Core::newer(version) };
            let config = configs.localized(name, &core)?;
            let about = format!("pc_id: {id}\npc_name: Primary\nproject_id: {id}\nproject_name: {name}\n");
            fs::write(config.join("config/core/pipeline_configuration.yml"), about)?;
            for shot in 1..=4 {
                site.entity(json!({
                    "type": "Shot", "id": id * 100 + shot, "code": format!("{name}_{shot:03}0"), "sg_status_list": "wtg",
                    "project": { "type": "Project", "id": id, "name": name },
                }))?;
            }
        }
        for name in ["plugins", "toolkit_plugins", "client"] {
            fs::create_dir(folder.path().join(name))?;
        }
        for (place, name, source) in PLUGINS {
            fs::write(folder.path().join(place).join(name), source)?;
        }
        let client = include_str!("../../python/demo_client.py");
        fs::write(folder.path().join("client/shotgun_api3.py"), client)?;
        let studio = Studio { site, folder, _configs: configs };
        studio.write_config(&studio._configs.base())?;
        Ok(studio)
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn config_file(&self) -> PathBuf {
        self.folder.path().join(crate::config::FILE_NAME)
    }

    fn write_config(&self, configs: &Path) -> io::Result<()> {
        let folder = self.folder.path().display();
        let text = format!(
            "[daemon]\nlogMode: 1\nlogPath: {folder}/logs\nlogFile: eventd\nlogging: 20\ntiming_log: on\n\
             fetch_interval: 0.5\nconn_retry_sleep: 5\nmax_conn_retries: 5\n\n\
             [shotgun]\nserver: {}\nname: daemon\nkey: {KEY}\nuse_session_uuid: True\n\n\
             [plugins]\npaths: {folder}/plugins\n\n\
             [sgtk]\npaths: {folder}/toolkit_plugins\nconfigs: {}\n\n\
             [eventd]\nstate: {folder}/state.db\nlanes: plugin\npython_paths: {folder}/client\nattempts: 3\n\
             retry_after: 5\nmissing_timeout: 30\nhttp_token: {TOKEN}\n",
            self.site.url(),
            configs.display(),
        );
        fs::write(self.config_file(), text)
    }

    /// Has something happen on the site, about twice a second, until it is over: most events come at once,
    /// some late, some never.
    pub(super) fn live(&self, over: &AtomicBool) {
        let mut late: VecDeque<i64> = VecDeque::new();
        // No project has a turn twice in a row.
        for (turn, project) in (1u64..).zip(PROJECTS.iter().cycle()) {
            if over.load(Ordering::Relaxed) || self.turn(turn, project, &mut late).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(450));
        }
    }

    fn turn(&self, turn: u64, project: &(i64, &str, &str), late: &mut VecDeque<i64>) -> io::Result<()> {
        let held = turn.is_multiple_of(9);
        let ids = self.site.events(&[entry(project, turn, held)])?;
        if held {
            late.extend(ids);
        }
        if turn % 9 != 5 {
            return Ok(());
        }
        // It becomes visible a few events later, but for each third, which never does.
        match late.pop_front() {
            Some(id) if turn % 27 == 5 => self.site.roll_back(&[id]),
            Some(id) => self.site.commit(&[id]),
            None => Ok(()),
        }
    }
}

/// Something that an artist does.
fn entry((project, name, _): &(i64, &str, &str), turn: u64, held: bool) -> Value {
    let shot = project * 100 + 1 + (turn % 4).cast_signed();
    let who = ["Ada", "Ben", "Cleo"].into_iter().cycle().nth(turn as usize % 3);
    let status = ["ip", "rev", "fin", "omt"].into_iter().nth((turn / 3) as usize % 4);
    let (event_type, attribute, entity) = if turn.is_multiple_of(5) {
        let version = json!({ "type": "Version", "id": 1000 + turn, "name": format!("{name}_v{turn:03}") });
        ("Shotgun_Version_New", None, version)
    } else {
        let shot = json!({ "type": "Shot", "id": shot, "name": format!("{name}_{:03}0", 1 + turn % 4) });
        ("Shotgun_Shot_Change", Some("sg_status_list"), shot)
    };
    json!({
        "event_type": event_type, "attribute_name": attribute, "entity": entity, "hold": held,
        "project": { "type": "Project", "id": project, "name": name },
        "user": { "type": "HumanUser", "id": 1 + turn % 3, "name": who },
        "meta": { "type": "attribute_change", "new_value": status },
    })
}

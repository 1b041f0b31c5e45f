//! Bad days: what the person reads who is called at night, and that nothing is lost.

use std::fs;
use std::path::Path;

use sgtk_host_fixtures::{Broken, Core};

use crate::daemon::{NOTE, Studio, ids, over_both, python};

over_both!(
    a_core_that_is_being_upgraded_keeps_its_projects_events_waiting,
    a_project_that_is_archived_or_unknown_holds_nobody_up,
);

/// How large a file of the daemon's may become from now on.
#[cfg(target_os = "linux")]
pub(crate) fn limit_files(pid: u32, bytes: Option<u64>) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let pid = Pid::from_raw(pid.cast_signed());
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_keeps_events_waiting_and_loses_none() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    let waits = NOTE.replace(
        "    done(event['id'])",
        "    done(event['id'])\n    while event['event_type'] == 'Wait' and not \
         os.path.exists('go'):\n        time.sleep(0.01)",
    );
    studio.plugin("note.py", &format!("import time\n{waits}"));
    // A file that may not grow is refused with a signal, which would end the daemon.
    let daemon = studio.start_polling_by(&["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    let first = studio.events("Wait", &[None])[0];
    studio.until_recorded(1);
    let log = studio.path("ids.sgtk-eventd.db-wal");
    limit_files(daemon.pid(), Some(fs::metadata(&log).unwrap().len()));
    fs::write(studio.path("go"), "").unwrap();
    let more = studio.events("A", &[None; 5]);
    for words in ["what has become of an event cannot be written", "events cannot be written"] {
        studio.until(words, || studio.log("daemon").contains(words));
    }
    let told = studio.log("daemon");
    assert!(told.contains("ids.sgtk-eventd.db: "), "{told}");
    let status = studio.said(&["status"]);
    assert!(status.contains("events cannot be written"), "{status}");
    assert_eq!(studio.record(), ids(&[first]));
    limit_files(daemon.pid(), None);
    let all: Vec<i64> = [first].into_iter().chain(more).collect();
    assert_eq!(studio.until_recorded(6), ids(&all));
    studio.until("that is over", || !studio.said(&["status"]).contains("cannot be written"));
    assert!(daemon.stop().success());
    assert_eq!(studio.record().len(), 6);
}

/// A certificate authority of a studio's own, and certificates for `127.0.0.1` by it.
pub(crate) struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, "A studio");
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: rcgen::Issuer::new(params, key), pem }
    }

    /// Writes a certificate, valid until the end of a year, and its key.
    pub(crate) fn certify(&self, until: i32, chain: &Path, key: &Path) {
        let own = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 12, 31);
        params.use_authority_key_identifier_extension = true;
        fs::write(chain, params.signed_by(&own, &self.issuer).unwrap().pem()).unwrap();
        fs::write(key, own.serialize_pem()).unwrap();
    }
}

#[test]
fn a_certificate_that_has_expired_or_is_not_trusted_is_told_and_nothing_is_lost() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (chain, key) = (studio.path("chain.pem"), studio.path("key.pem"));
    fs::write(studio.path("authority.pem"), &authority.pem).unwrap();
    authority.certify(4000, &chain, &key);
    let port = studio.site.serve_tls(&chain, &key).unwrap();
    let trusted = studio.path("authority.pem");
    studio.set("shotgun", &format!("server: https://127.0.0.1:{port}")).env("SHOTGUN_API_CACERTS", trusted);
    studio.plugin("note.py", NOTE);
    let mut daemon = studio.start_polling();
    let mut all = studio.events("A", &[None]);
    studio.until_recorded(1);
    for (by, until, words) in [
        (&authority, 2001, "certificate has expired"),
        (&stranger, 4000, "unable to get local issuer certificate"),
    ] {
        assert!(daemon.stop().success());
        by.certify(until, &chain, &key);
        studio.site.serve_tls(&chain, &key).unwrap();
        let before = studio.log("daemon").len();
        daemon = studio.start();
        all.extend(studio.events("A", &[None]));
        let advice = "check the clock, the proxy and SHOTGUN_API_CACERTS";
        let told = || {
            let log = studio.log("daemon").split_off(before);
            log.lines()
                .any(|line| [words, advice, "cannot be asked"].iter().all(|words| line.contains(words)))
        };
        studio.until(words, told);
        // A good one again: the daemon goes on by itself.
        authority.certify(4000, &chain, &key);
        studio.site.serve_tls(&chain, &key).unwrap();
        assert_eq!(studio.until_recorded(all.len()), ids(&all));
    }
    assert!(daemon.stop().success());
}

fn a_core_that_is_being_upgraded_keeps_its_projects_events_waiting(studio: Studio) {
    let source = "
def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note)

def note(sg, logger, event, args):
    import sgtk
    done(event['id'], sgtk.__version__)
";
    studio.project_plugin("note.py", source);
    studio.configuration(176, "bunny", "v0.24.0");
    studio.configuration(177, "sintel", "v0.23.8");
    let daemon = studio.start_polling();
    let before = studio.events("A", &[Some(176), Some(177)]);
    let mut record = studio.until_recorded(2);
    record.sort();
    assert_eq!(record, [format!("{} v0.24.0", before[0]), format!("{} v0.23.8", before[1])]);
    // The upgrade is in the middle: what is there cannot be imported.
    studio.configs.upgrade("bunny", &Core::newer("v0.24.1").broken(Broken::HalfUpgraded)).unwrap();
    // The worker that is there has the old core until its files are looked at again.
    studio.kill_workers("bunny");
    let during = studio.events("A", &[Some(176), Some(177)]);
    assert_eq!(studio.until_recorded(3)[2], format!("{} v0.23.8", during[1]));
    let words = "the worker cannot be had; the event waits for it";
    studio.until("the log says so", || {
        studio.log("daemon").lines().any(|line| line.contains(words) && line.contains("bunny"))
    });
    studio.configs.upgrade("bunny", &Core::newer("v0.24.1")).unwrap();
    assert_eq!(studio.until_recorded(4)[3], format!("{} v0.24.1", during[0]));
    assert!(daemon.stop().success());
}

fn a_project_that_is_archived_or_unknown_holds_nobody_up(studio: Studio) {
    studio.project_plugin("note.py", NOTE);
    studio.plugin("all.py", &NOTE.replace("done(event['id'])", "done('all', event['id'])"));
    studio.configuration(176, "bunny", "v0.24.0");
    studio.configuration(177, "sintel", "v0.23.8");
    let daemon = studio.start_polling();
    let first = studio.events("A", &[Some(176)])[0];
    studio.until_recorded(2);
    // Archived: the site says so, and its configuration is gone from the disk.
    let project = serde_json::json!({ "type": "Project", "id": 176, "name": "bunny", "tank_name": "bunny", "archived": true });
    studio.site.entity(project).unwrap();
    let (config, aside) = (studio.configs.config("bunny"), studio.path("aside"));
    fs::rename(&config, &aside).unwrap();
    studio.kill_workers("bunny");
    // One that no configuration names, one that is archived, one that is well.
    let some = studio.events("A", &[Some(999), Some(176), Some(177)]);
    let record = studio.until_recorded(6);
    for line in [
        format!("all {}", some[0]),
        format!("all {}", some[1]),
        format!("all {}", some[2]),
        some[2].to_string(),
    ] {
        assert!(record.contains(&line), "{line}: {record:?}");
    }
    let told = |words: &str, name: &str| {
        studio.log("daemon").lines().any(|line| line.contains(words) && line.contains(name))
    };
    studio.until("the unknown one is told", || {
        told("no pipeline configuration names this project", "project=999")
    });
    studio.until("the archived one is told", || told("the event waits for it", "project=176"));
    let waits =
        || studio.said(&["status"]).lines().any(|line| line.contains(" 176 ") && line.contains(" 1 "));
    studio.until("its event waits", waits);
    // It comes back.
    fs::rename(&aside, &config).unwrap();
    assert_eq!(studio.until_recorded(7)[6], some[1].to_string());
    assert!(studio.record().contains(&first.to_string()));
    assert!(daemon.stop().success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_plugin_that_eats_memory_gets_a_new_process_and_the_others_lose_nothing() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    studio.set("eventd", "memory_limit: 150").set("eventd", "lanes: plugin");
    let hungry = "
eaten = []

def registerCallbacks(reg):
    reg.registerCallback('plugin', 'a-plugins-key', note)

def note(sg, logger, event, args):
    eaten.append(b'x' * (60 << 20))
    done('hungry', event['id'], os.getpid())
";
    studio.plugin("a_hungry.py", hungry);
    studio.plugin("b_good.py", &NOTE.replace("done(", "done('good', "));
    let daemon = studio.start_polling();
    let mut all = Vec::new();
    // One by one: the memory of a busy worker is measured ten times a second.
    for count in 1..=8 {
        all.extend(studio.events("A", &[None]));
        studio.until_recorded(2 * count);
        std::thread::sleep(std::time::Duration::from_millis(120));
    }
    let of = |name: &str| -> Vec<(i64, String)> {
        let record = studio.record();
        let lines = record.iter().filter_map(|line| line.strip_prefix(&format!("{name} ")));
        lines
            .map(|line| line.split_once(' ').unwrap_or((line, "")))
            .map(|(id, pid)| (id.parse().unwrap(), pid.to_owned()))
            .collect()
    };
    let hungry = of("hungry");
    assert_eq!(hungry.iter().map(|(id, _)| *id).collect::<Vec<_>>(), all);
    assert_eq!(of("good").iter().map(|(id, _)| *id).collect::<Vec<_>>(), all);
    let mut pids: Vec<_> = hungry.iter().map(|(_, pid)| pid).collect();
    pids.dedup();
    assert!(pids.len() > 1, "{hungry:?}");
    assert!(studio.log("daemon").contains("uses more memory than it may"), "{}", studio.log("daemon"));
    assert!(daemon.stop().success());
}

#[test]
fn a_storm_of_events_is_taken_in_order_and_the_state_is_tidy_afterwards() {
    let Some(python) = python() else { return };
    let count: usize =
        std::env::var("EVENTD_STORM").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let mut studio = Studio::new(python);
    studio.set("daemon", "logging: 20").set("daemon", "timing_log: off");
    studio.plugin("note.py", NOTE);
    let daemon = studio.start_polling();
    let all = studio.events("A", &vec![None; count]);
    studio.until("all are recorded", || studio.record().len() >= count);
    assert_eq!(studio.record(), ids(&all));
    studio.until("none is kept", || studio.said(&["status"]).contains("\n0 events kept"));
    assert!(daemon.stop().success());
}

#[test]
fn a_state_that_is_removed_while_the_daemon_runs_is_written_again_and_nothing_is_lost() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    let folder = studio.path("state");
    fs::create_dir(&folder).unwrap();
    studio.set("daemon", &format!("eventIdFile: {}", folder.join("ids").display()));
    studio.plugin("note.py", NOTE);
    studio.plugin("stops.py", &NOTE.replace("done(event['id'])", "raise ValueError('stop')"));
    let daemon = studio.start_polling();
    let mut all = studio.events("A", &[None; 2]);
    studio.until_recorded(2);
    fs::remove_dir_all(&folder).unwrap();
    all.extend(studio.events("A", &[None; 2]));
    studio.until_recorded(4);
    studio.until("it is told", || studio.log("daemon").contains("it was written there again"));
    // Commands reach it again, and no second daemon takes the state.
    studio.until("commands reach it", || studio.said_if_running(&["status"]).is_some());
    assert!(studio.refused(&["run"]).contains("is in use by process"));
    daemon.kill();
    let more = studio.events("A", &[None]);
    let daemon = studio.start_polling();
    all.extend(more);
    assert_eq!(studio.until_recorded(5), ids(&all));
    // The other one is at the event at which it had stopped.
    assert!(studio.said(&["status"]).contains("stop"), "{}", studio.said(&["status"]));
    assert!(daemon.stop().success());
}

#[test]
fn a_log_that_is_moved_or_removed_is_begun_anew_and_a_name_that_is_too_long_for_one_is_no_loss() {
    let Some(python) = python() else { return };
    let studio = Studio::new(python);
    let name = "n".repeat(252);
    studio.plugin(&format!("{name}.py"), "def registerCallbacks(reg):\n    reg.logger.info('here I am')\n");
    studio.plugin("note.py", &NOTE.replace("    done", "    logger.info('seen %d', event['id'])\n    done"));
    let daemon = studio.start_polling();
    let first = studio.events("A", &[None])[0];
    studio.until("it is in the log", || studio.log("plugin.note").contains(&format!("seen {first}")));
    fs::remove_dir_all(studio.path("logs")).unwrap();
    let second = studio.events("A", &[None])[0];
    studio.until("it is in the new one", || studio.log("plugin.note").contains(&format!("seen {second}")));
    assert!(daemon.stop().success());
    let daemon = studio.start_polling();
    studio.until("it is in the daemon's", || studio.log("daemon").contains("here I am"));
    assert!(daemon.stop().success());
}

#[test]
fn the_workers_files_are_there_again_where_something_has_cleaned_up_the_temporary_folder() {
    let Some(python) = python() else { return };
    let mut studio = Studio::new(python);
    let temporary = studio.path("temporary");
    fs::create_dir(&temporary).unwrap();
    studio.env("TMPDIR", temporary.clone());
    studio.plugin("note.py", NOTE);
    let daemon = studio.start_polling();
    let mut all = studio.events("A", &[None]);
    studio.until_recorded(1);
    for entry in fs::read_dir(&temporary).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    studio.kill_workers("-shotgun");
    all.extend(studio.events("A", &[None]));
    assert_eq!(studio.until_recorded(2), ids(&all));
    assert!(daemon.stop().success());
}

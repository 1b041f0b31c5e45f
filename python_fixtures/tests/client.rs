//! The site satisfies the real client, `shotgun_api3` as it is on PyPI.
//!
//! It is not needed for anything else, so these tests run only where `SGTK_HOST_CLIENT_PYTHON` names a Python
//! that has it; `.ci/run` makes a virtual environment for that. Elsewhere they say that they are skipped.

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use sgtk_host_fixtures::{Fault, PipelineConfiguration, Site, missing};

/// The Python with the client in it, or a note that there is none.
fn python() -> Option<OsString> {
    let python = std::env::var_os("SGTK_HOST_CLIENT_PYTHON");
    if python.is_none() {
        missing("SGTK_HOST_CLIENT_PYTHON names no Python with the real shotgun_api3");
    }
    python
}

fn site() -> Site {
    let site = Site::start().unwrap();
    site.script_user("daemon", "a-key").unwrap();
    site.project(176, "bunny").unwrap();
    site.project(177, "sintel").unwrap();
    site.entity(json!({ "type": "HumanUser", "id": 1, "login": "ada", "name": "Ada" })).unwrap();
    let own = PipelineConfiguration::new(1)
        .project(176)
        .plugin_ids("basic.*")
        .descriptor("sgtk:descriptor:path?path=/a");
    site.pipeline_configuration(own).unwrap();
    let users = json!([{ "type": "HumanUser", "id": 1 }]);
    let sandbox = PipelineConfiguration::new(2).code("ada's").project(176).field("users", users);
    site.pipeline_configuration(sandbox).unwrap();
    site.pipeline_configuration(PipelineConfiguration::new(3).plugin_ids("basic.*")).unwrap();
    site.local_storage(1, "primary", "/mnt/projects".as_ref()).unwrap();
    site
}

/// The lines that a script prints which has the client as `shotgun_api3`, a connection as `sg`, and
/// `attempt(function)` for the class and message of what it raises.
fn run(python: OsString, site: &Site, script: &str) -> Vec<String> {
    let prelude = "
import sys, time
import shotgun_api3
SITE = sys.argv[1]
def connect(key='a-key', **settings):
    return shotgun_api3.Shotgun(SITE, script_name='daemon', api_key=key, connect=False, **settings)
def attempt(function, *arguments):
    try:
        return function(*arguments)
    except Exception as error:
        return '%s: %s' % (type(error).__name__, error)
sg = connect()
";
    let output = Command::new(python)
        .args(["-I", "-c", &format!("{prelude}{script}")])
        .arg(site.url())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    stdout.lines().map(str::to_owned).collect()
}

#[test]
fn it_connects_and_learns_what_the_site_is() {
    let Some(python) = python() else { return };
    let told = run(
        python,
        &site(),
        "
sg.connect()
print(sg.info()['version'], sg.server_caps.version, sg.server_caps.is_dev)
",
    );
    assert_eq!(told, ["[8, 70, 0] (8, 70, 0) False"]);
}

#[test]
fn a_wrong_key_is_an_authentication_fault() {
    let Some(python) = python() else { return };
    let told = run(python, &site(), "print(attempt(connect('wrong').find_one, 'Project', []))");
    assert_eq!(told, ["AuthenticationFault: Can't authenticate script 'daemon'"]);
}

#[test]
fn entities_are_found_with_the_filters_of_a_bootstrap() {
    let Some(python) = python() else { return };
    let told = run(
        python,
        &site(),
        "
print(sg.find_one('Project', [['id', 'is', 176]], ['name', 'tank_name']))
print(sg.find_one('Project', [['id', 'is', 999]]))
print(sg.find('LocalStorage', [], ['code', 'linux_path']))
def configurations(login, project):
    ours = {'filter_operator': 'any', 'filters': [['users.HumanUser.login', 'is', login], ['users', 'is', None]]}
    whose = {'filter_operator': 'any', 'filters': [['project', 'is', project], ['project', 'is', None]]}
    fields = ['code', 'project', 'users', 'plugin_ids', 'sg_plugin_ids', 'descriptor']
    order = [{'field_name': 'id', 'direction': 'asc'}]
    return sg.find('PipelineConfiguration', [whose, ours], fields, order=order)
bunny = {'type': 'Project', 'id': 176, 'name': 'bunny'}
print([one['id'] for one in configurations(None, bunny)], [one['id'] for one in configurations('ada', bunny)])
print([one['id'] for one in configurations(None, {'type': 'Project', 'id': 177})])
one = configurations(None, bunny)[0]
project = one.pop('project')
print(project['id'], project['type'], project['name'])
print(sorted(one.items()))
",
    );
    let wanted = [
        "{'type': 'Project', 'id': 176, 'name': 'bunny', 'tank_name': 'bunny'}",
        "None",
        "[{'type': 'LocalStorage', 'id': 1, 'code': 'primary', 'linux_path': '/mnt/projects'}]",
        "[1, 3] [1, 2, 3]",
        "[3]",
        "176 Project bunny",
        "[('code', 'Primary'), ('descriptor', 'sgtk:descriptor:path?path=/a'), ('id', 1), ('plugin_ids', 'basic.*'), \
         ('type', 'PipelineConfiguration'), ('users', [])]",
    ];
    assert_eq!(told, wanted);
}

#[test]
fn many_entities_come_in_pages() {
    let Some(python) = python() else { return };
    let site = site();
    for id in 1..=7 {
        site.entity(json!({ "type": "Shot", "id": id, "code": format!("s{id:03}") })).unwrap();
    }
    let told = run(
        python,
        &site,
        "
sg.server_info['api_max_entities_per_page'] = 3
down = [{'field_name': 'code', 'direction': 'desc'}]
print([one['id'] for one in sg.find('Shot', [])], [one['id'] for one in sg.find('Shot', [], order=down, limit=4)])
",
    );
    assert_eq!(told, ["[1, 2, 3, 4, 5, 6, 7] [7, 6, 5, 4]"]);
    assert_eq!(site.counts().unwrap()["read:Shot"], 5);
}

#[test]
fn a_502_is_tried_again_and_given_up_on_at_the_third() {
    let Some(python) = python() else { return };
    let site = site();
    site.fault_times("read:Project", Fault::Status(502), 2).unwrap();
    let find = "
shotgun_api3.Shotgun.BACKOFF = 0.01
print(attempt(lambda: sg.find_one('Project', [['id', 'is', 176]])['id']))
";
    assert_eq!(run(python.clone(), &site, find), ["176"]);
    assert_eq!(site.counts().unwrap()["read:Project"], 3);
    site.fault_times("read:Project", Fault::Status(502), 3).unwrap();
    let told = run(python, &site, find);
    assert!(told[0].starts_with("ProtocolError: ") && told[0].contains("502"), "{told:?}");
}

#[test]
fn a_session_token_lets_others_in() {
    let Some(python) = python() else { return };
    let told = run(
        python,
        &site(),
        "
token = sg.get_session_token()
other = shotgun_api3.Shotgun(SITE, session_token=token, connect=False)
print(other.find_one('Project', [['name', 'is', 'sintel']])['id'])
stranger = shotgun_api3.Shotgun(SITE, session_token='0' * 32, connect=False)
print(attempt(stranger.find_one, 'Project', []).split(':')[0])
",
    );
    assert_eq!(told, ["177", "AuthenticationFault"]);
}

#[test]
fn what_the_site_does_not_know_is_a_fault() {
    let Some(python) = python() else { return };
    let told = run(
        python,
        &site(),
        "
print(attempt(sg.find, 'Nonsense', []).split(':')[0])
print(attempt(sg.schema_entity_read).split(':')[0])
",
    );
    assert_eq!(told, ["Fault", "Fault"]);
}

#[test]
fn bad_answers_reach_the_caller_as_errors_and_the_next_call_works() {
    let Some(python) = python() else { return };
    for fault in [Fault::HangUp, Fault::Garbage, Fault::NoHttp, Fault::Status(500)] {
        let site = site();
        site.fault_times("read:Project", fault.clone(), 1).unwrap();
        let told = run(
            python.clone(),
            &site,
            "
sg.info()
print('Error' in attempt(sg.find_one, 'Project', []) or attempt(sg.find_one, 'Project', []))
print(sg.find_one('Project', [['id', 'is', 176]])['id'])
",
        );
        assert_eq!(told[1], "176", "{fault:?}: {told:?}");
    }
}

#[test]
fn a_site_that_hangs_is_waited_for_until_the_connections_time_limit() {
    let Some(python) = python() else { return };
    let site = site();
    site.fault("read:Project", Fault::Hang).unwrap();
    let told = run(
        python.clone(),
        &site,
        "
sg.config.timeout_secs = 0.3
print(attempt(sg.find_one, 'Project', []).split(':')[0] in ('timeout', 'TimeoutError', 'socket.timeout'))
",
    );
    assert_eq!(told, ["True"]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| run(python, &site, "print(sg.find_one('Project', [])['id'])"));
        assert!(site.wait_for_hanging(1, Duration::from_secs(60)).unwrap());
        site.clear_faults().unwrap();
        // The one that was given up on may hang still.
        while !waiting.is_finished() {
            site.release().unwrap();
            std::thread::yield_now();
        }
        assert_eq!(waiting.join().unwrap(), ["176"]);
    });
}

#[test]
fn calls_by_the_way_of_a_proxy_are_known_as_such() {
    let Some(python) = python() else { return };
    let site = site();
    let script = format!(
        "print(connect(http_proxy='127.0.0.1:{}').find_one('Project', [['id', 'is', 176]])['id'])",
        site.port()
    );
    assert_eq!(run(python, &site, &script), ["176"]);
    assert!(site.requests().unwrap().iter().all(|request| request.proxied));
}

#[test]
fn writes_are_seen_and_leave_events_of_their_session() {
    let Some(python) = python() else { return };
    let told = run(
        python,
        &site(),
        "
project = {'type': 'Project', 'id': 176}
sg.set_session_uuid('0123')
shot = sg.create('Shot', {'code': 's1', 'project': project}, ['code'])
print(shot['code'], sg.update('Shot', shot['id'], {'sg_status_list': 'fin', 'code': 's1'})['sg_status_list'])
both = sg.batch([
    {'request_type': 'create', 'entity_type': 'Shot', 'data': {'code': 's2', 'project': project}},
    {'request_type': 'update', 'entity_type': 'Shot', 'entity_id': shot['id'], 'data': {'code': 's3'}},
])
print(len(both), sg.delete('Shot', both[0]['id']), len(sg.find('Shot', [])))
print(attempt(sg.update, 'Shot', 999, {'code': 'x'}).split(':')[0])
print(sg.schema_field_read('Shot', 'sg_status_list')['sg_status_list']['data_type']['value'])
fields = ['event_type', 'attribute_name', 'user', 'project', 'session_uuid', 'created_at', 'meta', 'entity']
for event in sg.find('EventLogEntry', [['id', 'greater_than', 0]], fields, [{'field_name': 'id', 'direction': 'asc'}]):
    print(event['event_type'], event['attribute_name'], event['project']['id'], event['user']['name'], event['session_uuid'],
          event['created_at'].tzinfo is not None, event['meta'].get('new_value'))
",
    );
    let wanted = [
        "s1 fin",
        "2 True 1",
        "Fault",
        "status_list",
        "Shotgun_Shot_New None 176 daemon 0123 True None",
        "Shotgun_Shot_Change sg_status_list 176 daemon 0123 True fin",
        "Shotgun_Shot_New None 176 daemon 0123 True None",
        "Shotgun_Shot_Change code 176 daemon 0123 True s3",
        "Shotgun_Shot_Retirement None 176 daemon 0123 True None",
    ];
    assert_eq!(told, wanted);
}

#[test]
fn entries_of_the_event_log_come_late_or_never_on_demand() {
    let Some(python) = python() else { return };
    let site = site();
    let entry = json!({ "event_type": "A" });
    let held = json!({ "event_type": "A", "hold": true });
    assert_eq!(
        site.events(&[entry.clone(), held.clone(), held.clone(), entry.clone()]).unwrap(),
        [1, 2, 3, 4]
    );
    let find = "
above = ['id', 'greater_than', 3]
missed = {'filter_operator': 'any', 'filters': [above, ['id', 'in', [2]], ['id', 'between', [3, 3]]]}
print([one['id'] for one in sg.find('EventLogEntry', [missed])])
print(sg.find_one('EventLogEntry', [], ['id'], order=[{'field_name': 'id', 'direction': 'desc'}])['id'])
";
    assert_eq!(run(python.clone(), &site, find), ["[4]", "4"]);
    site.commit(&[2]).unwrap();
    site.roll_back(&[3]).unwrap();
    assert_eq!(run(python, &site, find), ["[2, 4]", "4"]);
}

//! Keys are learned wherever Toolkit or its client takes one.

use sgtk_host_fixtures::Studio;

use crate::studio::{project, run, studio};

#[test]
fn keys_of_users_and_connections_are_learned_from_both_cores_each_as_it_comes_up() {
    let studio = studio();
    let script = "
learned = []
engine = boot(learn=learned.append)
print(set(learned) == {OPTIONS['script_key']})
import tank
from tank_vendor.shotgun_api3 import Shotgun
tank.authentication.ShotgunAuthenticator().create_script_user('other', 'a key of shotgun.yml', host=OPTIONS['site'])
Shotgun(OPTIONS['site'], session_token='a token of a session', connect=False)
connection = Shotgun(OPTIONS['site'], script_name='x', api_key='a key of a plugin', connect=False)
connection.config.session_token = 'a token that came later'
print(sorted(set(learned) - {OPTIONS['script_key']}))
";
    let told = run(&studio, project(&studio, 176), &[], script);
    let expected =
        "['a key of a plugin', 'a key of shotgun.yml', 'a token of a session', 'a token that came later']";
    assert_eq!(told, ["True", expected]);
    assert!(!told[1].contains(Studio::KEY));
}

#[test]
fn a_connection_is_as_it_was_whatever_becomes_of_what_was_learned() {
    let studio = studio();
    let script = "
def refuse(key):
    raise ValueError('no')
import sgtk
for _ in range(3):
    steps.learn_keys(refuse)
engine = boot(learn=refuse)
print(engine.shotgun.config.api_key == OPTIONS['script_key'], engine.shotgun.find_one('Project', [['id', 'is', 176]])['id'])
";
    assert_eq!(run(&studio, project(&studio, 176), &[], script), ["True 176"]);
}

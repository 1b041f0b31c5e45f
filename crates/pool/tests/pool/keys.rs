//! Keys that come up in a worker are in nothing that it prints, logs or raises.

use serde_json::Value;
use sgtk_host_fixtures::{bundled, isolated};
use sgtk_pool::{Call, WorkerPool};

use crate::output::Listener;
use crate::support::until;

const PLUGIN: &str = r#"
import ctypes, json, logging, os, subprocess, sys

def take(sgtk, key):
    "Toolkit takes a key from project code."
    from sgtk.authentication import ShotgunAuthenticator
    user = ShotgunAuthenticator().create_script_user("daemon", key, "https://studio.example")
    sgtk.set_authenticated_user(user)
    return user

def show(how, key, sgtk):
    user = take(sgtk, key)
    text = "shown by %s: %s end" % (how, key)
    if how == "print":
        print(text)
    elif how == "stderr":
        print(text, file=sys.stderr)
    elif how == "C":
        libc = ctypes.CDLL(None)
        libc.puts(text.encode())
        libc.fflush(None)
    elif how == "fork":
        pid = os.fork()
        if pid == 0:
            os.write(1, (text + "\n").encode())
            os._exit(0)
        os.waitpid(pid, 0)
    elif how == "program":
        subprocess.run(["echo", text])
    elif how == "log":
        logging.getLogger("sgtk.x").warning(text)
    elif how == "json":
        print("shown by json: %s end" % json.dumps(key))
    elif how == "error":
        raise ValueError(repr(user.create_sg_connection().config.__dict__))
    elif how == "die":
        os.write(2, (text + "\n").encode())
        os._exit(3)
"#;

#[test]
fn a_key_that_project_code_brings_is_hidden_in_all_that_comes_from_its_worker() {
    isolated("keys::a_key_that_project_code_brings_is_hidden_in_all_that_comes_from_its_worker", || {
        let listener = Listener::install();
        let (configs, plugins) = (bundled().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(plugins.path().join("shows.py"), PLUGIN).unwrap();
        for templates in [true, false] {
            let options = WorkerPool::builder().configs(configs.base()).plugin_path(plugins.path());
            let pool = options.templates(templates).build().unwrap();
            for project in ["project_a", "project_b"] {
                let key = |how: &str| format!("é\"key'-{how}-{project}-{templates}");
                let show = |how: &str| {
                    let call = Call::new("shows:show").arg(how).arg(key(how));
                    pool.call::<Value>(project, call)
                };
                for how in ["print", "stderr", "C", "fork", "program", "log", "json"] {
                    let before = listener.text().matches(&format!("shown by {how}")).count();
                    show(how).unwrap();
                    until(how, || listener.text().matches(&format!("shown by {how}")).count() > before);
                }
                let error = show("error").unwrap_err();
                let text = format!("{error} {error:?}");
                assert!(text.contains("[hidden]") && !text.contains("key'-error"), "{text}");
                let error = show("die").unwrap_err();
                let text = format!("{error} {error:?}");
                assert!(text.contains("shown by die: [hidden] end"), "{text}");
            }
        }
        let text = listener.text();
        for how in ["print", "stderr", "C", "fork", "program", "log", "json", "error", "die"] {
            assert!(!text.contains(&format!("-{how}-project")), "{how}");
        }
        assert!(text.matches("[hidden] end").count() >= 4 * 7, "{text}");
    });
}

//! Workers of several Pythons at once.

use serde_json::{Value, json};
use sgtk_host_fixtures::{Configs, Core, Python, misbehaving_plugins, pythons};
use sgtk_pool::{Call, WorkerPool};

#[test]
fn each_configuration_gets_the_python_that_it_names() {
    let found = pythons();
    if found.len() < 2 {
        println!("only one Python here, {found:?}: nothing to tell apart");
        return;
    }
    let configs = Configs::new().unwrap();
    let name = |python: &Python| format!("python_3_{}", python.version.1);
    for python in found {
        let folder = configs.localized(&name(python), &Core::older("v0.22.5")).unwrap();
        configs.interpreter(&folder, python.executable.to_str().unwrap()).unwrap();
    }
    for templates in [false, true] {
        let options = WorkerPool::builder().configs(configs.base()).plugin_path(misbehaving_plugins());
        let pool = options.templates(templates).build().unwrap();
        // All at once.
        let calls: Vec<_> = found
            .iter()
            .map(|python| (python, pool.submit::<Value>(&name(python), Call::new("told:identity")).unwrap()))
            .collect();
        for (python, call) in calls {
            let identity = call.wait().unwrap();
            assert_eq!(identity["python"], json!([python.version.0, python.version.1]));
            let toolkit: Value = pool.call(&name(python), Call::new("told:toolkit")).unwrap();
            assert_eq!(toolkit["version"], "v0.22.5");
        }
    }
}

//! Functions, their parameters, and what they raise.

use serde_json::{Value, json};
use sgtk_host_fixtures::Configs;

use crate::driver::{Worker, core_for, entry, one_python, under_each_python};

fn classes(error: &Value) -> Vec<&str> {
    error["mro"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

#[test]
fn what_a_function_asks_for_is_filled_in_unless_it_is_given() {
    under_each_python(|python| {
        let configs = Configs::new().unwrap();
        let core = configs.localized("project_a", &core_for(python)).unwrap();
        let version = core_for(python).version().to_owned();
        let mut worker = Worker::start(python);
        worker.pipes.enter(entry(&configs, "project_a", &core));
        let pipes = &mut worker.pipes;

        let toolkit = pipes.result("told:toolkit", json!([]));
        assert_eq!(toolkit["version"], version.as_str());
        assert_eq!(toolkit["same"], true);
        let told = pipes.result("told:wants", json!([{"id": 1}]));
        assert_eq!(told, json!({"event": {"id": 1}, "version": version, "context": null}));
        let told = pipes.result("told:tank_of", json!([]));
        assert_eq!(told["configuration"], configs.config("project_a").to_str().unwrap());
        assert_eq!(pipes.result("told:Methods.static", json!([1])), json!([1, true]));

        // Given by the caller, by place or by name.
        assert_eq!(pipes.result("told:Methods.static", json!([1, null])), json!([1, false]));
        let given = pipes.call_with("told:wants", json!([1]), json!({"context": "mine"}));
        assert_eq!(given["result"]["context"], "mine");
    });
}

#[test]
fn a_parameter_that_there_is_nothing_for_is_an_error_that_says_why() {
    let mut worker = Worker::entered(one_python());
    let error = worker.pipes.error("told:engine_of", json!([]));
    assert_eq!(error["type"], "TypeError");
    assert_eq!(
        error["message"],
        "told:engine_of() asks for 'engine', but there is an engine only in a worker that has bootstrapped \
         one"
    );
    let error = worker.pipes.error("told:toolkit", json!([]));
    assert_eq!(error["message"], "told:toolkit() asks for 'sgtk', but the worker has entered no project");
}

#[test]
fn an_exception_is_told_with_its_classes_and_cause_and_without_the_agents_own_frames() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        let error = worker.pipes.error("bad_raises:derived", json!([]));
        assert_eq!(error["type"], "bad_raises._Derived");
        assert_eq!(error["message"], "the consequence");
        assert_eq!(classes(&error), ["_Derived", "_BaseError", "Exception", "BaseException", "object"]);
        let traceback = error["traceback"].as_str().unwrap();
        assert!(traceback.contains("KeyError: 'the cause'"), "{traceback}");
        assert!(traceback.contains("raise _Derived(\"the consequence\") from error"), "{traceback}");
        assert!(!traceback.contains("<sgtk-host>"), "{traceback}");
    });
}

#[test]
fn exceptions_that_do_harm_when_looked_at_are_told_all_the_same() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        for (function, message) in [
            ("str_raises", "<the exception's __str__ raised ValueError>"),
            ("str_exits", "<the exception's __str__ raised SystemExit>"),
            ("str_is_none", "<the exception's __str__ raised TypeError>"),
            ("odd_class", "odd"),
            ("surrogates", "lone \\udc80"),
            ("own_cause", "first"),
        ] {
            let error = worker.pipes.error(&format!("bad_raises:{function}"), json!([]));
            assert_eq!(error["message"], message, "{function}: {error}");
            assert!(classes(&error).contains(&"Exception"), "{function}: {error}");
            let traceback = error["traceback"].as_str().unwrap();
            assert!(traceback.contains(&format!("in {function}")), "{function}: {traceback}");
        }
        assert_eq!(
            classes(&worker.pipes.error("bad_raises:odd_class", json!([])))[..2],
            ["_OddlyMade", "_BaseError"]
        );
    });
}

#[test]
fn a_message_of_megabytes_is_cut_and_says_so() {
    let mut worker = Worker::entered(one_python());
    let error = worker.pipes.error("bad_raises:long_text", json!([5_000_000]));
    let message = error["message"].as_str().unwrap();
    assert!(message.len() < 100_000 && message.contains("characters left out"), "{} bytes", message.len());
    assert!(error["traceback"].as_str().unwrap().len() < 100_000);
}

#[test]
fn leaving_by_exception_is_an_error_of_the_call_and_not_the_workers_end() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        let error = worker.pipes.error("bad_exits:with_sys_exit", json!([3]));
        assert_eq!((&error["type"], &error["message"]), (&json!("SystemExit"), &json!("3")));
        let error = worker.pipes.error("bad_exits:with_keyboard_interrupt", json!([]));
        assert_eq!(error["type"], "KeyboardInterrupt");
        let error = worker.pipes.error("bad_recursion:for_ever", json!([]));
        assert_eq!(error["type"], "RecursionError");
        assert_eq!(worker.pipes.result("told:echo", json!([1])), 1);
    });
}

#[test]
fn a_module_that_cannot_be_imported_is_named() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        for (module, class, message) in [
            ("bad_import_fails", "ModuleNotFoundError", "No module named 'library_that_is_nowhere'"),
            ("bad_import_syntax", "SyntaxError", "bad_import_syntax.py"),
            ("bad_import_exits", "SystemExit", "no licence for this plugin"),
            ("nowhere.to_be_found", "ModuleNotFoundError", "No module named 'nowhere'"),
        ] {
            for _ in 0..2 {
                let error = worker.pipes.error(&format!("{module}:call"), json!([]));
                assert_eq!(error["type"], class, "{error}");
                assert!(error["message"].as_str().unwrap().contains(message), "{error}");
                assert_eq!(error["note"], format!("cannot load {module}:call"), "{error}");
            }
        }
    });
}

#[test]
fn a_function_that_is_not_there_is_named_with_its_module() {
    let mut worker = Worker::entered(one_python());
    let error = worker.pipes.error("told:nothing", json!([]));
    assert_eq!(error["type"], "sgtk_host.NoSuchFunction");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.starts_with("module 'told' has no 'nothing' (") && message.ends_with("told.py)"),
        "{message}"
    );
    let error = worker.pipes.error("told", json!([]));
    assert_eq!(error["message"], "'told' is not of the form 'module:function'");
    let error = worker.pipes.error("math:pi", json!([]));
    assert_eq!(error["message"], "'math:pi' is a float and cannot be called");
}

#[test]
fn wrong_arguments_are_the_calls_error() {
    let mut worker = Worker::entered(one_python());
    let error = worker.pipes.error("told:echo", json!([1, 2]));
    assert_eq!(error["type"], "TypeError");
    assert!(error["message"].as_str().unwrap().contains("positional argument"), "{error}");
}

#[test]
fn a_plugin_that_is_laid_down_after_the_start_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let plugins = folder.path().join("plugins");
    let mut worker = Worker::start(one_python());
    worker.pipes.enter(json!({"plugin_paths": [plugins]}));
    assert_eq!(worker.pipes.error("fresh:value", json!([]))["type"], "ModuleNotFoundError");
    std::fs::create_dir(&plugins).unwrap();
    std::fs::write(plugins.join("fresh.py"), "def value():\n    return 'here'\n").unwrap();
    assert_eq!(worker.pipes.result("fresh:value", json!([])), "here");
}

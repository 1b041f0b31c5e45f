//! Frames and values.

use serde_json::{Value, json};

use crate::driver::{Worker, one_python, under_each_python};

#[test]
fn values_come_back_as_they_went() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        for value in [
            json!(null),
            json!(true),
            json!(-1),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(0.1),
            json!(5e-324),
            json!(1.797_693_134_862_315_7e308),
            json!("\u{0} \u{1f600} \u{7f} \\ \" \u{2028}"),
            json!({"": [], "a": {"b": [{}, [[]]]}}),
        ] {
            assert_eq!(worker.pipes.result("told:echo", json!([value])), value);
        }
    });
}

#[test]
fn integers_of_any_size_pass_through() {
    let digits = "9".repeat(4000);
    let mut worker = Worker::entered(one_python());
    worker.pipes.send_bytes(
        format!(r#"{{"id":1,"call":"builtins:str","args":[{digits}],"kwargs":{{}}}}"#).as_bytes(),
    );
    assert_eq!(worker.pipes.answer(), json!({"id": 1, "result": digits}));
}

#[test]
fn what_json_has_no_word_for_has_a_rule() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        for (name, expected) in [
            ("set", json!([1, 2, 3])),
            ("frozenset", json!(["a", "b"])),
            ("date", json!("2024-02-29")),
            ("moment", json!("2024-02-29T12:30:00+00:00")),
            ("time", json!("12:30:00")),
            ("path", json!("/a/b")),
            ("namedtuple", json!([1, 2])),
            ("ordered", json!({"b": 1, "a": 2})),
            ("int enum", json!(1)),
            ("keys", json!({"1": "d", "1.5": "b", "null": "c"})),
        ] {
            let result = worker.pipes.result("bad_results:value", json!([name]));
            assert_eq!(result, json!({"a": [0, {"b": expected}]}), "{name}");
        }
    });
}

#[test]
fn what_cannot_be_sent_is_named_with_its_place() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        let place = "result['a'][1]['b']";
        for (name, place, reason) in [
            ("nan", place, "nan is not JSON"),
            ("infinity", place, "-inf is not JSON"),
            ("surrogate", place, "a lone surrogate, '\\udc80', at index 1"),
            ("surrogate key", place, "the key '\\ud800': the text has a lone surrogate"),
            ("nan key", place, "the key nan: nan is not JSON"),
            ("tuple key", place, "the key (1, 2) is of type tuple"),
            ("bytes", place, "of type bytes is not JSON: decode it"),
            ("object", place, "of type object is not JSON"),
            ("class", place, "of type type is not JSON"),
            ("decimal", place, "of type decimal.Decimal is not JSON: use str() or float()"),
            ("duration", place, "use total_seconds()"),
            ("enum", place, "of type bad_results._Colour is not JSON: use its value"),
            ("generator", place, "use list()"),
            ("in a set", "result['a'][1]['b']{b'x'}", "of type bytes"),
        ] {
            let answer = worker.pipes.call("bad_results:value", json!([name]));
            let fault = &answer["invalid_result"];
            assert_eq!(fault["place"], place, "{name}: {answer}");
            assert!(fault["reason"].as_str().is_some_and(|text| text.contains(reason)), "{name}: {answer}");
        }
        let answer = worker.pipes.call("bad_results:value", json!(["lying dict"]));
        // Python 3.7 does not ask for the items of a dictionary's subclass.
        let reason = answer["invalid_result"]["reason"].as_str();
        let taken_as_it_is = python.version == (3, 7) && reason.is_none();
        assert!(taken_as_it_is || reason.is_some_and(|text| text.contains("no items today")), "{answer}");
        let answer = worker.pipes.call("bad_results:contains_itself", json!([]));
        assert_eq!(
            answer["invalid_result"],
            json!({"place": "result['a'][1][0]", "reason": "the list contains itself"})
        );
        // It answers as before.
        assert_eq!(worker.pipes.result("told:echo", json!([1])), 1);
    });
}

#[test]
fn an_integer_with_too_many_digits_is_an_error_both_ways() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        let answer = worker.pipes.call("bad_results:value", json!(["long integer"]));
        // Older releases of a version have no limit.
        if answer.get("result").is_none() {
            assert_eq!(answer["invalid_result"]["place"], "result['a'][1]['b']");
            let digits = "9".repeat(13000);
            let text = format!(r#"{{"id":9,"call":"told:echo","args":[{digits}],"kwargs":{{}}}}"#);
            worker.pipes.send_bytes(text.as_bytes());
            let answer = worker.pipes.answer();
            assert_eq!((&answer["id"], &answer["invalid_call"]["type"]), (&json!(9), &json!("ValueError")));
        }
    });
}

#[test]
fn arguments_nested_beyond_python_are_refused_and_nothing_is_called() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        let deep = "[".repeat(200_000) + &"]".repeat(200_000);
        worker
            .pipes
            .send_bytes(format!(r#"{{"id":9,"call":"told:echo","args":[{deep}],"kwargs":{{}}}}"#).as_bytes());
        let answer = worker.pipes.answer();
        assert_eq!((&answer["id"], &answer["invalid_call"]["type"]), (&json!(9), &json!("RecursionError")));
        assert_eq!(worker.pipes.result("told:echo", json!([1])), 1);
    });
}

#[test]
fn a_result_nested_beyond_python_is_an_error() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        let answer = worker.pipes.call("bad_results:nested", json!([200_000]));
        let fault = &answer["invalid_result"];
        assert!(fault["place"].as_str().unwrap().starts_with("result[0][0]"), "{answer}");
        assert_eq!(worker.pipes.result("told:echo", json!([1])), 1);
    });
}

#[test]
fn an_answer_beyond_the_limit_is_an_error_and_not_sent() {
    let mut worker = Worker::start(one_python());
    let plugins = sgtk_host_fixtures::misbehaving_plugins();
    worker.pipes.enter(json!({"plugin_paths": [plugins], "max_frame": 1 << 20}));
    let answer = worker.pipes.call("bad_results:mebibytes", json!([1]));
    let reason = "1048596 bytes are more than the limit of 1048576";
    assert_eq!(answer["invalid_result"], json!({"place": "result", "reason": reason}));
    assert_eq!(worker.pipes.result("told:echo", json!([1])), 1);
}

#[test]
fn large_frames_pass_both_ways() {
    under_each_python(|python| {
        let mut worker = Worker::entered(python);
        let text = "x\u{e9}".repeat(1 << 20);
        let mut requests = worker.pipes.result("told:echo", json!([text]));
        assert_eq!(requests.take(), Value::String(text));
    });
}

#[test]
fn requests_that_come_together_are_answered_in_order() {
    let mut worker = Worker::entered(one_python());
    for value in 0..100 {
        worker.pipes.begin("told:echo", json!([value]), json!({}));
    }
    for value in 0..100 {
        assert_eq!(worker.pipes.answer()["result"], value);
    }
}

//! Values there and back.

use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value, json};
use sgtk_host_fixtures::{Broken, misbehaving_plugins};
use sgtk_pool::{Call, Delivery, PoolError, WorkerPool};

use crate::support::Studio;

/// A studio with one project, and a pool with the plugins that do harm.
fn studio() -> (Studio, WorkerPool) {
    let studio = Studio::of(&["a"]);
    let pool = studio.options().plugin_path(misbehaving_plugins()).build().unwrap();
    (studio, pool)
}

fn number() -> impl Strategy<Value = Value> {
    let finite =
        any::<u64>().prop_map(f64::from_bits).prop_filter("JSON has no other", |float| float.is_finite());
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        finite.prop_map(|float| Value::Number(Number::from_f64(float).unwrap())),
        any::<i32>().prop_map(|tenths| Value::from(f64::from(tenths) / 10.0)),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\\x00-\\x7f]{0,8}",
        "[\u{10000}-\u{10ffff}\u{e000}\u{fffd}\u{2028}\"\\\\]{0,8}"
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

#[test]
fn json_values_go_there_and_back_exactly() {
    let (_studio, pool) = studio();
    proptest!(ProptestConfig::with_cases(400), |(value in value())| {
        let back: Value = pool.call("a", Call::new("told:echo").arg(&value)).unwrap();
        // As text too: that tells 0.0 from -0.0, and 1 from 1.0.
        prop_assert_eq!(back.to_string(), value.to_string());
        prop_assert_eq!(back, value);
    });
}

#[test]
fn floats_and_integers_keep_every_bit() {
    let (_studio, pool) = studio();
    proptest!(ProptestConfig::with_cases(100), |(bits in prop::collection::vec(any::<u64>(), 50), wide in any::<i128>())| {
        let floats: Vec<f64> = bits.iter().map(|bits| f64::from_bits(*bits)).filter(|float| float.is_finite()).collect();
        let back: Vec<f64> = pool.call("a", Call::new("told:echo").arg(&floats)).unwrap();
        let bits = |floats: &[f64]| floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&back), bits(&floats));
        let wide = RawValue::from_string(wide.to_string()).unwrap();
        let back: Box<RawValue> = pool.call("a", Call::new("told:echo").arg(&wide)).unwrap();
        prop_assert_eq!(back.get(), wide.get());
    });
}

#[test]
fn json_that_the_caller_has_passes_through_and_comes_back_as_it_was_made() {
    let (_studio, pool) = studio();
    let digits = "7".repeat(3000);
    let given = format!("{{ \"b\" : [{digits}, 1e2, -0.0],\n\"a\": null }}");
    let raw = RawValue::from_string(given).unwrap();
    let back: Box<RawValue> = pool.call("a", Call::new("told:echo").arg(raw)).unwrap();
    assert_eq!(back.get(), format!("{{\"b\":[{digits},100.0,-0.0],\"a\":null}}"));
}

#[test]
fn an_integer_beyond_64_bits_is_named_and_never_a_float() {
    let (_studio, pool) = studio();
    let raw = RawValue::from_string("{\"a\":[1,{\"b\":18446744073709551616}]}".to_owned()).unwrap();
    let error = pool.call::<Value>("a", Call::new("told:echo").arg(raw)).unwrap_err();
    assert_eq!(error.delivery(), Delivery::Ran);
    let PoolError::Decode { place, .. } = &error else { panic!("{error:?}") };
    assert_eq!(place, "result['a'][1]['b']", "{error}");
}

#[test]
fn arguments_that_are_no_json_are_refused_before_they_are_sent() {
    let (_studio, pool) = studio();
    let error = pool.call::<Value>("a", Call::new("told:echo").arg(vec![0.0, f64::INFINITY])).unwrap_err();
    assert!(error.never_ran());
    let PoolError::InvalidCall { place, .. } = &error else { panic!("{error:?}") };
    assert_eq!(place, "args[0][1]");
    assert_eq!(pool.stats().started + pool.stats().forked, 0);
}

#[test]
fn a_result_of_another_type_is_told_with_its_place() {
    let (_studio, pool) = studio();
    let value = serde_json::json!({"shots": [{"frames": 100}, {"frames": "many"}]});
    type Shots = std::collections::BTreeMap<String, Vec<std::collections::BTreeMap<String, u32>>>;
    let error = pool.call::<Shots>("a", Call::new("told:echo").arg(&value)).unwrap_err();
    let PoolError::Decode { place, reason, .. } = &error else { panic!("{error:?}") };
    assert_eq!(place, "result['shots'][1]['frames']");
    assert!(reason.contains("many"), "{reason}");
}

#[test]
fn nesting_has_limits_that_are_told() {
    let (_studio, pool) = studio();
    let nested = |depth: usize| Call::new("bad_results:nested").arg(depth);
    assert!(pool.call::<Value>("a", nested(127)).is_ok());
    let error = pool.call::<Value>("a", nested(128)).unwrap_err();
    let PoolError::Decode { place, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*place, format!("result{}", "[0]".repeat(127)), "{error}");
    let raw: Box<RawValue> = pool.call("a", nested(500)).unwrap();
    assert_eq!(raw.get().len(), 500 * 2 + 4);

    let deep = RawValue::from_string("[".repeat(100_000) + &"]".repeat(100_000)).unwrap();
    let error = pool.call::<Value>("a", Call::new("told:echo").arg(deep)).unwrap_err();
    assert!(error.never_ran(), "{error:?}");
}

#[test]
fn results_that_json_has_no_word_for_follow_their_rules() {
    let (_studio, pool) = studio();
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
        let result: Value = pool.call("a", Call::new("bad_results:value").arg(name)).unwrap();
        assert_eq!(result["a"][1]["b"], expected, "{name}");
    }
    for (name, expected) in [
        ("nan", "nan is not JSON"),
        ("infinity", "-inf is not JSON"),
        ("surrogate", "a lone surrogate, '\\udc80', at index 1"),
        ("surrogate key", "the text has a lone surrogate"),
        ("nan key", "nan is not JSON"),
        ("tuple key", "of type tuple"),
        ("bytes", "of type bytes is not JSON: decode it"),
        ("in a set", "of type bytes"),
        ("object", "of type object is not JSON"),
        ("class", "of type type is not JSON"),
        ("decimal", "of type decimal.Decimal is not JSON: use str() or float()"),
        ("enum", "of type bad_results._Colour is not JSON: use its value"),
        ("generator", "use list()"),
        ("long integer", "too many digits"),
    ] {
        let error = pool.call::<Value>("a", Call::new("bad_results:value").arg(name)).unwrap_err();
        let PoolError::InvalidResult { place, reason, .. } = &error else { panic!("{name}: {error:?}") };
        assert_eq!(error.delivery(), Delivery::Ran, "{name}");
        let at = place.split_once('{').map_or(place.as_str(), |(at, _)| at);
        assert_eq!(at, "result['a'][1]['b']", "{name}");
        assert!(reason.contains(expected), "{name}: {reason}");
    }
    let error = pool.call::<Value>("a", Call::new("bad_results:contains_itself")).unwrap_err();
    let PoolError::InvalidResult { reason, .. } = &error else { panic!("{error:?}") };
    assert_eq!(reason, "the list contains itself");
    // All of it in one worker, which is none the worse for it.
    let stats = pool.stats();
    assert_eq!((stats.started + stats.forked, stats.lost), (1, 0));
}

#[test]
fn a_small_limit_is_one_on_values_and_not_on_errors() {
    let studio = Studio::of(&["a"]);
    studio.configs.broken("x", Broken::RaisesImportError).unwrap();
    for templates in [false, true] {
        let options = studio.options().plugin_path(misbehaving_plugins()).templates(templates);
        let pool = options.max_frame(1024).build().unwrap();
        let error = pool.call::<Value>("a", Call::new("bad_raises:long_text").arg(100_000)).unwrap_err();
        assert_eq!(error.python().map(|error| error.type_name.as_str()), Some("RuntimeError"), "{error}");
        let error = pool.call::<Value>("a", Call::new("work:echo").arg("x".repeat(1000))).unwrap_err();
        assert!(matches!(error, PoolError::InvalidCall { .. }), "{error:?}");
        let error = pool.call::<Value>("a", Call::new("bad_results:mebibytes").arg(1)).unwrap_err();
        assert!(matches!(error, PoolError::InvalidResult { .. }), "{error:?}");
        assert_eq!(pool.stats().lost, 0);
        let error = pool.call::<Value>("x", Call::new("work:about")).unwrap_err();
        assert!(error.python().is_some_and(|error| error.is_a("ImportError")), "{error}");
    }
}

#[test]
fn megabytes_pass_both_ways_at_once() {
    let (_studio, pool) = studio();
    let text = "\u{e9}\"\n".repeat(1 << 20);
    let back: String = pool.call("a", Call::new("told:echo").arg(&text)).unwrap();
    assert!(back == text);
}

#[test]
fn what_a_plugin_keeps_of_a_large_call_stays_as_it_was() {
    let (_studio, pool) = studio();
    let large = |call: usize| {
        let text = char::from(b'a' + u8::try_from(call).unwrap()).to_string().repeat(300_000 / (call + 1));
        json!({"text": [text, {"é": "\u{e9}".repeat(70_000 + call)}]})
    };
    for call in 0..8 {
        // As a pickle and as JSON that is passed on, shorter each time: in the room of the one before.
        let raw = RawValue::from_string(large(call).to_string()).unwrap();
        let kept: Vec<Value> = match call % 2 {
            0 => pool.call("a", Call::new("work:note").arg(large(call))).unwrap(),
            _ => pool.call("a", Call::new("work:note").arg(&raw)).unwrap(),
        };
        let sent: Vec<_> = (0..=call).map(large).collect();
        assert!(kept == sent, "call {call}");
    }
}

//! Values of the language, compared with Cedar's own constructors.

use std::str::FromStr;

use proptest::prelude::*;

use super::scene::{Scene, rules};
use crate::rules::{
    Decimal,
    decimal::integer,
    moment::{Moment, Span},
    network::Network,
};

/// Whether Cedar takes the text for a value of that constructor.
fn cedar_reads(constructor: &str, text: &str) -> bool {
    let expression = format!("{constructor}({})", serde_json::to_string(text).expect("a text"));
    let expression = cedar_policy::Expression::from_str(&expression);
    let request =
        cedar_policy::Request::new(uid("U"), uid("A"), uid("R"), cedar_policy::Context::empty(), None);
    let entities = cedar_policy::Entities::empty();
    expression.is_ok_and(|expression| {
        cedar_policy::eval_expression(&request.expect("a request"), &entities, &expression).is_ok()
    })
}

fn uid(kind: &str) -> cedar_policy::EntityUid {
    format!("{kind}::\"x\"").parse().expect("a name")
}

fn check(constructor: &str, text: &str) {
    let ours = match constructor {
        "decimal" => Decimal::parse(text).is_some(),
        "datetime" => Moment::parse(text).is_some(),
        "duration" => Span::parse(text).is_some(),
        _ => Network::parse(text).is_some(),
    };
    assert_eq!(ours, cedar_reads(constructor, text), "{constructor}({text:?})");
}

#[test]
fn constructors_read_what_cedars_read() {
    for text in [
        "1.0",
        "-1.5",
        "1",
        ".5",
        "1.",
        "1.23456",
        "1.2345",
        "922337203685477.5807",
        "922337203685477.5808",
        "-922337203685477.5808",
        "-922337203685477.5809",
        "00001.5",
        "1e2",
        "+1.0",
        "1.0 ",
        "",
    ] {
        check("decimal", text);
    }
    for text in [
        "2024-02-29",
        "2023-02-29",
        "1900-02-29",
        "2000-02-29",
        "0000-01-01",
        "9999-12-31",
        "2024-13-01",
        "2024-00-10",
        "2024-04-31",
        "2024-1-1",
        "2024-10-15T11:38:02Z",
        "2024-10-15T24:00:00Z",
        "2024-10-15T11:60:02Z",
        "2024-10-15T11:38:60Z",
        "2024-10-15T11:38:02.1Z",
        "2024-10-15T11:38:02.123Z",
        "2024-10-15T11:38:02.123+2359",
        "2024-10-15T11:38:02-2400",
        "2024-10-15T11:38:02+0060",
        "2024-10-15T11:38:02",
        "2024-10-15T11:38Z",
        "2024-10-15 11:38:02Z",
        "x2024-10-15",
        "2024-10-15x",
        "２０２４-10-15",
    ] {
        check("datetime", text);
    }
    for text in [
        "1d",
        "1h2m",
        "1m5ms",
        "5ms",
        "5m",
        "5s",
        "-1d2h3m4s5ms",
        "",
        "-",
        "1",
        "d",
        "5m1h",
        "1d1d",
        "--1d",
        "1 d",
        "106751991167d",
        "106751991168d",
        "9223372036854775807ms",
        "9223372036854775808ms",
        "-9223372036854775808ms",
        "99999999999999999999s",
    ] {
        check("duration", text);
    }
    for text in [
        "10.0.0.1",
        "10.0.0.1/8",
        "10.0.0.1/33",
        "10.0.0.1/08",
        "10.0.0.1/",
        "10.0.0",
        "::1",
        "::1/128",
        "::1/129",
        "::ffff:10.0.0.1",
        "fe80::1%eth0",
        "::/0",
        "0.0.0.0/0",
        "10.0.0.1/+8",
        "010.0.0.1",
        "",
    ] {
        check("ip", text);
    }
}

#[test]
fn json_numbers_have_exact_values_or_none() {
    for (text, as_decimal, as_integer) in [
        ("1", Some("1.0000"), Some(1)),
        ("-0.0", Some("0.0000"), Some(0)),
        ("1.50000", Some("1.5000"), None),
        ("15e-1", Some("1.5000"), None),
        ("1E+2", Some("100.0000"), Some(100)),
        ("100e-2", Some("1.0000"), Some(1)),
        ("0.0001", Some("0.0001"), None),
        ("0.00001", None, None),
        ("1e300", None, None),
        ("1e-300", None, None),
        ("9223372036854775807", None, Some(i64::MAX)),
        ("9223372036854775808", None, None),
        ("-9223372036854775808", None, Some(i64::MIN)),
        ("922337203685477.5807", Some("922337203685477.5807"), None),
        ("0e99999999999", None, None),
    ] {
        let decimal = Decimal::exactly(text).map(|decimal| decimal.to_string());
        assert_eq!(decimal.as_deref(), as_decimal, "{text}");
        assert_eq!(integer(text), as_integer, "{text}");
    }
}

#[test]
fn like_matches_as_people_expect() {
    for (pattern, text, matches) in [
        ("", "", true),
        ("*", "", true),
        ("a*", "abc", true),
        ("*c", "abc", true),
        ("a*c", "ac", true),
        ("ab*bc", "abc", false),
        ("a*b*c", "a--b--c", true),
        ("a*b*c", "a--c--b", false),
        ("a\\*c", "a*c", true),
        ("a\\*c", "abc", false),
        ("*a*a*a*a*b", &"a".repeat(5000), false),
    ] {
        let set = rules(&format!(
            "permit(principal, action, resource) when {{ context.args.t like \"{pattern}\" }};"
        ));
        let args = serde_json::json!({ "t": text }).to_string();
        let verdict = Scene::default().with_args(&args).verdict(&set);
        assert_eq!(verdict.starts_with("permit"), matches, "{pattern} {text}");
    }
}

proptest! {
    #[test]
    fn random_texts_are_read_as_cedar_reads_them(
        decimal in "-?[0-9]{0,3}\\.?[0-9]{0,5}",
        datetime in "[0-9]{4}-[01][0-9]-[0-3][0-9](T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{3})?(Z|[+-][0-2][0-9][0-6][0-9]))?",
        duration in "-?([0-9]{1,2}d)?([0-9]h)?([0-9]m)?([0-9]s)?([0-9]{1,3}ms)?",
        address in "([0-9]{1,3}\\.){3}[0-9]{1,3}(/[0-9]{1,2})?|[0-9a-f:]{2,12}(/[0-9]{1,3})?",
    ) {
        check("decimal", &decimal);
        check("datetime", &datetime);
        check("duration", &duration);
        check("ip", &address);
    }

    #[test]
    fn a_datetime_is_written_as_it_is_read(ms in -60_000_000_000_000_i64..250_000_000_000_000) {
        prop_assert_eq!(Moment::parse(&Moment(ms).to_string()), Some(Moment(ms)));
    }
}

//! "Approve similar": a bounded pattern of arguments with an end, never "always".
//!
//! INVARIANT (bounded): every argument is either what was asked about, or within a bound a person wrote down;
//! there are so many uses and no more, for so long and no longer.
//!
//! It must not know clocks or the store.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Most calls one word may let through.
const USES_MAX: u32 = 100;
/// The longest it may hold, in seconds.
const SECONDS_MAX: u64 = 24 * 60 * 60;
/// The shortest beginning that bounds a text; shorter ones would be a wildcard.
const PREFIX_MIN: usize = 3;
/// The longest rest after a beginning.
const REST_MAX: usize = 64;

/// See the module.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Similar {
    /// Arguments that may differ, as written: `0..100`, `a|b`, `report-*`.
    pub(crate) bounds: BTreeMap<String, String>,
    /// How many calls.
    pub(crate) uses: u32,
    /// For how long after it was agreed.
    pub(crate) seconds: u64,
}

/// What an argument may be.
enum Bound<'b> {
    /// One of these.
    OneOf(Vec<&'b str>),
    /// A number from here to there.
    Range(f64, f64),
    /// This beginning, and a rest that cannot climb out of it.
    Starts(&'b str),
}

impl Similar {
    /// Reads what a person wrote: `ARGUMENT=BOUND` each.
    ///
    /// # Errors
    /// When a bound is none, or the question itself would not be within them.
    pub(crate) fn parse(written: &[String], uses: u32, seconds: u64, args: &str) -> Result<Self, String> {
        let mut bounds = BTreeMap::new();
        for one in written {
            let (name, bound) = one
                .split_once('=')
                .ok_or_else(|| format!("`{one}` is not ARGUMENT=BOUND"))?;
            Bound::parse(bound).ok_or_else(|| {
                format!(
                    "`{bound}` is no bound: write 0..100, one|other, or a beginning of {PREFIX_MIN} or more \
                     characters and *"
                )
            })?;
            if bounds.insert(name.to_owned(), bound.to_owned()).is_some() {
                return Err(format!("`{name}` is bounded twice"));
            }
        }
        if !(1..=USES_MAX).contains(&uses) || !(1..=SECONDS_MAX).contains(&seconds) {
            return Err(format!(
                "similar calls are agreed to for 1 to {USES_MAX} uses and 1 to {SECONDS_MAX} seconds"
            ));
        }
        let similar = Self {
            bounds,
            uses,
            seconds,
        };
        let object = object(args).ok_or("the call has no arguments that could be similar")?;
        if let Some(name) = similar.bounds.keys().find(|name| !object.contains_key(*name)) {
            return Err(format!("the call has no argument `{name}`"));
        }
        if !similar.covers(args, args) {
            return Err("the call that is asked about is not within these bounds".to_owned());
        }
        Ok(similar)
    }

    /// Whether `args` are similar to those that were asked about. Both are canonical JSON.
    pub(crate) fn covers(&self, asked: &str, args: &str) -> bool {
        let (Some(asked), Some(args)) = (object(asked), object(args)) else {
            return false;
        };
        let same_names = asked.keys().eq(args.keys());
        same_names
            && args.iter().all(|(name, value)| match self.bounds.get(name) {
                Some(bound) => Bound::parse(bound).is_some_and(|bound| bound.holds(value)),
                None => asked.get(name) == Some(value),
            })
    }
}

fn object(args: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(args).ok()
}

impl<'b> Bound<'b> {
    fn parse(text: &'b str) -> Option<Self> {
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
        if let Some((from, to)) = text.split_once("..") {
            return number(from)
                .zip(number(to))
                .filter(|(from, to)| from <= to)
                .map(|(from, to)| Self::Range(from, to));
        }
        if let Some(beginning) = text.strip_suffix('*') {
            let fits = beginning.len() >= PREFIX_MIN && !beginning.contains('*');
            return fits.then_some(Self::Starts(beginning));
        }
        let all: Vec<&str> = text.split('|').collect();
        (!text.contains('*') && all.iter().all(|one| !one.is_empty())).then_some(Self::OneOf(all))
    }

    fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Range(from, to), Value::Number(number)) => number
                .as_f64()
                .is_some_and(|number| *from <= number && number <= *to),
            (Self::Starts(beginning), Value::String(text)) => {
                let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@+".contains(c);
                text.strip_prefix(beginning).is_some_and(|rest| {
                    rest.len() <= REST_MAX && rest.chars().all(plain) && !rest.contains("..")
                })
            }
            (Self::OneOf(all), Value::String(text)) => all.contains(&text.as_str()),
            (Self::OneOf(all), Value::Number(_) | Value::Bool(_)) => {
                all.contains(&value.to_string().as_str())
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Similar;

    const ASKED: &str = r#"{"amount":50,"file":"/out/report-1.pdf","to":"bob"}"#;

    fn similar(bounds: &[&str]) -> Result<Similar, String> {
        let bounds: Vec<String> = bounds.iter().map(|one| (*one).to_owned()).collect();
        Similar::parse(&bounds, 5, 600, ASKED)
    }

    #[test]
    fn similar_is_within_what_a_person_wrote_and_nothing_else() {
        let similar = similar(&["amount=0..100", "file=/out/report-*", "to=bob|carol"]).unwrap();
        for good in [
            ASKED,
            r#"{"amount":100,"file":"/out/report-2.pdf","to":"carol"}"#,
            r#"{"amount":0.5,"file":"/out/report-","to":"bob"}"#,
        ] {
            assert!(similar.covers(ASKED, good), "{good}");
        }
        for bad in [
            r#"{"amount":100.01,"file":"/out/report-1.pdf","to":"bob"}"#,
            r#"{"amount":-1,"file":"/out/report-1.pdf","to":"bob"}"#,
            r#"{"amount":"50","file":"/out/report-1.pdf","to":"bob"}"#,
            r#"{"amount":50,"file":"/out/report-../../etc/passwd","to":"bob"}"#,
            r#"{"amount":50,"file":"/out/report-1\u0000","to":"bob"}"#,
            r#"{"amount":50,"file":"/out/report-1.pdf","to":"mallory"}"#,
            r#"{"amount":50,"file":"/out/report-1.pdf","to":["bob"]}"#,
            r#"{"amount":50,"file":"/out/report-1.pdf","to":"bob","cc":"mallory"}"#,
            r#"{"amount":50,"to":"bob"}"#,
            "[]",
        ] {
            assert!(!similar.covers(ASKED, bad), "{bad}");
        }
    }

    #[test]
    fn what_is_not_named_must_be_the_same() {
        let similar = similar(&["amount=0..100"]).unwrap();
        assert!(similar.covers(ASKED, r#"{"amount":1,"file":"/out/report-1.pdf","to":"bob"}"#));
        assert!(!similar.covers(ASKED, r#"{"amount":50,"file":"/out/report-1.pdf","to":"carol"}"#));
    }

    #[test]
    fn nobody_can_agree_to_everything() {
        for bad in [
            "to=*",
            "to=b*",
            "to=",
            "to=a||b",
            "to=*b*",
            "amount=..",
            "amount=9..1",
            "amount=0..inf",
            "to",
        ] {
            assert!(similar(&[bad]).is_err(), "{bad}");
        }
        assert!(
            similar(&["amount=60..100"]).is_err(),
            "the question itself is outside"
        );
        assert!(similar(&["colour=red"]).is_err(), "there is no such argument");
        assert!(Similar::parse(&[], 101, 600, ASKED).is_err());
        assert!(Similar::parse(&[], 1, 90_000, ASKED).is_err());
    }
}

//! Whether the person behind a call logged in as its permit demands (`@step_up`, RFC 9470). What the token says of that
//! is ours: of who logged in here, or of what the provider's ID token said.

use identity::{Login, token::SKEW_MS};
use pipeline::{Objection, Passed, decide::Limited, refusal};
use policy::Obligation;

/// Refuses where the person has to log in once more, and says how.
pub(super) fn check(call: &Passed<Limited>) -> Result<(), Objection> {
    let (login, now_ms) = (call.principal().login(), call.arrival().received_ms);
    for obligation in call.permit().obligations() {
        let Obligation::StepUp { level, max_age_s } = obligation else {
            continue;
        };
        if let Err(why) = meets(login, level, *max_age_s, now_ms) {
            let objection = Objection::new(&refusal::LOGIN_INSUFFICIENT, why);
            return Err(Objection {
                login: Some(Box::new((level.clone(), *max_age_s))),
                ..objection
            });
        }
    }
    Ok(())
}

fn meets(login: Option<&Login>, level: &str, max_age_s: Option<u32>, now_ms: i64) -> Result<(), String> {
    let login =
        login.ok_or_else(|| format!("the permit demands `{level}`, and no person logged in for this"))?;
    if !login.is_by(level) {
        let methods = login.methods.join(" ");
        return Err(format!(
            "the permit demands `{level}`, and the person logged in by `{methods}` (`{}`)",
            login.acr
        ));
    }
    let age_ms = now_ms.saturating_sub(login.at_ms);
    match max_age_s {
        Some(max_age_s) if age_ms > i64::from(max_age_s) * 1000 + SKEW_MS => Err(format!(
            "the permit demands a log-in of the last {max_age_s} s, and it was {} s ago",
            age_ms / 1000
        )),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(methods: &[&str], acr: &str) -> Login {
        Login {
            client: "app".into(),
            grant: "g".into(),
            at_ms: 1_000_000,
            methods: methods.iter().map(|&method| method.to_owned()).collect(),
            acr: acr.into(),
        }
    }

    #[test]
    fn a_log_in_is_strong_and_young_enough_or_it_is_not() {
        let (password, code) = (login(&["pwd"], "password"), login(&["pwd", "otp", "mfa"], "mfa"));
        let provider = login(&[], "urn:x:phr");
        for (who, level) in [
            (&password, "password"),
            (&code, "mfa"),
            (&code, "otp"),
            (&code, "password"),
            (&provider, "urn:x:phr"),
        ] {
            meets(Some(who), level, None, i64::MAX).expect(level);
        }
        for (who, level) in [
            (&password, "mfa"),
            (&password, "otp"),
            (&provider, "mfa"),
            (&code, "hwk"),
        ] {
            meets(Some(who), level, None, 1_000_000).expect_err(level);
        }
        meets(None, "password", None, 1_000_000).expect_err("nobody logged in");
        let at = |age_s: i64| meets(Some(&code), "mfa", Some(60), 1_000_000 + age_s * 1000);
        at(60).expect("just so");
        at(91).expect_err("too long ago, whatever clocks say");
    }
}

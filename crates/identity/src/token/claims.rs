//! Claims: each has the type its RFC gives it, and anything else is an error.

use std::sync::Arc;

use wire::json::{Kind, Node};

use super::{SKEW_MS, TokenError};
use crate::proof::Binding;

/// The most roles, groups or other names read from one claim.
const NAMES_MAX: usize = 256;

/// `aud` is one string or an array of strings; one of them must be this resource, letter by letter.
pub(crate) fn is_for(claims: Node<'_>, audience: &str) -> bool {
    let Some(aud) = claims.get("aud") else {
        return false;
    };
    match aud.kind() {
        Kind::String => aud.is_str(audience),
        Kind::Array => {
            let all_text = aud.elements().all(|one| one.kind() == Kind::String);
            all_text && aud.elements().any(|one| one.is_str(audience))
        }
        Kind::Bool | Kind::Null | Kind::Number | Kind::Object => false,
    }
}

/// `aud` of an assertion is one of these and nothing besides: one that is good elsewhere, too, could be brought from there.
pub(crate) fn is_only_for(claims: Node<'_>, audiences: &[String]) -> bool {
    let Some(aud) = claims.get("aud") else {
        return false;
    };
    let sole = match aud.kind() {
        Kind::Array if aud.elements().count() == 1 => aud.elements().next(),
        Kind::String => Some(aud),
        Kind::Array | Kind::Bool | Kind::Null | Kind::Number | Kind::Object => None,
    };
    sole.is_some_and(|sole| audiences.iter().any(|audience| sole.is_str(audience)))
}

pub(crate) fn times(claims: Node<'_>, now_ms: i64, lifetime_ms_max: i64) -> Result<(i64, i64), TokenError> {
    let issued_ms = seconds(claims, "iat")?.ok_or(TokenError::Claim("iat"))?;
    let expires_ms = seconds(claims, "exp")?.ok_or(TokenError::Claim("exp"))?;
    let from_ms = seconds(claims, "nbf")?.unwrap_or(issued_ms);
    if now_ms >= expires_ms.saturating_add(SKEW_MS) {
        return Err(TokenError::Expired);
    }
    if now_ms < from_ms.max(issued_ms).saturating_sub(SKEW_MS) {
        return Err(TokenError::NotYet);
    }
    if expires_ms.saturating_sub(issued_ms) > lifetime_ms_max {
        return Err(TokenError::Lifetime);
    }
    Ok((issued_ms, expires_ms))
}

/// A NumericDate (RFC 7519): a number of seconds, which may have a fraction. Text is an error, never "not
/// set" (jsonwebtoken CVE-2026-25537).
pub(crate) fn seconds(claims: Node<'_>, name: &'static str) -> Result<Option<i64>, TokenError> {
    let Some(node) = claims.get(name) else {
        return Ok(None);
    };
    let number = node.as_number().ok_or(TokenError::Claim(name))?;
    let text = number.as_text();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    // Regression: a fraction with an exponent was cut off with it, so `1.5e3` was read as 1.
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TokenError::Claim(name));
    }
    let seconds: i64 = whole.parse().map_err(|_| TokenError::Claim(name))?;
    // Years 1970 to 9999; more is not a date but an attempt at overflow.
    if !(0..=253_402_300_799).contains(&seconds) {
        return Err(TokenError::Claim(name));
    }
    Ok(Some(seconds * 1000))
}

pub(crate) fn text(claims: Node<'_>, name: &'static str) -> Result<String, TokenError> {
    optional(claims, name)?.ok_or(TokenError::Claim(name))
}

pub(crate) fn optional(claims: Node<'_>, name: &'static str) -> Result<Option<String>, TokenError> {
    let node = claims.get(name);
    node.map(|node| one_text(Some(node), name)).transpose()
}

/// The delegation of others: if there is one, its actor is the client itself.
pub(crate) fn acting_for_nobody_else(claims: Node<'_>, client: &str) -> Result<(), TokenError> {
    let Some(act) = claims.get("act") else {
        return Ok(());
    };
    let one_deep = act.kind() == Kind::Object && act.get("act").is_none();
    if one_deep && act.get("sub").is_some_and(|actor| actor.is_str(client)) {
        Ok(())
    } else {
        Err(TokenError::Claim("act"))
    }
}

/// What the token is bound to. A binding that is not known here is not ignored.
pub(crate) fn bound_to(claims: Node<'_>) -> Result<Option<Binding>, TokenError> {
    let Some(confirmation) = claims.get("cnf") else {
        return Ok(None);
    };
    if confirmation.members().count() != 1 {
        return Err(TokenError::Bound);
    }
    let text = |node: Node<'_>| {
        let text = node.as_str().filter(|text| !text.is_empty());
        text.map(Arc::from).ok_or(TokenError::Claim("cnf"))
    };
    match (confirmation.get("x5t#S256"), confirmation.get("jkt")) {
        (Some(digest), None) => Ok(Some(Binding::Certificate(text(digest)?))),
        (None, Some(thumbprint)) => Ok(Some(Binding::Key(text(thumbprint)?))),
        (_, _) => Err(TokenError::Bound),
    }
}

/// A list of texts; none where there is no list.
pub(crate) fn texts(list: Option<Node<'_>>, what: &'static str) -> Result<Vec<String>, TokenError> {
    let all: Vec<_> = list.into_iter().flat_map(Node::elements).collect();
    if all.len() > NAMES_MAX {
        return Err(TokenError::Claim(what));
    }
    all.into_iter().map(|one| one_text(Some(one), what)).collect()
}

pub(crate) fn one_text(node: Option<Node<'_>>, what: &'static str) -> Result<String, TokenError> {
    let text = node.and_then(Node::as_str).ok_or(TokenError::Claim(what))?;
    let good = !text.is_empty() && text.len() <= 512 && !text.chars().any(char::is_control);
    if good {
        Ok(text.into_owned())
    } else {
        Err(TokenError::Claim(what))
    }
}

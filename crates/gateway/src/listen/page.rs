//! Pages for people: how they look, and how they are kept from being anything but pages. No script but that of passkeys,
//! nothing from elsewhere, no frame around them, and nothing of anybody else's is markup.

use hyper::{
    Response, StatusCode,
    header::{
        CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
        X_FRAME_OPTIONS,
    },
};

use super::body::{self, Body};
use crate::visible::visible;

const STYLE: &str = include_str!("page.css");

/// A page with a heading and what is below it, as HTML.
pub(super) fn page(status: StatusCode, title: &str, inner: &str, form_leads_to: &str) -> Response<Body> {
    let title = safe(title);
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"robots\" content=\"noindex\">\
         <title>{title} - Sallyport</title><style>{STYLE}</style></head>\n\
         <body><main><p class=\"brand\">Sallyport</p><h1>{title}</h1>\n{inner}\n</main></body>\n</html>\n"
    );
    guarded(
        body::with_type(status, "text/html; charset=utf-8", html.into_bytes()),
        form_leads_to,
    )
}

/// Keeps an answer from being framed, sniffed, or more than it is. Forms lead to us and, where the answer to one sends
/// the browser on, to there.
pub(super) fn guarded(mut response: Response<Body>, form_leads_to: &str) -> Response<Body> {
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self' {form_leads_to}; frame-ancestors 'none'; \
         base-uri 'none'"
    );
    let headers = response.headers_mut();
    // A source is printable text without blanks; if it were not, forms would lead nowhere.
    let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // With `no-referrer`, browsers send `Origin: null` with our own forms, and the gate refuses that.
        (REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Somebody else's text as text: visible, and no markup.
pub(super) fn safe(text: &str) -> String {
    let mut shown = String::new();
    for c in visible(text).chars() {
        match c {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            '\'' => shown.push_str("&#39;"),
            other => shown.push(other),
        }
    }
    shown
}

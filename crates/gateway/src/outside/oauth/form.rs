//! `application/x-www-form-urlencoded`, written: bodies of requests and queries of URLs.

/// Pairs as a form.
pub(crate) fn form<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(pairs);
    form.finish()
}

/// One text as it stands in a form.
pub(crate) fn escaped(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A URL with these parameters besides those it has.
pub(crate) fn with_query<N: AsRef<str>, V: AsRef<str>>(url: &str, pairs: &[(N, V)]) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{}", form(pairs))
}

use crate::rules::uri::split;

#[test]
fn parts_are_in_one_form_and_absent_where_readers_could_differ() {
    for (uri, scheme, host, path) in [
        ("file:///etc/passwd", Some("file"), Some(""), Some("/etc/passwd")),
        ("FILE:///a/./b//c/../d", Some("file"), Some(""), Some("/a/b/d")),
        ("file:///a/../../../etc", Some("file"), Some(""), Some("/etc")),
        ("file:///a%2e%2e/%2e%2e/b", Some("file"), Some(""), Some("/b")),
        ("file:///a%2fb", Some("file"), Some(""), None),
        ("file:///a%252e", Some("file"), Some(""), None),
        ("file:///a%00", Some("file"), Some(""), None),
        ("file:///a%ff", Some("file"), Some(""), None),
        ("file:///a%5cb", Some("file"), Some(""), None),
        ("file:///a%2", Some("file"), Some(""), None),
        (
            "https://Example.COM:8443/x?y#z",
            Some("https"),
            Some("example.com"),
            Some("/x"),
        ),
        (
            "https://example.com.",
            Some("https"),
            Some("example.com"),
            Some(""),
        ),
        ("https://good.org@evil.org/x", Some("https"), None, Some("/x")),
        ("https://evil.org:80:90/x", Some("https"), None, Some("/x")),
        ("https://[::1]:80/x", Some("https"), Some("[::1]"), Some("/x")),
        ("https://[::1/x", Some("https"), None, Some("/x")),
        ("https://b%C3%BCcher.de/", Some("https"), None, Some("/")),
        ("note:today", Some("note"), Some(""), Some("today")),
        ("https:\\\\evil.org", None, None, None),
        ("https://a b/", None, None, None),
        ("no colon", None, None, None),
        ("1x://a", None, None, None),
    ] {
        let parts = split(uri);
        let found = (
            parts.scheme.as_deref(),
            parts.host.as_deref(),
            parts.path.as_deref(),
        );
        assert_eq!(found, (scheme, host, path), "{uri}");
    }
}

//! The environment of a child: what every program needs, what its configuration names, nothing else.
//!
//! The gateway's own environment holds secrets of others; peers that pass it on leak it to every server.

/// Variables every program may need to find its files, its language and its temporary directory. None of
/// them holds a secret.
const PASSED: [&str; 14] = [
    "HOME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TEMP", "TERM", "TMP",
    "TMPDIR", "TZ", "USER",
];

/// The child's whole environment.
pub(crate) fn of(
    configured: &[(String, String)],
    ours: impl Iterator<Item = (String, String)>,
) -> Vec<(String, String)> {
    let mut environment: Vec<_> = ours.filter(|(name, _)| PASSED.contains(&name.as_str())).collect();
    environment.retain(|(name, _)| configured.iter().all(|(set, _)| set != name));
    environment.extend(configured.iter().cloned());
    environment
}

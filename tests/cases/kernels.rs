//! Kernels that lack what a box is made of: refused with the remedy, and the remedy is one.

use std::ffi::OsString;

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, program},
    peers,
};

/// A gateway with one server, on a kernel without something.
fn on_kernel_without(what: &str, sandbox: &str) -> Gateway {
    let starter: Vec<OsString> = if what == "namespaces" {
        let refuses = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"";
        let words = ["unshare", "--user", "--map-root-user", "sh", "-c", refuses, "sh"];
        words.map(OsString::from).to_vec()
    } else {
        let script = peers::script("without.py").into_os_string();
        vec!["/usr/bin/python3".into(), script, what.into()]
    };
    let stub = program("e2e-stub");
    let server = format!("{{ command: {stub:?}, args: [stdio], sandbox: {sandbox} }}");
    let mut gateway =
        Gateway::configured(&format!("mcpServers: {{ it: {server} }}\n{OPEN_TO_TESTER}")).started_by(starter);
    gateway.run();
    gateway
}

/// What the doctor says, and what is said of the server when it is to be approved.
fn said(gateway: &Gateway) -> (String, String) {
    let doctor = gateway.output(&["doctor"]);
    let approved = gateway.output(&["server", "approve", "it"]);
    let text = |output: &std::process::Output| {
        let both = [output.stdout.as_slice(), &output.stderr].concat();
        String::from_utf8_lossy(&both).into_owned()
    };
    let shown = gateway.output(&["server", "show", "it", "--json"]);
    (text(&doctor), text(&approved) + &text(&shown))
}

#[test]
fn what_a_kernel_lacks_is_said_with_the_remedy_and_nothing_starts() {
    for (what, remedy) in [
        ("namespaces", "user.max_user_namespaces"),
        ("landlock", "`sandbox: { without: [landlock] }`"),
        ("seccomp", "`sandbox: { without: [seccomp] }`"),
        ("mounts", "Linux 5.13 or newer"),
    ] {
        let gateway = on_kernel_without(what, "on");
        let (doctor, server) = said(&gateway);
        assert!(server.contains(remedy), "{what}: {server}");
        assert!(!server.contains("\"revision\":"), "{what}: it started: {server}");
        // The doctor makes no box; that mounts cannot be limited is seen when one is made.
        assert!(what == "mounts" || doctor.contains(remedy), "{what}: {doctor}");
    }
}

#[test]
fn a_wall_that_is_not_there_is_done_without_where_that_is_said() {
    for (what, sandbox) in [
        ("landlock", "{ without: [landlock] }"),
        ("seccomp", "{ without: [seccomp] }"),
        ("namespaces", "off"),
    ] {
        let gateway = on_kernel_without(what, sandbox);
        gateway.wait_for_servers();
        let shown = gateway.json(&["server", "show", "it"]);
        let words = shown[0]["sandbox"].as_str().expect("a text").to_owned();
        let wanted = if sandbox == "off" {
            "off: it has every right"
        } else {
            "WITHOUT"
        };
        assert!(words.contains(wanted), "{words}");
    }
}

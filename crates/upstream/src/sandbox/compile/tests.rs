//! What is written for other sandboxes, word for word: `golden/`. A change there is a change of what people run.

use super::{Target, compile};
use crate::sandbox::{
    profile::{Access, Grant, Profile},
    wishes::Caps,
};

fn profile() -> Profile {
    let grant = |source: &str, target: &str, access| Grant {
        source: source.to_owned(),
        target: target.to_owned(),
        access,
    };
    Profile {
        program: "/usr/bin/python3".to_owned(),
        args: vec![
            "/srv/notes/server.py".to_owned(),
            "it's; $(touch /tmp/x) \"here\"".to_owned(),
        ],
        env: vec![
            ("HOME".to_owned(), "/home/alice".to_owned()),
            ("TOKEN".to_owned(), "a-secret".to_owned()),
            ("HTTPS_PROXY".to_owned(), "http://127.0.0.1:3128".to_owned()),
        ],
        directory: "/home/alice".to_owned(),
        home: "/home/alice".to_owned(),
        grants: vec![
            grant("/srv/notes", "/srv/notes", Access::CODE),
            grant("/data/my notes", "/home/alice/my notes", Access::WRITE),
            grant("/srv/reference", "/srv/reference", Access::READ),
        ],
        hidden: vec!["/srv/notes/state".to_owned(), "/elsewhere".to_owned()],
        egress: Some("/run/egress/notes".to_owned()),
        asked: None,
        network: vec!["api.github.com".to_owned()],
        caps: Caps::default(),
        without: Vec::new(),
    }
}

#[test]
fn profiles_are_written_word_for_word() {
    for (word, golden) in [
        ("bubblewrap", include_str!("golden/bubblewrap.txt")),
        ("docker", include_str!("golden/docker.txt")),
        ("kubernetes", include_str!("golden/kubernetes.txt")),
        ("podman", include_str!("golden/podman.txt")),
        ("runsc", include_str!("golden/runsc.txt")),
        ("sandbox-exec", include_str!("golden/sandbox-exec.txt")),
    ] {
        let written = compile(&profile(), Target::parse(word).expect(word));
        assert_eq!(written, golden, "{word}:\n{written}");
        assert!(!written.contains("a-secret"), "{word}");
    }
}

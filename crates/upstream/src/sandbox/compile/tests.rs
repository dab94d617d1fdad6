//! What other sandboxes are given, to the letter: `golden/` has it as people were shown it.
//!
//! After a change that is meant: `GOLDEN=write cargo test -p upstream golden`, and read the difference.

use std::{fs, path::Path};

use super::{
    super::{
        profile::{Access, Grant, Profile},
        wishes::Caps,
    },
    Target, compile,
};

/// Everything a profile may have, with names that are hard to write.
fn profile() -> Profile {
    let grant = |path: &str, access| Grant {
        source: path.to_owned(),
        target: path.to_owned(),
        access,
    };
    Profile {
        program: "/opt/it's/server".to_owned(),
        args: vec!["--say".to_owned(), "a \"b\" $HOME $(HOME)".to_owned()],
        env: vec![
            ("API_KEY".to_owned(), "secret-value".to_owned()),
            ("A;touch /tmp/x".to_owned(), String::new()),
            ("HTTPS_PROXY".to_owned(), "http://127.0.0.1:1".to_owned()),
        ],
        directory: "/srv/project".to_owned(),
        home: "/home/box".to_owned(),
        grants: vec![
            grant("/opt/it's", Access::CODE),
            grant("/srv/notes", Access::READ),
            grant("/srv/of,readonly=false", Access::READ),
            grant("/srv/project", Access::OWN),
        ],
        hidden: vec!["/srv/project/state".to_owned(), "/var/lib/unseen".to_owned()],
        egress: None,
        asked: None,
        network: vec!["api.example.com".to_owned()],
        caps: Caps::default(),
        without: Vec::new(),
    }
}

#[test]
fn profiles_of_other_sandboxes_are_golden() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sandbox/compile/golden");
    for (name, target) in Target::ALL {
        let file = folder.join(name);
        let written = compile(&profile(), target);
        if std::env::var_os("GOLDEN").is_some() {
            fs::write(&file, &written).expect("written");
        }
        let golden = fs::read_to_string(&file).expect("a golden file");
        assert_eq!(written, golden, "{name}");
    }
}

/// Values of variables may be secrets, and what is hidden from the box is hidden everywhere.
#[test]
fn no_golden_profile_has_a_value_or_shows_what_is_hidden() {
    for (name, target) in Target::ALL {
        let written = compile(&profile(), target);
        assert!(!written.contains("secret-value"), "{name}");
        assert!(written.contains("/srv/project/state"), "{name}: it is covered");
    }
}

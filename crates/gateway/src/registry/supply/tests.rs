use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use upstream::Command;

use super::{Artefact, Depth, Refused, found, steers};

fn command(program: &Path, args: &[&str], env: &[(&str, &str)]) -> Command {
    Command {
        program: program.display().to_string(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        vault: Vec::new(),
        env: env
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect(),
        directory: Some(std::env::temp_dir()),
        sandbox: upstream::Sandbox::default(),
    }
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_script_is_pinned_with_its_interpreters() {
    let root = std::env::temp_dir().join(format!("sallyport-found-{}", std::process::id()));
    fs::create_dir_all(&root).unwrap();
    let (server, shim) = (root.join("server"), root.join("shim"));
    script(&server, "#!/usr/bin/env -S shim --x\n");
    script(&shim, "#!/bin/sh\n");
    let path = root.display().to_string();
    let command = command(&server, &["a"], &[("PATH", &path), ("TOKEN", "x")]);
    let artefact = Artefact::as_found(&command, "sha256:l", &super::Provenance::default()).unwrap();
    let roles: Vec<_> = artefact
        .files
        .iter()
        .map(|file| (file.role.as_str(), file.path.as_path()))
        .collect();
    assert_eq!(
        roles,
        [
            ("program", server.as_path()),
            ("interpreter", &shim),
            ("interpreter", Path::new("/bin/sh"))
        ]
    );
    assert_eq!(artefact.variables.keys().collect::<Vec<_>>(), ["PATH"]);

    // The interpreter's bytes change, then another one is found first.
    script(&shim, "#!/bin/sh\n:\n");
    let other = Artefact::as_found(&command, "sha256:l", &super::Provenance::default()).unwrap();
    let why = found::difference(&artefact.files, &other.files).unwrap();
    assert!(
        why.contains("interpreter") && why.contains("10 bytes") && why.contains("12 bytes"),
        "{why}"
    );
    script(&server, "#!/bin/sh\n");
    let other = Artefact::as_found(&command, "sha256:l", &super::Provenance::default()).unwrap();
    let why = found::difference(&artefact.files, &other.files).unwrap();
    assert!(why.contains("and is `/bin/sh`"), "{why}");

    // One that runs itself has no end.
    script(&shim, &format!("#!{}\n", shim.display()));
    script(&server, &format!("#!{}\n", shim.display()));
    let endless = Artefact::as_found(&command, "sha256:l", &super::Provenance::default())
        .unwrap_err()
        .to_string();
    assert!(endless.contains("interpreters behind each other"), "{endless}");
    fs::remove_dir_all(&root).unwrap();
}

#[test]
fn what_floats_is_refused_when_a_person_approves_and_named_otherwise() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let floating = command(Path::new("sh"), &[], &[]);
    let floating = Command {
        program: "docker".to_owned(),
        args: ["run", "-i", "mcp/git"].map(str::to_owned).to_vec(),
        ..floating
    };
    let refused = runtime
        .block_on(Artefact::pin(
            &floating,
            "sha256:l",
            Depth::Whole,
            Path::new("/nonexistent"),
            &super::Provenance::default(),
        ))
        .unwrap_err();
    assert!(
        matches!(&refused, Refused::Floating(why) if why.contains("mcp/git@sha256:")),
        "{refused}"
    );
    let missing = command(Path::new("surely-not-here"), &[], &[]);
    assert!(matches!(
        Artefact::as_found(&missing, "sha256:l", &super::Provenance::default()),
        Err(Refused::Missing(_))
    ));
}

#[test]
fn variables_that_steer_are_known_whatever_their_case() {
    for name in ["LD_PRELOAD", "node_options", "PYTHONPATH", "PATH", "BASH_ENV"] {
        assert!(steers(name), "{name}");
    }
    assert!(!steers("GITHUB_TOKEN") && !steers("PATHS"));
}

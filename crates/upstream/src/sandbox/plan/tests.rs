use std::{fs, os::unix::fs::symlink, path::PathBuf};

use super::{Access, Profile, Refused, Room, Wishes, plan};
use crate::{Command, Sandbox};
use wire::mcp::ServerName;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sallyport-plan-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("home/project")).expect("a directory");
        fs::create_dir_all(path.join("data/ledger")).expect("a directory");
        Self(path.canonicalize().expect("a directory"))
    }

    fn plan(&self, program: &str, args: &[&str], wishes: &Wishes) -> Result<Profile, Refused> {
        let room = Room {
            hidden: vec![self.0.join("data")],
            ..Room::default()
        };
        self.plan_in(program, args, wishes, &room)
    }

    fn plan_in(
        &self,
        program: &str,
        args: &[&str],
        wishes: &Wishes,
        room: &Room,
    ) -> Result<Profile, Refused> {
        let command = Command {
            program: program.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec![("HOME".to_owned(), self.0.join("home").display().to_string())],
            vault: Vec::new(),
            directory: Some(self.0.join("home/project")),
            sandbox: Sandbox::default(),
        };
        let name = ServerName::parse("files").expect("a name");
        plan(&name, &command, wishes, room)
    }

    fn text(&self, path: &str) -> String {
        self.0.join(path).display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn access(profile: &Profile, target: &str) -> Option<Access> {
    profile
        .grants
        .iter()
        .find(|grant| grant.target == target)
        .map(|grant| grant.access)
}

#[test]
fn what_no_server_may_have_is_refused_and_the_remedy_said() {
    let scratch = Scratch::new("refused");
    symlink(scratch.text("data"), scratch.text("home/link")).expect("a link");
    symlink("/", scratch.text("home/all")).expect("a link");
    for (path, why) in [
        ("/".to_owned(), "which is everything"),
        (scratch.text("data"), "the gateway's own"),
        (scratch.text("data/ledger"), "the gateway's own"),
        (scratch.text("home/../data"), "`..`"),
        (scratch.text("home/link"), "is a link"),
        (scratch.text("home/all"), "is a link"),
        ("project".to_owned(), "relative"),
        (scratch.text("home/nothing"), "cannot be used"),
    ] {
        for write in [false, true] {
            let mut wishes = Wishes::default();
            if write {
                &mut wishes.write
            } else {
                &mut wishes.read
            }
            .push(path.clone().into());
            let refused = scratch.plan("true", &[], &wishes).expect_err(&path);
            assert!(refused.what.contains(why), "{path}: {refused}");
            assert!(!refused.remedy.is_empty());
        }
    }
    let system = Wishes {
        write: vec!["/etc".into()],
        ..Wishes::default()
    };
    assert!(
        scratch
            .plan("true", &[], &system)
            .expect_err("the system")
            .what
            .contains("of the system")
    );
    for (program, why) in [
        ("./true", "relative"),
        ("docker", "daemon"),
        ("no-such-program", "not found"),
    ] {
        let refused = scratch.plan(program, &[], &Wishes::default()).expect_err(program);
        assert!(refused.what.contains(why), "{program}: {refused}");
    }
}

#[test]
fn a_command_line_has_what_it_names_and_no_more() {
    let scratch = Scratch::new("named");
    fs::create_dir_all(scratch.text("home/tool/node_modules/it/dist")).expect("a directory");
    fs::write(scratch.text("home/tool/node_modules/it/dist/index.js"), "").expect("a file");
    fs::write(scratch.text("home/notes.txt"), "").expect("a file");
    let script = scratch.text("home/tool/node_modules/it/dist/index.js");
    let (notes, data) = (scratch.text("home/notes.txt"), scratch.text("data/ledger"));
    let (home, folder) = (
        scratch.text("home"),
        format!("--folder={}", scratch.text("home/tool")),
    );
    let at = scratch.text("home/notes.sock");
    let socket = std::os::unix::net::UnixListener::bind(&at).expect("a socket");
    let profile = scratch
        .plan(
            "sh",
            &[&script, &notes, &data, &home, &folder, "/", &at, "/etc/passwd"],
            &Wishes::default(),
        )
        .expect("a profile");
    assert_eq!(
        access(&profile, &scratch.text("home/tool/node_modules")),
        Some(Access::CODE)
    );
    assert_eq!(access(&profile, &scratch.text("home/tool")), Some(Access::WRITE));
    assert_eq!(access(&profile, &notes), Some(Access::WRITE));
    assert_eq!(
        access(&profile, &scratch.text("home/project")),
        Some(Access::READ)
    );
    assert_eq!(
        (
            access(&profile, &data),
            access(&profile, &home),
            access(&profile, "/")
        ),
        (None, None, None)
    );
    drop(socket);
    assert_eq!(
        (access(&profile, &at), access(&profile, "/etc/passwd")),
        (None, Some(Access::READ))
    );
    assert_eq!(profile.grants.len(), 5, "{:?}", profile.grants);
    assert_eq!(Profile::decode(profile.encode()), Some(profile));
}

#[test]
fn a_home_that_is_kept_does_not_hide_what_is_granted_in_the_real_one() {
    let scratch = Scratch::new("kept");
    let room = Room {
        kept: scratch.0.join("kept"),
        ..Room::default()
    };
    let wishes = Wishes {
        write: vec![scratch.0.join("home/project")],
        keep: true,
        ..Wishes::default()
    };
    let profile = scratch.plan_in("true", &[], &wishes, &room).expect("a profile");
    assert_eq!(access(&profile, &scratch.text("home")), Some(Access::OWN));
    assert_eq!(
        access(&profile, &scratch.text("home/project")),
        Some(Access::WRITE)
    );
}

#[test]
fn a_link_the_server_can_change_grants_nothing() {
    let scratch = Scratch::new("steered");
    let (project, data) = (scratch.text("home/project"), scratch.text("home/project/data"));
    for name in ["home/other", "home/project/real"] {
        fs::create_dir_all(scratch.text(name)).expect("a directory");
    }
    symlink(scratch.text("home/project/real"), &data).expect("a link");
    let args = [project.as_str(), data.as_str()];
    scratch
        .plan("true", &args, &Wishes::default())
        .expect("a profile");
    fs::remove_file(&data).expect("it is there");
    symlink(scratch.text("home/other"), &data).expect("a link");
    let refused = scratch
        .plan("true", &args, &Wishes::default())
        .expect_err("it leads out");
    assert!(refused.what.contains("can change that link"), "{refused}");
}

#[test]
fn a_shim_has_what_is_beside_it() {
    let scratch = Scratch::new("shim");
    let shims = scratch.0.join("home/.manager/shims");
    fs::create_dir_all(&shims).expect("a directory");
    fs::copy("/bin/true", shims.join("tool")).expect("a program");
    let shim = shims.join("tool").display().to_string();
    let profile = scratch.plan(&shim, &[], &Wishes::default()).expect("a profile");
    assert_eq!(
        access(&profile, &scratch.text("home/.manager")),
        Some(Access::CODE)
    );
}

//! What the box of a server is, for people and for other sandboxes.

use upstream::{
    Reach, Sandbox,
    sandbox::{Kernel, Profile, Room, plan},
};

use crate::config::servers::MeantServer;

/// What is said of a server whose sandbox is off.
pub(crate) const OFF: &str = "off: it has every right of the gateway's own user";

/// The box of a server that is a process and has one; as things are now, for files come and go.
pub(crate) fn profile(meant: &MeantServer, room: &Room) -> Option<Result<Profile, String>> {
    let Reach::Stdio(command) = &meant.spec.reach else {
        return None;
    };
    match &command.sandbox {
        Sandbox::Off => None,
        Sandbox::On(wishes) => {
            let planned = plan(&meant.spec.name, command, wishes, room);
            Some(planned.map_err(|refused| refused.to_string()))
        }
    }
}

/// Whether the operator switched it off.
pub(crate) fn is_off(meant: &MeantServer) -> bool {
    matches!(&meant.spec.reach, Reach::Stdio(command) if command.sandbox == Sandbox::Off)
}

/// What limits it on this machine; nothing for a server without a box.
pub(crate) fn limits(meant: &MeantServer, room: &Room) -> Option<String> {
    let profile = profile(meant, room)?.ok()?;
    Some(profile.limits(&Kernel::look()))
}

/// In plain words; nothing for a server that is no process of ours.
pub(crate) fn words(meant: &MeantServer, room: &Room) -> Option<String> {
    if is_off(meant) {
        return Some(OFF.to_owned());
    }
    profile(meant, room).map(|planned| match planned {
        Ok(profile) => profile.words(),
        Err(why) => format!("it cannot be boxed: {why}"),
    })
}

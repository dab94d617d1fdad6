//! The second wall: Landlock's rules over the same names as the view. Should something outside come into view all the
//! same, it is still not among them.

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::{kernel, profile, profile::Profile, view::SYSTEM};

/// What this build knows of; a kernel that knows less enforces what it knows.
const KNOWN: ABI = ABI::V7;

/// Restricts this thread and all it starts.
pub(super) fn restrict(profile: &Profile) -> Result<(), String> {
    let made = || -> Result<RulesetStatus, landlock::RulesetError> {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(KNOWN))?
            .scope(Scope::AbstractUnixSocket | Scope::Signal)?
            .create()?;
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        for path in SYSTEM {
            rules = allow(rules, path, read | AccessFs::Execute)?;
        }
        for path in ["/etc", "/proc", "/run"] {
            rules = allow(rules, path, read)?;
        }
        let write = AccessFs::from_write(KNOWN) | read;
        for path in ["/dev", "/tmp", profile.home.as_str()] {
            rules = allow(rules, path, write)?;
        }
        for grant in &profile.grants {
            rules = allow(rules, &grant.target, rights(grant.access))?;
        }
        Ok(rules.restrict_self()?.ruleset)
    };
    match made() {
        Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => Ok(()),
        Ok(RulesetStatus::NotEnforced) => Err(kernel::LANDLOCK.to_owned()),
        Err(error) => Err(format!("{}: {error}", kernel::LANDLOCK)),
    }
}

fn rights(access: profile::Access) -> BitFlags<AccessFs> {
    let mut rights = AccessFs::ReadFile | AccessFs::ReadDir;
    if access.write {
        rights |= AccessFs::from_write(KNOWN);
    }
    if access.execute {
        rights |= AccessFs::Execute;
    }
    rights
}

fn allow(
    rules: RulesetCreated,
    path: &str,
    rights: BitFlags<AccessFs>,
) -> Result<RulesetCreated, landlock::RulesetError> {
    // What is not there needs no rule.
    let Ok(place) = PathFd::new(path) else {
        return Ok(rules);
    };
    let is_directory = std::fs::metadata(path).is_ok_and(|found| found.is_dir());
    let rights = if is_directory {
        rights
    } else {
        rights & AccessFs::from_file(KNOWN)
    };
    rules.add_rule(PathBeneath::new(place, rights))
}

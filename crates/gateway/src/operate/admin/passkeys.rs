//! Passkeys of local users, as operators see and end them.

use wire::json::object;

use super::{Args, users::end_grant};
use crate::{
    failure::Failure, known::authorization::passkeys::Kept, listen::House, storage::store::StoreError,
};

/// A user's passkeys.
pub(super) fn list(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let user = args.needed("user")?;
    let kept = house.authorization.passkeys_of(&user);
    let kept: Vec<Kept> = kept.map_err(|error| Failure::other(error.to_string()))?;
    Ok(object(|out| {
        out.array("passkeys", |list| {
            for kept in &kept {
                list.object(|out| {
                    out.string("name", &kept.name());
                    out.boolean("synced", kept.passkey.is_synced);
                    out.integer("since_ms", kept.born_ms);
                    if let Some(used_ms) = kept.used_ms {
                        out.integer("used_ms", used_ms);
                    }
                });
            }
        });
    }))
}

/// Ends one.
pub(super) fn remove(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let (user, name) = (args.needed("user")?, args.needed("passkey")?);
    let removed = remove_passkey(house, &user, &name, "an administrator removed it");
    removed.map_err(Failure::configuration)?;
    Ok(object(|out| {
        out.string("user", &user);
        out.string("passkey", &name);
    }))
}

/// Removes a passkey of this very user, with all that was let in by it.
pub(crate) fn remove_passkey(house: &House, user: &str, name: &str, why: &str) -> Result<(), String> {
    let failed = |error: StoreError| error.to_string();
    let removed = house.authorization.remove_passkey(user, name).map_err(failed)?;
    removed.ok_or_else(|| format!("{user} has no passkey that is called so"))?;
    for grant in house.authorization.grants.of_user(user) {
        if grant.login.passkey() == Some(name) {
            end_grant(house, &grant.id, "the passkey it rests on was removed").map_err(failed)?;
        }
    }
    let detail = [
        ("user", user.to_owned()),
        ("passkey", name.to_owned()),
        ("why", why.to_owned()),
    ];
    let journal = &house.engines.journal;
    journal.note(records::ledger::Kind::Session, "passkey-removed", &detail);
    Ok(())
}

//! Tokens for scripts.

use std::collections::BTreeSet;

use identity::{
    Actor, ActorKind, DeclaredContext,
    oauth::read_context,
    token::{Grant, LIFETIME_MS_MAX, SCOPE},
};
use policy::PartyKind;
use records::ledger::Kind;
use wire::{
    bounds::REQUEST,
    json::{Document, Keys, object},
};

use super::Args;
use crate::{
    config::Proof,
    failure::Failure,
    listen::{House, resources},
};

/// Mints a token for a known agent. Whoever may open the control socket may do so.
pub(super) fn mint(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let engines = &house.engines;
    let name = args.needed("agent")?;
    let person = engines.people.client(&name).ok_or_else(|| {
        Failure::configuration(format!("there is no agent `{name}`; see `sallyport agent list`"))
    })?;
    let declared = declared(args)?;
    if let Some(declared) = &declared {
        engines
            .people
            .may_declare(&person, declared)
            .map_err(Failure::refused)?;
    }
    let for_user = match args.text("for") {
        Some(user) if person.acts_for.contains(&user) => Some(user),
        Some(user) => return Err(Failure::refused(format!("`{name}` may not act for `{user}`"))),
        None if person.acts_for.len() == 1 => person.acts_for.first().cloned(),
        None => None,
    };
    let audience = match args.text("server") {
        Some(server) => {
            let named = engines.tokens.resource.join(&server);
            // As at `/oauth/token`: a token for what is not there would be good the day it is.
            if !resources(house).contains(&named) {
                let why = format!("there is no server or group `{server}`; see `sallyport server list`");
                return Err(Failure::configuration(why));
            }
            named
        }
        None => engines.tokens.resource.clone(),
    };
    let seconds = args.text("seconds").and_then(|text| text.parse::<i64>().ok());
    let lifetime_ms = seconds.map_or(LIFETIME_MS_MAX, |seconds| seconds.saturating_mul(1000));
    let grant = Grant {
        actor: Actor {
            kind: kind(person.party.kind),
            name: name.clone(),
        },
        for_user,
        tenant: person.party.tenant.clone(),
        model: person.model.clone(),
        scopes: person
            .scopes
            .iter()
            .cloned()
            .chain([SCOPE.to_owned()])
            .collect::<BTreeSet<_>>(),
        context: None,
        declared,
        audience,
        token_id: engines.ambient.name().to_string(),
        // A lifetime in the past makes a token that has expired, for those who want to see it refused.
        binding: None,
        issued_ms: engines.ambient.now_ms() + lifetime_ms.min(0)
            - if lifetime_ms < 0 { LIFETIME_MS_MAX } else { 0 },
        lifetime_ms: if lifetime_ms < 0 {
            LIFETIME_MS_MAX
        } else {
            lifetime_ms
        },
        asserted: None,
    }
    .in_declared_context(&engines.tokens.contexts);
    let token = engines.tokens.issuer.mint(&grant);
    let told = [
        ("agent", name),
        ("token", grant.token_id.clone()),
        ("audience", grant.audience.to_string()),
    ];
    engines.journal.note(Kind::Session, "token-issued", &told);
    Ok(object(|out| {
        out.string("access_token", &token);
        out.string("token_type", "Bearer");
        out.integer("expires_in", lifetime_ms.clamp(0, LIFETIME_MS_MAX) / 1000);
        // There is nothing here to bind it to.
        if let Some(proof @ (Proof::Dpop | Proof::Mtls)) = person.proof {
            let why = format!(
                "no call passes with this token: `{}` has to prove itself by {}, and gets tokens for that at \
                 `/oauth/token`",
                person.party.name,
                proof.as_str()
            );
            out.string("unfit", &why);
        }
    }))
}

/// What the token is to declare, read as any other declaration; none where nothing is said.
fn declared(args: &Args<'_>) -> Result<Option<DeclaredContext>, Failure> {
    let said = ["purpose", "task", "entity"].map(|name| (name, args.text(name)));
    if said.iter().all(|(_, text)| text.is_none()) {
        return Ok(None);
    }
    let text = object(|out| {
        for (name, text) in &said {
            if let Some(text) = text {
                out.string(name, text);
            }
        }
    });
    let unreadable = |why: String| Failure::configuration(why);
    let read = Document::parse(text, Keys::Exact, &REQUEST).map_err(|error| unreadable(error.to_string()))?;
    let declared = read_context(read.root()).map_err(|error| unreadable(error.to_string()))?;
    Ok(Some(declared))
}

fn kind(kind: PartyKind) -> ActorKind {
    match kind {
        PartyKind::Agent => ActorKind::Agent,
        PartyKind::Service => ActorKind::Service,
        PartyKind::User => ActorKind::User,
    }
}

//! What may be declared.

use std::sync::Arc;

use identity::{ActorKind, oauth::read_context};
use pipeline::{Objection, Ready, admit::Declared, ports::Purposes, refusal};
use wire::mcp::meta;

use super::Engines;

impl Purposes for Engines {
    fn purpose(&self, call: &Ready<Declared>) -> Result<Option<Arc<str>>, Objection> {
        let principal = call.principal();
        let with_credential = principal
            .declared()
            .and_then(|declared| declared.purpose.as_deref());
        let refuse = |why: String| Objection::new(&refusal::PURPOSE_REFUSED, why.clone()).showing(why);
        let actor = principal.actor();
        let person = match actor.kind {
            ActorKind::User => self.people.user(&actor.name),
            ActorKind::Agent | ActorKind::Service => self.people.client(&actor.name),
        };
        // Whoever may not declare it any more is not let go on by a token of before: the purpose may be gone with its limits.
        if let (Some(_), Some(declared), Some(person)) = (with_credential, principal.declared(), &person) {
            self.people.may_declare(person, declared).map_err(refuse)?;
        }
        let params = call.arrival().message.params();
        let Some(declaration) = params.and_then(meta::of).and_then(|meta| meta.get(meta::CONTEXT)) else {
            return Ok(with_credential.map(Arc::from));
        };
        let declared = read_context(declaration)
            .map_err(|error| Objection::new(&refusal::CONTEXT_INVALID, error.to_string()))?;
        let person = person.ok_or_else(|| refuse(format!("`{}` is not known here any more", actor.name)))?;
        self.people.may_declare(&person, &declared).map_err(refuse)?;
        match (with_credential, declared.purpose) {
            (Some(first), Some(second)) if first != second => Err(refuse(format!(
                "the credential was issued for `{first}`, not for `{second}`"
            ))),
            (Some(purpose), _) => Ok(Some(Arc::from(purpose))),
            (None, declared) => Ok(declared.map(Arc::from)),
        }
    }
}

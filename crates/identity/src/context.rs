//! Which context a declaration names. It knows nothing of what sticks to contexts.
//!
//! INVARIANT (washing): the same caller that declares the same task, or acts for the same entity, is in the same context,
//! whichever token says so and whenever it was issued. What was read is not washed off by asking for another token.

use aws_lc_rs::hmac;
use wire::hex;

use crate::principal::{DeclaredContext, push_part};

/// Bytes of a digest that make a name: nobody finds two declarations of one name.
const NAME_BYTES: usize = 16;

/// Names contexts. The key keeps a name in the ledger from saying what was declared to whoever guesses.
#[derive(Debug)]
pub struct ContextNames(hmac::Key);

impl ContextNames {
    /// By this key, which must not change: contexts of other names have read nothing.
    #[must_use]
    pub fn new(key: hmac::Key) -> Self {
        Self(key)
    }

    /// The context of a [holder](crate::Principal::holder) that declares this; none where neither a task nor an entity is
    /// named: then each token that is issued opens a context of its own.
    #[must_use]
    pub fn of(&self, holder: &str, declared: &DeclaredContext) -> Option<String> {
        let DeclaredContext {
            purpose,
            entity,
            task,
            trust: _,
            classes: _,
        } = declared;
        if entity.is_none() && task.is_none() {
            return None;
        }
        let mut said = String::new();
        push_part(&mut said, Some(holder));
        for part in [purpose, entity, task] {
            push_part(&mut said, part.as_deref());
        }
        let digest = hmac::sign(&self.0, said.as_bytes());
        let name = digest.as_ref().get(..NAME_BYTES)?;
        Some(
            name.iter()
                .flat_map(|byte| hex::digits(*byte))
                .map(char::from)
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(purpose: Option<&str>, entity: Option<&str>, task: Option<&str>) -> DeclaredContext {
        DeclaredContext {
            purpose: purpose.map(str::to_owned),
            entity: entity.map(str::to_owned),
            task: task.map(str::to_owned),
            ..DeclaredContext::default()
        }
    }

    #[test]
    fn a_context_is_named_by_who_declares_which_work_and_by_nothing_else() {
        let names = ContextNames::new(hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]));
        let all = [
            ("a", work(None, None, Some("x"))),
            ("b", work(None, None, Some("x"))),
            ("a", work(None, None, Some("y"))),
            ("a", work(None, Some("x"), None)),
            ("a", work(Some("x"), None, Some("x"))),
            ("a", work(None, Some("x"), Some("x"))),
        ];
        let named: std::collections::BTreeSet<_> = all
            .iter()
            .map(|(who, work)| names.of(who, work).expect("a name"))
            .collect();
        assert_eq!(named.len(), all.len(), "two of these are one context: {named:?}");
        let other = DeclaredContext {
            trust: Some("trusted".to_owned()),
            classes: vec!["phi".to_owned()],
            ..work(Some("x"), None, Some("x"))
        };
        assert_eq!(
            names.of("a", &other),
            names.of("a", &work(Some("x"), None, Some("x")))
        );
        assert_eq!(names.of("a", &work(Some("x"), None, None)), None);
    }
}

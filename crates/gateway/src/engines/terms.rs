//! What holds for all that a server says to a client while a call runs, and for a while after: the obligations of the
//! call, and the labels of what it brings. Progress, log messages and questions come on their own, each under its own rule,
//! but say as much as the answer.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pipeline::ports::Hold;
use policy::{Labels, Obligation};

use crate::ambient::Ambient;

/// How long after the last call what held for it still holds.
const LINGER_MS: i64 = 60 * 1000;
/// Whose calls, with whichever model, to which server.
type Key = (String, String);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms(Arc<Mutex<HashMap<Key, Kept>>>);

/// What holds for one caller and server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Term {
    /// Of all calls that run.
    pub(crate) obligations: BTreeSet<Obligation>,
    /// Of what they bring, besides those of all that the server says.
    pub(crate) labels: Option<Labels>,
    about: About,
}

/// Whom calls are about. There may be calls about others without end, and none of them counts then.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
enum About {
    /// There was no call.
    #[default]
    Nothing,
    /// All are about the same person, or about nobody in particular.
    One(Option<String>),
    Several,
}

/// The same as it is kept.
#[derive(Debug, Default)]
struct Kept {
    obligations: BTreeSet<Obligation>,
    labels: Option<Labels>,
    about: About,
    running: usize,
    quiet_since_ms: i64,
}

impl Term {
    /// The person the calls are about, if it is one.
    pub(crate) fn subject(&self) -> Option<&str> {
        match &self.about {
            About::One(only) => only.as_deref(),
            About::Nothing | About::Several => None,
        }
    }
}

impl About {
    fn and(self, subject: Option<String>) -> Self {
        match self {
            Self::Nothing => Self::One(subject),
            Self::One(only) if only == subject => Self::One(only),
            Self::One(_) | Self::Several => Self::Several,
        }
    }
}

impl Kept {
    fn is_over(&self, now_ms: i64) -> bool {
        self.running == 0 && now_ms - self.quiet_since_ms > LINGER_MS
    }
}

/// A call that runs.
struct Running {
    terms: Terms,
    key: Key,
    ambient: Ambient,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Running")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let now_ms = self.ambient.steady_ms();
        if let Some(term) = self.terms.lock().get_mut(&self.key) {
            term.running = term.running.saturating_sub(1);
            term.quiet_since_ms = now_ms;
        }
    }
}

impl Terms {
    /// From now on, until a while after the hold is dropped, this holds for what the server says to the caller.
    pub(crate) fn agree(
        &self,
        (caller, server): (&str, &str),
        (obligations, labels): (impl Iterator<Item = Obligation>, Option<&Labels>),
        subject: Option<String>,
        ambient: &Ambient,
    ) -> Hold {
        let key = (caller.to_owned(), server.to_owned());
        let now_ms = ambient.steady_ms();
        let mut terms = self.lock();
        let term = terms.entry(key.clone()).or_default();
        if term.is_over(now_ms) {
            *term = Kept::default();
        }
        term.running += 1;
        term.obligations.extend(obligations);
        if let Some(labels) = labels {
            let known = term.labels.take().unwrap_or_else(Labels::none);
            term.labels = Some(known.join(labels));
        }
        term.about = std::mem::take(&mut term.about).and(subject);
        Hold(Arc::new(Running {
            terms: self.clone(),
            key,
            ambient: ambient.clone(),
        }))
    }

    /// What holds for what a server says to a caller. All times here are steady ones: with a clock that was set back, it
    /// would hold until that has caught up.
    pub(crate) fn of(&self, caller: &str, server: &str, now_ms: i64) -> Term {
        let terms = self.lock();
        let found = terms.get(&(caller.to_owned(), server.to_owned()));
        let Some(kept) = found.filter(|term| !term.is_over(now_ms)) else {
            return Term::default();
        };
        Term {
            obligations: kept.obligations.clone(),
            labels: kept.labels.clone(),
            about: kept.about.clone(),
        }
    }

    /// Forgets what holds no longer.
    pub(crate) fn sweep(&self, now_ms: i64) {
        self.lock().retain(|_, term| !term.is_over(now_ms));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_outlast_the_call_for_a_while_and_concern_nobody_else() {
        let (terms, ambient) = (Terms::default(), Ambient::system());
        let hidden = Obligation::Mask(Arc::new(["personal".to_owned()].into()));
        let demands = [hidden.clone()].into_iter();
        let hold = terms.agree(("ann", "mail"), (demands, None), Some("p1".to_owned()), &ambient);
        let far = ambient.steady_ms() + 100 * LINGER_MS;
        assert!(
            terms.of("ann", "mail", far).obligations.contains(&hidden),
            "while it runs"
        );
        drop(hold);
        let now = ambient.steady_ms();
        let of = |subject: Option<&str>| {
            let none = std::iter::empty::<Obligation>();
            terms.agree(
                ("eve", "mail"),
                (none, None),
                subject.map(str::to_owned),
                &ambient,
            )
        };
        for (subject, expected) in [
            (Some("p1"), Some("p1")),
            (Some("p1"), Some("p1")),
            (None, None),
            (Some("p1"), None),
        ] {
            let _hold = of(subject);
            assert_eq!(terms.of("eve", "mail", now).subject(), expected, "{subject:?}");
        }
        let held = terms.of("ann", "mail", now);
        assert!(held.obligations.contains(&hidden));
        assert_eq!(held.subject(), Some("p1"));
        assert!(terms.of("ann", "web", now).obligations.is_empty());
        assert!(terms.of("bob", "mail", now).obligations.is_empty());
        assert!(terms.of("ann", "mail", far).obligations.is_empty());
        terms.sweep(now);
        assert!(!terms.lock().is_empty());
        terms.sweep(far);
        assert!(terms.lock().is_empty(), "what is over is not kept");
    }
}

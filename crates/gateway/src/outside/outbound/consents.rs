//! Questions to people whether the gateway may reach a server in their name, from the link to the answer.
//!
//! INVARIANT (one person, one browser, once): a link is of one person and is used once; the answer comes back to the
//! browser that went out, with a state nobody can guess, within ten minutes, and counts once.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use identity::Secret;
use wire::mcp::ServerName;

use super::grants::Party;
use crate::{ambient::Ambient, config::auth::ClientIdentity, outside::oauth::discovery::Found};

/// How long a question waits, in milliseconds.
const WAIT_MS: i64 = 10 * 60 * 1000;
/// Most questions that wait, of one person and of all.
const OF_ONE_MAX: usize = 16;
const OF_ALL_MAX: usize = 4096;

/// What a person is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) id: Arc<str>,
    pub(crate) server: ServerName,
    pub(crate) party: Party,
    /// For whom an agent asks, in words.
    pub(crate) asker: String,
    pub(crate) found: Found,
    pub(crate) client: ClientIdentity,
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) asked_ms: i64,
    /// The session that hears when it is answered.
    pub(crate) session: Option<Arc<str>>,
}

/// A question that its person went to answer.
#[derive(Clone, Debug)]
pub(crate) struct Underway {
    pub(crate) question: Question,
    /// PKCE.
    pub(crate) verifier: Secret,
    /// What the browser has to show that went out.
    pub(crate) browser: String,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Consents(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    asked: HashMap<Arc<str>, Question>,
    /// By state.
    underway: HashMap<String, Underway>,
}

impl Consents {
    /// The question that waits for the same, if one does.
    pub(crate) fn waiting(
        &self,
        (server, party): (&ServerName, &Party),
        issuer: &str,
        scopes: &BTreeSet<String>,
        now_ms: i64,
    ) -> Option<Question> {
        let mut held = self.lock();
        held.sweep(now_ms);
        let same = |question: &&Question| {
            question.server == *server
                && question.party == *party
                && question.found.server.issuer == issuer
                && question.scopes == *scopes
        };
        held.asked.values().find(same).cloned()
    }

    /// Takes a question in; the oldest of a person who has too many goes.
    pub(crate) fn ask(&self, question: Question, now_ms: i64) -> Result<(), &'static str> {
        let mut held = self.lock();
        held.sweep(now_ms);
        let own = held.asked.values().filter(|one| one.party == question.party);
        if own.clone().count() >= OF_ONE_MAX
            && let Some(oldest) = own.min_by_key(|one| one.asked_ms).map(|one| Arc::clone(&one.id))
        {
            held.asked.remove(&oldest);
        }
        if held.asked.len() >= OF_ALL_MAX {
            return Err("too many questions to people wait; try again later");
        }
        held.asked.insert(Arc::clone(&question.id), question);
        Ok(())
    }

    /// Nobody is asked for a server any more.
    pub(crate) fn forget(&self, server: &ServerName) {
        let mut held = self.lock();
        held.asked.retain(|_, question| question.server != *server);
        held.underway
            .retain(|_, underway| underway.question.server != *server);
    }

    /// A question that waits.
    pub(crate) fn look(&self, id: &str, now_ms: i64) -> Option<Question> {
        let mut held = self.lock();
        held.sweep(now_ms);
        held.asked.get(id).cloned()
    }

    /// Who hears when a question is answered.
    pub(crate) fn tell(&self, id: &str, session: &Arc<str>) {
        if let Some(question) = self.lock().asked.get_mut(id) {
            question.session = Some(Arc::clone(session));
        }
    }

    /// The person goes: the link is used up. Gives the state.
    pub(crate) fn go(&self, id: &str, browser: &str, ambient: &Ambient) -> Option<(String, Underway)> {
        let mut held = self.lock();
        held.sweep(ambient.now_ms());
        let question = held.asked.remove(id)?;
        let underway = Underway {
            question,
            verifier: Secret::presented(ambient.secret()),
            browser: browser.to_owned(),
        };
        let state = ambient.secret();
        held.underway.insert(state.clone(), underway.clone());
        Some((state, underway))
    }

    /// The answer came. A state counts once, whatever becomes of it, and only in the browser that went out.
    pub(crate) fn come_back(
        &self,
        state: &str,
        browser: Option<&str>,
        now_ms: i64,
    ) -> Result<Underway, &'static str> {
        let mut held = self.lock();
        held.sweep(now_ms);
        let underway = held
            .underway
            .remove(state)
            .ok_or("nobody waits for this answer; it came twice, or too late")?;
        let same = browser.is_some_and(|browser| {
            aws_lc_rs::constant_time::verify_slices_are_equal(browser.as_bytes(), underway.browser.as_bytes())
                .is_ok()
        });
        if same {
            Ok(underway)
        } else {
            Err("another browser went to ask; begin again in this one")
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn sweep(&mut self, now_ms: i64) {
        let waits = |question: &Question| now_ms.saturating_sub(question.asked_ms) < WAIT_MS;
        self.asked.retain(|_, question| waits(question));
        self.underway.retain(|_, underway| waits(&underway.question));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::auth::ClientProof,
        outside::oauth::discovery::{Metadata, Resource},
    };

    fn question(id: &str, asked_ms: i64) -> Question {
        Question {
            id: Arc::from(id),
            server: ServerName::parse("charts").expect("a name"),
            party: Party {
                is_user: true,
                name: "alice".to_owned(),
                tenant: String::new(),
            },
            asker: "scribe".to_owned(),
            found: Found {
                resource: Resource {
                    id: "https://s.example".to_owned(),
                    issuers: Vec::new(),
                    scopes: Vec::new(),
                    takes_dpop: false,
                },
                server: Metadata::default(),
            },
            client: ClientIdentity {
                id: "us".to_owned(),
                proof: ClientProof::None,
            },
            scopes: BTreeSet::new(),
            asked_ms,
            session: None,
        }
    }

    #[test]
    fn a_link_and_a_state_count_once_and_in_one_browser() {
        let ambient = Ambient::system();
        let now_ms = ambient.now_ms();
        let consents = Consents::default();
        for browser in [Some("other"), None, Some("mine"), Some("mine")]
            .into_iter()
            .enumerate()
        {
            let (n, browser) = browser;
            consents.ask(question("q", now_ms), now_ms).expect("room");
            let (state, _) = consents.go("q", "mine", &ambient).expect("it waits");
            assert!(
                consents.go("q", "mine", &ambient).is_none(),
                "the link is used up"
            );
            consents
                .come_back("another", Some("mine"), now_ms)
                .expect_err("another state");
            let first = consents.come_back(&state, browser, now_ms);
            assert_eq!(first.is_ok(), browser == Some("mine"), "{n}");
            consents
                .come_back(&state, Some("mine"), now_ms)
                .expect_err("twice");
        }
    }

    #[test]
    fn nothing_waits_longer_than_ten_minutes() {
        let ambient = Ambient::system();
        let now_ms = ambient.now_ms();
        let consents = Consents::default();
        consents.ask(question("q", now_ms), now_ms).expect("room");
        assert!(consents.look("q", now_ms + WAIT_MS - 1).is_some());
        assert!(consents.look("q", now_ms + WAIT_MS).is_none());
        consents.ask(question("q", now_ms), now_ms).expect("room");
        let (state, _) = consents.go("q", "mine", &ambient).expect("it waits");
        consents
            .come_back(&state, Some("mine"), now_ms + WAIT_MS)
            .expect_err("too late");
    }

    #[test]
    fn one_person_has_so_many_questions_and_no_more() {
        let consents = Consents::default();
        for n in 0..40 {
            consents.ask(question(&n.to_string(), n), n).expect("room");
        }
        assert!(consents.look("23", 40).is_none());
        assert!(consents.look("24", 40).is_some());
    }
}

//! A person agrees: from the question to the token.

use std::{collections::BTreeSet, sync::Arc};

use identity::oauth::Form;
use upstream::{Consent, LinkError};
use wire::mcp::ServerName;

use super::{
    Account, Outbound, Own,
    consents::{Question, Underway},
    grants::{self, Grant, Party},
    joined,
};
use crate::{
    config::auth::{AuthKind, Indicator},
    outside::oauth::{
        Sending,
        discovery::{Found, shown},
        fit, speaks_for,
    },
};

/// What a person is shown before they go.
pub(crate) struct Asking {
    pub(crate) server: ServerName,
    pub(crate) person: String,
    pub(crate) is_user: bool,
    pub(crate) asker: String,
    pub(crate) issuer: String,
    pub(crate) scopes: String,
}

/// What was connected.
pub(crate) struct Connected {
    pub(crate) server: ServerName,
    pub(crate) person: String,
    pub(crate) scopes: String,
    pub(crate) id: Arc<str>,
    pub(crate) session: Option<Arc<str>>,
}

impl Outbound {
    /// The question to a person, as an error that says where they answer.
    pub(super) async fn consent(
        &self,
        account: &Arc<Account>,
        (party, asker): (Party, String),
        found: Found,
        scopes: BTreeSet<String>,
    ) -> LinkError {
        match self.question(account, (party, asker), found, scopes).await {
            Err(why) => LinkError::Unauthorized(why),
            Ok(question) => {
                let message = format!(
                    "`{}` wants {}'s consent before the gateway may use it for them",
                    question.server, question.party.name
                );
                LinkError::Consent(Box::new(Consent {
                    id: question.id.to_string(),
                    url: self.link(&question),
                    message,
                }))
            }
        }
    }

    /// Where a question is answered.
    fn link(&self, question: &Question) -> String {
        format!("{}/oauth/upstream/start/{}", self.base, question.id)
    }

    async fn question(
        &self,
        account: &Arc<Account>,
        (party, asker): (Party, String),
        found: Found,
        mut scopes: BTreeSet<String>,
    ) -> Result<Question, String> {
        let now_ms = self.ambient.now_ms();
        let AuthKind::AuthorizationCode(registration) = &account.auth.kind else {
            return Err("nobody has to agree to anything here".to_owned());
        };
        fit(&found.server, account.auth.pkce)?;
        // Without it there would be nothing to renew the token with.
        if found.server.scopes.iter().any(|scope| scope == "offline_access") {
            scopes.insert("offline_access".to_owned());
        }
        let about = (&account.name, &party);
        if let Some(same) = self
            .consents
            .waiting(about, &found.server.issuer, &scopes, now_ms)
        {
            return Ok(same);
        }
        let client = self.client(account, registration, &found.server).await?;
        let question = Question {
            id: Arc::from(self.ambient.secret()),
            server: account.name.clone(),
            party,
            asker,
            found,
            client,
            scopes,
            asked_ms: now_ms,
            session: None,
        };
        self.consents.ask(question.clone(), now_ms)?;
        Ok(question)
    }

    /// The link with which a user connects a server, asked for at the command line.
    pub(crate) async fn connect(
        &self,
        server: &ServerName,
        user: &str,
        tenant: &str,
    ) -> Result<String, String> {
        let account = self
            .account(server)
            .ok_or_else(|| format!("`{server}` has no `auth`, so there is nothing to connect"))?;
        let challenge = account
            .challenge
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        let found = self
            .find(&account, &challenge)
            .await
            .map_err(|error| error.to_string())?;
        let scopes = account.scopes(&challenge, &found);
        let party = Party {
            is_user: true,
            name: user.to_owned(),
            tenant: tenant.to_owned(),
        };
        let question = self
            .question(&account, (party, "the operator".to_owned()), found, scopes)
            .await?;
        Ok(self.link(&question))
    }

    /// What a link is about.
    pub(crate) fn asking(&self, id: &str) -> Option<Asking> {
        let question = self.consents.look(id, self.ambient.now_ms())?;
        Some(Asking {
            server: question.server,
            person: question.party.name,
            is_user: question.party.is_user,
            asker: question.asker,
            issuer: question.found.server.issuer,
            scopes: joined(&question.scopes),
        })
    }

    /// Who hears when the question is answered.
    pub(crate) fn tell(&self, id: &str, session: &Arc<str>) {
        self.consents.tell(id, session);
    }

    /// Where the person goes from the link. The link is used up.
    pub(crate) fn go(&self, id: &str, browser: &str) -> Option<String> {
        let (state, underway) = self.consents.go(id, browser, &self.ambient)?;
        let question = &underway.question;
        let sends = self
            .account(&question.server)
            .is_some_and(|account| account.auth.indicator == Indicator::Send);
        let sending = Sending {
            client: &question.client.id,
            redirect: &Own { base: &self.base }.callback(),
            state: &state,
            verifier: &underway.verifier,
            scopes: &joined(&question.scopes),
            resource: sends.then_some(question.found.resource.id.as_str()),
        };
        sending.url(&question.found.server, &[])
    }

    /// The person came back.
    pub(crate) async fn come_back(&self, answer: &Form, browser: Option<&str>) -> Result<Connected, String> {
        let connected = self.answered_by(answer, browser).await;
        if let Err(why) = &connected {
            let detail = [("why", why.clone())];
            self.journal
                .note(records::ledger::Kind::Session, "upstream-not-connected", &detail);
        }
        connected
    }

    async fn answered_by(&self, answer: &Form, browser: Option<&str>) -> Result<Connected, String> {
        let state = answer.get("state").ok_or("the answer has no `state`")?;
        let now_ms = self.ambient.now_ms();
        let underway = self.consents.come_back(state, browser, now_ms)?;
        let server = underway.question.server.clone();
        self.take(answer, underway)
            .await
            .map_err(|why| format!("`{server}`: {why}"))
    }

    async fn take(&self, answer: &Form, underway: Underway) -> Result<Connected, String> {
        let Underway {
            question, verifier, ..
        } = underway;
        speaks_for(answer.get("iss"), &question.found.server)?;
        if let Some(error) = answer.get("error") {
            let why = answer.get("error_description").unwrap_or_default();
            return Err(format!(
                "the authorization server says: {} {}",
                shown(error),
                shown(why)
            ));
        }
        let code = answer.get("code").ok_or("the answer has no `code`")?;
        let account = self.account(&question.server).ok_or("the server is gone")?;
        let callback = Own { base: &self.base }.callback();
        let form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", callback.as_str()),
            ("code_verifier", verifier.expose()),
        ];
        let given = self
            .ask(&account, &question.client, &question.found, form, "", None)
            .await;
        let given = given.map_err(|why| format!("{}: {why}", question.found.server.issuer))?;
        let grant = Grant {
            scopes: if given.scopes.is_empty() {
                question.scopes.clone()
            } else {
                given.scopes.clone()
            },
            asked: question.scopes.clone(),
            ..given
        };
        let (name, party) = (&question.server, &question.party);
        grants::put(&self.store, name, party, &grant).map_err(|error| error.to_string())?;
        grants::lend(&self.store, name, party).map_err(|error| error.to_string())?;
        let scopes = joined(&grant.scopes);
        account.give(party, grant).await;
        let person = party.name.clone();
        let detail = [
            ("user", person.clone()),
            ("issuer", question.found.server.issuer.clone()),
            ("scope", scopes.clone()),
        ];
        self.note(name, "upstream-connected", &detail);
        Ok(Connected {
            server: question.server,
            person,
            scopes,
            id: question.id,
            session: question.session,
        })
    }
}

impl Account {
    /// A person's token, from now on.
    async fn give(&self, party: &Party, grant: Grant) {
        if let Some(seat) = self.seat(&super::Subject::Person(party.clone())) {
            let mut held = seat.held.lock().await;
            *held = super::Held {
                is_loaded: true,
                grant: Some(grant),
            };
            seat.is_taken.store(false, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

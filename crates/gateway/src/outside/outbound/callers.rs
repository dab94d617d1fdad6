//! A caller's own token, exchanged for one to a server: at the external issuer that gave it, or at the authorization server
//! that configuration names (RFC 8693; Entra ID's on-behalf-of flow).

use identity::Principal;
use pipeline::Credential;

use super::{Account, Outbound, Subject, presented::Token};
use crate::{
    config::auth::{ActorToken, Manner},
    outside::oauth::{discovery::Found, tokens::NoToken},
};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// What is shown to an authorization server.
pub(super) enum Shown {
    /// The gateway asks for itself, as when it looks at lists: nobody's token is there.
    Nothing,
    /// The gateway's word for a caller.
    Word(String),
    /// A caller's token.
    Token {
        token: Token,
        manner: Manner,
        /// The gateway's word for the agent that acts.
        actor: Option<String>,
    },
}

impl Shown {
    pub(super) fn until_ms(&self) -> i64 {
        match self {
            Self::Nothing | Self::Word(_) => i64::MAX,
            Self::Token { token, .. } => token.until_ms,
        }
    }

    pub(super) fn form<'f>(&'f self, audience: Option<&'f str>) -> Vec<(&'static str, &'f str)> {
        let (token, kind, actor) = match self {
            Self::Nothing => return vec![("grant_type", "client_credentials")],
            Self::Token {
                token,
                manner: Manner::OnBehalfOf,
                ..
            } => {
                return vec![
                    ("grant_type", BEARER),
                    ("assertion", token.text.expose()),
                    ("requested_token_use", "on_behalf_of"),
                ];
            }
            Self::Token {
                token,
                manner: Manner::Exchange(_),
                actor,
            } => (token.text.expose(), ACCESS_TOKEN, actor.as_deref()),
            Self::Word(word) => (word.as_str(), JWT, None),
        };
        let mut form = vec![
            ("grant_type", EXCHANGE),
            ("subject_token", token),
            ("subject_token_type", kind),
            ("requested_token_type", ACCESS_TOKEN),
        ];
        form.extend(audience.map(|audience| ("audience", audience)));
        let actor = actor.map(|actor| [("actor_token", actor), ("actor_token_type", JWT)]);
        form.extend(actor.into_iter().flatten());
        form
    }
}

impl Outbound {
    /// A caller was let in by this: kept where servers want it exchanged, and nowhere else.
    pub(crate) fn presented(
        &self,
        principal: &Principal,
        credential: &Credential,
        is_external: impl Fn(&str) -> bool,
    ) {
        let token = match credential {
            Credential::Bearer(token) => Some(token),
            Credential::Possessed(possession) => Some(&possession.token),
            Credential::Signed(request) => request.token.as_ref(),
            Credential::Standing(..)
            | Credential::Workload(_)
            | Credential::Link(_)
            | Credential::Local(_)
            | Credential::None => None,
        };
        if let Some(token) = token {
            self.presented
                .note(principal, token, is_external, self.ambient.now_ms());
        }
    }

    /// What there is to show for a subject.
    pub(super) fn shown(
        &self,
        account: &Account,
        subject: &Subject<'_>,
        manner: Manner,
        found: &Found,
    ) -> Result<Shown, NoToken> {
        let principal = match subject {
            Subject::Bearer(caller) => &*caller.principal,
            Subject::Caller(_)
            | Subject::Gateway
            | Subject::Lender(_)
            | Subject::Nobody
            | Subject::Person(_) => {
                // The gateway's secret there exchanges every caller's token: a server does not say who is shown it.
                let at = &found.server.issuer;
                if account.auth.issuer.as_ref() == Some(at) || self.issuers.contains(at) {
                    return Ok(Shown::Nothing);
                }
                let why = format!(
                    "`{at}` is none of `issuers`; if it is to have the gateway's secret, write `issuer: \"{at}\"` under \
                     `auth`"
                );
                return Err(NoToken::Failed(why));
            }
        };
        let (at, named) = (&found.server.issuer, account.auth.issuer.as_deref());
        let token = self
            .presented
            .for_exchange(principal, at, named, self.ambient.now_ms());
        let actor = match manner {
            Manner::Exchange(ActorToken::Send) => Some(self.word_for(Some(principal), None, at)?),
            Manner::Exchange(ActorToken::Omit) | Manner::OnBehalfOf => None,
        };
        Ok(Shown::Token {
            token: token.map_err(NoToken::Failed)?,
            manner,
            actor,
        })
    }
}

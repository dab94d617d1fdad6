//! Passkeys of local users: which there are, and what one proves. They are good here beside password and code, and alone.

use std::sync::PoisonError;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use identity::{
    passkey::{Brought, Party, Passkey},
    token::ACR_MFA,
};
use wire::json::{Document, Keys, Node, object};

use super::{
    Authorization,
    login::{LoggedIn, NotLoggedIn},
};
use crate::{
    ambient::Ambient,
    storage::store::{Store, StoreError},
};

const PASSKEYS: &str = "passkeys";
/// Most passkeys of one user.
const OF_ONE_MAX: usize = 20;
/// What stands before its name in what a login rests on.
const WITH: &str = "passkey:";

/// One that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) user: String,
    pub(crate) passkey: Passkey,
    pub(crate) born_ms: i64,
    pub(crate) used_ms: Option<i64>,
}

/// What a browser brings to log somebody in.
pub(crate) struct Signed<'b> {
    /// The passkey's name, in base64url.
    pub(crate) name: &'b str,
    pub(crate) client_data: Vec<u8>,
    pub(crate) authenticator_data: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    /// The challenge that this browser was given.
    pub(crate) challenge: &'b str,
}

impl Kept {
    /// What it is called.
    pub(crate) fn name(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.passkey.id)
    }

    fn put(&self, store: &Store) -> Result<(), StoreError> {
        let text = object(|out| {
            out.string("user", &self.user);
            out.object("passkey", |out| self.passkey.write(out));
            out.integer("born_ms", self.born_ms);
            if let Some(used_ms) = self.used_ms {
                out.integer("used_ms", used_ms);
            }
        });
        store.put(PASSKEYS, &self.name(), &text)
    }

    fn read(text: Vec<u8>) -> Option<Self> {
        let document = Document::parse(text, Keys::Exact, &wire::bounds::ANSWER).ok()?;
        let root = document.root();
        let time = |name: &str| root.get(name).and_then(Node::as_number)?.as_i64();
        Some(Self {
            user: root.get("user")?.as_str()?.into_owned(),
            passkey: Passkey::read(root.get("passkey")?)?,
            born_ms: time("born_ms")?,
            used_ms: time("used_ms"),
        })
    }
}

impl LoggedIn {
    /// The passkey it rests on, if it does.
    pub(crate) fn passkey(&self) -> Option<&str> {
        self.with.strip_prefix(WITH)
    }
}

impl Authorization {
    /// Logs somebody in by what their authenticator signed. A challenge counts once.
    pub(crate) fn log_in_by_passkey(
        &self,
        ambient: &Ambient,
        party: &Party,
        signed: &Signed<'_>,
    ) -> Result<LoggedIn, NotLoggedIn> {
        let refused = |why: &str| NotLoggedIn::Passkey(why.to_owned());
        let now_ms = ambient.now_ms();
        // Alone: of two that come with the same counter, one is too late.
        let _alone = self.totp.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = self
            .passkey(signed.name)
            .map_err(|error| refused(&error.to_string()))?;
        let kept = kept.ok_or_else(|| refused("nobody here has this passkey"))?;
        if !self.knows(&kept.user) {
            return Err(refused("its user cannot log in here"));
        }
        let ceremony = format!("passkey:{}", signed.challenge);
        self.unanswered(&ceremony)
            .ok_or_else(|| refused("this was used before"))?;
        let brought = Brought {
            client_data: &signed.client_data,
            challenge: signed.challenge,
        };
        let proven = kept
            .passkey
            .assert(party, brought, &signed.authenticator_data, &signed.signature);
        let passkey = proven.map_err(|why| refused(&why.to_string()))?;
        // Only now: who proves nothing fills nothing.
        let once = self.answer_once(&ceremony, now_ms);
        once.ok_or_else(|| refused("this was used before"))?;
        let holds = if passkey.is_synced { "swk" } else { "hwk" };
        let login = LoggedIn {
            user: kept.user.clone(),
            methods: [holds, "user", "mfa"].map(str::to_owned).to_vec(),
            acr: ACR_MFA.to_owned(),
            at_ms: now_ms,
            with: format!("{WITH}{}", kept.name()),
            elsewhere: None,
        };
        let next = Kept {
            passkey,
            used_ms: Some(now_ms),
            ..kept
        };
        // A counter that is not kept would let a copy pass.
        next.put(&self.store)
            .map_err(|error| refused(&error.to_string()))?;
        Ok(login)
    }

    /// Lets somebody who is logged in like this add and remove passkeys, or says what is wanted first: whoever has more than
    /// a password shows it. With less, a password would take away what stands above it, and put itself there.
    pub(crate) fn may_change_passkeys(&self, user: &str, is_strong: bool) -> Result<(), String> {
        let settings = self.settings();
        let login = settings
            .logins
            .get(user)
            .ok_or_else(|| "you do not log in here".to_owned())?;
        let held = self.passkeys_of(user).map_err(|error| error.to_string())?;
        if is_strong || login.totp.is_none() && held.is_empty() {
            return Ok(());
        }
        let why = "log in with your authenticator or a passkey first; where you have none any more, an operator \
                   removes it";
        Err(why.to_owned())
    }

    /// Keeps a new one.
    pub(crate) fn add_passkey(&self, user: &str, passkey: Passkey, now_ms: i64) -> Result<(), String> {
        let stored = |error: StoreError| error.to_string();
        let kept = Kept {
            user: user.to_owned(),
            passkey,
            born_ms: now_ms,
            used_ms: None,
        };
        let _alone = self.totp.lock().unwrap_or_else(PoisonError::into_inner);
        if self.passkey(&kept.name()).map_err(stored)?.is_some() {
            return Err("this passkey is known already".to_owned());
        }
        if self.passkeys_of(user).map_err(stored)?.len() >= OF_ONE_MAX {
            return Err(format!("{OF_ONE_MAX} passkeys are the most; remove one first"));
        }
        kept.put(&self.store).map_err(stored)
    }

    /// All of a user's.
    pub(crate) fn passkeys_of(&self, user: &str) -> Result<Vec<Kept>, StoreError> {
        let all = self.store.list(PASSKEYS)?.into_iter();
        let all = all.filter_map(|(_, text)| Kept::read(text));
        Ok(all.filter(|kept| kept.user == user).collect())
    }

    /// Removes one of this user's; none if there is none.
    pub(crate) fn remove_passkey(&self, user: &str, name: &str) -> Result<Option<()>, StoreError> {
        match self.passkey(name)?.filter(|kept| kept.user == user) {
            Some(_) => self.store.delete(PASSKEYS, name).map(Some),
            None => Ok(None),
        }
    }

    /// Whether a login by a passkey still stands.
    pub(super) fn passkey_stands(&self, login: &LoggedIn, name: &str) -> bool {
        let kept = self.passkey(name).ok().flatten();
        self.knows(&login.user) && kept.is_some_and(|kept| kept.user == login.user)
    }

    fn passkey(&self, name: &str) -> Result<Option<Kept>, StoreError> {
        Ok(self.store.get(PASSKEYS, name)?.and_then(Kept::read))
    }
}

//! Logging in: a name, a password and, where the user has an authenticator, a code of it. What is wrong is never said,
//! and takes as long whatever it is.

use std::{
    net::IpAddr,
    sync::{Arc, PoisonError},
    time::Duration,
};

use identity::{
    PasswordHash, Secret, sha256,
    token::{ACR_MFA, ACR_PASSWORD},
};
use records::digest::hex;
use wire::json::{Node, ObjectWriter};

use super::{Authorization, MeantLogin, Mfa, Vouched};
use crate::ambient::Ambient;

/// The last step of each authenticator that was used.
const STEPS: &str = "totp-steps";
/// How long somebody waits while others' passwords are looked at.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest name looked at, in bytes.
const NAME_BYTES_MAX: usize = 512;
/// The longest password looked at, in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// Somebody who logged in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LoggedIn {
    pub(crate) user: String,
    /// How (RFC 8176).
    pub(crate) methods: Vec<String>,
    /// How well, in our words or in those of the provider.
    pub(crate) acr: String,
    pub(crate) at_ms: i64,
    /// Of what the user logged in with. Once that changes, nothing of this login is renewed.
    pub(crate) with: String,
    /// What was said of the user where they logged in, if that was not here.
    pub(crate) elsewhere: Option<Vouched>,
}

/// Why somebody is not logged in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum NotLoggedIn {
    /// Name, password or code are wrong.
    Wrong,
    /// There were too many wrong ones; try again in as many seconds.
    Wait(i64),
    /// The operator wants an authenticator, and this user has none.
    NeedsMfa,
    /// Too many others are at it.
    Busy,
    /// What a passkey signed proves nothing; why is for the ledger.
    Passkey(String),
}

/// What somebody presents.
pub(crate) struct Attempt<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: Secret,
    pub(crate) code: Option<&'a str>,
    pub(crate) from: IpAddr,
}

impl Authorization {
    /// Logs somebody in.
    pub(crate) async fn log_in(
        &self,
        ambient: &Ambient,
        attempt: Attempt<'_>,
    ) -> Result<LoggedIn, NotLoggedIn> {
        // Nobody is called so; and what is guessed at is remembered.
        if attempt.user.len() > NAME_BYTES_MAX {
            return Err(NotLoggedIn::Wrong);
        }
        let now_ms = ambient.now_ms();
        self.throttle
            .may_try(attempt.user, attempt.from, now_ms)
            .map_err(NotLoggedIn::Wait)?;
        let permit = tokio::time::timeout(PATIENCE, Arc::clone(&self.hashing).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(NotLoggedIn::Busy);
        };
        // Again: of many that came at once, those before this one may have been wrong.
        self.throttle
            .may_try(attempt.user, attempt.from, ambient.now_ms())
            .map_err(NotLoggedIn::Wait)?;
        let settings = self.settings();
        let login = settings.logins.get(attempt.user).cloned();
        let hash = login
            .as_ref()
            .map_or_else(PasswordHash::of_nobody, |login| login.password.clone());
        let password = attempt.password.clone();
        let right = tokio::task::spawn_blocking(move || {
            // Held by the work itself, which goes on when whoever waits for it goes away.
            let _permit = permit;
            password.expose().len() <= PASSWORD_BYTES_MAX && hash.is_of(&password)
        });
        let right = right.await.unwrap_or(false);
        let proven = login
            .filter(|_| right)
            .and_then(|login| self.with_code(&login, &attempt, ambient));
        self.throttle
            .note(attempt.user, attempt.from, proven.is_some(), ambient.now_ms());
        let proven = proven.ok_or(NotLoggedIn::Wrong)?;
        self.is_enough(&proven)?;
        Ok(proven)
    }

    /// Whether that is as much as the operator wants of everybody.
    pub(crate) fn is_enough(&self, login: &LoggedIn) -> Result<(), NotLoggedIn> {
        match self.settings().mfa {
            Mfa::Required if !login.is_multi_factor() => Err(NotLoggedIn::NeedsMfa),
            Mfa::Required | Mfa::Optional => Ok(()),
        }
    }

    /// The code is right, too, where one is needed.
    fn with_code(&self, login: &MeantLogin, attempt: &Attempt<'_>, ambient: &Ambient) -> Option<LoggedIn> {
        let now_ms = ambient.now_ms();
        let mut methods = vec!["pwd".to_owned()];
        if let Some(totp) = &login.totp {
            // Alone: of two that come with the same code, one is too late.
            let _alone = self.totp.lock().unwrap_or_else(PoisonError::into_inner);
            let used = self.store.get(STEPS, attempt.user).ok()?;
            let used = used.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
            let code: String = attempt.code?.chars().filter(|c| *c != ' ').collect();
            let step = totp.accept(&code, now_ms, used)?;
            self.store
                .put(STEPS, attempt.user, step.to_string().as_bytes())
                .ok()?;
            methods.extend(["otp".to_owned(), "mfa".to_owned()]);
        }
        let acr = if login.totp.is_some() {
            ACR_MFA
        } else {
            ACR_PASSWORD
        };
        Some(LoggedIn {
            user: attempt.user.to_owned(),
            methods,
            acr: acr.to_owned(),
            elsewhere: None,
            at_ms: now_ms,
            with: fingerprint(login),
        })
    }

    /// Whether a user can log in.
    pub(crate) fn knows(&self, user: &str) -> bool {
        self.settings().logins.contains_key(user)
    }

    /// Whether what a user logged in with then is what it takes now.
    pub(crate) fn still_stands(&self, login: &LoggedIn, now_ms: i64) -> bool {
        let settings = self.settings();
        let stands = match (&login.elsewhere, login.passkey()) {
            (Some(vouched), _) => self.elsewhere.stands(login, vouched, now_ms),
            (None, Some(name)) => self.passkey_stands(login, name),
            (None, None) => settings
                .logins
                .get(&login.user)
                .is_some_and(|now| fingerprint(now) == login.with),
        };
        stands && self.is_enough(login).is_ok()
    }
}

fn fingerprint(login: &MeantLogin) -> String {
    let mut both = login.password.fingerprint().to_vec();
    if let Some(totp) = &login.totp {
        both.extend(sha256(totp.to_base32().as_bytes()));
    }
    hex(&sha256(&both))
}

impl LoggedIn {
    /// Whether it took more than a password.
    pub(crate) fn is_multi_factor(&self) -> bool {
        self.methods.iter().any(|method| method == "mfa")
    }

    /// Writes it.
    pub(crate) fn write(&self, out: &mut ObjectWriter<'_>) {
        out.string("user", &self.user);
        out.array("methods", |list| {
            self.methods.iter().for_each(|method| list.string(method))
        });
        out.integer("at", self.at_ms);
        out.string("acr", &self.acr);
        out.string("with", &self.with);
        if let Some(vouched) = &self.elsewhere {
            out.object("elsewhere", |out| vouched.write(out));
        }
    }

    /// Reads what [`Self::write`] wrote.
    pub(crate) fn read(node: Node<'_>) -> Option<Self> {
        let text = |name: &str| Some(node.get(name)?.as_str()?.into_owned());
        let methods = node
            .get("methods")?
            .elements()
            .map(|method| Some(method.as_str()?.into_owned()));
        Some(Self {
            user: text("user")?,
            methods: methods.collect::<Option<_>>()?,
            at_ms: node.get("at").and_then(Node::as_number)?.as_i64()?,
            acr: text("acr")?,
            with: text("with")?,
            elsewhere: match node.get("elsewhere") {
                None => None,
                Some(vouched) => Some(Vouched::read(vouched)?),
            },
        })
    }
}

#[cfg(test)]
mod tests;

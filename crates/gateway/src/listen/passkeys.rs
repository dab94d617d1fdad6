//! Passkeys in a browser: the button where people log in, and where they add and remove their own.
//!
//! A challenge is the digest of a ceremony that is sealed for this browser and one purpose, so nothing is kept until
//! somebody proved something.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::{Response, StatusCode, header::CONTENT_SECURITY_POLICY, header::HeaderValue};
use identity::{
    oauth::Form,
    passkey::{Brought, Party, Passkey},
    sha256,
};
use records::ledger::entry::rfc3339;
use wire::json::{Document, Keys, Node, object};

use super::{
    authorize::Visit,
    body::{self, Body},
    page::safe,
};
use crate::known::authorization::{LoggedIn, NotLoggedIn, TRANSACTION_MS, passkeys::Signed};

/// Where the script is.
pub(super) const SCRIPT: &str = "/oauth/passkey.js";
const SOURCE: &str = include_str!("passkey.js");

/// What a ceremony is for.
#[derive(Clone, Copy)]
enum Purpose {
    LogIn,
    Add,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::LogIn => "passkey-log-in",
            Self::Add => "passkey-add",
        }
    }
}

/// The script of these pages.
pub(super) fn script() -> Response<Body> {
    body::with_type(
        StatusCode::OK,
        "text/javascript; charset=utf-8",
        SOURCE.as_bytes().to_vec(),
    )
}

/// Lets a page have that script, and no other, if what is on it needs one.
pub(super) fn with_script(mut response: Response<Body>, button: &str) -> Response<Body> {
    if button.is_empty() {
        return response;
    }
    let policy = response.headers().get(CONTENT_SECURITY_POLICY);
    let policy = policy.and_then(|policy| policy.to_str().ok()).unwrap_or_default();
    let policy = policy.replacen("default-src 'none';", "default-src 'none'; script-src 'self';", 1);
    if let Ok(policy) = HeaderValue::try_from(policy) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn challenge(sealed: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(sealed.as_bytes()))
}

fn hidden(names: &[&str]) -> String {
    let field = |name: &&str| format!("<input type=\"hidden\" name=\"{name}\">");
    names.iter().map(field).collect()
}

impl Visit<'_> {
    fn party(&self) -> Option<Party> {
        Party::at(&self.house.base)
    }

    /// The button for who logs in, to be put into a form; nothing where there can be no passkeys.
    pub(super) fn passkey_button(&self) -> String {
        let authorization = &self.house.authorization;
        let Some(party) = self.party().filter(|_| authorization.has_passwords()) else {
            return String::new();
        };
        let sealed = self.seal_ceremony(Purpose::LogIn, "");
        format!(
            "<input type=\"hidden\" name=\"ceremony\" value=\"{sealed}\">{}<div data-passkey=\"use\" data-rp=\"{rp}\" \
             data-challenge=\"{challenge}\" hidden><div class=\"buttons\"><button type=\"button\">Log in with a \
             passkey</button></div><p class=\"bad\" role=\"alert\"></p></div><script src=\"{SCRIPT}\" defer></script>",
            hidden(&["credential", "client_data", "authenticator_data", "signature"]),
            sealed = safe(&sealed),
            rp = safe(&party.id),
            challenge = challenge(&sealed),
        )
    }

    /// Who logs in with a passkey, if this form brings one.
    pub(super) fn by_passkey(&self, form: &Form) -> Option<Result<LoggedIn, NotLoggedIn>> {
        let name = form.get("credential").filter(|name| !name.is_empty())?;
        Some(self.prove(name, form))
    }

    fn prove(&self, name: &str, form: &Form) -> Result<LoggedIn, NotLoggedIn> {
        let refused = |why: &str| NotLoggedIn::Passkey(why.to_owned());
        let part = |name: &str| URL_SAFE_NO_PAD.decode(form.get(name).unwrap_or_default());
        let unreadable = |_| refused("what the browser brings cannot be read");
        let sealed = form.get("ceremony").unwrap_or_default();
        let (_, party) = self
            .open_ceremony(Purpose::LogIn, sealed)
            .zip(self.party())
            .ok_or_else(|| refused("the page is too old, or another browser's"))?;
        let signed = Signed {
            name,
            client_data: part("client_data").map_err(unreadable)?,
            authenticator_data: part("authenticator_data").map_err(unreadable)?,
            signature: part("signature").map_err(unreadable)?,
            challenge: &challenge(sealed),
        };
        let authorization = &self.house.authorization;
        authorization.log_in_by_passkey(&self.house.engines.ambient, &party, &signed)
    }

    /// Adds or removes a passkey of somebody who is logged in, if this form says so.
    pub(super) fn change_passkeys(
        &self,
        (user, is_strong): (&str, bool),
        form: &Form,
    ) -> Option<Result<&'static str, String>> {
        let is_new = form.get("attestation").is_some_and(|made| !made.is_empty());
        let name = form.get("remove");
        let authorization = &self.house.authorization;
        if (is_new || name.is_some())
            && let Err(why) = authorization.may_change_passkeys(user, is_strong)
        {
            self.note("passkey-refused", "", user, &why);
            return Some(Err(why));
        }
        if is_new {
            let added = self.add_passkey(user, form);
            if let Err(why) = &added {
                self.note("passkey-refused", "", user, why);
            }
            return Some(added.map(|()| "Added. From now on you can log in with it."));
        }
        let ended = crate::operate::admin::remove_passkey(self.house, user, name?, "the person removed it");
        Some(ended.map(|()| "Removed. What you let in with it is out."))
    }

    fn add_passkey(&self, user: &str, form: &Form) -> Result<(), String> {
        let authorization = &self.house.authorization;
        let sealed = form.get("ceremony").unwrap_or_default();
        let ceremony = self
            .open_ceremony(Purpose::Add, sealed)
            .filter(|whose| whose == user);
        let (_, party) = ceremony
            .zip(self.party())
            .ok_or("the page is too old, or another browser's")?;
        let part = |name: &str| URL_SAFE_NO_PAD.decode(form.get(name).unwrap_or_default());
        let unreadable = |_| "what the browser brings cannot be read".to_owned();
        let (client_data, made) = (
            part("client_data").map_err(unreadable)?,
            part("attestation").map_err(unreadable)?,
        );
        let challenge = challenge(sealed);
        let brought = Brought {
            client_data: &client_data,
            challenge: &challenge,
        };
        let passkey = Passkey::register(&party, brought, &made).map_err(|why| why.to_string())?;
        let now_ms = self.house.engines.ambient.now_ms();
        let once = authorization.answer_once(&format!("passkey:{challenge}"), now_ms);
        once.ok_or("this was used before")?;
        let name = URL_SAFE_NO_PAD.encode(&passkey.id);
        authorization.add_passkey(user, passkey, now_ms)?;
        self.note("passkey-added", "", user, &name);
        Ok(())
    }

    /// A local user's passkeys, with what to do about them.
    pub(super) fn passkey_list(&self, (user, is_strong): (&str, bool), sealed: &str) -> String {
        let authorization = &self.house.authorization;
        let Some(party) = self.party().filter(|_| authorization.knows(user)) else {
            return String::new();
        };
        let when = |ms: i64| safe(&rfc3339(u64::try_from(ms).unwrap_or(0)));
        let may_change = authorization.may_change_passkeys(user, is_strong);
        let row = |kept: &crate::known::authorization::passkeys::Kept| {
            let remove = format!(
                "<div class=\"buttons\"><button name=\"remove\" value=\"{}\">Remove this passkey</button></div>",
                safe(&kept.name())
            );
            format!(
                "<dl><div><dt>Since</dt><dd>{}</dd></div><div><dt>Used</dt><dd>{}</dd></div></dl>{}",
                when(kept.born_ms),
                kept.used_ms.map_or_else(|| "never".to_owned(), when),
                if may_change.is_ok() { remove.as_str() } else { "" }
            )
        };
        let rows: String = authorization
            .passkeys_of(user)
            .unwrap_or_default()
            .iter()
            .map(row)
            .collect();
        let add = if may_change.is_ok() {
            let ceremony = self.seal_ceremony(Purpose::Add, user);
            format!(
                "<input type=\"hidden\" name=\"ceremony\" value=\"{ceremony}\">{}<div data-passkey=\"make\" \
                 data-rp=\"{rp}\" data-challenge=\"{challenge}\" data-user=\"{user}\" data-handle=\"{handle}\" hidden><div \
                 class=\"buttons\"><button type=\"button\">Add a passkey</button></div><p class=\"bad\" \
                 role=\"alert\"></p></div><script src=\"{SCRIPT}\" defer></script>",
                hidden(&["client_data", "attestation"]),
                ceremony = safe(&ceremony),
                rp = safe(&party.id),
                challenge = challenge(&ceremony),
                user = safe(user),
                // Not the name: authenticators show it to whoever asks.
                handle = URL_SAFE_NO_PAD.encode(sha256(user.as_bytes())),
            )
        } else {
            "<p>To add one, log in with your authenticator or a passkey; so, too, to remove one.</p>"
                .to_owned()
        };
        format!(
            "<h2>Passkeys</h2><form method=\"post\" action=\"/oauth/grants\"><input type=\"hidden\" name=\"t\" \
             value=\"{}\">{rows}{add}</form>",
            safe(sealed)
        )
    }

    fn bound_ceremony(&self, purpose: Purpose) -> Vec<u8> {
        format!("{}:{}", purpose.as_str(), self.browser).into_bytes()
    }

    fn seal_ceremony(&self, purpose: Purpose, user: &str) -> String {
        let ambient = &self.house.engines.ambient;
        let text = object(|out| {
            out.string("user", user);
            out.integer("until", ambient.now_ms() + TRANSACTION_MS);
        });
        let seal = &self.house.authorization.seal;
        seal.seal(ambient, &self.bound_ceremony(purpose), &text)
    }

    /// Whose ceremony it is, of this browser.
    fn open_ceremony(&self, purpose: Purpose, sealed: &str) -> Option<String> {
        let seal = &self.house.authorization.seal;
        let text = seal.open(sealed, &self.bound_ceremony(purpose))?;
        let document = Document::parse(text, Keys::Exact, &wire::bounds::ANSWER).ok()?;
        let root = document.root();
        let until_ms = root.get("until").and_then(Node::as_number)?.as_i64()?;
        let user = root.get("user")?.as_str()?.into_owned();
        (self.house.engines.ambient.now_ms() < until_ms).then_some(user)
    }
}

//! The keyring of the person who is logged in: Linux's Secret Service (freedesktop.org, draft 0.2), as GNOME Keyring,
//! KWallet and KeePassXC offer it on the session's bus.
//!
//! Nobody is ever asked anything: a gateway starts where no person may be, so a keyring that is locked is a refusal.
//! `keyring:NAME` is the entry whose attributes are `service` = `sallyport` and `username` = NAME, as `secret-tool` and
//! other programs write them; `keyring:SERVICE/NAME` is one of another service.

mod bus;
mod wire;

use thiserror::Error;
use zeroize::Zeroizing;

use self::{
    bus::Bus,
    wire::{Body, Read},
};
use crate::config::Problem;

/// How references to it begin.
pub(crate) const SCHEME: &str = "keyring";
/// The same with what divides it from the name.
pub(crate) const PREFIX: &str = "keyring:";
/// Whose entries are meant where no service is named.
const SERVICE: &str = "sallyport";

const NAME: &str = "org.freedesktop.secrets";
const PATH: &str = "/org/freedesktop/secrets";
const SERVICE_INTERFACE: &str = "org.freedesktop.Secret.Service";
const ITEM_INTERFACE: &str = "org.freedesktop.Secret.Item";
const COLLECTION_INTERFACE: &str = "org.freedesktop.Secret.Collection";
/// The path that stands for nothing.
const NONE: &str = "/";

/// Why the keyring gives nothing, and what to do.
#[derive(Debug, Error)]
#[error("{what}; {remedy}")]
pub(crate) struct KeyringError {
    what: String,
    remedy: String,
}

impl KeyringError {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// The same as a problem of the configuration.
    pub(crate) fn at(self, at: &str) -> Problem {
        Problem::new(at, self.what, self.remedy)
    }
}

/// There is no such entry.
pub(crate) fn missing(name: &str) -> KeyringError {
    let (service, user) = parts(name);
    KeyringError::new(
        format!("the keyring has no entry `{name}`"),
        format!(
            "put it there: secret-tool store --label='{service} {user}' service {service} username {user}"
        ),
    )
}

/// What the entry holds; none where there is no such entry.
pub(crate) fn read(name: &str) -> Result<Option<Zeroizing<String>>, KeyringError> {
    let mut service = Service::open()?;
    let Some(item) = service.find(name)? else {
        return Ok(None);
    };
    service.secret(name, &item).map(Some)
}

/// Makes an entry. There is none of the name.
pub(crate) fn create(name: &str, secret: &[u8]) -> Result<(), KeyringError> {
    Service::open()?.create(name, secret)
}

/// A service and the name of an entry of it.
fn parts(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or((SERVICE, name))
}

/// The Secret Service with a session of ours.
struct Service {
    bus: Bus,
    session: String,
}

impl Service {
    fn open() -> Result<Self, KeyringError> {
        let mut bus = Bus::connect()?;
        // `plain`: the bus is a socket of this user alone, and who can read that can read our memory.
        let mut body = Body::new("sv");
        body.text("plain");
        body.variant_text("");
        let answer = call(&mut bus, PATH, (SERVICE_INTERFACE, "OpenSession"), body)?;
        let mut read = answer.read();
        let session = read
            .skip_variant_text()
            .and_then(|()| read.text())
            .ok_or_else(garbled)?;
        Ok(Self { bus, session })
    }

    /// The one entry of this name.
    fn find(&mut self, name: &str) -> Result<Option<String>, KeyringError> {
        let (service, user) = parts(name);
        let mut body = Body::new("a{ss}");
        body.dictionary(&[("service", service), ("username", user)]);
        let answer = call(&mut self.bus, PATH, (SERVICE_INTERFACE, "SearchItems"), body)?;
        let mut read = answer.read();
        let open = read.texts().ok_or_else(garbled)?;
        let locked = read.texts().ok_or_else(garbled)?;
        match (open.as_slice(), locked.as_slice()) {
            ([], []) => Ok(None),
            ([one], []) => Ok(Some(one.clone())),
            ([], [_]) => Err(is_locked()),
            _ => Err(KeyringError::new(
                format!("the keyring has several entries `{name}`"),
                "remove all but one, so that it is known which is meant",
            )),
        }
    }

    fn secret(&mut self, name: &str, item: &str) -> Result<Zeroizing<String>, KeyringError> {
        let mut body = Body::new("o");
        body.text(&self.session);
        let answer = call(&mut self.bus, item, (ITEM_INTERFACE, "GetSecret"), body)?;
        let mut read = answer.read();
        let value = secret_of(&mut read).ok_or_else(garbled)?;
        let text = str::from_utf8(&value)
            .ok()
            .map(|text| text.trim_end_matches(['\n', '\r']));
        let text = text.filter(|text| !text.is_empty()).ok_or_else(|| {
            KeyringError::new(
                format!("the entry `{name}` of the keyring is empty or no text"),
                "store it anew",
            )
        })?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    fn create(&mut self, name: &str, secret: &[u8]) -> Result<(), KeyringError> {
        let mut body = Body::new("s");
        body.text("default");
        let answer = call(&mut self.bus, PATH, (SERVICE_INTERFACE, "ReadAlias"), body)?;
        let collection = answer.read().text().ok_or_else(garbled)?;
        if collection == NONE {
            return Err(KeyringError::new(
                "there is no keyring that entries go to",
                "make one and set it as the default one, in your desktop's own program for keyrings",
            ));
        }
        let (service, user) = parts(name);
        let mut body = Body::new("a{sv}(oayays)b");
        body.item(
            &format!("{service} {user}"),
            &[("service", service), ("username", user)],
        );
        body.secret(&self.session, secret);
        // Nothing is replaced.
        body.no();
        let answer = call(
            &mut self.bus,
            &collection,
            (COLLECTION_INTERFACE, "CreateItem"),
            body,
        )?;
        let item = answer.read().text().ok_or_else(garbled)?;
        // A prompt instead of an item: somebody would have to unlock it first.
        if item == NONE { Err(is_locked()) } else { Ok(()) }
    }
}

/// The value out of `(oayays)`.
fn secret_of(read: &mut Read<'_>) -> Option<Zeroizing<Vec<u8>>> {
    read.structure()?;
    read.text()?;
    read.bytes()?;
    read.bytes().map(|value| Zeroizing::new(value.to_vec()))
}

fn call(bus: &mut Bus, path: &str, method: (&str, &str), body: Body) -> Result<wire::Answer, KeyringError> {
    bus.call(NAME, path, method, body).map_err(|error| match error {
        bus::CallError::Lost(error) => error,
        bus::CallError::Refused(name) if name.ends_with(".IsLocked") => is_locked(),
        bus::CallError::Refused(name) if name.ends_with(".ServiceUnknown") => KeyringError::new(
            "nobody offers a keyring on this session's bus",
            "install and start one, such as gnome-keyring, or use `env:NAME` or `file:PATH`",
        ),
        bus::CallError::Refused(name) => KeyringError::new(
            format!("the keyring refuses: {}", crate::visible::visible(&name)),
            "look at its own messages, or use `env:NAME` or `file:PATH`",
        ),
    })
}

fn is_locked() -> KeyringError {
    KeyringError::new(
        "the keyring is locked",
        "unlock it (log in to the desktop, or `gnome-keyring-daemon --unlock`), then start again",
    )
}

fn garbled() -> KeyringError {
    KeyringError::new(
        "the keyring's answer cannot be read",
        "use `env:NAME` or `file:PATH`",
    )
}

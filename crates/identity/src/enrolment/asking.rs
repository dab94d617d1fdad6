//! What a program signs to become an agent, and an agent to have another key: the other end of [`super::Wish`] and
//! [`super::Rotation`].

use wire::json::{ObjectWriter, object};

use super::{ENROL, ROTATE};
use crate::assertion::{ClientKey, ClientKeyError};

/// How long a request is good, in seconds.
const REQUEST_S: i64 = 60;

/// What requests say, whatever they ask for.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The name the program would like to have; the agent's, once it has one.
    pub name: &'a str,
    /// The gateway's issuer identifier.
    pub audience: &'a str,
    /// Its model and that one's version, if it says them.
    pub model: Option<(&'a str, Option<&'a str>)>,
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
}

impl Asking<'_> {
    /// The request to be let in by this key. `id` is a name never used before.
    ///
    /// # Errors
    /// When the key cannot sign, or has no public half to show.
    pub fn enrol(&self, key: &ClientKey, id: &str) -> Result<String, ClientKeyError> {
        let public = key.public_half()?;
        let claims = object(|out| {
            self.write(id, out);
            out.string("name", self.name);
            if let Some((model, version)) = self.model {
                out.string("model", model);
                if let Some(version) = version {
                    out.string("version", version);
                }
            }
        });
        key.sign(key.algorithm(), &claims, |header| {
            header.string("typ", ENROL);
            header.object("jwk", |jwk| public.write(jwk));
        })
    }

    /// The request to have `next` instead of `key`. `ids` are two names never used before.
    ///
    /// # Errors
    /// As above.
    pub fn rotate(
        &self,
        key: &ClientKey,
        next: &ClientKey,
        ids: [&str; 2],
    ) -> Result<String, ClientKeyError> {
        let [own, inner] = ids;
        let wish = self.enrol(next, inner)?;
        let named = key.thumbprint()?;
        let claims = object(|out| {
            self.write(own, out);
            out.string("sub", self.name);
            out.string("next", &wish);
        });
        key.sign(key.algorithm(), &claims, |header| {
            header.string("typ", ROTATE);
            header.string("kid", &named);
        })
    }

    fn write(&self, id: &str, out: &mut ObjectWriter<'_>) {
        let issued = self.now_ms.div_euclid(1000);
        out.string("aud", self.audience);
        out.integer("iat", issued);
        out.integer("exp", issued + REQUEST_S);
        out.string("jti", id);
    }
}

//! ID tokens (OpenID Connect Core, section 3.1.3.7): that a person logged in at an issuer that is not ours, just now,
//! and for us.

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use wire::json::{Kind, Node};

use super::{Trust, optional, text, times};
use crate::{
    jose::{Algorithm, Compact, KeySet},
    principal::{Asserted, Delegated},
    token::{
        SKEW_MS, TokenError,
        claims::{is_for, one_text, seconds, texts},
    },
};

/// Where an issuer's name has the tenant in it (Entra ID).
const TENANT: &str = "{tenantid}";
/// The claim with that tenant.
const TENANT_CLAIM: &str = "tid";

/// What an ID token has to fit.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'e> {
    /// Who we are there.
    pub client: &'e str,
    /// What we sent along.
    pub nonce: &'e str,
    /// The access token that came with it.
    pub access_token: &'e str,
    /// How long ago the person may have logged in, in seconds, where somebody cares.
    pub max_age_s: Option<i64>,
}

/// A person who logged in at an issuer that is not ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Elsewhere {
    /// The name here.
    pub user: String,
    /// In which tenant.
    pub tenant: Option<String>,
    /// What was said of the person.
    pub asserted: Asserted,
    /// How well the person was authenticated, in the issuer's words.
    pub acr: Option<String>,
    /// How (RFC 8176), where the issuer says so.
    pub methods: Vec<String>,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Until when the issuer says so.
    pub expires_ms: i64,
}

impl Trust {
    /// Whether the issuer goes by this name, letter by letter.
    #[must_use]
    pub fn answers_to(&self, name: &str) -> bool {
        let of_tenant = |tenant: &String| self.issuer.replace(TENANT, tenant) == name;
        *self.issuer == *name
            || self.also.iter().any(|other| other == name)
            || self.is_of_tenants() && self.tenants.iter().any(of_tenant)
    }

    /// Whether there is one name for each tenant.
    #[must_use]
    pub fn is_of_tenants(&self) -> bool {
        self.issuer.contains(TENANT)
    }

    /// The claims are by this issuer: by one of its names and, where each tenant has its own, by that of its tenant.
    pub(super) fn is_mine(&self, claims: Node<'_>) -> Result<(), TokenError> {
        let issuer = text(claims, "iss").map_err(|_| TokenError::Issuer)?;
        let is_mine = if self.is_of_tenants() {
            let tenant = text(claims, TENANT_CLAIM)?;
            let named = self.issuer.replace(TENANT, &tenant);
            self.tenants.contains(&tenant) && (named == issuer || self.also.contains(&issuer))
        } else {
            self.answers_to(&issuer)
        };
        is_mine.then_some(()).ok_or(TokenError::Issuer)
    }

    /// Checks an ID token and says who logged in.
    ///
    /// # Errors
    /// When anything about it is not exactly as it must be.
    pub fn id_token(
        &self,
        token: &str,
        keys: &KeySet,
        expected: Expected<'_>,
        now_ms: i64,
    ) -> Result<Elsewhere, TokenError> {
        // Access tokens say by their type what they are, and are none of this.
        let compact = Compact::parse_assertion(token, &[])?;
        let algorithm = compact.algorithm();
        let claims = compact.verify(keys)?;
        let claims = claims.root();
        self.is_mine(claims)?;
        is_for_us(claims, expected.client)?;
        let (issued_ms, expires_ms) = times(claims, now_ms, self.lifetime_ms_max)?;
        if !claims
            .get("nonce")
            .is_some_and(|nonce| nonce.is_str(expected.nonce))
        {
            return Err(TokenError::Claim("nonce"));
        }
        if let Some(digest) = optional(claims, "at_hash")?
            && digest != half_digest(algorithm, expected.access_token)
        {
            return Err(TokenError::Claim("at_hash"));
        }
        let logged_in_ms = seconds(claims, "auth_time")?;
        if let Some(max_age_s) = expected.max_age_s {
            let at_ms = logged_in_ms.ok_or(TokenError::Claim("auth_time"))?;
            let age_ms = now_ms.saturating_sub(at_ms);
            if age_ms > max_age_s.saturating_mul(1000).saturating_add(SKEW_MS) {
                return Err(TokenError::Claim("auth_time"));
            }
        }
        let user = self.user(claims, expected.client)?;
        Ok(Elsewhere {
            user: user.ok_or(TokenError::Claim("sub"))?,
            tenant: self.tenant(claims)?,
            asserted: Asserted {
                // The person lets the client in here, so it is ours to say for whom it acts.
                delegated: Delegated::Here,
                ..self.asserted(claims)?
            },
            acr: optional(claims, "acr")?,
            methods: match claims.get("amr") {
                Some(list) if list.kind() == Kind::Array => texts(Some(list), "amr")?,
                Some(one) => vec![one_text(Some(one), "amr")?],
                None => Vec::new(),
            },
            at_ms: logged_in_ms.unwrap_or(issued_ms).min(now_ms),
            expires_ms,
        })
    }
}

/// `aud` has us; of several, `azp` says that it is us, and where `azp` is, it never says anybody else.
fn is_for_us(claims: Node<'_>, client: &str) -> Result<(), TokenError> {
    if !is_for(claims, client) {
        return Err(TokenError::Audience);
    }
    let several = claims.get("aud").is_some_and(|aud| aud.elements().count() > 1);
    match optional(claims, "azp")? {
        Some(party) if party == client => Ok(()),
        None if !several => Ok(()),
        Some(_) | None => Err(TokenError::Claim("azp")),
    }
}

/// `at_hash`: the left half of the digest that goes with the signature's algorithm.
fn half_digest(algorithm: Algorithm, token: &str) -> String {
    let kind = match algorithm {
        Algorithm::Es256 | Algorithm::Ps256 | Algorithm::Rs256 => &SHA256,
        Algorithm::Es384 => &SHA384,
        Algorithm::EdDsa => &SHA512,
    };
    let whole = digest(kind, token.as_bytes());
    let (left, _) = whole.as_ref().split_at(whole.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(left)
}

#[cfg(test)]
mod tests;

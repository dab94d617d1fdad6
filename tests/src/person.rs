//! A person with a browser that has no scripts: fetches pages, keeps cookies, fills in forms, is sent on.

use std::collections::BTreeMap;

use aws_lc_rs::{digest, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

/// The password of everybody.
pub const PASSWORD: &str = "correct horse battery";
/// Its hash, by the reference implementation: `argon2 saltsaltsaltsalt -id -t 2 -k 19456 -p 1 -l 32 -e`.
pub const PASSWORD_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$iPOQ5f2O21FsjnBvo1AiFcDuSXciCnKUrXFO+yfgNoM";
/// The secret of an authenticator: `12345678901234567890`.
pub const AUTHENTICATOR: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
/// What a client shows at the token endpoint, and its digest (RFC 7636, appendix B).
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// A browser, and who sits before it.
#[derive(Debug)]
pub struct Person {
    base: String,
    http: ureq::Agent,
    /// What its cookies are.
    pub cookies: BTreeMap<String, String>,
}

/// A page, or where it sends the browser.
#[derive(Clone, Debug)]
pub struct Page {
    /// The status.
    pub status: u16,
    /// The `Location` header.
    pub location: Option<String>,
    /// All headers, as text.
    pub headers: String,
    /// The page.
    pub html: String,
}

impl Page {
    /// A hidden field of its form.
    #[must_use]
    pub fn transaction(&self) -> String {
        let after = self.html.split("name=\"t\" value=\"").nth(1).unwrap_or_default();
        after.split('"').next().unwrap_or_default().to_owned()
    }

    /// A parameter of where it sends the browser.
    #[must_use]
    pub fn sent(&self, name: &str) -> Option<String> {
        let (_, query) = self.location.as_deref()?.split_once('?')?;
        let found = query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        found.map(str::to_owned)
    }

    /// Whether a person is asked for consent.
    #[must_use]
    pub fn asks_for_consent(&self) -> bool {
        self.status == 200 && self.html.contains("value=\"allow\"")
    }
}

impl Person {
    /// Before the gateway there.
    #[must_use]
    pub fn at(base: String) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .build();
        Self {
            base,
            http: config.into(),
            cookies: BTreeMap::new(),
        }
    }

    /// Opens what a client sends it to.
    pub fn open(&mut self, parameters: &[(&str, &str)]) -> Page {
        self.visit(&format!("/oauth/authorize?{}", encoded(parameters)), None)
    }

    /// Fills in the form of a page.
    pub fn fill(&mut self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let transaction = page.transaction();
        let mut all = vec![("t", transaction.as_str())];
        all.extend(fields);
        self.fill_at("/oauth/authorize", &all)
    }

    /// Fills in a form that leads there.
    pub fn fill_at(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.visit(path, Some(&encoded(fields)))
    }

    /// Logs in.
    pub fn log_in(&mut self, page: &Page, user: &str) -> Page {
        self.fill(page, &[("user", user), ("password", PASSWORD)])
    }

    /// Opens, logs in, and allows if it is asked; the code.
    ///
    /// # Panics
    /// When there is none.
    pub fn allow(&mut self, parameters: &[(&str, &str)], user: &str) -> String {
        let page = self.open(parameters);
        let mut page = self.log_in(&page, user);
        if page.asks_for_consent() {
            page = self.fill(&page, &[("say", "allow")]);
        }
        page.sent("code").unwrap_or_else(|| panic!("{page:?}"))
    }

    /// Opens a page, or posts a form to it.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn visit(&mut self, path: &str, form: Option<&str>) -> Page {
        let url = format!("{}{path}", self.base);
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let cookies = cookies.join("; ");
        let answer = match form {
            None => self.http.get(&url).header("Cookie", &cookies).call(),
            Some(form) => {
                let request = self
                    .http
                    .post(&url)
                    .header("Cookie", &cookies)
                    .header("Origin", &self.base);
                request
                    .header("Content-Type", "application/x-www-form-urlencoded")
                    .send(form)
            }
        };
        let answer = answer.expect("an answer");
        for cookie in answer.headers().get_all("set-cookie") {
            let cookie = cookie
                .to_str()
                .expect("text")
                .split(';')
                .next()
                .unwrap_or_default();
            let (name, value) = cookie.split_once('=').expect("a cookie");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let headers = answer
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or("")));
        Page {
            status: answer.status().as_u16(),
            location: answer
                .headers()
                .get("location")
                .and_then(|to| Some(to.to_str().ok()?.to_owned())),
            headers: headers.collect(),
            html: answer.into_body().read_to_string().expect("a body"),
        }
    }

    /// What a client posts to the gateway: status and answer.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn post(&self, path: &str, form: &[(&str, &str)]) -> (u16, Value) {
        self.post_with(path, form, None)
    }

    /// The same with a header.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn post_with(&self, path: &str, form: &[(&str, &str)], header: Option<(&str, &str)>) -> (u16, Value) {
        let mut request = self.http.post(format!("{}{path}", self.base));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let answer = request.send_form(form.iter().copied()).expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.into_body().read_to_string().expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// What a client posts as JSON.
    ///
    /// # Panics
    /// When there is no answer.
    #[must_use]
    pub fn post_json(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .header("Content-Type", "application/json");
        let answer = request.send(body.to_string()).expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.into_body().read_to_string().expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}

/// A form, or a query.
#[must_use]
pub fn encoded(fields: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let one = |byte: u8| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        };
        text.bytes().map(one).collect()
    };
    let pairs: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
        .collect();
    pairs.join("&")
}

/// What a verifier is checked against.
#[must_use]
pub fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, VERIFIER.as_bytes()))
}

/// The claims of a token, unchecked.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
}

/// What [`AUTHENTICATOR`] shows, so many steps from now (RFC 6238).
///
/// # Panics
/// When the clock is before 1970.
#[must_use]
pub fn one_time_code(steps: u64) -> String {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"12345678901234567890");
    let tag = hmac::sign(&key, &(since.as_secs() / 30 + steps).to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[19] & 15);
    let word = u32::from_be_bytes([tag[offset], tag[offset + 1], tag[offset + 2], tag[offset + 3]]);
    format!("{:06}", (word & 0x7FFF_FFFF) % 1_000_000)
}

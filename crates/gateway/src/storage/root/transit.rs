//! A root key in HashiCorp Vault's transit engine, or OpenBao's: it encrypts the ring's key and never shows its own.
//!
//! Two requests of its HTTP API, `transit/encrypt/KEY` and `transit/decrypt/KEY`, each over a connection of its own.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, header::CONTENT_TYPE};
use records::keys::{KeeperError, RootKeeper, Secret};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    config::root::MeantTransit,
    outside::fetch::{Fetch, roots_or},
    visible::visible,
};

/// How long it may take.
const WAIT: Duration = Duration::from_secs(10);
/// How much of its own words is repeated.
const WORDS_MAX: usize = 200;

/// A key in a Vault.
#[derive(Debug)]
pub(super) struct Transit(pub(super) MeantTransit);

impl RootKeeper for Transit {
    fn name(&self) -> String {
        let MeantTransit {
            address, mount, key, ..
        } = &self.0;
        format!("vault:{address}/{mount}/{key}")
    }

    fn wrap(&self, key: &Secret) -> Result<Vec<u8>, KeeperError> {
        let plain = Zeroizing::new(BASE64.encode(key.expose()));
        let answer = self.ask("encrypt", &json!({ "plaintext": *plain }))?;
        Ok(self.text(&answer, "ciphertext")?.as_bytes().to_vec())
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Secret, KeeperError> {
        let wrapped = str::from_utf8(wrapped)
            .map_err(|_| self.refused("it did not wrap this key", "name what sealed the ring"))?;
        let answer = self.ask("decrypt", &json!({ "ciphertext": wrapped }))?;
        let plain = Zeroizing::new(self.text(&answer, "plaintext")?.to_owned());
        let bytes = BASE64.decode(&*plain).map(Secret::new);
        bytes.map_err(|_| self.garbled())
    }
}

impl Transit {
    fn text<'a>(&self, answer: &'a Value, name: &str) -> Result<&'a str, KeeperError> {
        let text = answer.get("data").and_then(|data| data.get(name));
        text.and_then(Value::as_str).ok_or_else(|| self.garbled())
    }

    fn ask(&self, operation: &str, body: &Value) -> Result<Value, KeeperError> {
        let token =
            self.0.token.read().map_err(|problem| {
                self.refused(format!("{}: {}", problem.at, problem.what), problem.remedy)
            })?;
        let MeantTransit {
            address, mount, key, ..
        } = &self.0;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{address}/v1/{mount}/{operation}/{key}"))
            .header(CONTENT_TYPE, "application/json")
            .header("x-vault-request", "true")
            .header("x-vault-token", token.trim());
        if let Some(namespace) = &self.0.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        let request = request
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|_| self.refused("the token cannot stand in a header", "write it without blanks"))?;
        let (status, answer) = self.send(request)?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        Err(self.explained(status, operation, &answer))
    }

    /// On a thread and a runtime of its own: whoever asks may be on a worker of another runtime, and waits.
    fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Zeroizing<Vec<u8>>), KeeperError> {
        let unreachable = |why: String| {
            self.refused(
                why,
                "start it, or correct `root_key.vault.address` (and `authority`, where its certificate is of your own \
                 authority)",
            )
        };
        let fetch = roots_or(self.0.authority.as_deref()).and_then(Fetch::trusting);
        let fetch = fetch.map_err(|failure| unreachable(failure.to_string()))?;
        let exchange = async {
            let response = fetch.send(request).await?;
            let status = response.status();
            Ok::<_, crate::failure::Failure>((status, Zeroizing::new(Fetch::whole(response).await?)))
        };
        let done = std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let runtime = runtime.map_err(|error| error.to_string())?;
                let done = runtime.block_on(async { tokio::time::timeout(WAIT, exchange).await });
                done.map_err(|_| "it does not answer".to_owned())?
                    .map_err(|failure| failure.to_string())
            });
            work.join()
                .unwrap_or_else(|_| Err("the request broke off".to_owned()))
        });
        done.map_err(unreachable)
    }

    fn explained(&self, status: StatusCode, operation: &str, answer: &Value) -> KeeperError {
        let MeantTransit { mount, key, .. } = &self.0;
        let said = answer
            .get("errors")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let said: Vec<&str> = said.filter_map(Value::as_str).collect();
        let said: String = visible(&said.join("; ")).chars().take(WORDS_MAX).collect();
        let path = format!("{mount}/{operation}/{key}");
        match status.as_u16() {
            503 => self.refused(
                format!("it is sealed or in maintenance ({said})"),
                "unseal it with `vault operator unseal`",
            ),
            401 | 403 => self.refused(
                format!("it does not let this token use `{path}` ({said})"),
                format!("renew the token, or allow it `update` on `{path}`"),
            ),
            404 => self.refused(
                format!("there is no transit engine at `{mount}` ({said})"),
                format!("`vault secrets enable -path={mount} transit`, or correct `root_key.vault.mount`"),
            ),
            400 => self.refused(
                format!("it cannot {operation} with the key `{key}` ({said})"),
                format!("make the key with `vault write -f {mount}/keys/{key}`, or name the one that sealed the ring"),
            ),
            code => self.refused(
                format!("it answers {code} ({said})"),
                "look at `vault status` and its log",
            ),
        }
    }

    fn garbled(&self) -> KeeperError {
        self.refused(
            "its answer is not that of a transit engine",
            "correct `root_key.vault`",
        )
    }

    fn refused(&self, what: impl Into<String>, remedy: impl Into<String>) -> KeeperError {
        KeeperError::Refused {
            keeper: self.name(),
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

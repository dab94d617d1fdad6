//! Which client is meant by a `client_id`: one of the configuration, the one whose document is at that URL, or one that
//! registered itself.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use identity::{
    SecretDigest,
    oauth::{KnownBy, RegisteredClient, document_url, read_document},
};
use wire::json::{Document, Keys};

use super::{Authorization, Configured, Settings};
use crate::{ambient::Ambient, known::issuers::Guarded, outside::addresses::network};

/// The longest document read, in bytes.
const DOCUMENT_BYTES_MAX: usize = 16 * 1024;
/// How long a document is believed, and how long one that could not be had is not asked for again.
const FRESH_MS: i64 = 5 * 60 * 1000;
const FAILED_MS: i64 = 30 * 1000;
/// Most documents kept, and most fetched in a minute, for one address and for all: whoever asks makes us fetch.
const DOCUMENTS_MAX: usize = 256;
const FETCHES_MAX: usize = 60;
const FETCHES_OF_ADDRESS_MAX: usize = 20;
const MINUTE_MS: i64 = 60 * 1000;

type Found = Result<Arc<RegisteredClient>, String>;

/// Documents that were fetched.
#[derive(Debug, Default)]
pub(super) struct Documents(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_url: HashMap<String, (Found, i64)>,
    fetched: Vec<(IpAddr, i64)>,
}

impl Documents {
    async fn get(&self, url: &str, fetcher: &Guarded, (from, ambient): (IpAddr, &Ambient)) -> Found {
        if let Some(known) = self.begin(url, from, ambient.now_ms())? {
            return known;
        }
        let found = fetch(url, fetcher).await.map(Arc::new);
        let now_ms = ambient.now_ms();
        let until_ms = now_ms + if found.is_ok() { FRESH_MS } else { FAILED_MS };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.by_url.len() >= DOCUMENTS_MAX {
            kept.by_url.retain(|_, (_, until_ms)| now_ms < *until_ms);
        }
        if kept.by_url.len() >= DOCUMENTS_MAX {
            kept.by_url.clear();
        }
        kept.by_url.insert(url.to_owned(), (found.clone(), until_ms));
        found
    }

    /// What is known already, or leave to fetch.
    fn begin(&self, url: &str, from: IpAddr, now_ms: i64) -> Result<Option<Found>, String> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.by_url.get(url).filter(|(_, until_ms)| now_ms < *until_ms);
        if let Some((found, _)) = known {
            return Ok(Some(found.clone()));
        }
        let from = network(from);
        kept.fetched.retain(|(_, at_ms)| now_ms - at_ms < MINUTE_MS);
        let of_address = kept
            .fetched
            .iter()
            .filter(|(address, _)| *address == from)
            .count();
        if of_address >= FETCHES_OF_ADDRESS_MAX || kept.fetched.len() >= FETCHES_MAX {
            return Err("too many clients' documents were fetched in the last minute".to_owned());
        }
        kept.fetched.push((from, now_ms));
        Ok(None)
    }
}

async fn fetch(url: &str, fetcher: &Guarded) -> Result<RegisteredClient, String> {
    document_url(url).map_err(|why| format!("{url}: {why}"))?;
    let text = fetcher.get(url).await?;
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(format!(
            "{url}: the document is longer than {DOCUMENT_BYTES_MAX} bytes"
        ));
    }
    let document = Document::parse(text, Keys::Folded, &wire::bounds::ANSWER);
    let document = document.map_err(|error| format!("{url}: {error}"))?;
    read_document(document.root(), url).map_err(|error| format!("{url}: {}", error.description))
}

impl Authorization {
    /// The client of that id; the error says, for people, why there is none.
    pub(crate) async fn client(&self, id: &str, from: IpAddr, ambient: &Ambient) -> Found {
        let settings = self.settings();
        match settings.clients.get(id) {
            Some(configured) if !configured.meant.redirects.is_empty() => Ok(Arc::new(configured.client())),
            Some(configured) => {
                let described = self.described(id, &settings, (from, ambient)).await?;
                let meant = &configured.meant;
                Ok(Arc::new(RegisteredClient {
                    name: meant.name.clone(),
                    secret: configured.secret,
                    agent: meant.agent.clone(),
                    known_by: KnownBy::Operator,
                    ..(*described).clone()
                }))
            }
            None if id.starts_with("https:") => self.described(id, &settings, (from, ambient)).await,
            None => {
                let known = self.registered.get(id, ambient.now_ms());
                known.ok_or_else(|| "there is no client of this id".to_owned())
            }
        }
    }

    async fn described(&self, id: &str, settings: &Settings, for_whom: (IpAddr, &Ambient)) -> Found {
        let fetcher = settings.fetcher.as_ref();
        let fetcher = fetcher.ok_or_else(|| "clients are not known by documents here".to_owned())?;
        document_url(id).map_err(|why| format!("the client's id is no URL of a document: {why}"))?;
        self.documents.get(id, fetcher, for_whom).await
    }

    /// What a client has to prove itself with at the token endpoint: its secret, or nothing. None if there is no such
    /// client any more. Nothing is fetched for that: what it may is bound to its id already.
    pub(crate) fn secret_of(&self, id: &str, now_ms: i64) -> Option<Option<SecretDigest>> {
        let settings = self.settings();
        if let Some(configured) = settings.clients.get(id) {
            return Some(configured.secret);
        }
        let is_document = settings.fetcher.is_some() && document_url(id).is_ok();
        let is_known = is_document || self.registered.get(id, now_ms).is_some();
        is_known.then_some(None)
    }
}

impl Configured {
    fn client(&self) -> RegisteredClient {
        RegisteredClient {
            id: self.meant.id.clone(),
            name: self.meant.name.clone(),
            redirects: self.meant.redirects.clone(),
            secret: self.secret,
            agent: self.meant.agent.clone(),
            refreshes: true,
            known_by: KnownBy::Operator,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: addresses were counted one by one, and one subscriber of IPv6 has 2^64 of them.
    #[test]
    fn one_network_has_the_gateway_fetch_so_many_documents_and_no_more() {
        let documents = Documents::default();
        let ask = |from: &str, n: usize| {
            let from: IpAddr = from.parse().expect("an address");
            documents.begin(&format!("https://{n}.example/client.json"), from, 0)
        };
        for n in 0..FETCHES_OF_ADDRESS_MAX {
            let leave = ask(&format!("2001:db8:1:2::{n:x}"), n).expect("leave to fetch");
            assert!(leave.is_none(), "nothing is known yet");
        }
        ask("2001:db8:1:2:ffff::1", 100).expect_err("the same network");
        assert!(ask("2001:db8:1:3::1", 100).expect("another network").is_none());
        // As it comes on a socket that takes both.
        for n in 0..FETCHES_OF_ADDRESS_MAX {
            ask("::ffff:192.0.2.1", 200 + n).expect("leave to fetch");
        }
        ask("192.0.2.1", 300).expect_err("the same address");
        assert!(
            documents
                .begin(
                    "https://a.example/",
                    "2001:db8:1:2::1".parse().expect("one"),
                    MINUTE_MS
                )
                .is_ok()
        );
    }
}

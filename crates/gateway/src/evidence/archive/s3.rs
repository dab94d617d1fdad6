//! Objects in a bucket: put, got, listed, deleted. Path-style addresses, which every implementation knows.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, Uri, header::AUTHORIZATION};
use records::{digest::sha256, ledger::entry::rfc3339};

use super::sign::{Asked, Signer, digest, stamp};
use crate::{
    ambient::Ambient,
    config::archive::{LockMode, MeantArchive},
    failure::Failure,
    outside::{
        fetch::{Fetch, roots_or},
        oauth::escaped,
    },
    visible::visible,
};

/// How long a request may take.
const WAIT: Duration = Duration::from_secs(30);
/// How much of an answer is repeated.
const WORDS_MAX: usize = 200;

/// A bucket, and the prefix of one log in it.
pub(super) struct Bucket {
    fetch: Fetch,
    meant: MeantArchive,
    ambient: Ambient,
    /// Begins every key of this log, with a slash at its end.
    prefix: String,
}

/// Whether an object may be changed later.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stays {
    /// It is locked where configuration says so.
    ForGood,
    /// It is replaced or deleted soon.
    ForNow,
}

/// One request, before it is signed.
struct Question<'q> {
    method: &'q Method,
    path: String,
    /// Parameters in their order, escaped; may be empty.
    query: String,
    stays: Stays,
}

impl Bucket {
    pub(super) fn new(meant: MeantArchive, origin: &str, ambient: Ambient) -> Result<Self, Failure> {
        let fetch = Fetch::trusting(roots_or(meant.authority.as_deref())?)?;
        let prefix = format!("{}{origin}/", meant.prefix);
        Ok(Self {
            fetch,
            meant,
            ambient,
            prefix,
        })
    }

    /// Where it is, for people.
    pub(super) fn name(&self) -> String {
        format!("s3://{}/{}", self.meant.bucket, self.prefix)
    }

    pub(super) async fn put(&self, key: &str, body: Vec<u8>, stays: Stays) -> Result<(), Failure> {
        let (status, said) = self.ask(self.object(&Method::PUT, key, stays), body).await?;
        if status.is_success() {
            Ok(())
        } else {
            Err(refused("put", key, status, &said))
        }
    }

    /// None where there is no such object.
    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        let (status, said) = self
            .ask(self.object(&Method::GET, key, Stays::ForNow), Vec::new())
            .await?;
        match status {
            StatusCode::OK => Ok(Some(said)),
            // A bucket that is not there is not an empty one.
            StatusCode::NOT_FOUND if !contains(&said, b"NoSuchBucket") => Ok(None),
            status => Err(refused("get", key, status, &said)),
        }
    }

    /// Keys that begin so and come after another, in their order: as many as the storage gives at once, and whether
    /// there are more.
    pub(super) async fn list(&self, begin: &str, after: &str) -> Result<(Vec<String>, bool), Failure> {
        let whole = |key: &str| escaped(&format!("{}{key}", self.prefix));
        let query = format!("list-type=2&prefix={}&start-after={}", whole(begin), whole(after));
        let asked = Question {
            method: &Method::GET,
            path: format!("/{}", self.meant.bucket),
            query,
            stays: Stays::ForNow,
        };
        let (status, said) = self.ask(asked, Vec::new()).await?;
        if !status.is_success() {
            return Err(refused("list", begin, status, &said));
        }
        let text = String::from_utf8_lossy(&said);
        let keys = text
            .split("<Key>")
            .skip(1)
            .filter_map(|rest| rest.split_once("</Key>")?.0.strip_prefix(&self.prefix))
            .map(ToOwned::to_owned)
            .collect();
        Ok((keys, contains(&said, b"<IsTruncated>true")))
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), Failure> {
        let (status, said) = self
            .ask(self.object(&Method::DELETE, key, Stays::ForNow), Vec::new())
            .await?;
        if status.is_success() {
            Ok(())
        } else {
            Err(refused("delete", key, status, &said))
        }
    }

    fn object<'q>(&self, method: &'q Method, key: &str, stays: Stays) -> Question<'q> {
        Question {
            method,
            path: format!("/{}/{}{key}", self.meant.bucket, self.prefix),
            query: String::new(),
            stays,
        }
    }

    async fn ask(&self, asked: Question<'_>, body: Vec<u8>) -> Result<(StatusCode, Vec<u8>), Failure> {
        // A keyring takes its time.
        let secret = self.meant.secret.clone();
        let secret = tokio::task::spawn_blocking(move || secret.read()).await;
        let secret = secret.map_err(|error| Failure::other(error.to_string()))?;
        let secret = secret.map_err(|problem| Failure::configuration(problem.to_string()))?;
        let request = self.signed(&asked, body, &secret)?;
        let exchange = async {
            let response = self.fetch.send(request).await?;
            let status = response.status();
            Ok((status, Fetch::whole(response).await?))
        };
        let done = tokio::time::timeout(WAIT, exchange).await;
        done.unwrap_or_else(|_| Err(Failure::unreachable("the archive does not answer")))
    }

    fn signed(
        &self,
        asked: &Question<'_>,
        body: Vec<u8>,
        secret: &str,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let now_ms = u64::try_from(self.ambient.now_ms()).unwrap_or(0);
        let stamp = stamp(now_ms);
        let Question { path, query, .. } = asked;
        let mark = if query.is_empty() { "" } else { "?" };
        let uri: Uri = format!("{}{path}{mark}{query}", self.meant.endpoint)
            .parse()
            .map_err(|_| Failure::configuration("archive: no address"))?;
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let mut headers = vec![("host", host), ("x-amz-content-sha256", digest(&body))];
        headers.push(("x-amz-date", stamp.clone()));
        if let (Some((mode, retain)), Stays::ForGood) = (self.meant.lock, asked.stays) {
            let until_ms = now_ms.saturating_add(u64::try_from(retain.as_millis()).unwrap_or(u64::MAX));
            let mode = match mode {
                LockMode::Compliance => "COMPLIANCE",
                LockMode::Governance => "GOVERNANCE",
            };
            // A locked object is taken only with a checksum of its own.
            headers.push(("x-amz-checksum-sha256", BASE64.encode(sha256(&[&body]))));
            headers.push(("x-amz-object-lock-mode", mode.to_owned()));
            headers.push(("x-amz-object-lock-retain-until-date", rfc3339(until_ms)));
            headers.push(("x-amz-sdk-checksum-algorithm", "SHA256".to_owned()));
        }
        headers.sort_unstable();
        let signer = Signer {
            key: &self.meant.key,
            secret: secret.trim().as_bytes(),
            region: &self.meant.region,
        };
        let method = asked.method;
        let asked = Asked {
            method: method.as_str(),
            path,
            query,
            headers: &headers,
            body: &body,
        };
        let authorization = signer.sign(&asked, &stamp);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        request
            .header(AUTHORIZATION, authorization)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| Failure::other(error.to_string()))
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

fn refused(what: &str, key: &str, status: StatusCode, said: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(said);
    let part = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(part, _)| part)
    };
    let said = [part("Code"), part("Message")]
        .map(Option::unwrap_or_default)
        .join(": ");
    let said: String = visible(&said).chars().take(WORDS_MAX).collect();
    Failure::unreachable(format!("the archive answers {status} to {what} `{key}`: {said}"))
}

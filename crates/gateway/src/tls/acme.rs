//! Certificates from an authority that gives them to whoever has the name (ACME, RFC 8555), proven on the gateway's own
//! address (TLS-ALPN-01, RFC 8737). Kept sealed, renewed when two thirds of their time have passed. Until there is
//! another one, and whatever goes wrong, the one that is there stays.

use std::{fmt::Write as _, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use identity::der::{Der, Value, moment};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeType, Error,
    HttpClient, Identifier, NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use records::ledger::Kind;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::sync::watch;
use upstream::OwnCertificate;

use super::{Acceptor, authority::challenge};
use crate::{
    ambient::Ambient,
    config::acme::MeantAcme,
    evidence::journal::Journal,
    known::issuers::{Call, Guarded},
    listen::stopped,
    storage::store::Store,
};

const TABLE: &str = "acme";
/// How long the authority may take over one order.
const ORDER_WAIT: Duration = Duration::from_secs(120);
/// How long to wait after a failure: little at first where the authority was not even reached, and never so little that it
/// would count against us where it was.
const UNREACHED_FIRST: Duration = Duration::from_secs(2);
const REFUSED_FIRST: Duration = Duration::from_secs(600);
const AGAIN_MAX: Duration = Duration::from_secs(6 * 3600);
/// How often is looked whether it is time: clocks are set.
const LOOK: Duration = Duration::from_secs(3600);

/// What is kept, and whom it is asked of.
#[derive(Clone, Debug)]
pub(crate) struct Acme {
    meant: MeantAcme,
    store: Store,
    ambient: Ambient,
}

/// Why there is no new certificate.
#[derive(Debug)]
enum Failed {
    Refused(String),
    Unreached(String),
}

/// When a certificate is good.
#[derive(Clone, Copy, Debug)]
struct Validity {
    from_s: i64,
    to_s: i64,
}

/// What an authority says that has forgotten an account (RFC 8555 section 6.7).
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

impl Acme {
    pub(crate) fn new(meant: MeantAcme, store: Store, ambient: Ambient) -> Self {
        Self {
            meant,
            store,
            ambient,
        }
    }

    /// The certificate that is kept, if one is for these names by this authority.
    pub(crate) fn kept(&self) -> Result<Option<OwnCertificate>, String> {
        let text = self.store.get(TABLE, &self.place("certificate"));
        let Some(text) = text.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        own(&text).map(Some)
    }

    /// Each authority, and each list of names, has a place of its own.
    fn place(&self, what: &str) -> String {
        let mut place = format!("{what} {}", self.meant.directory);
        if what == "certificate" {
            for name in &self.meant.names {
                let _ = write!(place, " {name}");
            }
        }
        place
    }

    /// Renews the certificate when it is time, until told to stop. `renew` takes what is kept then into use.
    pub(crate) async fn follow(
        self,
        acceptor: Arc<Acceptor>,
        journal: Journal,
        renew: impl Fn() -> Result<(), String> + Send + 'static,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut failures: u32 = 0;
        // What was obtained, and could not be taken into use yet: when it ends.
        let mut unused: Option<i64> = None;
        loop {
            let wait = match self.due().filter(|_| unused.is_none()) {
                Some(due) => due.min(LOOK),
                None => {
                    let obtained = match unused {
                        Some(ends_s) => Ok(ends_s),
                        None => self.obtain(&acceptor).await,
                    };
                    unused = obtained.as_ref().ok().copied();
                    let renewed =
                        obtained.and_then(|ends_s| renew().map(|()| ends_s).map_err(Failed::Unreached));
                    match renewed {
                        Ok(ends_s) => {
                            (failures, unused) = (0, None);
                            let detail = [
                                ("names", self.meant.names.join(" ")),
                                ("ends", ends_s.to_string()),
                            ];
                            journal.note(Kind::Key, "certificate-obtained", &detail);
                            Duration::from_secs(1)
                        }
                        Err(failed) => {
                            failures = failures.saturating_add(1);
                            self.tell(&failed, &journal);
                            failed.wait(failures)
                        }
                    }
                }
            };
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn tell(&self, failed: &Failed, journal: &Journal) {
        let (Failed::Refused(why) | Failed::Unreached(why)) = failed;
        let directory = &self.meant.directory;
        tracing::error!(
            why,
            directory,
            "no new certificate could be had; the old one stays in use"
        );
        let detail = [("why", why.clone()), ("directory", directory.clone())];
        journal.note(Kind::Key, "certificate-not-obtained", &detail);
    }

    /// How long what is kept is to be used yet: until two thirds of its time have passed. None if there is nothing, or
    /// it is time.
    fn due(&self) -> Option<Duration> {
        let kept = self.kept().ok()??;
        let validity = Validity::of(kept.chain.first()?)?;
        let renew_s = validity.from_s + (validity.to_s - validity.from_s) * 2 / 3;
        let rest = renew_s.saturating_mul(1000) - self.ambient.now_ms();
        u64::try_from(rest)
            .ok()
            .filter(|rest| *rest > 0)
            .map(Duration::from_millis)
    }

    /// Gets a certificate and keeps it; says when it ends.
    async fn obtain(&self, acceptor: &Acceptor) -> Result<i64, Failed> {
        // One replica asks at a time. The authority may come to any of them, so several must not be behind one name.
        let _alone = self
            .store
            .alone_with(TABLE)
            .map_err(|error| Failed::Unreached(error.to_string()))?;
        let account = self.account().await?;
        let names = self.meant.names.iter().cloned();
        let names: Vec<Identifier> = names.map(Identifier::Dns).collect();
        let mut order = match account.new_order(&NewOrder::new(&names)).await {
            Ok(order) => order,
            Err(Error::Api(problem)) if problem.r#type.as_deref() == Some(NO_ACCOUNT) => {
                // It is made anew the next time.
                let forgotten = self.store.delete(TABLE, &self.place("account"));
                forgotten.map_err(|error| Failed::Refused(error.to_string()))?;
                return Err(Failed::Refused(problem.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        let shown = Shown {
            acceptor,
            names: &self.meant.names,
        };
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let lacking = || Failed::Refused("the authority does not ask by TLS-ALPN-01".to_owned());
            let mut asked = authorization
                .challenge(ChallengeType::TlsAlpn01)
                .ok_or_else(lacking)?;
            let known = asked.key_authorization().digest();
            let name = asked.identifier().to_string();
            challenge(&name, known.as_ref(), &self.ambient)
                .and_then(|own| shown.acceptor.challenge(&name, Some(&own)))
                .map_err(Failed::Refused)?;
            asked.set_ready().await?;
        }
        let patience = RetryPolicy::new().timeout(ORDER_WAIT);
        let status = order.poll_ready(&patience).await?;
        if status != OrderStatus::Ready {
            let why = format!("the authority could not see that the names are ours (order {status:?})");
            return Err(Failed::Refused(why));
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&patience).await?;
        drop(shown);
        self.keep(&format!("{key}\n{chain}"))
    }

    fn keep(&self, text: &str) -> Result<i64, Failed> {
        let own = own(text.as_bytes()).map_err(Failed::Refused)?;
        let validity = own.chain.first().and_then(|first| Validity::of(first));
        let validity =
            validity.ok_or_else(|| Failed::Refused("its certificate cannot be read".to_owned()))?;
        let stored = self.store.put(TABLE, &self.place("certificate"), text.as_bytes());
        stored.map_err(|error| Failed::Refused(error.to_string()))?;
        Ok(validity.to_s)
    }

    /// Our account there, made the first time.
    async fn account(&self) -> Result<Account, Failed> {
        let guarded = Guarded::new(self.meant.network, &self.meant.authorities).map_err(Failed::Refused)?;
        let builder = Account::builder_with_http(Box::new(Http(guarded)));
        let place = self.place("account");
        let unkept = |error: crate::storage::store::StoreError| Failed::Refused(error.to_string());
        if let Some(kept) = self.store.get(TABLE, &place).map_err(unkept)? {
            let credentials = serde_json::from_slice::<AccountCredentials>(&kept);
            let credentials = credentials.map_err(|error| Failed::Refused(error.to_string()))?;
            return Ok(builder.from_credentials(credentials).await?);
        }
        let contact: Vec<&str> = self.meant.contact.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let directory = self.meant.directory.clone();
        let (account, credentials) = builder.create(&wanted, directory, None).await?;
        let text = serde_json::to_vec(&credentials).map_err(|error| Failed::Refused(error.to_string()))?;
        self.store.put(TABLE, &place, &text).map_err(unkept)?;
        Ok(account)
    }
}

/// Names for which something is shown to whoever asks; nothing any more once it is dropped.
struct Shown<'s> {
    acceptor: &'s Acceptor,
    names: &'s [String],
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        for name in self.names {
            let _ = self.acceptor.challenge(name, None);
        }
    }
}

impl Failed {
    fn wait(&self, failures: u32) -> Duration {
        let first = match self {
            Self::Refused(_) => REFUSED_FIRST,
            Self::Unreached(_) => UNREACHED_FIRST,
        };
        (first * 2_u32.saturating_pow(failures.saturating_sub(1).min(16))).min(AGAIN_MAX)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        if let Error::Other(why) = error {
            return Self::Unreached(why.to_string());
        }
        Self::Refused(error.to_string())
    }
}

/// The guarded fetcher, as the library wants it.
struct Http(Guarded);

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let guarded = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(|error| Error::Other(error.into()))?;
            let url = head.uri.to_string();
            let headers = head.headers.iter();
            let fetched = guarded
                .send(Call {
                    method: head.method,
                    url: &url,
                    headers: headers
                        .map(|(name, value)| (name.clone(), value.clone()))
                        .collect(),
                    body: body.to_bytes().to_vec(),
                })
                .await
                .map_err(|why| Error::Other(why.into()))?;
            let mut response = Response::new(Full::new(Bytes::from(fetched.body)));
            *response.status_mut() = fetched.status;
            *response.headers_mut() = fetched.headers;
            Ok(BytesResponse::from(response))
        })
    }
}

/// A key and the certificates for it, in PEM.
fn own(text: &[u8]) -> Result<OwnCertificate, String> {
    let unreadable = |error: rustls::pki_types::pem::Error| format!("what the authority gave: {error}");
    let chain = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    Ok(OwnCertificate {
        chain: chain.map_err(unreadable)?,
        key: PrivateKeyDer::from_pem_slice(text).map_err(unreadable)?,
    })
}

impl Validity {
    fn of(certificate: &[u8]) -> Option<Self> {
        let whole = Der(certificate).next()?;
        let mut fields = whole.values().next()?.values().filter(|value| value.tag != 0xa0);
        let validity: Vec<Value<'_>> = fields.nth(3)?.values().collect();
        let at = |n: usize| i64::try_from(moment(*validity.get(n)?)?).ok();
        Some(Self {
            from_s: at(0)?,
            to_s: at(1)?,
        })
    }
}

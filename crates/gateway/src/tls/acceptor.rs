//! From a connection to a TLS connection.
//!
//! rustls lets the client's order decide between the groups both sides know, so a client that lists X25519 first
//! would be talked down to it. The group is therefore chosen here, before the handshake goes on: whoever lists the
//! hybrid gets a configuration that has nothing else.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::{
    NamedGroup, ServerConfig,
    crypto::{
        SupportedKxGroup,
        aws_lc_rs::{self as provider, kx_group},
    },
    pki_types::{CertificateDer, UnixTime},
    server::{ClientHello, NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{net::TcpStream, sync::watch};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};
use upstream::{OwnCertificate, PostQuantum};

use super::{clients::Clients, files::Material};

/// How long a client may take to shake hands.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);

/// What the listener's connections go through. It may be given other certificates while it is in use.
#[derive(Debug)]
pub(crate) struct Acceptor {
    post_quantum: PostQuantum,
    in_use: RwLock<Arc<InUse>>,
    changed: watch::Sender<u64>,
    /// What an authority that asks for a name is shown (RFC 8737), while it is asked for a certificate.
    challenges: Mutex<HashMap<String, Arc<ServerConfig>>>,
}

/// The configurations of one set of certificates.
#[derive(Debug)]
struct InUse {
    hybrid: Arc<ServerConfig>,
    /// For clients that do not know the hybrid; none where it is required.
    classical: Option<Arc<ServerConfig>>,
    /// Who may come, where clients show certificates.
    clients: Option<Arc<Clients>>,
}

/// A connection that stands.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) tls: pipeline::Tls,
    /// The client's certificates, which may be revoked while the connection stands.
    pub(crate) presented: Presented,
}

/// The certificates a client showed: its own first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Presented(Vec<CertificateDer<'static>>);

/// A client that came, and may become unwelcome.
#[derive(Clone, Debug)]
pub(crate) struct Welcome {
    acceptor: Arc<Acceptor>,
    presented: Presented,
    changed: watch::Receiver<u64>,
}

impl Welcome {
    /// `changed` is of before the handshake: nothing that changed since is missed.
    pub(crate) fn of(acceptor: Arc<Acceptor>, presented: Presented, changed: watch::Receiver<u64>) -> Self {
        Self {
            acceptor,
            presented,
            changed,
        }
    }

    /// Returns once it may not come any more, with why.
    pub(crate) async fn ends(&self) -> String {
        let mut changed = self.changed.clone();
        while changed.changed().await.is_ok() {
            if let Err(why) = self.acceptor.still_welcome(&self.presented) {
                return why;
            }
        }
        std::future::pending().await
    }
}

/// Why a connection came to nothing.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The client went away or said nothing; nobody learns anything from that.
    Gone,
    /// It was refused.
    Refused(String),
}

impl Acceptor {
    /// An acceptor with these certificates.
    pub(crate) fn new(material: Material, post_quantum: PostQuantum) -> Result<Self, String> {
        Ok(Self {
            post_quantum,
            in_use: RwLock::new(Arc::new(InUse::of(material, post_quantum)?)),
            changed: watch::Sender::new(0),
            challenges: Mutex::default(),
        })
    }

    /// Takes other certificates into use. Connections that stand keep theirs, if their client may still come.
    pub(crate) fn renew(&self, material: Material) -> Result<(), String> {
        let next = Arc::new(InUse::of(material, self.post_quantum)?);
        *self.in_use.write().unwrap_or_else(PoisonError::into_inner) = next;
        self.changed.send_modify(|generation| *generation += 1);
        Ok(())
    }

    /// Shows an authority that asks for a name this certificate, until it is taken away again (none).
    pub(super) fn challenge(&self, name: &str, shown: Option<&OwnCertificate>) -> Result<(), String> {
        let config = shown.map(challenge).transpose()?;
        let mut challenges = self.challenges.lock().unwrap_or_else(PoisonError::into_inner);
        match config {
            Some(config) => challenges.insert(name.to_owned(), config),
            None => challenges.remove(name),
        };
        Ok(())
    }

    /// What is shown to whoever opens a connection so, if it is an authority that asks for a name.
    fn challenged(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut protocols = hello.alpn()?;
        let is_asking = protocols.next() == Some(ACME_TLS) && protocols.next().is_none();
        let name = hello.server_name().filter(|_| is_asking)?;
        let challenges = self.challenges.lock().unwrap_or_else(PoisonError::into_inner);
        challenges.get(&name.to_ascii_lowercase()).cloned()
    }

    /// Told whenever certificates have changed.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whether a client that showed these certificates may still come; the error says why not.
    pub(crate) fn still_welcome(&self, presented: &Presented) -> Result<(), String> {
        let Some(clients) = &self.in_use().clients else {
            return Ok(());
        };
        let Some((own, chain)) = presented.0.split_first() else {
            return if clients.client_auth_mandatory() {
                Err("it showed no certificate".to_owned())
            } else {
                Ok(())
            };
        };
        let verified = clients.verify_client_cert(own, chain, UnixTime::now());
        verified.map(|_| ()).map_err(|error| error.to_string())
    }

    /// Shakes hands.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Result<Accepted, Failed> {
        let shaking = tokio::time::timeout(HANDSHAKE_WAIT, self.shake_hands(stream));
        match shaking.await {
            Err(_) => Err(Failed::Gone),
            Ok(Err(error)) => Err(failed(&error, self.post_quantum)),
            Ok(Ok((stream, in_use))) => {
                accepted(stream, &in_use).map_err(|error| Failed::Refused(error.to_string()))
            }
        }
    }

    async fn shake_hands(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Arc<InUse>)> {
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        if let Some(config) = self.challenged(&start.client_hello()) {
            // It has seen what it came for, and says nothing.
            drop(start.into_stream(config).await?);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let groups = start.client_hello().named_groups();
        let knows_hybrid = groups.is_some_and(|groups| groups.contains(&NamedGroup::X25519MLKEM768));
        let in_use = self.in_use();
        let config = match &in_use.classical {
            Some(classical) if !knows_hybrid => classical,
            Some(_) | None => &in_use.hybrid,
        };
        let stream = start.into_stream(Arc::clone(config)).await?;
        Ok((stream, in_use))
    }

    fn in_use(&self) -> Arc<InUse> {
        Arc::clone(&self.in_use.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl InUse {
    fn of(material: Material, post_quantum: PostQuantum) -> Result<Self, String> {
        let clients = Clients::of(clients(&material)?, Arc::clone(&material.trust_domains));
        let classical = match post_quantum {
            PostQuantum::Required => None,
            PostQuantum::Prefer => {
                let groups = vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
                Some(config(&material, clients.clone(), groups)?)
            }
        };
        Ok(Self {
            hybrid: config(&material, clients.clone(), vec![kx_group::X25519MLKEM768])?,
            classical,
            clients,
        })
    }
}

/// The protocol of an authority that asks for a name (RFC 8737).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// For an authority that asks: it need not know the hybrid, and shows no certificate.
fn challenge(shown: &OwnCertificate) -> Result<Arc<ServerConfig>, String> {
    let provider = provider::default_provider();
    let key = provider.key_provider.load_private_key(shown.key.clone_key());
    let key = key.map_err(|error| error.to_string())?;
    // Not by `with_single_cert`: it looks into the certificate, and knows not the extension that makes it what it is.
    let certified = CertifiedKey::new(shown.chain.clone(), key);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn config(
    material: &Material,
    clients: Option<Arc<Clients>>,
    groups: Vec<&'static dyn SupportedKxGroup>,
) -> Result<Arc<ServerConfig>, String> {
    let mut provider = provider::default_provider();
    provider.kx_groups = groups;
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?;
    let config = match clients {
        Some(clients) => config.with_client_cert_verifier(clients),
        None => config.with_no_client_auth(),
    };
    let own = &material.own;
    let mut config = config
        .with_single_cert(own.chain.clone(), own.key.clone_key())
        .map_err(|error| format!("the certificate and its key cannot be used: {error}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Whoever resumes a session shows no certificate again, and would come in after it was revoked; and what is
    // sent early can be sent twice. So nothing is resumed.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// Who may come: certificates of the authorities named, whole chains of which are known not to be revoked where
/// there are lists of those that are. A list that has ended says nothing any more.
fn clients(material: &Material) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let Some(roots) = &material.clients else {
        return Ok(None);
    };
    let provider = Arc::new(provider::default_provider());
    let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider);
    if !material.revoked.is_empty() {
        verifier = verifier
            .with_crls(material.revoked.iter().cloned())
            .enforce_revocation_expiration();
    }
    let verifier = verifier.build();
    verifier
        .map(Some)
        .map_err(|error| format!("client certificates cannot be checked: {error}"))
}

fn accepted(stream: TlsStream<TcpStream>, in_use: &InUse) -> Result<Accepted, rustls::Error> {
    let (_, connection) = stream.get_ref();
    let group = connection.negotiated_key_exchange_group();
    let presented = Presented(
        connection
            .peer_certificates()
            .map(<[_]>::to_vec)
            .unwrap_or_default(),
    );
    let certificate = presented.0.first();
    let workload = match (&in_use.clients, presented.0.split_first()) {
        (Some(clients), Some((own, chain))) => clients.workload(own, chain, UnixTime::now())?,
        (_, _) => None,
    };
    let tls = pipeline::Tls {
        version: "TLSv1.3",
        group: group.and_then(|group| group.name().as_str()).unwrap_or("unknown"),
        certificate: certificate
            .map(|own| Arc::from(URL_SAFE_NO_PAD.encode(digest(&SHA256, own.as_ref()).as_ref()))),
        workload: workload.map(Arc::new),
    };
    Ok(Accepted {
        stream,
        tls,
        presented,
    })
}

fn failed(error: &io::Error, post_quantum: PostQuantum) -> Failed {
    use rustls::{Error, PeerIncompatible};
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    match cause {
        None => Failed::Gone,
        Some(Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon))
            if post_quantum == PostQuantum::Required =>
        {
            let why = "the client offers no post-quantum key exchange, which is required here";
            Failed::Refused(why.to_owned())
        }
        Some(Error::PeerIncompatible(PeerIncompatible::SupportedVersionsExtensionRequired)) => {
            Failed::Refused("the client does not speak TLS 1.3".to_owned())
        }
        Some(cause) => Failed::Refused(cause.to_string()),
    }
}

//! Certificates come from anybody: what is in one is read or refused, and one of which a single byte was changed proves no
//! workload.
#![no_main]

use std::{collections::BTreeMap, sync::LazyLock};

use identity::{
    Actor, ActorKind,
    svid::{Constraints, SpiffeId, TrustDomain, TrustDomains},
};
use libfuzzer_sys::fuzz_target;
use rustls::pki_types::CertificateDer;

/// Of `spiffe://prod.example/scribe`, good for a hundred years, and who vouches for it. Their keys are lost.
const WORKLOAD: &[u8] = include_bytes!("../papers/svid.der");
const AUTHORITY: &[u8] = include_bytes!("../papers/svid-authority.der");
/// In 2027.
const NOW_MS: i64 = 1_800_000_000_000;

static DOMAINS: LazyLock<TrustDomains> = LazyLock::new(|| {
    let id = SpiffeId::parse("spiffe://prod.example/scribe").expect("a name");
    let actor = Actor {
        kind: ActorKind::Agent,
        name: "scribe".to_owned(),
    };
    let bundle = [CertificateDer::from(AUTHORITY)];
    let domain = TrustDomain::new(
        "prod.example".to_owned(),
        (&bundle, Constraints::IfAny),
        &[],
        BTreeMap::from([(id, actor)]),
    );
    let domains = TrustDomains::new(vec![domain.expect("a domain")]);
    // What follows is worth nothing if the good one is refused.
    let good = domains.check(&CertificateDer::from(WORKLOAD), &[], NOW_MS);
    assert!(good.is_ok_and(|svid| svid.is_some_and(|svid| svid.actor().is_some())));
    domains
});

fn is_a_workload(certificate: &[u8], chain: &[CertificateDer<'_>]) -> bool {
    let found = DOMAINS.check(&CertificateDer::from(certificate), chain, NOW_MS);
    found.is_ok_and(|svid| svid.is_some())
}

fuzz_target!(|bytes: &[u8]| {
    // Made up altogether, as a certificate, among a chain, and as a bundle.
    assert!(!is_a_workload(bytes, &[]));
    let _ = is_a_workload(WORKLOAD, &[CertificateDer::from(bytes)]);
    let bundle = [CertificateDer::from(bytes.to_vec())];
    let _ = TrustDomain::new(
        "prod.example".to_owned(),
        (&bundle, Constraints::Required),
        &[],
        BTreeMap::new(),
    );
    // The good one with some bytes of it changed: pairs of a place and a change.
    let mut changed = WORKLOAD.to_vec();
    for pair in bytes.chunks_exact(3).take(8) {
        let place = usize::from(u16::from_be_bytes([pair[0], pair[1]])) % changed.len();
        changed[place] ^= pair[2];
    }
    assert_eq!(is_a_workload(&changed, &[]), changed == WORKLOAD);
});

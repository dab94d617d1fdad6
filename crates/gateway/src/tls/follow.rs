//! Certificates as the files have them now, within seconds, without a restart. What cannot be used changes nothing.

use std::{sync::Arc, time::Duration};

use records::ledger::Kind;
use tokio::sync::watch;
use upstream::OwnCertificate;

use super::{Acceptor, files::Material};
use crate::{
    config::door::{MeantTls, Source},
    evidence::journal::Journal,
    listen::stopped,
    registry::reload::stamps,
};

/// How often the files are looked at. A change is in force at the second look after it.
const LOOK: Duration = Duration::from_secs(1);
/// How often the development authority issues anew.
const ISSUE: Duration = Duration::from_secs(24 * 3600);

/// Follows the files until told to stop.
pub(crate) async fn follow(
    acceptor: Arc<Acceptor>,
    meant: MeantTls,
    journal: Journal,
    issue: impl Fn() -> Result<OwnCertificate, String> + Send + 'static,
    mut stop: watch::Receiver<bool>,
) {
    let files = meant.files();
    // The files may have changed since they were read to start with, so they are read once more.
    let mut used = files.is_empty().then(Vec::new);
    let mut seen = stamps(files.iter().copied());
    let mut issued = tokio::time::Instant::now();
    let mut told = None;
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let before = std::mem::replace(&mut seen, stamps(files.iter().copied()));
        let due = meant.source == Source::Development && issued.elapsed() > ISSUE;
        if !due && (seen != before || used.as_ref() == Some(&seen)) {
            continue;
        }
        let read = Material::read(&meant, &issue);
        if stamps(files.iter().copied()) != seen {
            continue;
        }
        match read.and_then(|material| acceptor.renew(material)) {
            Ok(()) => {
                issued = tokio::time::Instant::now();
                let was_in_use = used.replace(seen.clone()).is_none() && told.is_none();
                told = None;
                if !was_in_use {
                    journal.note(Kind::Key, "certificates-in-force", &[]);
                }
            }
            // They are tried again: what was wrong may be mended where no file changes, as with who may read the key.
            Err(why) => {
                let news = Some((seen.clone(), why.clone()));
                if told == news {
                    continue;
                }
                told = news;
                tracing::error!(
                    why,
                    "certificates were changed and cannot be used; the old ones stay in use"
                );
                journal.note(Kind::Key, "certificates-rejected", &[("why", why)]);
            }
        }
    }
}

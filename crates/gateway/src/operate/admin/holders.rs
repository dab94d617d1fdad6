//! Those who hold the gateway open: bridges of hosts, each with a connection to `hold.sock`.
//!
//! A connection is held as long as its bridge lives, and the kernel ends it whatever the bridge dies of. So
//! a gateway that a bridge started knows when nobody needs it any more.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
};

use crate::listen::stopped;

/// How long a gateway that was started for a bridge waits for the first.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// How long it stays when the last is gone: hosts restart their servers, one after the other.
const LINGER: Duration = Duration::from_secs(3);

/// How long the gateway runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stay {
    /// Until it is told to stop.
    UntilTold,
    /// As long as somebody holds it open.
    WhileUsed,
}

/// Greets whoever holds the gateway open with a line. Returns when told to stop, or when nobody holds it and
/// that ends it: then nobody who comes later is greeted any more, and so knows that he must start another.
pub(crate) async fn serve(
    listener: UnixListener,
    greeting: Vec<u8>,
    stay: Stay,
    mut stop: watch::Receiver<bool>,
) {
    let mut holding = JoinSet::new();
    let mut wait = FIRST_WAIT;
    loop {
        let unused = holding.is_empty() && stay == Stay::WhileUsed;
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = tokio::time::sleep(wait), if unused => return,
            _ = holding.join_next(), if !holding.is_empty() => {}
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted
                    && stream.peer_cred().is_ok_and(|peer| peer.uid() == rustix::process::geteuid().as_raw())
                {
                    holding.spawn(hold(stream, greeting.clone()));
                    wait = LINGER;
                }
            }
        }
    }
}

async fn hold(mut stream: UnixStream, greeting: Vec<u8>) {
    if stream.write_all(&greeting).await.is_err() {
        return;
    }
    // Nothing is expected; what comes is the end.
    let mut buffer = [0; 64];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}

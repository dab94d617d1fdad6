//! Pipes and Unix sockets: one client, one message a line.

use std::{path::Path, sync::Arc};

use identity::LocalPeer;
use pipeline::{Credential, Endpoint};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{mpsc, watch},
};
use wire::{bounds::REQUEST, framing::Lines};

use super::{
    House,
    conversation::{Connection, Conversation, QUEUE_MESSAGES_MAX, Running},
    http::stopped,
};

/// Serves one client over our own pipes until it closes its end: for `wrap` and for hosts that speak nothing else.
pub(crate) async fn serve_pipes(
    house: Arc<House>,
    endpoint: Endpoint,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
) {
    let connection = Connection {
        endpoint,
        transport: "stdio",
        peer: None,
        tls: None,
    };
    converse(house, connection, LocalPeer::Pipe, input, output).await;
}

/// Serves clients at a Unix socket until told to stop. The kernel says who they are.
pub(crate) async fn serve_socket(house: Arc<House>, listener: UnixListener, mut stop: watch::Receiver<bool>) {
    loop {
        // More wait in the system's queue.
        let Ok(place) = Arc::clone(&house.places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            () = stopped(&mut stop) => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: others will be closed soon.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let house = Arc::clone(&house);
        tokio::spawn(async move {
            serve_peer(house, stream).await;
            drop(place);
        });
    }
}

async fn serve_peer(house: Arc<House>, stream: UnixStream) {
    // Whom the kernel does not know is nobody.
    let Ok(peer) = stream.peer_cred() else { return };
    let local = LocalPeer::Unix {
        uid: peer.uid(),
        own_uid: rustix::process::geteuid().as_raw(),
    };
    let connection = Connection {
        endpoint: Endpoint::All,
        transport: "unix",
        peer: Some(format!("uid {}", peer.uid())),
        tls: None,
    };
    let (input, output) = stream.into_split();
    converse(house, connection, local, input, output).await;
}

/// Opens a socket that only our own user can connect to. One that is left over is replaced; a file that is no
/// socket is not.
pub(crate) fn open_socket(path: &Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn converse(
    house: Arc<House>,
    connection: Connection,
    peer: LocalPeer,
    mut input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin + Send + 'static,
) {
    let (queue, mut queued) = mpsc::channel::<Vec<u8>>(QUEUE_MESSAGES_MAX);
    let writing = tokio::spawn(async move {
        while let Some(mut message) = queued.recv().await {
            message.push(b'\n');
            if output.write_all(&message).await.is_err() || output.flush().await.is_err() {
                break;
            }
        }
    });
    let client = Conversation::new(house, connection, queue);
    let mut lines = Lines::new(REQUEST.text_bytes_max);
    let mut buffer = vec![0; 64 * 1024];
    let mut running = Running::new();
    while let Ok(read @ 1..) = input.read(&mut buffer).await {
        lines.push(buffer.get(..read).unwrap_or_default());
        while let Some(line) = lines.next_line() {
            let credential = Credential::Local(peer.clone());
            client.take(line, credential, &mut running).await;
        }
    }
    client.stop_listening();
    while running.join_next().await.is_some() {}
    client.end();
    drop(client);
    let _ = writing.await;
}

//! The control socket: one operation a connection, as one line of JSON each way.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::watch,
};
use wire::{
    bounds::ANSWER,
    json::{Document, Keys, Node, object},
};

use crate::{
    failure::Failure,
    listen::{House, stopped},
};

/// The longest operation, in bytes: some carry rules, or calls of the ledger.
const OPERATION_BYTES_MAX: usize = ANSWER.text_bytes_max;
/// How long an operation may take.
const WAIT: Duration = Duration::from_secs(180);

/// Opens the socket. One that is left over from a process that is gone is replaced; the ledger's lock has
/// made sure that it is gone.
pub(crate) fn open(path: &Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves operations until told to stop.
pub(crate) async fn serve(house: Arc<House>, listener: UnixListener, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            () = stopped(&mut stop) => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        // The file's mode keeps others out already; the kernel's word on who is there does so again.
        let own = stream
            .peer_cred()
            .is_ok_and(|peer| peer.uid() == rustix::process::geteuid().as_raw());
        if own {
            let house = Arc::clone(&house);
            tokio::spawn(async move { answer(&house, stream).await });
        }
    }
}

async fn answer(house: &Arc<House>, mut stream: UnixStream) -> std::io::Result<()> {
    let mut asked = Vec::new();
    let mut limited = (&mut stream).take(u64::try_from(OPERATION_BYTES_MAX).unwrap_or(u64::MAX));
    let heard = tokio::time::timeout(WAIT, limited.read_to_end(&mut asked)).await;
    heard.map_err(std::io::Error::from)??;
    let answered = match Document::parse(asked, Keys::Exact, &ANSWER) {
        Err(error) => Err(Failure::configuration(error.to_string())),
        Ok(document) => {
            let root = document.root();
            let operation = root.get("op").and_then(Node::as_str).unwrap_or_default();
            let args = root.get("args").unwrap_or(root);
            let done = tokio::time::timeout(WAIT, super::run(house, &operation, args)).await;
            done.unwrap_or_else(|_| Err(unended()))
        }
    };
    let text = match answered {
        Ok(answer) => object(|out| out.json("ok", &answer)),
        Err(failure) => object(|out| {
            out.object("error", |out| {
                out.integer("code", failure.code());
                out.string("text", &failure.to_string());
            });
        }),
    };
    stream.write_all(&text).await?;
    stream.shutdown().await
}

/// Whoever only heard that the line went dead would do it again.
fn unended() -> Failure {
    Failure::unreachable(format!(
        "the gateway has not done it within {} s, and gave it up; part of it may hold: look before you do it again",
        WAIT.as_secs()
    ))
}

/// Asks the running gateway of a data directory. None when no gateway runs there.
pub(crate) async fn ask(socket: &Path, operation: &str, args: &[u8]) -> Result<Option<Document>, Failure> {
    let Ok(mut stream) = UnixStream::connect(socket).await else {
        return Ok(None);
    };
    let broken = |error: std::io::Error| {
        Failure::unreachable(format!(
            "the running gateway does not answer on {}: {error}",
            socket.display()
        ))
    };
    let asked = object(|out| {
        out.string("op", operation);
        out.json("args", args);
    });
    stream.write_all(&asked).await.map_err(broken)?;
    stream.shutdown().await.map_err(broken)?;
    let mut answered = Vec::new();
    stream.read_to_end(&mut answered).await.map_err(broken)?;
    if answered.is_empty() {
        let why = "the gateway ended before it answered; it may have been done: look before you do it again";
        return Err(Failure::unreachable(why));
    }
    read(answered).map(Some)
}

/// Reads an answer: the document of what follows `ok`, or the failure it tells.
fn read(answered: Vec<u8>) -> Result<Document, Failure> {
    let garbled = |error: wire::json::JsonError| {
        Failure::unreachable(format!("the gateway's answer is garbled: {error}"))
    };
    let document = Document::parse(answered, Keys::Exact, &ANSWER).map_err(garbled)?;
    let root = document.root();
    if let Some(error) = root.get("error") {
        let text = error
            .get("text")
            .and_then(Node::as_str)
            .unwrap_or_default()
            .into_owned();
        let code = error
            .get("code")
            .and_then(Node::as_number)
            .and_then(|n| n.as_u64())
            .unwrap_or(1);
        return Err(Failure::with_code(u8::try_from(code).unwrap_or(1), text));
    }
    let ok = root.get("ok").map_or("{}", Node::written).as_bytes().to_vec();
    Document::parse(ok, Keys::Exact, &ANSWER).map_err(garbled)
}

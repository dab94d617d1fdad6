//! Servers at a Unix socket: a message a line, as over a process's pipes.

use std::{path::Path, sync::Arc};

use tokio::net::UnixStream;

use super::{
    Pipe,
    lines::{read, write},
};
use crate::{LinkError, inbox::Inbox};

/// Connects.
pub(crate) async fn open(path: &Path, inbox: Arc<Inbox>) -> Result<Pipe, LinkError> {
    let stream = UnixStream::connect(path)
        .await
        .map_err(|error| LinkError::Unreachable(format!("no connection to {}: {error}", path.display())))?;
    let (input, output) = stream.into_split();
    let reading = Arc::clone(&inbox);
    Ok(Pipe::over(inbox, move |queued| async move {
        tokio::select! {
            why = write(output, queued) => why,
            why = read(input, reading) => why,
        }
    }))
}

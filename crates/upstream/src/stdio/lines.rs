//! One message a line, both ways.

use std::sync::Arc;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};
use wire::{
    bounds::ANSWER,
    framing::{Line, Lines},
};

use crate::inbox::Inbox;

/// Lines that are no messages until a server is given up: it logs to the wrong stream, or it is hostile.
const GARBAGE_LINES_MAX: u32 = 10_000;

/// Writes each message as a line. Here and nowhere else, so that no sender can forget the newline.
pub(crate) async fn write(
    mut output: impl AsyncWrite + Unpin,
    mut queued: mpsc::Receiver<Vec<u8>>,
) -> String {
    while let Some(mut body) = queued.recv().await {
        body.push(b'\n');
        let written = async {
            output.write_all(&body).await?;
            output.flush().await
        };
        if let Err(error) = written.await {
            return format!("its input is closed: {error}");
        }
    }
    "no longer needed".to_owned()
}

/// Reads a message a line.
pub(crate) async fn read(mut input: impl AsyncRead + Unpin, inbox: Arc<Inbox>) -> String {
    let mut lines = Lines::new(ANSWER.text_bytes_max);
    let mut buffer = vec![0; 64 * 1024];
    let mut garbage = 0_u32;
    loop {
        match input.read(&mut buffer).await {
            Ok(0) => return "it ended its output".to_owned(),
            Ok(read) => lines.push(buffer.get(..read).unwrap_or_default()),
            Err(error) => return format!("its output cannot be read: {error}"),
        }
        while let Some(line) = lines.next_line() {
            match line {
                Line::Whole(line) if looks_like_json(&line) => inbox.take(line, None).await,
                Line::Whole(line) => {
                    garbage += 1;
                    let start: String = String::from_utf8_lossy(&line).chars().take(60).collect();
                    inbox.noise(format!("a line that is no message: {}", start.escape_debug()));
                }
                Line::TooLong => {
                    garbage += 1;
                    inbox.noise("a line longer than the limit".to_owned());
                }
            }
            if garbage > GARBAGE_LINES_MAX {
                return "it writes more garbage than messages to its output".to_owned();
            }
        }
    }
}

fn looks_like_json(line: &[u8]) -> bool {
    line.iter()
        .find(|b| !b.is_ascii_whitespace())
        .is_some_and(|first| matches!(first, b'{' | b'['))
}

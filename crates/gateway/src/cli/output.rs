//! The two streams of a command: what it was asked for goes to standard output, everything else to standard error.
//!
//! An answer that could not be written is no answer: whoever keeps evidence in a file learns that it is cut short by the
//! exit code. Only a reader that went away has had enough, and that is no failure.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use wire::json::object;

use crate::failure::Failure;

/// Whether anything was said.
static SAID: AtomicBool = AtomicBool::new(false);
/// Why something could not be.
static LOST: OnceLock<String> = OnceLock::new();

/// Says something. Whether somebody still reads it changes nothing; that it could not be written is told at the end.
pub(crate) fn say(text: &str) {
    let _ = tell(text);
}

/// The same for those who go on only as long as somebody reads it.
pub(super) fn tell(text: &str) -> io::Result<()> {
    write(&[text.as_bytes(), b"\n"])
}

/// Says these bytes, and not one more.
pub(super) fn say_exactly(bytes: &[u8]) {
    let _ = write(&[bytes]);
}

fn write(parts: &[&[u8]]) -> io::Result<()> {
    SAID.store(true, Ordering::Relaxed);
    let mut out = io::stdout().lock();
    let written = parts.iter().try_for_each(|part| out.write_all(part));
    let written = written.and_then(|()| out.flush());
    if let Err(error) = &written
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = LOST.set(error.to_string());
    }
    written
}

/// Complains. Whoever closed our standard error does not read it, and that must not end what we do.
pub(super) fn complain(failure: &Failure) {
    remark(failure);
}

/// Says something beside the answer, on standard error.
pub(super) fn remark(text: impl Display) {
    let _ = writeln!(io::stderr(), "sallyport: {text}");
}

/// How a command ends: with what went wrong, for machines on standard output where nothing was said there yet.
pub(super) fn end(result: Result<(), Failure>, json: bool) -> u8 {
    let code = match &result {
        Ok(()) => 0,
        Err(failure) => {
            complain(failure);
            if json && !SAID.load(Ordering::Relaxed) {
                let text = object(|out| {
                    out.object("error", |out| {
                        out.integer("code", failure.code());
                        out.string("text", &failure.to_string());
                    });
                });
                say(&String::from_utf8_lossy(&text));
            }
            failure.code()
        }
    };
    let Some(why) = LOST.get() else { return code };
    let lost = Failure::other(format!(
        "the answer could not be written, and is not whole: {why}"
    ));
    complain(&lost);
    if code == 0 { lost.code() } else { code }
}

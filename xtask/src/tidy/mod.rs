//! Rules about the code that a compiler does not check, as a check: sizes, module docs, crate edges.

mod attacks;
mod controls;
mod edges;
mod files;

use crate::run::say;

/// Checks everything and says all that is wrong at once.
pub(crate) fn run() -> Result<(), String> {
    let mut wrong = Vec::new();
    files::check(&mut wrong)?;
    edges::check(&mut wrong)?;
    attacks::check(&mut wrong)?;
    controls::check(&mut wrong)?;
    if wrong.is_empty() {
        say("tidy");
        return Ok(());
    }
    Err(format!(
        "{}\n{} things are not tidy",
        wrong.join("\n"),
        wrong.len()
    ))
}

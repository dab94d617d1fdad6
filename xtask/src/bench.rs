//! `cargo xtask bench`

pub(crate) fn run(_args: &[String]) -> Result<(), String> {
    Err("the bench is not built yet".to_owned())
}

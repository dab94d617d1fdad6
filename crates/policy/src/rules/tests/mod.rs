mod differential;
mod discovery;
mod language;
mod load;
mod oracle;
mod outcome;
pub(crate) mod scene;
mod uri;

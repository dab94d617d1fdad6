mod differential;
mod discovery;
mod explain;
mod language;
mod load;
mod oracle;
mod outcome;
pub(crate) mod scene;
mod uri;

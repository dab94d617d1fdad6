mod differential;
mod discovery;
mod language;
mod load;
mod oracle;
mod outcome;
mod scene;
mod uri;

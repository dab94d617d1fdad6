//! Learning what a server needs: its boxes write down what it asks for, until a person has seen enough. The walls stand
//! meanwhile: it gets nothing that it is not granted already.

use std::sync::PoisonError;

use upstream::{Command, Reach, Sandbox, ServerSpec};
use wire::mcp::ServerName;

use super::{Keeper, KeeperError};

impl Keeper {
    /// From its next start on, what a server asks for is written down. What runs of it ends now.
    pub(crate) fn learn(&self, name: &str) -> Result<ServerName, KeeperError> {
        let _alone = self.alone();
        let server = self.server(name)?;
        self.boxed(&server.name)?;
        if !server.may_start() {
            let why = "is not approved: what nobody approved is not started";
            return Err(KeeperError::Unlearnable(name.to_owned(), why));
        }
        self.learning().insert(server.name.clone());
        self.journal.registry(
            &server.name,
            None,
            "learning",
            "a person has it learnt",
            None,
            None,
        );
        self.place(&server);
        Ok(server.name)
    }

    /// Ends it; gives the command as it is started.
    pub(crate) fn learnt(&self, name: &str) -> Result<(ServerName, Command), KeeperError> {
        let _alone = self.alone();
        let server = self.server(name)?;
        if !self.learning().remove(&server.name) {
            let why = "is not being learnt; begin with `sallyport server learn`";
            return Err(KeeperError::Unlearnable(name.to_owned(), why));
        }
        self.journal.registry(
            &server.name,
            None,
            "learnt",
            "a person has seen enough",
            None,
            None,
        );
        self.place(&server);
        let command = self.boxed(&server.name)?;
        Ok((server.name, command))
    }

    /// Whether it is being learnt.
    pub(crate) fn is_learnt(&self, name: &ServerName) -> bool {
        self.learning().contains(name)
    }

    /// Has its box write down what it asks for, if it is being learnt.
    pub(super) fn listened_to(&self, spec: &mut ServerSpec) {
        if let Reach::Stdio(command) = &mut spec.reach
            && let Sandbox::On(wishes) = &mut command.sandbox
        {
            wishes.learn = self.is_learnt(&spec.name);
        }
    }

    /// The command of a server that has a box.
    fn boxed(&self, name: &ServerName) -> Result<Command, KeeperError> {
        let unlearnable = |why| KeeperError::Unlearnable(name.to_string(), why);
        let meant = self
            .meant(name)
            .ok_or_else(|| unlearnable("is not configured any more"))?;
        match self.started(&meant.spec).reach {
            Reach::Stdio(command) if command.sandbox != Sandbox::Off => Ok(command),
            Reach::Stdio(_) => Err(unlearnable("has its sandbox off, and can do everything")),
            Reach::Http(_) | Reach::Rest(_) | Reach::Sse(_) | Reach::Unix(_) | Reach::WebSocket(_) => {
                Err(unlearnable("is no process of the gateway, so it has no box"))
            }
        }
    }

    fn learning(&self) -> std::sync::MutexGuard<'_, std::collections::HashSet<ServerName>> {
        self.learning.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

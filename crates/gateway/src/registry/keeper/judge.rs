//! What is made of definitions before they are served: by inspection, by the compiler of schemas, and beside those of other
//! servers. It holds back, and never approves.

use std::sync::PoisonError;

use inspect::{
    Surface, Verdict,
    schema::{CompiledSchema, SchemaOptions},
};
use policy::registry::{Change, Definition, ItemKind, ItemState, Rivals, Server, ServerState};

use super::{Keeper, KeeperError};
use crate::registry::view::Schemas;

impl Keeper {
    /// What inspection makes of what is new: a definition that speaks to the model instead of describing is
    /// held back, and so is one whose schema cannot be honoured.
    pub(super) fn judge(&self, server: &mut Server) -> Vec<Change> {
        let mut changes = Vec::new();
        let approved: Vec<(ItemKind, String, Definition)> = server
            .items
            .iter()
            .filter(|(_, item)| item.state == ItemState::Approved)
            .filter_map(|((kind, name), item)| Some((*kind, name.clone(), item.approved.clone()?)))
            .collect();
        let rivals = self.rivals(server);
        for (kind, name, definition) in approved {
            let new = !self.judged().contains(&definition.pin());
            let why = self.objection(kind, &definition);
            let why = why.or_else(|| rivals.objection(&definition).filter(|_| new));
            if new && why.is_none() {
                let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
                fresh.insert(definition.pin());
            }
            if let Some(why) = why
                && let Ok(change) = server.quarantine_item(kind, &name, why)
            {
                changes.push(change);
            }
        }
        changes
    }

    /// What other servers have to do with one server's definitions.
    fn rivals(&self, server: &Server) -> Rivals {
        let tools = |server: &Server| -> Vec<String> {
            let tools = server.items.keys().filter(|(kind, _)| *kind == ItemKind::Tool);
            tools.map(|(_, name)| name.clone()).collect()
        };
        let servers = self.lock();
        let others = servers
            .values()
            .filter(|other| other.name != server.name && other.state != ServerState::Retired);
        Rivals {
            others: others
                .flat_map(|other| {
                    let name = other.name.to_string();
                    tools(other).into_iter().map(move |tool| (name.clone(), tool))
                })
                .collect(),
            own: tools(server).into_iter().collect(),
        }
    }

    /// A server that comes later may be the one that others squat on: those that came in by themselves are
    /// judged again beside it.
    pub(super) fn beside(&self, newcomer: &Server) -> Result<(), KeeperError> {
        let others: Vec<Server> = self
            .lock()
            .values()
            .filter(|other| other.name != newcomer.name)
            .cloned()
            .collect();
        for mut other in others {
            let mut rivals = self.rivals(&other);
            rivals
                .others
                .retain(|(server, _)| server == newcomer.name.as_str());
            let tools = newcomer.items.keys().filter(|(kind, _)| *kind == ItemKind::Tool);
            let tools = tools.map(|(_, tool)| (newcomer.name.to_string(), tool.clone()));
            rivals.others.extend(tools);
            let suspects: Vec<(ItemKind, String, String)> = other
                .items
                .iter()
                .filter(|(_, item)| item.state == ItemState::Approved)
                .filter_map(|((kind, name), item)| {
                    let definition = item.approved.as_ref()?;
                    let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
                    let why = rivals
                        .objection(definition)
                        .filter(|_| fresh.contains(&definition.pin()))?;
                    Some((*kind, name.clone(), why))
                })
                .collect();
            let mut changes = Vec::new();
            for (kind, name, why) in suspects {
                changes.extend(other.quarantine_item(kind, &name, why).ok());
            }
            if !changes.is_empty() {
                self.keep(other, &changes, "observed beside another server")?;
            }
        }
        Ok(())
    }

    /// What speaks against a definition that was not judged before.
    fn objection(&self, kind: ItemKind, definition: &Definition) -> Option<String> {
        if self.judged().contains(&definition.pin()) {
            return None;
        }
        let findings = self
            .inspector
            .inspect_node(definition.document().root(), Surface::Definition);
        if Verdict::of(&findings).0 == Verdict::Hostile {
            let worst = findings
                .iter()
                .max_by(|a, b| a.score.get().total_cmp(&b.score.get()))?;
            let (note, detector, at) = (&worst.note, &worst.detector, &worst.location.pointer);
            return Some(format!("inspection: {note} ({detector}) at `{at}`"));
        }
        if kind == ItemKind::Tool
            && let Err(why) = compile(definition)
        {
            return Some(why);
        }
        self.judged().insert(definition.pin());
        None
    }
}

/// Compiles the schemas of a tool.
pub(super) fn compile(definition: &Definition) -> Result<Schemas, String> {
    let root = definition.document().root();
    let options = SchemaOptions::default();
    let Some(input) = root.get("inputSchema") else {
        return Err("it has no input schema, so its arguments cannot be checked".to_owned());
    };
    let input =
        CompiledSchema::compile(input, &options).map_err(|error| format!("its input schema: {error}"))?;
    let output = root
        .get("outputSchema")
        .map(|schema| CompiledSchema::compile(schema, &options))
        .transpose()
        .map_err(|error| format!("its output schema: {error}"))?;
    Ok(Schemas { input, output })
}

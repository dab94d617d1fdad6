//! Policy: why a call would be permitted or refused.

use std::collections::BTreeSet;

use policy::{
    Action, Decision, Facts, Labels, Resource, Subject,
    rules::{Account, Explanation, Finding},
};
use wire::{
    json::{Document, Keys, ObjectWriter, object},
    mcp::ServerName,
};

use super::Args;
use crate::{failure::Failure, listen::House};

/// Decides a described call and says why, rule by rule.
pub(super) fn explain(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let engines = &house.engines;
    let subject = subject(house, args)?;
    let resource = resource(house, args)?;
    let action = match args.text("action") {
        Some(word) => Action::parse(&word)
            .ok_or_else(|| Failure::configuration(format!("there is no action `{word}`")))?,
        None => Action::upon(&resource),
    };
    let arguments = args.text("args").unwrap_or_else(|| "{}".to_owned());
    let arguments = Document::parse(arguments.into_bytes(), Keys::Folded, &wire::bounds::REQUEST)
        .map_err(|error| Failure::configuration(format!("`args`: {error}")))?;
    let purpose = args.text("purpose");
    let labels = Labels::none();
    let scopes = BTreeSet::from([identity::token::SCOPE.to_owned()]);
    let facts = Facts {
        args: Some(arguments.root()),
        purpose: purpose.as_deref(),
        task: None,
        labels: &labels,
        findings: BTreeSet::new(),
        sources: &[],
        scopes: &scopes,
        tls: None,
        now_ms: engines.ambient.now_ms(),
    };
    let explanation = engines.rules().explain(&subject, action, &resource, &facts);
    Ok(write(&explanation, action))
}

/// Whether rules speak of servers, tools and arguments there are.
pub(super) fn check(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let rules = super::weigh::rules(house, args, "rules")?;
    Ok(object(|out| {
        if let Err(why) = crate::assemble::fitting(&rules, &house.engines) {
            out.string("unfit", &why.to_string());
        }
    }))
}

fn subject(house: &House, args: &Args<'_>) -> Result<Subject, Failure> {
    let (agent, user) = (args.text("agent"), args.text("user"));
    subject_of(house, agent.as_deref(), user.as_deref(), false)
}

/// Somebody as rules see them. Unless `exactly`, an agent acts for the only user it may act for.
pub(super) fn subject_of(
    house: &House,
    agent: Option<&str>,
    acts_for: Option<&str>,
    exactly: bool,
) -> Result<Subject, Failure> {
    let people = &house.engines.people;
    let user = |name: &str| {
        people
            .user(name)
            .ok_or_else(|| Failure::configuration(format!("there is no user `{name}`")))
    };
    match (agent, acts_for) {
        (Some(agent), acts_for) => {
            let person = people.client(agent);
            let person =
                person.ok_or_else(|| Failure::configuration(format!("there is no agent `{agent}`")))?;
            let acts_for = acts_for.or_else(|| match person.acts_for.as_slice() {
                [only] if !exactly => Some(only.as_str()),
                _ => None,
            });
            let for_user = acts_for.map(user).transpose()?.map(|user| user.party.clone());
            Ok(Subject {
                actor: person.party.clone(),
                for_user,
            })
        }
        (None, Some(name)) => Ok(Subject {
            actor: user(name)?.party.clone(),
            for_user: None,
        }),
        (None, None) => Err(Failure::configuration("say who asks: --agent or --user")),
    }
}

fn resource(house: &House, args: &Args<'_>) -> Result<Resource, Failure> {
    let view = house.engines.keeper.view();
    if let Some(uri) = args.text("resource") {
        let name = args.needed("server")?;
        let name = ServerName::parse(&name).map_err(|error| Failure::configuration(error.to_string()))?;
        let server = view.registry.pinned_server(&name);
        return server
            .map(|server| view.resource_of(&server, &uri))
            .map_err(|_| Failure::configuration(format!("server `{name}` is unknown or held back")));
    }
    let tool = args.needed("tool")?;
    let (server, item) = wire::mcp::split_federated(&tool)
        .ok_or_else(|| Failure::configuration(format!("`{tool}` is not a tool's full name: server__tool")))?;
    let known = view.registry.server(&server);
    let known = known.ok_or_else(|| Failure::configuration(format!("there is no server `{server}`")))?;
    Ok(known.resource(policy::registry::ItemKind::Tool, item))
}

fn write(explanation: &Explanation, action: Action) -> Vec<u8> {
    object(|out| {
        out.string("action", action.as_str());
        match &explanation.decision {
            Decision::Permit(permit) => {
                out.string("decision", "permit");
                out.array("obligations", |list| {
                    permit
                        .obligations()
                        .iter()
                        .for_each(|obligation| list.string(&format!("{obligation:?}")));
                });
            }
            Decision::Refuse(denial) => {
                out.string("decision", "refuse");
                let none = denial.rules.is_empty() && denial.errors.is_empty();
                let why = denial
                    .reason
                    .clone()
                    .or_else(|| none.then(|| "no rule permits it".to_owned()));
                if let Some(why) = why {
                    out.string("reason", &why);
                }
            }
        }
        out.array("rules", |list| {
            for account in &explanation.rules {
                list.object(|out| write_account(account, out));
            }
        });
    })
}

fn write_account(account: &Account, out: &mut ObjectWriter<'_>) {
    out.string("rule", &account.rule.to_string());
    out.string("effect", account.effect.as_str());
    out.string("party", &account.party);
    if let Some(reason) = &account.reason {
        out.string("reason", reason);
    }
    out.string("says", &account.to_string());
    let (came_to, condition) = match &account.finding {
        Finding::Failed { condition, .. } => ("failed", Some(condition)),
        Finding::Matched => ("matched", None),
        Finding::Unmatched { condition, .. } => ("unmatched", Some(condition)),
    };
    out.string("came_to", came_to);
    if let Some(condition) = condition {
        out.string("condition", condition);
    }
}

//! Console over HTTP: who may use the console and the API, and for what.
//!
//! Nobody may unless somebody on this machine said so: with `sallyport console`, which whoever owns the data directory
//! can run, or in configuration under `console`. Nothing here is a principal of the road: an operator's seat opens no
//! tool, and no token of an agent opens a seat.

mod routes;
mod seats;

pub(crate) use routes::{OPERATIONS, Operation, Parameter, Takes, Verb};
pub(crate) use seats::{Door, Kept, Seats, Use};

use std::collections::BTreeSet;

use records::ledger::Kind;
use wire::json::{Document, Keys, Node, object};

use crate::{
    failure::Failure,
    known::authorization::{LoggedIn, NotLoggedIn},
    listen::House,
    operate::{admin, halts::Target},
};
use std::sync::Arc;

/// What an operator may do.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Right {
    /// Look.
    See,
    /// Change what there is, too.
    Operate,
}

impl Right {
    /// The word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::See => "see",
            Self::Operate => "operate",
        }
    }
}

/// Who is let in by name: users, and roles as `role:NAME`.
#[derive(Clone, Debug, Default)]
pub(crate) struct MeantConsole {
    pub(crate) operators: BTreeSet<String>,
    pub(crate) auditors: BTreeSet<String>,
}

/// Somebody at the console or the API.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    /// The user, where a person is known. Approvals and the like need one.
    pub(crate) user: Option<String>,
    pub(crate) right: Right,
    /// How they logged in; nothing for whom this machine's owner let in.
    pub(crate) login: Option<LoggedIn>,
}

/// What the console and the API need besides the house.
#[derive(Debug)]
pub(crate) struct Console {
    meant: MeantConsole,
    pub(crate) seats: Seats,
    /// The ledger as it is published.
    pub(crate) ledger: records::ledger::Reader,
}

impl Console {
    pub(crate) fn new(meant: MeantConsole, ledger: records::ledger::Reader) -> Self {
        Self {
            meant,
            seats: Seats::default(),
            ledger,
        }
    }

    /// Whether anybody can log in by name.
    pub(crate) fn has_people(&self) -> bool {
        !(self.meant.operators.is_empty() && self.meant.auditors.is_empty())
    }

    /// What configuration lets a user do.
    fn right_of(&self, house: &House, user: &str) -> Option<Right> {
        let person = house.engines.people.user(user)?;
        let is_in = |list: &BTreeSet<String>| {
            let by_role = |role: &String| list.contains(&format!("role:{role}"));
            list.contains(user) || person.party.roles.iter().any(by_role)
        };
        if is_in(&self.meant.operators) {
            Some(Right::Operate)
        } else if is_in(&self.meant.auditors) {
            Some(Right::See)
        } else {
            None
        }
    }

    /// Somebody logged in: what they may do here.
    pub(crate) fn admit(&self, house: &House, login: LoggedIn) -> Result<Operator, NotLoggedIn> {
        // Not told apart from a wrong password: who runs this gateway is nobody's business.
        let right = self
            .right_of(house, &login.user)
            .filter(|_| !is_stopped(house, &login.user));
        let right = right.ok_or(NotLoggedIn::Wrong)?;
        Ok(Operator {
            user: Some(login.user.clone()),
            right,
            login: Some(login),
        })
    }

    /// Who sits here, if they still may: who lost a role, changed a password or was stopped does not.
    pub(crate) fn who(&self, house: &House, door: Door, secret: &str, used: Use) -> Option<Kept> {
        let now_ms = house.engines.ambient.now_ms();
        let mut kept = self.seats.find(door, secret, used, now_ms)?;
        if let Some(login) = &kept.operator.login {
            let right = self.right_of(house, &login.user)?;
            kept.operator.right = kept.operator.right.min(right);
            if !house.authorization.still_stands(login, now_ms) {
                return None;
            }
        }
        if let Some(user) = &kept.operator.user {
            house.engines.people.user(user)?;
            if is_stopped(house, user) {
                return None;
            }
        }
        Some(kept)
    }
}

/// Not by `stop --all`: whoever lifts that needs a seat.
fn is_stopped(house: &House, user: &str) -> bool {
    let halts = house.engines.halts.all();
    halts
        .iter()
        .any(|halt| matches!(&halt.target, Target::User(name) if name == user))
}

/// Why an operation is not done.
#[derive(Debug)]
pub(crate) enum NotDone {
    /// This seat is for looking only.
    MayNot,
    /// Only a person can do this, and none is known here.
    NoPerson,
    /// The operation itself said no.
    Failed(Failure),
}

/// Does an operation for an operator. Whatever changes something is in the ledger, with who did it, before it is done.
pub(crate) async fn operate(
    house: &Arc<House>,
    operator: &Operator,
    operation: &Operation,
    args: &[(&str, Value)],
) -> Result<Document, NotDone> {
    if operator.right < operation.right {
        note(house, "operation-refused", operator, operation, args).await?;
        return Err(NotDone::MayNot);
    }
    if operation.needs_person && operator.user.is_none() {
        return Err(NotDone::NoPerson);
    }
    if operation.right == Right::Operate {
        note(house, "operation", operator, operation, args).await?;
    }
    let args = object(|out| {
        for (name, value) in args {
            match value {
                Value::Text(text) => out.string(name, text),
                Value::Texts(texts) => {
                    out.array(name, |list| texts.iter().for_each(|text| list.string(text)));
                }
            }
        }
        // Last and never a parameter: nobody acts as somebody else.
        if let Some(user) = &operator.user {
            out.string("as", user);
        }
    });
    let failed = |error: wire::json::JsonError| NotDone::Failed(Failure::other(error.to_string()));
    let args = Document::parse(args, Keys::Exact, &wire::bounds::ANSWER).map_err(failed)?;
    let answer = admin::run(house, operation.name, args.root())
        .await
        .map_err(NotDone::Failed)?;
    Document::parse(answer, Keys::Exact, &wire::bounds::ANSWER).map_err(failed)
}

/// What a parameter is given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Texts(Vec<String>),
}

impl Value {
    /// Reads one of a JSON body.
    pub(crate) fn read(node: Node<'_>, takes: Takes) -> Option<Self> {
        match takes {
            Takes::Text => Some(Self::Text(node.as_str()?.into_owned())),
            Takes::Number => {
                let number = node.as_number()?.as_u64()?;
                Some(Self::Text(number.to_string()))
            }
            Takes::Texts => {
                let texts = node.elements().map(|one| Some(one.as_str()?.into_owned()));
                let is_list = node.kind() == wire::json::Kind::Array;
                is_list
                    .then(|| texts.collect::<Option<_>>())
                    .flatten()
                    .map(Self::Texts)
            }
        }
    }

    fn shown(&self) -> String {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Texts(texts) => texts.join(" "),
        };
        text.chars().take(200).collect()
    }
}

async fn note(
    house: &House,
    what: &str,
    operator: &Operator,
    operation: &Operation,
    args: &[(&str, Value)],
) -> Result<(), NotDone> {
    let mut entry = house.engines.journal.about(Kind::Session, what);
    entry.principal.user.clone_from(&operator.user);
    entry = entry.with("operation", operation.name);
    for (name, value) in args {
        // Public keys are long, and policies are not secrets but longer: which, not what.
        if operation
            .parameters
            .iter()
            .any(|one| one.name == *name && one.is_noted)
        {
            entry = entry.with(&format!("arg_{name}"), value.shown());
        }
    }
    let written = house.engines.journal.ledger().append_durable(&entry).await;
    written.map(drop).map_err(|error| {
        let text = format!("it could not be recorded, so nothing was done: {error}");
        NotDone::Failed(Failure::unreachable(text))
    })
}

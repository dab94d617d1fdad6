//! Running the house: what operators do to it, from the command line.
//!
//! Each operation is one function over the house. A running gateway takes them over a socket in its data
//! directory that only its own user can open ([`control`]); without one, the command does the same to the
//! data directory itself.

mod agents;
mod approvals;
mod backups;
mod boundary;
mod cases;
mod console;
mod contexts;
pub(crate) mod control;
mod enrolments;
mod halts;
pub(crate) mod holders;
mod incidents;
mod keys;
mod learn;
mod ledger;
mod operators;
mod passkeys;
mod policy;
mod reviews;
mod secrets;
mod servers;
mod subjects;
mod tokens;
mod users;
mod weigh;

use std::sync::Arc;

pub(crate) use agents::{enlist, fit_name, recall_agents, rotate_to};
pub(crate) use halts::{heed as heed_halts, look_again as look_at_lifted, write as write_halt};
pub(crate) use incidents::{keep_pasts, keep_watch};
pub(crate) use passkeys::remove_passkey;
pub(crate) use reviews::remind;
pub(crate) use servers::{ADDED as ADDED_SERVERS, parse_added};
pub(crate) use subjects::{ERASED_OWNER, ERASING, SUBJECTS, held_subjects, renew_wrapping};
pub(crate) use users::{end_grant, end_token, recall_revoked, withdraw_grant};

use wire::json::{Node, ObjectWriter};

use crate::{failure::Failure, listen::House, storage::store::aside};

/// Does one operation and returns its answer as a JSON text.
pub(crate) async fn run(house: &Arc<House>, operation: &str, args: Node<'_>) -> Result<Vec<u8>, Failure> {
    let args = Args(args);
    match operation {
        "agent.add" => agents::add(house, &args),
        "agent.approve" => enrolments::approve(house, &args),
        "agent.deny" => enrolments::deny(house, &args),
        "agent.requests" => Ok(enrolments::list(house)),
        "agent.list" => Ok(agents::list(house)),
        "agent.revoke" => agents::revoke(house, &args),
        "agent.rotate" => agents::rotate(house, &args),
        "approvals.approve" => approvals::approve(house, &args).await,
        "approvals.deny" => approvals::deny(house, &args).await,
        "approvals.list" => Ok(approvals::list(house, &args)),
        "approvals.show" => approvals::show(house, &args),
        "backup.create" => backups::create(house, &args).await,
        "console.open" => console::open(house, &args).await,
        "context.declassify" => contexts::declassify(house, &args).await,
        "context.list" => contexts::list(house),
        "halt.lift" => halts::lift(house, &args).await,
        "halt.list" => Ok(halts::list(house)),
        "halt.put" => halts::stop(house, &args, Names::Known).await,
        "halt.put-ahead" => halts::stop(house, &args, Names::Any).await,
        "incident.contain" => incidents::contain(house, &args).await,
        "incident.list" => Ok(incidents::list(house)),
        "incident.resolve" => incidents::resolve(house, &args).await,
        "incident.show" => incidents::show(house, &args),
        "keys.destroy" => keys::destroy(house, &args).await,
        "keys.list" => keys::list(house),
        "keys.public" => keys::public(house, &args),
        "keys.rotate" => keys::rotate(house, &args).await,
        "ledger.entries" => ledger::entries(house, &args).await,
        "ledger.settle" => ledger::settle(house).await,
        "policy.check" => policy::check(house, &args),
        "policy.diff" => aside(|| weigh::diff(house, &args)),
        "policy.explain" => policy::explain(house, &args),
        "policy.matrix" => aside(|| weigh::matrix(house, &args)),
        "policy.replay" => aside(|| weigh::replay(house, &args)),
        "policy.test" => aside(|| cases::test(house, &args)),
        "review.certify" => reviews::certify(house, &args).await,
        "review.restore" => reviews::restore(house, &args).await,
        "review.revoke" => reviews::revoke(house, &args).await,
        "review.show" => aside(|| reviews::show(house, &args)),
        "secret.list" => secrets::list(house),
        "secret.remove" => secrets::remove(house, &args),
        "secret.set" => secrets::set(house, &args),
        "server.add" => servers::add(house, &args).await,
        "server.approve" => servers::approve(house, &args).await,
        "server.connect" => servers::connect(house, &args).await,
        "server.diff" => servers::diff(house, &args),
        "server.learn" => learn::learn(house, &args),
        "server.list" => Ok(servers::list(house)),
        "server.quarantine" => servers::quarantine(house, &args),
        "server.retire" => servers::retire(house, &args),
        "server.rollback" => servers::roll_back(house, &args).await,
        "server.sbom" => servers::sbom(house, &args),
        "server.profile" => servers::profile(house, &args),
        "server.show" => servers::show(house, &args),
        "status" => Ok(status(house)),
        "subject.erase" => subjects::erase(house, &args).await,
        "subject.find" => subjects::find(house, &args).await,
        "subject.hold" => subjects::hold(house, &args).await,
        "subject.holds" => subjects::list_holds(house),
        "subject.payloads" => subjects::payloads(house, &args),
        "subject.release" => subjects::release(house, &args).await,
        "token" => tokens::mint(house, &args),
        "user.grants" => users::grants(house, &args),
        "user.logout" => users::log_out(house, &args),
        "user.passkey-remove" => passkeys::remove(house, &args),
        "user.passkeys" => passkeys::list(house, &args),
        "user.withdraw" => users::withdraw(house, &args),
        other => Err(Failure::configuration(format!("there is no operation `{other}`"))),
    }
}

/// Whose names an operation takes.
#[derive(Clone, Copy, Debug)]
enum Names {
    /// Whoever's: nobody knows here who there is.
    Any,
    /// Of those who are there.
    Known,
}

/// The arguments of an operation.
struct Args<'a>(Node<'a>);

impl<'a> Args<'a> {
    fn text(&self, name: &str) -> Option<String> {
        self.0
            .get(name)
            .and_then(Node::as_str)
            .map(std::borrow::Cow::into_owned)
    }

    fn needed(&self, name: &str) -> Result<String, Failure> {
        match self.text(name) {
            Some(text) if text.trim().is_empty() => {
                Err(Failure::configuration(format!("`{name}` says nothing")))
            }
            Some(text) => Ok(text),
            None => Err(Failure::configuration(format!("`{name}` is missing"))),
        }
    }

    fn list(&self, name: &str) -> Vec<String> {
        let elements = self.0.get(name).into_iter().flat_map(Node::elements);
        elements
            .filter_map(|element| element.as_str().map(std::borrow::Cow::into_owned))
            .collect()
    }

    fn node(&self, name: &str) -> Option<Node<'a>> {
        self.0.get(name)
    }
}

/// How the house is doing, in numbers.
fn status(house: &House) -> Vec<u8> {
    let engines = &house.engines;
    let ledger = engines.journal.ledger().status();
    wire::json::object(|out| {
        out.string("base", &house.base);
        out.integer("sessions", count(engines.sessions.len()));
        out.integer("contexts", count(engines.contexts.len()));
        out.string("policy", engines.rules().digest());
        out.object("ledger", |out| {
            out.integer("written", ledger.written);
            out.integer("open_calls", count(ledger.open_calls));
            if let Some(trouble) = &ledger.trouble {
                out.string("trouble", &trouble.to_string());
            }
        });
        out.object("witness", |out| house.witness.standing.write(out));
    })
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// Writes a list of texts, if there are any.
fn write_list(out: &mut ObjectWriter<'_>, name: &str, list: &[String]) {
    if !list.is_empty() {
        out.array(name, |out| list.iter().for_each(|text| out.string(text)));
    }
}

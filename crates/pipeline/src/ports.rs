//! What the road needs from the world, and nothing more: one small trait per engine, so that a stage's
//! signature shows the only engine it can reach.

use std::{fmt::Debug, future::Future, pin::Pin, sync::Arc};

use identity::Principal;
use inspect::Findings;
use policy::{Action, Context, Decision, Facts, Permit, Resource, Source, Subject, rules::Discovery};
use wire::{
    json::Edits,
    jsonrpc::{Id, Response},
    mcp::{LogLevel, Method},
    model::Tokens,
};

use crate::{
    Answer, Arrival, CallId, Capabilities, Entry, Listing, Objection, Passed, Ready, Received, Refusal,
    Reply, Resolution, Via,
    admit::Declared,
    decide::{Approved, Authorized, Inspected, Limited, Resolved},
    forward::Recorded,
    release::{Filtered, Screened},
};

/// All engines.
pub trait Engines:
    Approvals
    + Clients
    + Contexts
    + Halts
    + Identify
    + Inspect
    + Judges
    + Ledger
    + Limits
    + Local
    + Models
    + Purposes
    + Resolve
    + Rules
    + Tasks
    + Upstream
    + Send
    + Sync
    + 'static
{
}

impl<T> Engines for T where
    T: Approvals
        + Clients
        + Contexts
        + Halts
        + Identify
        + Inspect
        + Judges
        + Ledger
        + Limits
        + Local
        + Models
        + Purposes
        + Resolve
        + Rules
        + Tasks
        + Upstream
        + Send
        + Sync
        + 'static
{
}

/// A proven caller, and the same caller as rules see it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Proven by `identity`.
    pub principal: Arc<Principal>,
    /// The principal with its roles and attributes.
    pub subject: Arc<Subject>,
}

/// `identity`: who asks.
pub trait Identify {
    /// Verifies the credential.
    fn identify(&self, arrival: &Arrival) -> impl Future<Output = Result<Caller, Objection>> + Send;
}

/// The contexts labels stick to.
pub trait Contexts {
    /// The context of this caller's message.
    ///
    /// # Errors
    /// When the context is not the caller's, or the session it came in is not.
    fn enter(&self, caller: &Caller, arrival: &Arrival) -> Result<Arc<Context>, Objection>;

    /// Takes in what an answer brought, before anybody sees it.
    ///
    /// # Errors
    /// When it cannot be kept. Nobody sees the answer then: what was read cannot be unread.
    fn absorb(&self, call: &Passed<Screened>) -> Result<(), Objection>;

    /// Takes in what a server's message says, before the client is told: progress, logs, questions.
    ///
    /// # Errors
    /// When it cannot be kept. The client is not told then.
    fn overhear(&self, call: &Passed<Recorded>) -> Result<(), Objection>;

    /// Takes in what servers say of themselves in these entries of a list, before anybody sees it. Definitions that are
    /// pinned and approved bring nothing.
    ///
    /// # Errors
    /// When it cannot be kept. Nobody sees the list then.
    fn browse(&self, call: &Ready<Filtered>, shown: &[Browsed<'_>]) -> Result<(), Objection>;
}

/// An entry of a list that is about to be shown.
#[derive(Clone, Debug)]
pub struct Browsed<'e> {
    /// As it was listed.
    pub entry: &'e Entry,
    /// As it is shown.
    pub shown: Arc<[u8]>,
    /// The labels that the permits of its release and of reading it add.
    pub labels: Option<policy::Labels>,
}

/// What a caller may declare.
pub trait Purposes {
    /// The declared purpose of this message, if there is one.
    ///
    /// # Errors
    /// When the caller may not declare it, or has declared another.
    fn purpose(&self, call: &Ready<Declared>) -> Result<Option<Arc<str>>, Objection>;
}

/// `policy::registry`: what names mean.
pub trait Resolve {
    /// What the message is for.
    ///
    /// # Errors
    /// When the name means nothing, several things, or something held back.
    fn resolve(&self, call: &Ready<Resolved>) -> Result<Resolution, Unfound>;
}

/// Why a name leads nowhere.
#[derive(Clone, Debug)]
pub enum Unfound {
    /// It is there, but held back. Whoever may not know of it is told that there is nothing.
    Held(Arc<Resource>, Box<Objection>),
    /// There is nothing, or it cannot be said what is meant.
    Nothing(Box<Objection>),
}

/// What inspection reports.
#[derive(Debug, Default)]
pub struct Inspection {
    /// Facts.
    pub findings: Findings,
    /// Changes to the text, made before it is passed on: what may never pass, such as spoofed `_meta` keys.
    pub edits: Edits,
    /// Where arguments came from (flow control).
    pub sources: Vec<Source>,
}

/// Pseudonyms of the arguments as what they stand for. Whoever asked is not told.
#[derive(Debug, Default)]
pub struct Revealed {
    /// What is changed in the message as it leaves.
    pub edits: Edits,
    /// Each original with the pseudonym the asker knows it by: what comes back is disguised again.
    pub values: Vec<(String, String)>,
    /// Held while the call runs: until then what the server says by the way is held to the same.
    pub held: Option<Hold>,
}

/// `inspect`: what a text holds.
pub trait Inspect {
    /// Reads what is sent: arguments against their pinned schema, and all text.
    fn inspect(&self, call: &Ready<Inspected>) -> Inspection;

    /// The values that stand behind pseudonyms in the arguments, where the permit lets this tool have them.
    ///
    /// # Errors
    /// When they cannot be looked up.
    fn reveal(&self, call: &Passed<Approved>) -> Result<Revealed, Objection>;

    /// What has to be changed in a server's message before the client gets it: what the permit demands, and
    /// what the calls demand in whose time it comes. And in what a model is told: what the permit demands.
    ///
    /// # Errors
    /// When that cannot be met.
    fn veil(&self, call: &Passed<Approved>) -> Result<Edits, Objection>;

    /// Reads what came back.
    fn screen(&self, call: &Ready<Screened>) -> Inspection;

    /// An entry of a list that nobody approved, as its reader may see it: read, and changed as `demanded` says where this
    /// was found. None where it may not be seen.
    fn release_entry(
        &self,
        call: &Passed<Screened>,
        entry: &Entry,
        demanded: &dyn Fn(&Findings) -> Option<Vec<policy::Obligation>>,
    ) -> Option<Arc<[u8]>>;

    /// The changes that `obligations` of the permit demand of the answer.
    ///
    /// # Errors
    /// When an obligation cannot be met.
    fn redact(&self, call: &Passed<Screened>, obligations: &[policy::Obligation])
    -> Result<Edits, Objection>;
}

/// `policy::rules`: may it be.
pub trait Rules {
    /// Decides exactly this.
    fn decide(&self, subject: &Subject, action: Action, resource: &Resource, facts: &Facts<'_>) -> Judged;

    /// Whether some call to this could be permitted.
    fn could_permit(
        &self,
        subject: &Subject,
        action: Action,
        resource: &Resource,
        facts: &Facts<'_>,
    ) -> Discovery;

    /// The same for all of a list, in its order: what would be done with each is what it is there for. Of `facts`,
    /// what only a call has is not read.
    fn could_permit_each(
        &self,
        subject: &Subject,
        resources: &[Arc<Resource>],
        facts: &Facts<'_>,
    ) -> Arc<[Discovery]>;

    /// In `observe` mode: lets through what was refused. None where rules are enforced.
    fn observe(
        &self,
        subject: &Subject,
        action: Action,
        resource: &Resource,
        facts: &Facts<'_>,
    ) -> Option<Permit>;
}

/// A decision and the rules that made it. Rules are swapped whole, at any moment, so one without the other
/// would name rules that never saw the call.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What they came to.
    pub decision: Decision,
    /// The digest of the rules.
    pub by: Arc<str>,
}

/// Something that lasts while a call is on its way, and ends with the last who has it: the passage, and the work that goes
/// on when that has asked the client something and ended.
#[derive(Clone, Debug)]
pub struct Hold(pub Arc<dyn Debug + Send + Sync>);

/// Held while a call counts against a limit; dropping it gives concurrency back.
#[derive(Debug)]
pub struct Slot(pub Box<dyn Held>);

/// What a [`Slot`] holds.
pub trait Held: Debug + Send + Sync {
    /// Counts the bytes of the answer, and the tokens of a model's, which nobody knows before. What is used up keeps the
    /// next call waiting.
    fn charge(&self, bytes: u64, tokens: Option<Tokens>);
}

/// `policy::limits`: how much.
pub trait Limits {
    /// Takes what this call costs; where calls wait for their turn, when it is this one's.
    ///
    /// # Errors
    /// When the budget is used up, with the time after which to try again.
    fn take(&self, call: &Passed<Authorized>) -> impl Future<Output = Result<Slot, Objection>> + Send;
}

/// People.
pub trait Approvals {
    /// Asks people where the permit demands it.
    ///
    /// # Errors
    /// When nobody agreed, or not enough.
    fn approve(&self, call: &Passed<Limited>) -> impl Future<Output = Result<(), Objection>> + Send;
}

/// The kill switch.
pub trait Halts {
    /// Whether the call may go on, at the last moment before it is on record.
    ///
    /// # Errors
    /// When somebody stopped what it concerns.
    fn heed(&self, call: &Passed<Approved>) -> Result<(), Objection>;
}

/// Somebody who is asked for a second opinion: a model, or whoever else reads. Never the only one to decide.
pub trait Judges {
    /// Whether the call is what it is said to be for.
    ///
    /// # Errors
    /// When the judge is against it, or cannot be asked and that counts as being against it.
    fn consult(&self, call: &Passed<Limited>) -> impl Future<Output = Result<(), Objection>> + Send;

    /// Whether the answer, as the caller would get it, gives the caller's model orders.
    ///
    /// # Errors
    /// When the judge says so, or cannot be asked and that counts as saying so.
    fn reconsider(&self, call: &Passed<Filtered>) -> impl Future<Output = Result<(), Objection>> + Send;
}

/// An open case; dropping it unclosed records "abandoned".
pub trait Case: Send + 'static {
    /// Records the one outcome and hands it on. An outcome that cannot be recorded becomes a refusal.
    fn close(self, outcome: Result<Reply, Refusal>) -> impl Future<Output = Result<Reply, Refusal>> + Send;
}

/// Somebody who did not get as far as sending a message.
#[derive(Debug)]
pub struct Stranger {
    /// The name of the passage that did not take place.
    pub call: CallId,
    /// How they came.
    pub via: Via,
    /// What they seem to have wanted; shortened, escaped, never believed.
    pub what: String,
    /// When, in milliseconds since 1970.
    pub received_ms: i64,
}

/// `records::ledger`: what must survive.
pub trait Ledger {
    /// See [`Case`].
    type Case: Case;

    /// Opens the case of a message before the first stage.
    fn open_case(&self, call: &Received) -> Self::Case;

    /// Records the intent; returns its place once it is durable.
    ///
    /// # Errors
    /// When the ledger cannot write. Nothing is sent then.
    fn intent(&self, call: &Passed<Approved>) -> impl Future<Output = Result<u64, Objection>> + Send;

    /// Records a refusal at the gate.
    fn turn_away(&self, who: Stranger, refusal: Refusal) -> impl Future<Output = Refusal> + Send;
}

/// `upstream`: the far side.
pub trait Upstream {
    /// Asks the server whether the tool or prompt is still the pinned one. Runs while the intent is written.
    ///
    /// # Errors
    /// When it changed, or the server cannot say.
    fn confirm(&self, call: &Passed<Approved>) -> impl Future<Output = Result<(), Objection>> + Send;

    /// Sends the call. Note the type: nothing less than a recorded call can be sent.
    ///
    /// # Errors
    /// When the server cannot be reached, fails, or answers what is no answer.
    fn send(&self, call: &Passed<Recorded>) -> impl Future<Output = Result<Answer, Objection>> + Send;
}

/// Models, whose providers are reached for all with one credential.
pub trait Models {
    /// Asks a model. As with [`Upstream::send`], nothing less than a recorded call can be asked.
    ///
    /// # Errors
    /// When the provider cannot be reached, fails, or answers what is no answer.
    fn complete(&self, call: &Passed<Recorded>) -> impl Future<Output = Result<Answer, Objection>> + Send;
}

/// Whether a client is told what a server says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hearing {
    /// It did not ask for such a thing; it misses nothing.
    Deaf,
    /// It is told.
    Told,
}

/// The client, as the other side of messages from a server.
pub trait Clients {
    /// Whether the client would be told. Nothing is told yet.
    ///
    /// # Errors
    /// When the client is gone or did not declare that it can do this.
    fn hears(&self, call: &Passed<Recorded>) -> Result<Hearing, Objection>;

    /// Delivers a server's message to the client it concerns, and its answer back.
    ///
    /// # Errors
    /// When the client is gone.
    fn deliver(&self, call: &Passed<Recorded>) -> impl Future<Output = Result<Answer, Objection>> + Send;
}

/// The gateway, where it answers itself.
pub trait Local {
    /// Answers.
    ///
    /// # Errors
    /// When the message does not make sense here and now.
    fn answer(&self, call: &Passed<Recorded>) -> impl Future<Output = Result<Answer, Objection>> + Send;

    /// The cursor with which the caller of a listing gets what comes after an entry.
    fn cursor(&self, call: &Ready<Filtered>, listing: &Listing, last: &Entry) -> String;
}

/// Work that goes on when nobody waits for it.
pub trait Tasks {
    /// Runs the work to its end, whatever becomes of the returned future.
    fn detach(
        &self,
        work: Boxed<'static, Result<Reply, Refusal>>,
    ) -> impl Future<Output = Result<Reply, Refusal>> + Send;
}

/// A future on the heap.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The client's side of a message while it is on its way.
pub trait Exchange: Debug + Send + Sync {
    /// The client has proven who it is. Messages from servers on this exchange are for that caller.
    fn admitted(&self, caller: &Caller);

    /// Whose exchange it is, once that is proven.
    fn caller(&self) -> Option<Caller>;

    /// The session it is part of (legacy era).
    fn session(&self) -> Option<Arc<str>>;

    /// Hands the client a message that belongs to this one: progress, log, a question.
    /// The client may be gone; then nothing happens.
    fn deliver(&self, message: Vec<u8>) -> Boxed<'_, ()>;

    /// Resolves when the client withdraws the message: `notifications/cancelled`, or in the modern era by
    /// closing the stream. Never resolves otherwise.
    fn withdrawn(&self) -> Boxed<'_, ()>;

    /// How the client is asked, where it is asked in the answer to its call (modern era).
    fn asks(&self) -> Option<&dyn Asks> {
        None
    }

    /// The `subscriptions/listen` whose stream this is: its call, and the id the client gave it (modern era).
    fn subscription(&self) -> Option<(&CallId, &Id)> {
        None
    }

    /// The server would rather be come back to than be waited for on an open stream (2025-11-25).
    fn let_go(&self) {}
}

/// A question of a server to the client.
#[derive(Debug)]
pub struct Question {
    /// The name it is asked under.
    pub id: Id,
    /// What is asked.
    pub method: Method,
    /// Its parameters, as judged: a JSON object.
    pub params: Vec<u8>,
}

/// A client that is asked in the answer to its call, and answers by calling again (modern era).
pub trait Asks: Send + Sync {
    /// What it can be asked, as declared with the call.
    fn capabilities(&self) -> Capabilities;

    /// The least level of log messages it wants with this call; none if it wants none.
    fn log_level(&self) -> Option<LogLevel>;

    /// These questions are about to be asked, and belong into one answer.
    fn expect(&self, questions: &[Id]);

    /// Nothing more comes of this question: it was answered, or it was refused before it was asked.
    fn settled(&self, question: &Id);

    /// Asks. The answer comes when the client calls again; an objection if it never does, or cannot be asked.
    fn ask(&self, question: Question) -> Boxed<'static, Result<Response, Objection>>;
}

/// The client's side of a message nobody waits for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Exchange for Nobody {
    fn admitted(&self, _: &Caller) {}

    fn caller(&self) -> Option<Caller> {
        None
    }

    fn session(&self) -> Option<Arc<str>> {
        None
    }

    fn deliver(&self, _: Vec<u8>) -> Boxed<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn withdrawn(&self) -> Boxed<'_, ()> {
        Box::pin(std::future::pending())
    }
}

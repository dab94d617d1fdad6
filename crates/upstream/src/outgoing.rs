//! A recorded call on its way: sent, and sent again with the client's answers where the server asks first.
//!
//! Servers of both eras ask their clients. In the legacy era they send requests of their own while a call
//! runs; in the modern era they answer the call with their questions, and are called again. Here the second
//! becomes the first: each question takes the road to the client like a request of a legacy server.

use std::{borrow::Cow, sync::Arc, time::Duration};

use pipeline::{
    Answer, Objection,
    ports::{Boxed, Exchange},
    refusal::{self, Code, Manner},
};
use tokio::task::JoinSet;
use wire::{
    bounds::ANSWER,
    json::{Document, Keys, Kind, Node, object},
    jsonrpc::{self, Id, Message, Response},
    mcp::{Era, Method, Revision, code},
};

use crate::{
    Backchannel, Incoming, LinkError, Said,
    encode::{Encoded, Given},
    link::{Head, Link, Side},
    tasks::Making,
};

/// How often a server may ask before it answers.
const ROUNDS_MAX: u32 = 16;
/// Most questions at a time.
const QUESTIONS_MAX: usize = 16;
/// How long to wait before a server that asks nothing, and wants to be called again, is.
const AGAIN: Duration = Duration::from_millis(500);

/// See the module. Made of a recorded call and nothing else.
pub struct Outgoing {
    pub(crate) link: Arc<Link>,
    pub(crate) method: Method,
    pub(crate) head: Head,
    pub(crate) encoded: Encoded,
    pub(crate) exchange: Arc<dyn Exchange>,
    pub(crate) token: Option<Arc<[u8]>>,
    pub(crate) wants_answer: bool,
    /// The era its client speaks.
    pub(crate) client: Era,
    pub(crate) making: Making,
    pub(crate) backchannel: Arc<dyn Backchannel>,
}

/// A question: its name, its method and its parameters.
pub(crate) type Asked<'a> = (String, Method, Option<Node<'a>>);

/// Questions in an answer.
pub(crate) struct Questions<'a> {
    asked: Vec<Asked<'a>>,
    state: Option<Node<'a>>,
    /// The server asks by an error, and is called again without the answers (2025-11-25, -32042).
    by_error: bool,
}

impl<'a> Questions<'a> {
    /// Those of a task, which has no state to give back.
    pub(crate) fn of_task(asked: Vec<Asked<'a>>) -> Self {
        Self {
            asked,
            state: None,
            by_error: false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }
}

impl Outgoing {
    /// The era it goes out in.
    #[must_use]
    pub fn era(&self) -> Era {
        self.link.revision.era()
    }

    /// Sends it and waits for the answer: or an objection, when the server cannot be reached, fails, or answers what is
    /// no answer.
    ///
    /// In a box, since it is large, and each who hands it on would copy it.
    pub fn run(self) -> Boxed<'static, Result<Answer, Objection>> {
        Box::pin(async move { self.answered().await })
    }

    /// As [`Self::run`], for those who have more to ask about the same.
    ///
    /// # Errors
    /// When the server cannot be reached, fails, or answers what is no answer.
    pub async fn answered(&self) -> Result<Answer, Objection> {
        if !self.wants_answer {
            let head = self.head.clone();
            self.link.tell(head, self.encoded.notification()).await?;
            return Ok(Answer::Accepted);
        }
        if self.is_bridged() {
            return Box::pin(self.bridged()).await;
        }
        self.asked_as_is().await
    }

    pub(crate) fn side(&self) -> Side {
        Side {
            exchange: Some(Arc::clone(&self.exchange)),
            token: self.token.clone(),
        }
    }

    /// Sends it in the words it came in, again where the server asks first.
    pub(crate) async fn asked_as_is(&self) -> Result<Answer, Objection> {
        let era = self.link.revision.era();
        let mut given = Given::default();
        for _ in 0..ROUNDS_MAX {
            let body = |id| self.encoded.request(id, &given);
            let response = self.link.ask(self.head.clone(), body, self.side()).await?;
            match self.questions(&response)? {
                None => return Ok(Answer::Foreign(Arc::new(response), era)),
                Some(questions) => match self.put(&questions).await? {
                    Some(answered) => given = answered,
                    None => return Ok(Answer::Foreign(Arc::new(response), era)),
                },
            }
        }
        let why = LinkError::Garbled(format!("it asked {ROUNDS_MAX} times and did not answer"));
        Err(why.into())
    }

    /// What the server asks instead of answering.
    fn questions<'a>(&self, response: &'a Response) -> Result<Option<Questions<'a>>, LinkError> {
        let asking = matches!(
            self.method,
            Method::PromptsGet | Method::ResourcesRead | Method::ToolsCall
        );
        if !asking {
            return Ok(None);
        }
        let questions = match response.answer() {
            jsonrpc::Answer::Result(result) => {
                let kind = result.get("resultType");
                if self.link.revision.era() == Era::Legacy
                    || !kind.is_some_and(|kind| kind.is_str("input_required"))
                {
                    return Ok(None);
                }
                Questions {
                    asked: in_result(result)?,
                    state: result.get("requestState"),
                    by_error: false,
                }
            }
            jsonrpc::Answer::Error(error) => {
                // A client of the same era is told by the error itself, once all who see answers have judged it.
                if self.exchange.asks().is_none() {
                    return Ok(None);
                }
                let addresses = addresses_to_open(error).map_err(|why| LinkError::Garbled(why.to_owned()))?;
                let Some(addresses) = addresses else {
                    return Ok(None);
                };
                let each = addresses.into_iter().enumerate();
                let asked =
                    each.map(|(n, address)| (format!("url{n}"), Method::ElicitationCreate, Some(address)));
                Questions {
                    asked: asked.collect(),
                    state: None,
                    by_error: true,
                }
            }
        };
        if questions.asked.len() > QUESTIONS_MAX {
            return Err(LinkError::Garbled("it asks too much at once".to_owned()));
        }
        Ok(Some(questions))
    }

    /// Has the questions take the road, and gives what the client answered; none if it would not.
    pub(crate) async fn put(&self, questions: &Questions<'_>) -> Result<Option<Given>, Objection> {
        let ids: Vec<Id> = questions
            .asked
            .iter()
            .map(|(key, ..)| Id::String(key.clone()))
            .collect();
        if let Some(asks) = self.exchange.asks() {
            asks.expect(&ids);
        }
        if ids.is_empty() {
            tokio::time::sleep(AGAIN).await;
        }
        let mut running = JoinSet::new();
        for asked in &questions.asked {
            let (key, answer) = (asked.0.clone(), self.put_one(asked.clone(), questions.by_error)?);
            running.spawn(async move { (key, answer.await) });
        }
        let mut answers = Vec::new();
        while let Some(answered) = running.join_next().await {
            let (key, answer) = answered.map_err(|_| lost("a question was given up"))?;
            answers.push((key, answer?));
        }
        let accepted = |answer: &[u8]| {
            let document = Document::parse(answer.to_vec(), Keys::Exact, &ANSWER).ok();
            document.is_some_and(|d| {
                d.root()
                    .get("action")
                    .is_some_and(|action| action.is_str("accept"))
            })
        };
        if questions.by_error {
            if answers.iter().all(|(_, answer)| accepted(answer)) {
                return Ok(Some(Given::default()));
            }
            let why = "the client's user did not want to open what the server needs opened first";
            return Err(Objection::new(&refusal::CONSENT_NEEDED, why).showing(why));
        }
        let responses = object(|out| {
            for (key, answer) in &answers {
                out.json(key, answer);
            }
        });
        Ok(Some(Given {
            responses: (!answers.is_empty()).then_some(responses),
            state: questions.state.and_then(Node::as_str).map(Cow::into_owned),
        }))
    }

    /// One question: it takes the road when it is awaited, and comes to what the client answered.
    pub(crate) fn question(
        &self,
        asked: Asked<'_>,
    ) -> Result<Boxed<'static, Result<Vec<u8>, Objection>>, LinkError> {
        self.put_one(asked, false)
    }

    fn put_one(
        &self,
        (key, method, params): Asked<'_>,
        by_error: bool,
    ) -> Result<Boxed<'static, Result<Vec<u8>, Objection>>, LinkError> {
        let id = Id::String(key);
        let incoming = self.incoming(&id, method, params)?;
        let (backchannel, exchange) = (Arc::clone(&self.backchannel), Arc::clone(&self.exchange));
        let client = self.client;
        Ok(Box::pin(async move {
            let said = backchannel.incoming(incoming).await;
            if let Some(asks) = exchange.asks() {
                asks.settled(&id);
            }
            result_of((method, by_error), said, client)
        }))
    }

    fn incoming(&self, id: &Id, method: Method, params: Option<Node<'_>>) -> Result<Incoming, LinkError> {
        let text = jsonrpc::request(id, method, |out| {
            if let Some(params) = params {
                out.members_except(params, &[], &wire::json::Edits::default());
            }
        });
        let message = Message::parse(text, Keys::Exact, &ANSWER)
            .map_err(|refused| LinkError::Garbled(format!("it asks what is no question: {refused}")))?;
        Ok(Incoming {
            server: self.link.inbox.server.clone(),
            revision: Revision::LATEST_LEGACY,
            message,
            exchange: Some(Arc::clone(&self.exchange)),
            owner: self.link.inbox.owner.clone(),
            session: self.link.inbox.session.clone(),
        })
    }
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outgoing({} to {})", self.method, self.link.inbox.server)
    }
}

pub(crate) fn in_result(result: Node<'_>) -> Result<Vec<Asked<'_>>, LinkError> {
    let requests = result.get("inputRequests").into_iter().flat_map(Node::members);
    let read = |(key, request): (Node<'_>, _)| {
        let request: Node<'_> = request;
        let key = key.as_str()?.into_owned();
        let method = request.get("method").and_then(Node::as_str)?;
        let method = Method::parse(&method).filter(|method| may_be_asked(*method))?;
        Some((
            key,
            method,
            request
                .get("params")
                .filter(|params| params.kind() == Kind::Object),
        ))
    };
    requests
        .map(|request| {
            read(request).ok_or_else(|| LinkError::Garbled("it asks what clients are not asked".into()))
        })
        .collect()
}

/// What error -32042 (2025-11-25) asks its client to open first; none where an error does not ask.
///
/// # Errors
/// When it asks for too much at once, or for what is no address.
pub fn addresses_to_open(error: Node<'_>) -> Result<Option<Vec<Node<'_>>>, &'static str> {
    if !asks_to_open(error) {
        return Ok(None);
    }
    let listed = error.get("data").and_then(|data| data.get("elicitations"));
    let listed = listed.into_iter().flat_map(Node::elements);
    let addresses: Vec<Node<'_>> = listed.take(QUESTIONS_MAX + 1).collect();
    if addresses.len() > QUESTIONS_MAX {
        return Err("it asks by an error for too much at once");
    }
    let is_address = |asked: &Node<'_>| asked.get("mode").is_some_and(|mode| mode.is_str("url"));
    if !addresses.iter().all(is_address) {
        return Err("it asks by an error for what is no address");
    }
    Ok(Some(addresses))
}

/// Whether an error asks its client to open an address first.
#[must_use]
pub fn asks_to_open(error: Node<'_>) -> bool {
    let number = error.get("code").and_then(Node::as_number);
    number.and_then(|number| number.as_i64()) == Some(code::URL_ELICITATION_REQUIRED)
}

fn may_be_asked(method: Method) -> bool {
    matches!(
        method,
        Method::ElicitationCreate | Method::RootsList | Method::SamplingCreateMessage
    )
}

/// What the client answered. A person who was not reached has cancelled; a client that cannot do a thing ends the call, and
/// so does a question that the server cannot be told was cancelled.
fn result_of(
    (method, by_error): (Method, bool),
    said: Option<Said>,
    client: Era,
) -> Result<Vec<u8>, Objection> {
    let (text, refused) = said.map_or((None, None), |said| (Some(said.text), said.refused));
    let answer = text.and_then(|text| Message::parse(text, Keys::Exact, &ANSWER).ok());
    if let Some(Message::Response(response)) = &answer
        && let jsonrpc::Answer::Result(result) = response.answer()
    {
        return Ok(result.written().as_bytes().to_vec());
    }
    if method == Method::ElicitationCreate && !by_error {
        return Ok(br#"{"action":"cancel"}"#.to_vec());
    }
    Err(match refused {
        Some(refused) => refused_question(method, *refused, client),
        None => lost("the client did not answer what the server needs to know"),
    })
}

/// The refusal of a call for which its server has to ask what it may not ask. Nothing of the question is in it.
#[must_use]
pub fn refused_question(method: Method, refused: Objection, client: Era) -> Objection {
    /// In the modern era a client that lacks a capability is told so with -32021 and HTTP 400.
    static UNDECLARED: Code = Code {
        http: 400,
        rpc: code::MISSING_CLIENT_CAPABILITY,
        ..refusal::CAPABILITY_MISSING
    };
    static UNABLE: Code = Code {
        manner: Manner::Tell,
        rpc: code::REFUSED,
        ..refusal::CAPABILITY_MISSING
    };
    let is_undeclared = *refused.code == refusal::CAPABILITY_MISSING;
    let (code, data) = match client {
        Era::Modern if is_undeclared && refused.data.is_some() => (&UNDECLARED, refused.data),
        Era::Legacy | Era::Modern if is_undeclared => (&UNABLE, None),
        // What is hidden from a server is not hidden from its caller: there is nothing else that could be meant.
        Era::Legacy | Era::Modern if *refused.code == refusal::TARGET_UNKNOWN => {
            (&refusal::NOT_PERMITTED, None)
        }
        Era::Legacy | Era::Modern => (refused.code, None),
    };
    let why = format!("the server asks `{method}`: {}", refused.inside);
    Objection {
        data,
        retry_after_ms: refused.retry_after_ms,
        ..Objection::new(code, why).showing(format!("the server asks `{method}` first"))
    }
}

fn lost(why: &str) -> Objection {
    Objection::new(&refusal::CLIENT_GONE, why)
}

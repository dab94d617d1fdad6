//! `/oauth/login/NAME`: a person goes to log in at an identity provider, and comes back with its answer.
//!
//! Nothing is kept meanwhile: the transaction is in `state`, sealed and bound to a cookie of this browser. The person
//! who comes back then stands where one stands who logged in here, before the question of consent.

use std::sync::Arc;

use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use identity::oauth::{AuthorizationRequest, Form, OauthError, OauthFault, RegisteredClient};
use wire::json::{Document, Keys, Node, object};

use super::{
    House,
    authorize::{Transaction, Visit, sent},
    authorize_pages as pages,
    body::{self, Body},
    head::Peer,
};
use crate::known::authorization::{Departure, LoggedIn, NotLet, TRANSACTION_MS};

/// The longest query read, in bytes.
const QUERY_BYTES_MAX: usize = 48 * 1024;
/// The longest `state` sent: it goes into an address, and providers take no longer ones.
const STATE_BYTES_MAX: usize = 6 * 1024;

/// What travels in `state`.
struct Underway {
    /// Of this departure, since one transaction may have several.
    id: String,
    /// None of a person who wants to see what they let in.
    transaction: Option<Transaction>,
    departure: Departure,
}

/// Answers below `/oauth/login/`.
pub(super) async fn answer(
    house: &Arc<House>,
    peer: &Peer,
    path: &str,
    request: &Request<Incoming>,
) -> Response<Body> {
    let (name, is_back) = match path.strip_suffix("/callback") {
        Some(name) => (name, true),
        None => (path, false),
    };
    if house.authorization.elsewhere.door(name).is_none() {
        return body::empty(StatusCode::NOT_FOUND);
    }
    if *request.method() != Method::GET {
        return body::empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    let query = request.uri().query().unwrap_or_default();
    let form = match query.len() {
        0..=QUERY_BYTES_MAX => Form::parse(query.as_bytes()).map_err(|error| error.description),
        _ => Err("the address is too long".to_owned()),
    };
    // Without its cookie nothing can be opened: one that is made now was no answer bound to.
    let (visit, _) = Visit::of(house, peer, request.headers());
    match form {
        Err(why) => visit.stop("", &why),
        Ok(form) if is_back => visit.come_back(name, &form).await,
        Ok(form) => visit.leave(name, &form).await,
    }
}

impl Visit<'_> {
    /// The person goes there.
    async fn leave(&self, name: &str, form: &Form) -> Response<Body> {
        let opened = form.get("t").map(|sealed| self.open(sealed));
        let transaction = match (opened, form.get("grants")) {
            (Some(Some(transaction)), None) => Some(transaction),
            (None, Some(_)) => None,
            (_, _) => return self.stop("", TOO_OLD),
        };
        let ambient = &self.house.engines.ambient;
        let id = transaction
            .as_ref()
            .map_or("", |one| one.request.leave.client.as_str())
            .to_owned();
        let Some(door) = self.house.authorization.elsewhere.door(name) else {
            return body::empty(StatusCode::NOT_FOUND);
        };
        let wanted = transaction.as_ref().map(|one| one.request.wanted.clone());
        let wanted = wanted.unwrap_or_default();
        let underway = Underway {
            id: ambient.name().to_string(),
            transaction,
            departure: Departure::new(ambient),
        };
        let state = self.seal_underway(name, &underway);
        if state.len() > STATE_BYTES_MAX {
            return self.stop(&id, "the program asks for more than fits into an address");
        }
        let left = door
            .leave(&self.house.base, ambient, (&underway.departure, &state), &wanted)
            .await;
        match left {
            Ok(url) => sent(&url),
            Err(why) => {
                self.note("login-refused", &id, "", &format!("{name}: {why}"));
                pages::unavailable()
            }
        }
    }

    /// The person comes back, or somebody else comes with an answer.
    async fn come_back(&self, name: &str, form: &Form) -> Response<Body> {
        let underway = form
            .get("state")
            .and_then(|state| self.open_underway(name, state));
        let Some(underway) = underway else {
            return self.stop("", TOO_OLD);
        };
        let (house, ambient) = (self.house, &self.house.engines.ambient);
        let Some(door) = house.authorization.elsewhere.door(name) else {
            return body::empty(StatusCode::NOT_FOUND);
        };
        let waiting = match underway.transaction {
            None => None,
            Some(transaction) => {
                let id = &transaction.request.leave.client;
                match house.authorization.client(id, self.from, ambient).await {
                    Ok(client) => Some((transaction, client)),
                    Err(why) => return self.stop(id, &why),
                }
            }
        };
        let wanted = waiting.as_ref().map(|(one, _)| one.request.wanted.clone());
        let came = door
            .come_back(
                &house.base,
                ambient,
                (form, &underway.departure, &wanted.unwrap_or_default()),
                || {
                    let answers = &house.authorization.answers;
                    answers.take(&underway.id, self.from, ambient.now_ms())
                },
                house.engines.tokens.forget(),
            )
            .await;
        let came = came.map(|came| {
            house.engines.outbound.logged_in(&came);
            came.login
        });
        match (came, waiting) {
            (Err(NotLet::NotAsked(why)), _) => self.stop("", why.as_str()),
            (Ok(login), Some((transaction, client))) => self.come_in(name, transaction, &client, login),
            (Ok(login), None) => match house.authorization.is_enough(&login) {
                Ok(()) => self.show_grants(&login),
                Err(why) => self.stop("", pages::inside(&why)),
            },
            (Err(why), Some((transaction, client))) => self.not_let(name, &transaction, &client, why),
            (Err(why), None) => {
                self.note("login-refused", "", "", &format!("{name}: {why}"));
                pages::stopped("the identity provider let nobody in, or cannot be asked")
            }
        }
    }

    fn come_in(
        &self,
        name: &str,
        transaction: Transaction,
        client: &RegisteredClient,
        login: LoggedIn,
    ) -> Response<Body> {
        match self.house.authorization.is_enough(&login) {
            Ok(()) => self.logged_in(transaction, client, login),
            Err(why) => {
                let why = format!("{name}: {}", pages::inside(&why));
                self.unmet(&transaction, client, &login.user, &why)
            }
        }
    }

    fn not_let(
        &self,
        name: &str,
        transaction: &Transaction,
        client: &RegisteredClient,
        why: NotLet,
    ) -> Response<Body> {
        let (error, why) = match why {
            NotLet::Unmet(why) => return self.unmet(transaction, client, "", &format!("{name}: {why}")),
            NotLet::Denied(why) => {
                let error = OauthError::new(OauthFault::AccessDenied, "the identity provider let nobody in");
                (Some(error), why)
            }
            NotLet::Down(why) => {
                let error = OauthError::new(OauthFault::ServerError, "the identity provider cannot be asked");
                (Some(error), why)
            }
            NotLet::NotAsked(why) => return self.stop(&client.id, why.as_str()),
            // Whoever brought it may be anybody, so the client hears nothing of it.
            NotLet::Untrue(why) => (None, why),
        };
        let request = &transaction.request;
        self.note("login-refused", &client.id, "", &format!("{name}: {why}"));
        match error {
            Some(error) => self.fail_request(client, request, &error),
            None => pages::stopped("what came back from there does not hold, so nobody is logged in"),
        }
    }

    fn bound_underway(&self, name: &str) -> Vec<u8> {
        format!("elsewhere:{name}:{}", self.browser).into_bytes()
    }

    fn seal_underway(&self, name: &str, underway: &Underway) -> String {
        let ambient = &self.house.engines.ambient;
        let text = object(|out| {
            out.string("id", &underway.id);
            out.integer("until", ambient.now_ms() + TRANSACTION_MS);
            if let Some(transaction) = &underway.transaction {
                out.string("transaction", &transaction.id);
                out.object("request", |out| transaction.request.write(out));
            }
            out.object("departure", |out| underway.departure.write(out));
        });
        let seal = &self.house.authorization.seal;
        seal.seal(ambient, &self.bound_underway(name), &text)
    }

    fn open_underway(&self, name: &str, state: &str) -> Option<Underway> {
        let seal = &self.house.authorization.seal;
        let text = seal.open(state, &self.bound_underway(name))?;
        let document = Document::parse(text, Keys::Exact, &wire::bounds::ANSWER).ok()?;
        let root = document.root();
        let text = |name: &str| Some(root.get(name)?.as_str()?.into_owned());
        let until_ms = root.get("until").and_then(Node::as_number)?.as_i64()?;
        if self.house.engines.ambient.now_ms() >= until_ms {
            return None;
        }
        Some(Underway {
            id: text("id")?,
            transaction: match root.get("request") {
                None => None,
                Some(request) => Some(Transaction {
                    id: text("transaction")?,
                    request: AuthorizationRequest::restore(request)?,
                    login: None,
                }),
            },
            departure: Departure::read(root.get("departure")?)?,
        })
    }
}

const TOO_OLD: &str =
    "this page is too old, or was opened in another browser; go back to the program and begin again";

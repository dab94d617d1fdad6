//! How people hear of a question: through the client of whoever asked (URL elicitation), and by a webhook.
//!
//! Nothing decides here. A link shows what would happen to whoever has it; deciding takes a person's own
//! secret or the command line.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method as HttpMethod, Request as HttpRequest, header::CONTENT_TYPE};
use identity::Secret;
use pipeline::{
    Arrival, Objection,
    refusal::{self, Code, Manner},
};
use wire::{json::object, mcp::code};

use super::{
    super::asking::{self, Codes, Link, Reply, by_url},
    request::Request,
};
use crate::{config::meant::MeantApprovals, failure::Failure, outside::fetch::Fetch, visible::visible};

/// The name of our question among those of a result that asks for input (2026-07-28).
const QUESTION: &str = "io.sallyport/approval";
/// How often a notice is tried.
const TRIES: u32 = 6;
/// How long the far side of a webhook may take.
const NOTICE_WAIT: Duration = Duration::from_secs(10);
/// Most characters of one text in a notice; Slack's own bound is 3,000.
const NOTICE_CHARS_MAX: usize = 2_800;

/// A held call, said as a question.
static ASKED: Codes = Codes {
    error: &Code {
        manner: Manner::Error,
        rpc: code::URL_ELICITATION_REQUIRED,
        ..refusal::NOT_APPROVED
    },
    result: &Code {
        manner: Manner::Ask,
        ..refusal::NOT_APPROVED
    },
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Channels {
    base: String,
    webhook: Option<Webhook>,
}

#[derive(Clone, Debug)]
struct Webhook {
    url: hyper::Uri,
    secret: Secret,
    fetch: Fetch,
}

impl Channels {
    pub(crate) fn new(base: &str, meant: &MeantApprovals) -> Result<Self, Failure> {
        let webhook = match &meant.webhook {
            None => None,
            Some(webhook) => Some(Webhook {
                url: webhook.url.clone(),
                secret: webhook.secret.clone(),
                fetch: Fetch::new()?,
            }),
        };
        Ok(Self {
            base: base.to_owned(),
            webhook,
        })
    }

    /// Where people see what would happen.
    pub(super) fn link(&self, id: &str) -> String {
        format!("{}/approvals/{id}", self.base)
    }

    /// A held call, in the way this client can show its user.
    pub(super) fn say(&self, arrival: &Arrival, request: &Request, held: Objection) -> Objection {
        let url = self.link(&request.id);
        let message = format!(
            "{} Whoever decides can open this link.",
            held.shown.as_deref().unwrap_or_default()
        );
        let link = Link {
            id: &request.id,
            url: &url,
            message: &message,
            question: QUESTION,
        };
        by_url(arrival, &link, &ASKED, held)
    }

    /// Tells of a new question, in the background and several times if need be. The result of the last try.
    pub(super) fn notify(
        &self,
        request: &Request,
        now_ms: i64,
    ) -> Option<tokio::task::JoinHandle<Result<(), Failure>>> {
        let webhook = self.webhook.clone()?;
        let (id, body) = (request.id.clone(), notice(request, &self.link(&request.id)));
        Some(tokio::spawn(async move {
            let mut wait = Duration::from_secs(1);
            let mut tried = 0;
            loop {
                let sent = tokio::time::timeout(NOTICE_WAIT, webhook.send(&id, now_ms / 1000, &body)).await;
                let sent =
                    sent.unwrap_or_else(|_| Err(Failure::unreachable("the webhook did not answer in time")));
                tried += 1;
                if sent.is_ok() || tried >= TRIES {
                    return sent;
                }
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
        }))
    }
}

impl Webhook {
    /// Signed as Standard Webhooks has it, so that the far side can use any of its libraries.
    async fn send(&self, id: &str, time: i64, body: &[u8]) -> Result<(), Failure> {
        let mut signed = format!("{id}.{time}.").into_bytes();
        signed.extend_from_slice(body);
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.expose().as_bytes());
        let signature = STANDARD.encode(hmac::sign(&key, &signed));
        let request = HttpRequest::builder()
            .method(HttpMethod::POST)
            .uri(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", time.to_string())
            .header("webhook-signature", format!("v1,{signature}"))
            .body(Full::new(Bytes::copy_from_slice(body)))
            .map_err(|error| Failure::other(error.to_string()))?;
        let response = self.fetch.send(request).await?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(Failure::unreachable(format!(
            "the webhook answered {}",
            response.status()
        )))
    }
}

/// What the client's answer to our question was, if it has one.
pub(super) fn reply(arrival: &Arrival) -> Reply {
    asking::reply(arrival, QUESTION)
}

/// A notice as Slack reads it. Every text of somebody else's is plain text there, so that nothing in it can
/// be a link, a mention or a heading; and it is made visible first.
fn notice(request: &Request, link: &str) -> Vec<u8> {
    let asked = &request.asked;
    let who = match (&asked.requester.agent, &asked.requester.user) {
        (Some(agent), Some(user)) => format!("{agent} for {user}"),
        (Some(one), None) | (None, Some(one)) => one.clone(),
        (None, None) => "somebody".to_owned(),
    };
    let head = visible(&format!("{who} wants to {} {}", asked.action, asked.tool));
    let needs: Vec<String> = asked
        .demands
        .iter()
        .map(|demand| format!("{} of {}", demand.needed, demand.by))
        .collect();
    let mut lines = vec![format!("with {}", visible(&asked.args))];
    let beside = asked.beside.iter();
    lines.extend(beside.map(|beside| format!("and beside the arguments {}", visible(beside))));
    for source in &asked.sources {
        let word = if source.trusted { "trusted" } else { "UNTRUSTED" };
        let (argument, server, tool) = (source.argument(), &source.server, &source.tool);
        lines.push(visible(&format!(
            "{argument} comes from {server} {tool} ({word})"
        )));
    }
    lines.extend(asked.reasons.iter().map(|reason| visible(reason)));
    lines.push(format!("needs {}", needs.join(" and ")));
    let plain = |text: &str| {
        let cut: String = text.chars().take(NOTICE_CHARS_MAX).collect();
        let whole = cut.len() == text.len();
        if whole {
            cut
        } else {
            format!("[CUT: see the whole before you decide] {cut}")
        }
    };
    object(|out| {
        // The fallback text of notifications is read as markup, so it holds nothing but our own words.
        out.string("text", &format!("Sallyport: an approval waits: {link}"));
        out.array("blocks", |list| {
            for text in [&head, &lines.join("\n")] {
                list.object(|block| {
                    block.string("type", "section");
                    block.object("text", |out| {
                        out.string("type", "plain_text");
                        out.boolean("emoji", false);
                        out.string("text", &plain(text));
                    });
                });
            }
            list.object(|block| {
                block.string("type", "section");
                block.object("text", |out| {
                    out.string("type", "mrkdwn");
                    out.string("text", &format!("<{link}|Look and decide>"));
                });
            });
        });
        out.object("metadata", |out| {
            out.string("event_type", "sallyport_approval");
            out.object("event_payload", |out| {
                out.string("id", &request.id);
                out.string("url", link);
                out.string("binding", &request.binding);
            });
        });
    })
}

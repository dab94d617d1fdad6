//! Models: what a conversation holds before one is told it, asking it, and what its answer counts for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hyper::{
    HeaderMap, Method as HttpMethod, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER},
};
use inspect::{Finding, FindingKind, Findings, Location, Part, Scope, Score, Surface};
use pipeline::{
    Answer, Arrival, Entry, Objection, Passed, Ready, Resolution,
    decide::Inspected,
    forward::Recorded,
    ports::{Inspection, Unfound},
    refusal,
};
use policy::Trust;
use wire::{
    bounds::ANSWER,
    json::{Node, Pointer, object},
    jsonrpc::Response,
    mcp::{Era, Method},
    model::{self, Api},
};

use super::{Engines, flow, inspection::scope, stretches::Stretches};
use crate::{
    config::models::{MeantModel, SaidApi},
    known::{
        concerned,
        issuers::{Call, Fetched, Guarded, bearer},
    },
};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// The version of Anthropic's API that is spoken; its newer parts come as beta headers, which are not.
const SPOKEN: HeaderValue = HeaderValue::from_static("2023-06-01");
/// When to come back where a provider has no room and does not say when it will.
const BUSY_RETRY_MS: u64 = 1_000;

/// The models there are. They do not change while the gateway runs.
#[derive(Debug)]
pub(crate) struct Models(BTreeMap<String, Model>);

#[derive(Debug)]
struct Model {
    meant: MeantModel,
    guarded: Guarded,
}

impl Models {
    /// Those of a configuration.
    pub(crate) fn new(meant: &[MeantModel]) -> Result<Self, String> {
        let mut models = BTreeMap::new();
        for meant in meant {
            let guarded = Guarded::new(meant.network, &meant.authorities)?;
            let name = meant.resource.facts().map(|facts| facts.name.clone());
            let model = Model {
                // Longer than it is waited for: that it took too long is said by whoever waits.
                guarded: guarded.within(meant.wait + Duration::from_secs(1), ANSWER.text_bytes_max),
                meant: meant.clone(),
            };
            models.insert(name.unwrap_or_default(), model);
        }
        Ok(Self(models))
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What a request is for, once it is one that can be judged.
    pub(super) fn resolve(
        &self,
        method: Option<Method>,
        params: Option<Node<'_>>,
        name: &str,
    ) -> Result<Resolution, Unfound> {
        let nothing = |code, why: String, shown| {
            let objection = Objection::new(code, why);
            Unfound::Nothing(Box::new(Objection { shown, ..objection }))
        };
        // Before the name: what is wrong with a conversation says nothing of which models there are.
        let conversation = match (method.and_then(Api::of), params) {
            (Some(api), Some(params)) => model::read(api, params).map_err(|error| error.to_string()),
            (_, _) => Err("no conversation".to_owned()),
        };
        conversation.map_err(|why| nothing(&refusal::PARAMS_INVALID, why.clone(), Some(why)))?;
        let model = self.0.get(name).ok_or_else(|| {
            let why = format!("no model `{}`", name.escape_debug());
            // One that rules hide is refused in the same words.
            nothing(&refusal::TARGET_UNKNOWN, why, None)
        })?;
        Ok(Resolution::Model {
            resource: Arc::clone(&model.meant.resource),
        })
    }

    /// Each as the clients of both makers read it in a list; or the one that is asked for.
    pub(super) fn entries(&self, asked: &Arrival) -> Vec<Entry> {
        let wanted = asked.message.params().and_then(|params| params.get("model"));
        let entry = |(name, model): (&String, &Model)| Entry {
            resource: Arc::clone(&model.meant.resource),
            shown: object(|out| {
                out.string("id", name);
                out.string("object", "model");
                out.integer("created", 0);
                out.string("owned_by", "sallyport");
                out.string("type", "model");
                out.string("display_name", name);
                out.string("created_at", "1970-01-01T00:00:00Z");
            })
            .into(),
        };
        let is_wanted = |(name, _): &(&String, &Model)| wanted.is_none_or(|wanted| wanted.is_str(name));
        self.0.iter().filter(is_wanted).map(entry).collect()
    }
}

impl Engines {
    /// Reads what a model is about to be told. The caller's own words are orders by right; what tools gave back is not.
    pub(super) fn read_conversation(&self, call: &Ready<Inspected>) -> Inspection {
        let message = &call.arrival().message;
        let (Some(params), Some(api)) = (message.params(), message.method().and_then(Api::of)) else {
            return Inspection::default();
        };
        let held = model::read(api, params).unwrap_or_default();
        let whose = call.principal().holder();
        let found = self
            .inspector
            .inspect_node(params, scope(call.resolution(), Surface::Result, &whose));
        let (media, results) = (Stretches::of_all(&held.media), Stretches::of_all(&held.results));
        let found = found
            .into_iter()
            .filter(|finding| counts(finding, params, (&media, &results)));
        let findings = Findings::new(found.collect());
        let findings = match held.media.first() {
            Some(first) => findings.and(unreadable(params, *first)),
            None => findings,
        };
        let people = concerned::found(&findings, params);
        call.dossier().note(|known| known.subjects = people);
        Inspection {
            findings,
            sources: flow::sources(call, Some(params), &[]),
            ..Inspection::default()
        }
    }

    /// Reads what a model said. What it sealed for itself is not words.
    pub(super) fn read_completion(&self, scope: Scope<'_>, said: Node<'_>) -> Findings {
        let found = self.inspector.inspect_node(said, scope);
        let sealed = Stretches::of_all(&sealed(said));
        let is_open = |finding: &Finding| !is_within(finding, said, &sealed);
        Findings::new(found.into_iter().filter(is_open).collect())
    }

    async fn ask_model(&self, call: &Passed<Recorded>) -> Result<Answer, Objection> {
        let message = &call.arrival().message;
        let name = call.resolution().model().map(|facts| facts.name.as_str());
        let asked = name
            .and_then(|name| self.models.0.get(name))
            .zip(message.params());
        let (Some((model, params)), Some(api)) = (asked, message.method().and_then(Api::of)) else {
            return Err(Objection::new(
                &refusal::INTERNAL,
                "a model nobody has configured",
            ));
        };
        let meant = &model.meant;
        // Said here, to those who may use it.
        if !meant.api.speaks(api) {
            let where_to = match meant.api {
                SaidApi::Anthropic => "it is asked at /v1/messages, and at /v1/messages/count_tokens",
                SaidApi::Openai => "it is asked at /v1/chat/completions and /v1/responses",
            };
            return Err(Objection::new(&refusal::PARAMS_INVALID, where_to).showing(where_to));
        }
        // Of what a trusted model says nothing is remembered.
        if call
            .resolution()
            .model()
            .is_some_and(|facts| facts.trust == Trust::Untrusted)
        {
            let seen = flow::Seen::new(call.resolution().resource(), call.arrival());
            call.context().uses(&seen.call());
        }
        let url = format!("{}{}", meant.url, api.path());
        let fetched = model.guarded.send(Call {
            method: HttpMethod::POST,
            url: &url,
            headers: headers(meant)?,
            body: model::write(api, params, call.outgoing(), &meant.model),
        });
        let fetched = tokio::time::timeout(meant.wait, fetched).await;
        let fetched = fetched.map_err(|_| {
            let why = format!("no answer within {:?}", meant.wait);
            Objection::new(&refusal::UPSTREAM_TIMEOUT, why)
        })?;
        let fetched = fetched.map_err(|why| Objection::new(&refusal::UPSTREAM_UNREACHABLE, why))?;
        let response = answer(api, fetched)?;
        Ok(Answer::Foreign(Arc::new(response), Era::Modern))
    }
}

impl pipeline::ports::Models for Engines {
    async fn complete(&self, call: &Passed<Recorded>) -> Result<Answer, Objection> {
        self.unless_halted(call, self.ask_model(call)).await
    }
}

/// What is shown to a provider: the gateway's key, and nothing of the caller's.
fn headers(meant: &MeantModel) -> Result<Vec<(HeaderName, HeaderValue)>, Objection> {
    let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    if meant.api == SaidApi::Anthropic {
        headers.push((VERSION, SPOKEN));
    }
    if let Some(key) = &meant.key {
        let (name, value) = match meant.api {
            SaidApi::Anthropic => (API_KEY, HeaderValue::from_str(key.expose())),
            SaidApi::Openai => (AUTHORIZATION, HeaderValue::from_str(&bearer(key))),
        };
        let unfit = |_| Objection::new(&refusal::INTERNAL, "the model's key cannot stand in a header");
        let mut value = value.map_err(unfit)?;
        value.set_sensitive(true);
        headers.push((name, value));
    }
    Ok(headers)
}

fn answer(api: Api, fetched: Fetched) -> Result<Response, Objection> {
    let status = fetched.status;
    match status {
        StatusCode::OK => {
            model::answer(api, &fetched.body).map_err(|why| Objection::new(&refusal::UPSTREAM_GARBLED, why))
        }
        // Something is wrong with the conversation, and whoever sent it is told what.
        StatusCode::BAD_REQUEST
        | StatusCode::NOT_FOUND
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => model::refused(status.as_u16(), &fetched.body)
            .ok_or_else(|| Objection::new(&refusal::UPSTREAM_GARBLED, format!("it answered {status}"))),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Objection::new(
            &refusal::UPSTREAM_UNAUTHORIZED,
            format!("the provider answered {status} to the configured key"),
        )),
        // 529: overloaded, at Anthropic.
        _ if matches!(status.as_u16(), 429 | 503 | 529) => Err(Objection {
            retry_after_ms: Some(retry_after_ms(&fetched.headers)),
            ..Objection::new(&refusal::UPSTREAM_BUSY, format!("the provider answered {status}"))
        }),
        _ => Err(Objection::new(
            &refusal::UPSTREAM_UNREACHABLE,
            format!("the provider answered {status}"),
        )),
    }
}

fn retry_after_ms(headers: &HeaderMap) -> u64 {
    let said = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds: Option<u64> = said.and_then(|said| said.trim().parse().ok());
    seconds.map_or(BUSY_RETRY_MS, |seconds| seconds.saturating_mul(1000))
}

/// Whether a finding in a conversation is one: nothing in what nobody can read is, and orders are the caller's right.
fn counts(finding: &Finding, params: Node<'_>, (media, results): (&Stretches, &Stretches)) -> bool {
    if is_within(finding, params, media) {
        return false;
    }
    match finding.kind {
        FindingKind::Injection | FindingKind::Poisoning => is_within(finding, params, results),
        FindingKind::Personal
        | FindingKind::Schema
        | FindingKind::Secret
        | FindingKind::Unicode
        | FindingKind::Uninspectable => true,
    }
}

fn is_within(finding: &Finding, of: Node<'_>, parts: &Stretches) -> bool {
    let node = of.document().at(finding.location.place);
    node.is_some_and(|node| parts.hold(node.span()))
}

/// Pictures, sound and files go as they are, and rules are told that something does.
fn unreadable(params: Node<'_>, media: Node<'_>) -> Findings {
    Findings::new(vec![Finding {
        kind: FindingKind::Uninspectable,
        detector: "uninspectable/media".into(),
        location: Location {
            pointer: Pointer::to(params, media).unwrap_or_default(),
            part: Part::Value,
            place: media.place(),
            span: 0..0,
        },
        score: Score::CERTAIN,
        note: "not text".into(),
    }])
}

/// Signatures and sealed thoughts, which a provider wants back as they are. A member of these names elsewhere, as in what a
/// tool is called with, is words like others.
fn sealed(said: Node<'_>) -> Vec<Node<'_>> {
    let parts = ["content", "output"]
        .into_iter()
        .filter_map(|name| said.get(name))
        .flat_map(Node::elements);
    let sealed = parts.filter_map(|part| {
        let kind = part.get("type").and_then(Node::as_str)?;
        match kind.as_ref() {
            "reasoning" => part.get("encrypted_content"),
            "redacted_thinking" => part.get("data"),
            "thinking" => part.get("signature"),
            _ => None,
        }
    });
    sealed.collect()
}

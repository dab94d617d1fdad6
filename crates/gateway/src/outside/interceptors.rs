//! Third-party interceptors (SEP-2624) asked for a second opinion: validators on MCP servers of their own. What they are
//! asked about is data to them; what they answer is yes, no, or nothing.
//!
//! It must not know calls, rules or contexts: whoever asks has taken out what they may not see. Mutators are not asked:
//! what was judged is what is sent, and only rules change it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use upstream::{Aside, Upstreams};
use wire::{
    json::{Kind, Node},
    jsonrpc::{Answer, Response},
    mcp::ServerName,
};

use crate::{ambient::Ambient, config::interceptors::MeantInterceptors, outside::judge::Verdict};

/// How long it is believed which validators a server has.
const LISTED_MS: i64 = 60 * 1000;
/// Most validators of one server that are asked, and most messages of one that are kept.
const VALIDATORS_MAX: usize = 8;
const MESSAGES_MAX: usize = 4;
/// Characters of what they say that are kept.
const SAID_CHARS_MAX: usize = 200;
/// The longest payload they are asked about, in bytes. About more, nobody is asked.
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// What is on its way, in the words of the SEP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event<'e> {
    /// The method, such as `tools/call`.
    pub(crate) name: &'e str,
    /// `request` or `response`.
    pub(crate) phase: &'e str,
}

/// What one validator said: a line for the ledger, and what it comes to.
pub(crate) type Opinion = (String, Result<Verdict, String>);

/// A validator, as its server lists it.
#[derive(Clone, Debug)]
struct Validator {
    name: String,
    events: Vec<String>,
    /// None where it looks at both.
    phase: Option<String>,
    /// It only watches, as its server says.
    audits: bool,
}

/// The validators of servers, and until when that is believed.
type Listed = HashMap<ServerName, (Arc<Vec<Validator>>, i64)>;

/// See the module.
pub(crate) struct Interceptors {
    meant: Vec<MeantInterceptors>,
    upstreams: Arc<Upstreams>,
    ambient: Ambient,
    listed: Mutex<Listed>,
}

impl std::fmt::Debug for Interceptors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interceptors")
            .field("meant", &self.meant)
            .finish_non_exhaustive()
    }
}

impl Interceptors {
    /// Those of a configuration.
    pub(crate) fn new(meant: Vec<MeantInterceptors>, upstreams: Arc<Upstreams>, ambient: Ambient) -> Self {
        Self {
            meant,
            upstreams,
            ambient,
            listed: Mutex::default(),
        }
    }

    /// Their servers.
    pub(crate) fn servers(&self) -> &[MeantInterceptors] {
        &self.meant
    }

    /// What the validators of one server think of a payload, each in a line; none where none of them looks at such.
    /// They share the time that the server has.
    pub(crate) async fn ask(&self, of: &MeantInterceptors, event: Event<'_>, payload: &[u8]) -> Vec<Opinion> {
        let server = &of.server;
        let silent = |who: &str, why: String| (format!("{who}: silent: {why}"), Err(why));
        if payload.len() > PAYLOAD_BYTES_MAX {
            let why = format!("{} bytes are more than they are asked about", payload.len());
            return vec![silent(server.as_str(), why)];
        }
        let until = tokio::time::Instant::now() + of.wait;
        let late = || format!("no answer within {:?}", of.wait);
        let listed = tokio::time::timeout_at(until, self.validators(server)).await;
        let validators = match listed.unwrap_or_else(|_| Err(late())) {
            Ok(validators) => validators,
            Err(why) => return vec![silent(server.as_str(), why)],
        };
        let wanted =
            |validator: &&Validator| of.validators.is_empty() || of.validators.contains(&validator.name);
        let mut opinions = Vec::new();
        for name in &of.validators {
            if !validators.iter().any(|validator| validator.name == *name) {
                opinions.push(silent(server.as_str(), format!("it has no validator `{name}`")));
            }
        }
        for validator in validators
            .iter()
            .filter(wanted)
            .filter(|validator| validator.looks_at(event))
        {
            let question = Aside::Invoke {
                name: &validator.name,
                event: event.name,
                phase: event.phase,
                payload,
                wait_ms: u64::try_from(of.wait.as_millis()).unwrap_or(u64::MAX),
            };
            let asked = tokio::time::timeout_at(until, self.upstreams.aside(server, question)).await;
            let said = match asked {
                Err(_) => Err(late()),
                Ok(Err(error)) => Err(error.to_string()),
                Ok(Ok(response)) => said(&response, &validator.name),
            };
            let who = format!("{server}/{}", shown(&validator.name));
            opinions.push(match said {
                Err(why) => silent(&who, why),
                Ok((verdict, words)) => weighed(&who, validator, verdict, &words),
            });
        }
        opinions
    }

    async fn validators(&self, server: &ServerName) -> Result<Arc<Vec<Validator>>, String> {
        let now_ms = self.ambient.now_ms();
        let known = self
            .kept()
            .get(server)
            .filter(|(_, until)| *until > now_ms)
            .cloned();
        if let Some((validators, _)) = known {
            return Ok(validators);
        }
        let asked = self.upstreams.aside(server, Aside::List).await;
        let response = asked.map_err(|error| error.to_string())?;
        let validators = Arc::new(listed(&response)?);
        let until = now_ms.saturating_add(LISTED_MS);
        self.kept()
            .insert(server.clone(), (Arc::clone(&validators), until));
        Ok(validators)
    }

    fn kept(&self) -> MutexGuard<'_, Listed> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Validator {
    fn looks_at(&self, event: Event<'_>) -> bool {
        let phase = self.phase.as_deref().is_none_or(|phase| phase == event.phase);
        phase && self.events.iter().any(|hook| hooks(hook, event))
    }
}

/// Whether a hook is one for an event: its name, `*`, `*/request`, `*/response`, or `NAMESPACE/*`.
fn hooks(hook: &str, event: Event<'_>) -> bool {
    match hook.split_once('/') {
        Some(("*", phase)) => phase == event.phase,
        Some((space, "*")) => event.name.split_once('/').is_some_and(|(own, _)| own == space),
        Some(_) => hook == event.name,
        None => hook == "*" || hook == event.name,
    }
}

/// A validator that only watches is heard and not heeded, as its server says of it and operators can read.
fn weighed(who: &str, validator: &Validator, verdict: Verdict, words: &str) -> Opinion {
    let words = if words.is_empty() {
        String::new()
    } else {
        format!(": {words}")
    };
    match verdict {
        Verdict::Refuse(_) if validator.audits => (
            format!("{who}: would refuse, and only watches{words}"),
            Ok(Verdict::Allow),
        ),
        Verdict::Refuse(_) => {
            let why = format!("`{who}` is against it{words}");
            (format!("{who}: refuse{words}"), Ok(Verdict::Refuse(why)))
        }
        Verdict::Allow => (format!("{who}: allow{words}"), Ok(Verdict::Allow)),
    }
}

/// The validators a server lists. One that cannot be read makes all of them unknown: it may be the one that matters.
fn listed(response: &Response) -> Result<Vec<Validator>, String> {
    let result = result(response)?;
    let list = result
        .get("interceptors")
        .filter(|list| list.kind() == Kind::Array);
    let list = list.ok_or("it lists no interceptors")?;
    let validators = list
        .elements()
        .filter(|entry| entry.get("type").is_some_and(|sort| sort.is_str("validation")));
    let validators: Option<Vec<Validator>> = validators.map(validator).collect();
    let validators = validators.ok_or("a validator in its list cannot be read")?;
    if result.get("nextCursor").is_some_and(|cursor| !cursor.is_null()) || validators.len() > VALIDATORS_MAX {
        return Err(format!(
            "it has more than {VALIDATORS_MAX} validators, or lists them in pages"
        ));
    }
    Ok(validators)
}

fn validator(entry: Node<'_>) -> Option<Validator> {
    let text = |node: Node<'_>| node.as_str().map(std::borrow::Cow::into_owned);
    let hook = entry.get("hook")?;
    let phase = hook.get("phase").and_then(text);
    let events: Option<Vec<String>> = hook.get("events")?.elements().map(text).collect();
    let phase = match phase.as_deref() {
        None | Some("both") => None,
        Some("request" | "response") => phase,
        Some(_) => return None,
    };
    let audits = match entry.get("mode").and_then(Node::as_str).as_deref() {
        None | Some("enforce" | "active") => false,
        Some("audit") => true,
        Some(_) => return None,
    };
    Some(Validator {
        name: entry.get("name").and_then(text)?,
        events: events?,
        phase,
        audits,
    })
}

/// What a validator says: whether it is against it, and its words.
fn said(response: &Response, name: &str) -> Result<(Verdict, String), String> {
    let result = result(response)?;
    let other = |key: &str, is: &str| result.get(key).is_some_and(|said| !said.is_str(is));
    if other("interceptor", name) || other("type", "validation") {
        return Err("it answered for another interceptor".to_owned());
    }
    let valid = result.get("valid").and_then(Node::as_bool);
    let valid = valid.ok_or("it said neither yes nor no")?;
    let severity = result.get("severity").filter(|severity| !severity.is_null());
    // Only an error blocks; a no without a severity is one, and so is a yes that calls itself one.
    let blocks = match severity
        .map(|severity| severity.as_str().unwrap_or_default())
        .as_deref()
    {
        None => !valid,
        Some("error") => true,
        Some("info" | "warn") => false,
        Some(_) => return Err("it said how grave it is in a word that is none".to_owned()),
    };
    let messages = result.get("messages").into_iter().flat_map(Node::elements);
    let words: Vec<String> = messages
        .filter_map(|message| {
            message
                .get("message")
                .and_then(Node::as_str)
                .map(|text| shown(&text))
        })
        .take(MESSAGES_MAX)
        .collect();
    let verdict = if blocks {
        Verdict::Refuse(String::new())
    } else {
        Verdict::Allow
    };
    Ok((verdict, words.join(", ")))
}

fn result(response: &Response) -> Result<Node<'_>, String> {
    match response.answer() {
        Answer::Result(result) => Ok(result),
        Answer::Error(error) => {
            let message = error.get("message").and_then(Node::as_str).unwrap_or_default();
            Err(format!("it answered with an error: {}", shown(&message)))
        }
    }
}

/// Words of somebody else's, short and without anything that acts.
fn shown(text: &str) -> String {
    text.chars()
        .take(SAID_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wire::{bounds::ANSWER, json::Keys, jsonrpc::Message};

    use super::*;

    fn response(result: &Value) -> Response {
        let text = json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string();
        match Message::parse(text.into_bytes(), Keys::Exact, &ANSWER) {
            Ok(Message::Response(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_an_error_blocks_and_what_is_unclear_is_no_answer() {
        let blocks = |result: Value| match said(&response(&result), "v") {
            Ok((Verdict::Refuse(_), _)) => "refuse",
            Ok((Verdict::Allow, _)) => "allow",
            Err(_) => "silent",
        };
        for (result, wanted) in [
            (json!({"valid": true}), "allow"),
            (json!({"valid": true, "severity": "info"}), "allow"),
            (json!({"valid": false, "severity": "warn"}), "allow"),
            (json!({"valid": false, "severity": "error"}), "refuse"),
            (json!({"valid": false}), "refuse"),
            (json!({"valid": false, "severity": null}), "refuse"),
            (json!({"valid": true, "severity": "error"}), "refuse"),
            (json!({"valid": "true"}), "silent"),
            (json!({"valid": false, "severity": "grave"}), "silent"),
            (json!({"valid": true, "severity": ["info"]}), "silent"),
            (json!({"valid": true, "interceptor": "w"}), "silent"),
            (json!({"valid": true, "type": "mutation"}), "silent"),
            (json!({}), "silent"),
        ] {
            assert_eq!(blocks(result.clone()), wanted, "{result}");
        }
    }

    #[test]
    fn hooks_are_names_and_stars() {
        let call = Event {
            name: "tools/call",
            phase: "request",
        };
        for (hook, wanted) in [
            ("tools/call", true),
            ("*", true),
            ("tools/*", true),
            ("*/request", true),
            ("*/response", false),
            ("tools", false),
            ("tools/list", false),
            ("resources/*", false),
            ("", false),
        ] {
            assert_eq!(hooks(hook, call), wanted, "{hook}");
        }
    }

    #[test]
    fn a_list_is_read_whole_or_not_at_all() {
        let one = json!({"name": "a", "type": "validation", "hook": {"events": ["*"], "phase": "both"}});
        let mutator = json!({"name": "b", "type": "mutation"});
        let read = |list: Value| listed(&response(&json!({"interceptors": list})));
        assert_eq!(read(json!([one, mutator])).expect("a list").len(), 1);
        for broken in [
            json!([one, {"name": "c", "type": "validation"}]),
            json!([{"name": "c", "type": "validation", "hook": {"events": [1], "phase": "both"}}]),
            json!([{"name": "c", "type": "validation", "mode": "idle", "hook": {"events": ["*"]}}]),
            json!([{"name": "c", "type": "validation", "hook": {"events": ["*"], "phase": "later"}}]),
            json!({"a": one}),
            Value::Array(vec![one.clone(); VALIDATORS_MAX + 1]),
        ] {
            assert!(read(broken.clone()).is_err(), "{broken}");
        }
    }
}

//! What a conversation holds: whose words are whose, and that nothing in it stands elsewhere.

use crate::{
    json::{Kind, Node},
    model::{Api, ModelError},
};

/// The parts of a conversation that are not the caller's own words.
#[derive(Clone, Debug, Default)]
pub struct Conversation<'m> {
    /// What tools gave back, and documents: anybody may have written them.
    pub results: Vec<Node<'m>>,
    /// Pictures, sound, files and sealed thoughts: nobody can read them here.
    pub media: Vec<Node<'m>>,
}

type Read = Result<(), ModelError>;

/// Tools the caller runs. All others the provider runs, on a road of its own.
const OPENAI_TOOLS: [&str; 3] = ["custom", "function", "local_shell"];
/// The same for Anthropic, whose names end with a date.
const ANTHROPIC_TOOLS: [&str; 4] = ["bash_", "computer_", "memory_", "text_editor_"];
/// Whose words a chat has.
const ROLES: [&str; 6] = ["assistant", "developer", "function", "system", "tool", "user"];
/// What a request may have beside the conversation: how to answer, and nothing to bring in or to run. Providers know more
/// (other models to go to, plug-ins, searches, addresses), each by names of its own, so the list is of what is good.
const MEMBERS: [&str; 68] = [
    "_meta",
    "background",
    "cache_control",
    "chat_template_kwargs",
    "enable_thinking",
    "frequency_penalty",
    "function_call",
    "functions",
    "guided_choice",
    "guided_grammar",
    "guided_json",
    "guided_regex",
    "include",
    "include_reasoning",
    "inference_geo",
    "input",
    "instructions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "max_tool_calls",
    "messages",
    "metadata",
    "min_p",
    "min_tokens",
    "modalities",
    "model",
    "n",
    "output_config",
    "output_format",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning",
    "reasoning_effort",
    "repeat_penalty",
    "repetition_penalty",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "stop_sequences",
    "stop_token_ids",
    "store",
    "stream",
    "stream_options",
    "system",
    "temperature",
    "text",
    "think",
    "thinking",
    "thinking_budget",
    "tool_choice",
    "tools",
    "top_a",
    "top_k",
    "top_logprobs",
    "top_p",
    "truncation",
    "typical_p",
    "usage",
    "user",
    "verbosity",
];

/// Reads the conversation of a request.
///
/// # Errors
/// When it is not what the API has, or something in it stands elsewhere.
pub fn read(api: Api, params: Node<'_>) -> Result<Conversation<'_>, ModelError> {
    let mut found = Conversation::default();
    match api {
        Api::Chat => found.chat(params)?,
        Api::Messages | Api::Tokens => found.messages(params)?,
        Api::Responses => found.responses(params)?,
    }
    tools(api, params)?;
    members(params)?;
    Ok(found)
}

impl<'m> Conversation<'m> {
    fn chat(&mut self, params: Node<'m>) -> Read {
        absent(params, "web_search_options", "the provider would search")?;
        if let Some(modalities) = params.get("modalities").filter(|given| !given.is_null())
            && modalities.elements().any(|one| !one.is_str("text"))
        {
            return elsewhere("modalities", "nobody could read what is not text");
        }
        for message in list(params, "messages")? {
            absent(message, "audio", "it is kept by the provider")?;
            if !one_of(message.get("role"), &ROLES) {
                return elsewhere("role", "nobody here knows whose words those are");
            }
            let of_tool = one_of(message.get("role"), &["function", "tool"]);
            let Some(content) = message.get("content").filter(|content| !content.is_null()) else {
                continue;
            };
            if of_tool {
                self.results.push(content);
            }
            for part in parts(content, "content")? {
                match kind(part).as_ref() {
                    "text" | "refusal" => {}
                    "image_url" => self.inline(part.get("image_url").and_then(|image| image.get("url")))?,
                    "input_audio" => self.data(part.get("input_audio"), "data")?,
                    "file" => self.file(part.get("file"))?,
                    other => return unread(other),
                }
            }
        }
        Ok(())
    }

    fn responses(&mut self, params: Node<'m>) -> Read {
        for name in ["previous_response_id", "conversation", "prompt"] {
            absent(
                params,
                name,
                "it is kept by the provider; send the conversation itself",
            )?;
        }
        if params.get("background").and_then(Node::as_bool) == Some(true) {
            return elsewhere("background", "its answer would be fetched by another road");
        }
        let input = params.get("input").ok_or(ModelError::Type("input"))?;
        if input.kind() == Kind::String {
            return Ok(());
        }
        for item in list(params, "input")? {
            match kind(item).as_ref() {
                "" | "message" => {
                    let content = item.get("content").ok_or(ModelError::Type("content"))?;
                    self.input(content)?;
                }
                "custom_tool_call_output" | "function_call_output" | "local_shell_call_output" => {
                    let output = item.get("output").ok_or(ModelError::Type("output"))?;
                    self.results.push(output);
                    self.input(output)?;
                }
                "custom_tool_call" | "function_call" | "local_shell_call" => {}
                "reasoning" => self.media.extend(item.get("encrypted_content")),
                other => return unread(other),
            }
        }
        Ok(())
    }

    fn input(&mut self, content: Node<'m>) -> Read {
        for part in parts(content, "content")? {
            match kind(part).as_ref() {
                "input_text" | "output_text" | "refusal" | "text" => {}
                "input_image" => {
                    absent(part, "file_id", "it is kept by the provider")?;
                    self.inline(part.get("image_url"))?;
                }
                "input_file" => {
                    absent(part, "file_url", "the provider would fetch it")?;
                    self.file(Some(part))?;
                }
                "input_audio" => self.data(part.get("input_audio"), "data")?,
                other => return unread(other),
            }
        }
        Ok(())
    }

    fn messages(&mut self, params: Node<'m>) -> Read {
        absent(
            params,
            "mcp_servers",
            "the provider would call them; use the gateway's",
        )?;
        absent(params, "container", "it is kept by the provider")?;
        if let Some(system) = params.get("system").filter(|system| !system.is_null()) {
            self.blocks(system)?;
        }
        for message in list(params, "messages")? {
            self.blocks(message.get("content").ok_or(ModelError::Type("content"))?)?;
        }
        Ok(())
    }

    fn blocks(&mut self, content: Node<'m>) -> Read {
        for block in parts(content, "content")? {
            match kind(block).as_ref() {
                "text" | "tool_use" => {}
                "thinking" => self.media.extend(block.get("signature")),
                "redacted_thinking" => self.media.extend(block.get("data")),
                "image" => self.source(block)?,
                "document" => {
                    self.results.push(block);
                    self.source(block)?;
                }
                // Its title and where it is from are others' words as well.
                "search_result" | "tool_result" => {
                    self.results.push(block);
                    self.held(block)?;
                }
                other => return unread(other),
            }
        }
        Ok(())
    }

    /// What a result holds, which may be nothing.
    fn held(&mut self, result: Node<'m>) -> Read {
        match result.get("content").filter(|content| !content.is_null()) {
            Some(content) => self.within(content),
            None => Ok(()),
        }
    }

    /// The blocks within a result, which are parts of it.
    fn within(&mut self, content: Node<'m>) -> Read {
        for block in parts(content, "content")? {
            match kind(block).as_ref() {
                "text" => {}
                "search_result" => self.held(block)?,
                "image" | "document" => self.source(block)?,
                other => return unread(other),
            }
        }
        Ok(())
    }

    fn source(&mut self, block: Node<'m>) -> Read {
        let source = block.get("source").ok_or(ModelError::Type("source"))?;
        match kind(source).as_ref() {
            "base64" => self.data(Some(source), "data"),
            "text" => Ok(()),
            "content" => self.within(source.get("content").ok_or(ModelError::Type("source"))?),
            _ => elsewhere(
                "source",
                "the provider would fetch it, or keeps it; send its data",
            ),
        }
    }

    /// A `data:` URL.
    fn inline(&mut self, url: Option<Node<'m>>) -> Read {
        let url = url.ok_or(ModelError::Type("image_url"))?;
        let is_data = url.as_str().is_some_and(|url| {
            let scheme = url.split(':').next().unwrap_or_default();
            scheme.eq_ignore_ascii_case("data")
        });
        if !is_data {
            return elsewhere("image_url", "the provider would fetch it; send a `data:` URL");
        }
        self.media.push(url);
        Ok(())
    }

    fn file(&mut self, file: Option<Node<'m>>) -> Read {
        let file = file.ok_or(ModelError::Type("file"))?;
        absent(file, "file_id", "it is kept by the provider; send its data")?;
        self.data(Some(file), "file_data")
    }

    fn data(&mut self, of: Option<Node<'m>>, name: &'static str) -> Read {
        let data = of.and_then(|of| of.get(name)).ok_or(ModelError::Type(name))?;
        self.media.push(data);
        Ok(())
    }
}

fn tools(api: Api, params: Node<'_>) -> Read {
    let Some(tools) = params.get("tools").filter(|tools| !tools.is_null()) else {
        return Ok(());
    };
    if tools.kind() != Kind::Array {
        return Err(ModelError::Type("tools"));
    }
    for tool in tools.elements() {
        let kind = kind(tool);
        let is_callers = match api {
            Api::Chat | Api::Responses => OPENAI_TOOLS.contains(&kind.as_ref()),
            Api::Messages | Api::Tokens => {
                let kind = kind.as_ref();
                kind.is_empty()
                    || kind == "custom"
                    || ANTHROPIC_TOOLS.iter().any(|start| kind.starts_with(start))
            }
        };
        if !is_callers {
            let why = format!("the provider would run `{}`", shorten(&kind));
            return Err(ModelError::Elsewhere("tools", why));
        }
    }
    Ok(())
}

/// Nobody knows what a member does that is not known here.
fn members(params: Node<'_>) -> Read {
    for (key, value) in params.members() {
        let name = key.as_str().unwrap_or_default();
        if !value.is_null() && !MEMBERS.contains(&name.as_ref()) {
            return Err(ModelError::Member(shorten(&name)));
        }
    }
    Ok(())
}

/// The value of `type`; empty where there is none.
fn kind(node: Node<'_>) -> std::borrow::Cow<'_, str> {
    match node.get("type") {
        None => "".into(),
        // A type that is no text is none that is known.
        Some(kind) => kind.as_str().unwrap_or("?".into()),
    }
}

fn one_of(node: Option<Node<'_>>, words: &[&str]) -> bool {
    node.is_some_and(|node| words.iter().any(|word| node.is_str(word)))
}

/// The elements of a member that is an array.
fn list<'m>(of: Node<'m>, name: &'static str) -> Result<impl Iterator<Item = Node<'m>>, ModelError> {
    let list = of.get(name).filter(|list| list.kind() == Kind::Array);
    list.map(Node::elements).ok_or(ModelError::Type(name))
}

/// The parts of a content, which has none where it is a text.
fn parts<'m>(content: Node<'m>, name: &'static str) -> Result<Vec<Node<'m>>, ModelError> {
    match content.kind() {
        Kind::String => Ok(Vec::new()),
        Kind::Array => Ok(content.elements().collect()),
        Kind::Bool | Kind::Null | Kind::Number | Kind::Object => Err(ModelError::Type(name)),
    }
}

/// A member that must not be there, or be null.
fn absent(of: Node<'_>, name: &'static str, why: &str) -> Read {
    match of.get(name) {
        Some(given) if !given.is_null() => elsewhere(name, why),
        Some(_) | None => Ok(()),
    }
}

fn elsewhere(name: &'static str, why: &str) -> Read {
    Err(ModelError::Elsewhere(name, why.to_owned()))
}

fn unread(kind: &str) -> Read {
    let why = format!("content of the type `{}` cannot be read here", shorten(kind));
    Err(ModelError::Elsewhere("type", why))
}

fn shorten(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_default).collect()
}

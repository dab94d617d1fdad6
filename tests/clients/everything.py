"""A dual-era MCP server with everything the official conformance suites ask a server for.

Serves Streamable HTTP on a free port, prints its URL, and ends when its input does. It knows nothing of the
gateway: the suites run against it directly and through the gateway, and the counts are compared.
"""

import asyncio
import base64
import json
import socket
import sys
from typing import Annotated

import uvicorn
from mcp import types
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, Field

from everything_tasks import Tasks

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4"
    "nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
)
SILENCE = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="

server = MCPServer("everything", version="1", extensions=[Tasks()])
# With the argument `modern` it refuses sessions: a server of the modern era alone.
MODERN_ALONE = "modern" in sys.argv


def tool_of_sessions(function):
    """A tool that asks by requests, where there are sessions to ask in."""
    return function if MODERN_ALONE else server.tool(structured_output=False)(function)


def text(words):
    return types.TextContent(type="text", text=words)


def image():
    return types.ImageContent(type="image", data=PIXEL, mime_type="image/png")


def embedded(uri, mime_type, words):
    contents = types.TextResourceContents(uri=uri, mime_type=mime_type, text=words)
    return types.EmbeddedResource(type="resource", resource=contents)


# Content


@server.tool(structured_output=False)
def echo(message: str) -> str:
    """Gives back the message."""
    return message


@server.tool(structured_output=False)
def test_simple_text() -> str:
    """Answers with a text."""
    return "This is a simple text response for testing."


@server.tool(structured_output=False)
def test_image_content() -> list:
    """Answers with an image."""
    return [image()]


@server.tool(structured_output=False)
def test_audio_content() -> list:
    """Answers with a sound."""
    return [types.AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")]


@server.tool(structured_output=False)
def test_embedded_resource() -> list:
    """Answers with a resource."""
    return [embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")]


@server.tool(structured_output=False)
def test_multiple_content_types() -> list:
    """Answers with a text, an image and a resource."""
    data = embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
    return [text("Multiple content types test:"), image(), data]


@server.tool(structured_output=False)
def test_error_handling() -> str:
    """Always fails."""
    raise ValueError("This tool intentionally returns an error for testing")


# What belongs to a call while it runs


@server.tool(structured_output=False)
async def test_tool_with_logging(ctx: Context) -> str:
    """Logs three times."""
    for words in ["Tool execution started", "Tool processing data", "Tool execution completed"]:
        await ctx.info(words)
        await asyncio.sleep(0.05)
    return "logged"


@server.tool(structured_output=False)
async def test_tool_with_progress(ctx: Context) -> str:
    """Says three times how far it is."""
    for progress in [0, 50, 100]:
        await ctx.report_progress(progress, 100)
        await asyncio.sleep(0.05)
    return "done"


@server.tool(structured_output=False)
async def test_logging_tool(ctx: Context) -> str:
    """Logs once."""
    await ctx.info("a line")
    return "logged"


@server.tool(structured_output=False)
async def test_reconnection(ctx: Context) -> str:
    """Closes its stream and answers on the next one."""
    await ctx.close_sse_stream()
    await asyncio.sleep(0.3)
    return "answered after the stream was closed"


# Questions to the client, as requests (up to 2025-11-25)


class Account(BaseModel):
    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


class Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: str = Field("active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = True


def titled(*titles):
    return [{"const": f"value{n}", "title": title} for n, title in enumerate(titles, 1)]


OPTIONS = ["option1", "option2", "option3"]


class Choices(BaseModel):
    untitledSingle: Annotated[str, Field(json_schema_extra={"enum": OPTIONS})]
    titledSingle: Annotated[str, Field(json_schema_extra={"oneOf": titled("First", "Second", "Third")})]
    legacyEnum: Annotated[
        str, Field(json_schema_extra={"enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]})
    ]
    untitledMulti: Annotated[list[str], Field(json_schema_extra={"items": {"type": "string", "enum": OPTIONS}})]
    titledMulti: Annotated[list[str], Field(json_schema_extra={"items": {"anyOf": titled("First", "Second")}})]


@tool_of_sessions
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Asks the client's model."""
    question = types.SamplingMessage(role="user", content=text(prompt))
    answer = await ctx.session.create_message(messages=[question], max_tokens=100)
    return f"LLM response: {answer.content.text}"


async def elicited(ctx, message, schema):
    answer = await ctx.elicit(message=message, schema=schema)
    content = answer.data.model_dump_json() if answer.action == "accept" else "{}"
    return f"action={answer.action}, content={content}"


@tool_of_sessions
async def test_elicitation(message: str, ctx: Context) -> str:
    """Asks the user."""
    return "User response: " + await elicited(ctx, message, Account)


@tool_of_sessions
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Asks the user, with an answer to each question at hand."""
    return "Elicitation completed: " + await elicited(ctx, "Is this right?", Defaults)


@tool_of_sessions
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Asks the user to choose."""
    return "Elicitation completed: " + await elicited(ctx, "Choose.", Choices)


# Questions to the client, as results (2026-07-28)


def ask_user(message, **properties):
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    params = types.ElicitRequestFormParams(message=message, requested_schema=schema)
    return types.ElicitRequest(params=params)


def ask_model(words, max_tokens=100):
    question = types.SamplingMessage(role="user", content=text(words))
    params = types.CreateMessageRequestParams(messages=[question], max_tokens=max_tokens)
    return types.CreateMessageRequest(params=params)


def ask_roots():
    return types.ListRootsRequest()


def needed(state=None, **questions):
    return types.InputRequiredResult(input_requests=questions, request_state=state)


def answered(ctx, *keys):
    """Whether the client answered all of these, and with what such answers are."""
    given = ctx.input_responses or {}
    kinds = (types.ElicitResult, types.CreateMessageResult, types.ListRootsResult)
    return all(isinstance(given.get(key), kinds) for key in keys)


STRING = {"type": "string"}
NAME = ask_user("What is your name?", name=STRING)
Asking = types.CallToolResult | types.InputRequiredResult


def done(words):
    return types.CallToolResult(content=[text(words)])


@server.tool(structured_output=False)
async def test_input_required_result_elicitation(ctx: Context) -> Asking:
    """Needs a name."""
    if not answered(ctx, "user_name"):
        return needed(user_name=NAME)
    answer = ctx.input_responses["user_name"]
    return done(f"Hello, {(answer.content or {}).get('name')}!")


@server.tool(structured_output=False)
async def test_input_required_result_sampling(ctx: Context) -> Asking:
    """Needs the client's model."""
    if not answered(ctx, "capital_question"):
        return needed(capital_question=ask_model("What is the capital of France?"))
    return done("The model answered.")


@server.tool(structured_output=False)
async def test_input_required_result_list_roots(ctx: Context) -> Asking:
    """Needs the client's roots."""
    if not answered(ctx, "client_roots"):
        return needed(client_roots=ask_roots())
    return done(f"{len(ctx.input_responses['client_roots'].roots)} roots")


@server.tool(structured_output=False)
async def test_input_required_result_request_state(ctx: Context) -> Asking:
    """Needs a word, and its own state back."""
    if not (answered(ctx, "confirm") and ctx.request_state == "asked"):
        return needed("asked", confirm=ask_user("Please confirm", ok={"type": "boolean"}))
    return done("state-ok")


@server.tool(structured_output=False)
async def test_input_required_result_multiple_inputs(ctx: Context) -> Asking:
    """Needs three things at once."""
    if not answered(ctx, "user_name", "greeting", "client_roots"):
        greeting = ask_model("Generate a greeting", 50)
        return needed("asked", user_name=NAME, greeting=greeting, client_roots=ask_roots())
    return done("all three came")


@server.tool(structured_output=False)
async def test_input_required_result_multi_round(ctx: Context) -> Asking:
    """Needs two things, one after the other."""
    if ctx.request_state == "second" and answered(ctx, "step2"):
        return done("both came")
    if ctx.request_state == "first" and answered(ctx, "step1"):
        return needed("second", step2=ask_user("Step 2: What is your favorite color?", color=STRING))
    return needed("first", step1=ask_user("Step 1: What is your name?", name=STRING))


@server.tool(structured_output=False)
async def test_input_required_result_tampered_state(ctx: Context) -> Asking:
    """Needs its own state back, which the SDK seals."""
    if not answered(ctx, "confirm"):
        return needed("asked", confirm=ask_user("Please confirm", ok={"type": "boolean"}))
    return done("state-ok")


@server.tool(structured_output=False)
async def test_input_required_result_capabilities(ctx: Context) -> Asking:
    """Needs whatever the client can give."""
    if ctx.input_responses:
        return done("given")
    can = ctx.client_capabilities
    questions = {}
    if can and can.sampling is not None:
        questions["model"] = ask_model("Say something.")
    if can and can.elicitation is not None:
        questions["user"] = NAME
    return needed(**questions) if questions else done("nothing can be asked")


@server.tool(structured_output=False)
async def test_streaming_elicitation(ctx: Context) -> Asking:
    """Needs a name, after it said how far it is."""
    await ctx.report_progress(1, 2)
    return done("given") if answered(ctx, "user_name") else needed(user_name=NAME)


@server.tool(structured_output=False)
async def test_missing_capability(ctx: Context) -> str:
    """Needs a client that can sample."""
    can = ctx.client_capabilities
    if can is None or can.sampling is None:
        missing = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "sampling is required", missing)
    return "sampling was declared"


# The questions of sessions, as results: for clients of sessions, which the gateway asks in their way


def answer_to_form(ctx):
    answer = ctx.input_responses["form"]
    return f"action={answer.action}, content={json.dumps(answer.content or {})}"


def ask_form(message, model):
    params = types.ElicitRequestFormParams(message=message, requested_schema=model.model_json_schema())
    return needed(form=types.ElicitRequest(params=params))


async def sampling_by_result(prompt: str, ctx: Context) -> Asking:
    """Asks the client's model."""
    if not answered(ctx, "model"):
        return needed(model=ask_model(prompt))
    content = ctx.input_responses["model"].content
    return done(f"LLM response: {(content[0] if isinstance(content, list) else content).text}")


async def elicitation_by_result(message: str, ctx: Context) -> Asking:
    """Asks the user."""
    if not answered(ctx, "form"):
        return ask_form(message, Account)
    return done("User response: " + answer_to_form(ctx))


async def defaults_by_result(ctx: Context) -> Asking:
    """Asks the user, with an answer to each question at hand."""
    if not answered(ctx, "form"):
        return ask_form("Is this right?", Defaults)
    return done("Elicitation completed: " + answer_to_form(ctx))


async def choices_by_result(ctx: Context) -> Asking:
    """Asks the user to choose."""
    if not answered(ctx, "form"):
        return ask_form("Choose.", Choices)
    return done("Elicitation completed: " + answer_to_form(ctx))


if MODERN_ALONE:
    for name, function in [
        ("test_sampling", sampling_by_result),
        ("test_elicitation", elicitation_by_result),
        ("test_elicitation_sep1034_defaults", defaults_by_result),
        ("test_elicitation_sep1330_enums", choices_by_result),
    ]:
        server.tool(name=name, structured_output=False)(function)


# Lists that change


@server.tool(structured_output=False)
async def test_trigger_tool_change(ctx: Context) -> str:
    """Says that the tools changed."""
    await ctx.notify_tools_changed()
    return "said"


@server.tool(structured_output=False)
async def test_trigger_prompt_change(ctx: Context) -> str:
    """Says that the prompts changed."""
    await ctx.notify_prompts_changed()
    return "said"


# Schemas


@server.tool(structured_output=False)
def test_headers(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
    priority: Annotated[int, Field(json_schema_extra={"x-mcp-header": "Priority"})] = 0,
) -> str:
    """Has parameters that clients mirror in headers."""
    return f"{region} {priority}"


@server.tool(structured_output=False)
def json_schema_2020_12_tool(name: str = "") -> str:
    """Has a schema with the vocabulary of JSON Schema 2020-12."""
    return name


# The SDK writes schemas itself; this one is given.
server._tool_manager.get_tool("json_schema_2020_12_tool").parameters = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": STRING, "city": STRING},
        }
    },
    "properties": {
        "name": STRING,
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": STRING,
        "email": STRING,
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


# Resources


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    """A text."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """An image."""
    return base64.b64decode(PIXEL)


@server.resource("test://watched-resource", mime_type="text/plain")
def watched() -> str:
    """Can be subscribed to."""
    return "Watched resource content"


@server.resource("test://template/{id}/data", mime_type="application/json")
def of_template(id: str) -> str:
    """One for each id."""
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


# Prompts


def says(content):
    return {"role": "user", "content": content}


@server.prompt()
def test_simple_prompt() -> list:
    """Takes nothing."""
    return [says(text("This is a simple prompt for testing."))]


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> list:
    """Takes two words."""
    return [says(text(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))]


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list:
    """Takes the address of a resource."""
    resource = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
    return [says(resource), says(text("Please process the embedded resource above."))]


@server.prompt()
def test_prompt_with_image() -> list:
    """Has an image."""
    return [says(image()), says(text("Please analyze the image above."))]


@server.prompt()
async def test_input_required_result_prompt(ctx: Context) -> list | types.InputRequiredResult:
    """Needs a context."""
    if not answered(ctx, "user_context"):
        return needed(user_context=ask_user("What context should the prompt use?", context=STRING))
    return [says(text("The context came."))]


@server.completion()
async def complete(ref, argument, context):
    words = [word for word in ["paris", "park", "party", "test"] if word.startswith(argument.value)]
    return types.Completion(values=words, total=len(words), has_more=False)


# Methods of sessions the SDK leaves to its lower layer


async def nothing(ctx, params):
    return types.EmptyResult()


for method, params in [
    ("logging/setLevel", types.SetLevelRequestParams),
    ("resources/subscribe", types.SubscribeRequestParams),
    ("resources/unsubscribe", types.UnsubscribeRequestParams),
]:
    server._lowlevel_server.add_request_handler(method, params, nothing)


class Events(EventStore):
    """What was sent on each stream, so that a client can come back for the rest."""

    def __init__(self):
        self.sent = []

    async def store_event(self, stream_id, message):
        self.sent.append((stream_id, message))
        return str(len(self.sent))

    async def replay_events_after(self, last_event_id, send_callback):
        last = int(last_event_id)
        stream = self.sent[last - 1][0]
        for number, (of, message) in enumerate(self.sent[last:], last + 1):
            if of == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


class WithoutSessions:
    """Refuses `initialize` as a server does that knows the modern era alone."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        said = json.loads(body or b"{}")
        requested = said.get("params", {}).get("protocolVersion")
        # What comes in the modern era is for the SDK to refuse.
        if said.get("method") == "initialize" and requested:
            data = {"supported": ["2026-07-28"], "requested": requested}
            error = {"code": -32022, "message": "no sessions here", "data": data}
            text = json.dumps({"jsonrpc": "2.0", "id": said["id"], "error": error}).encode()
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 400, "headers": headers})
            return await send({"type": "http.response.body", "body": text})
        taken = False

        async def again():
            nonlocal taken
            if taken:
                return await receive()
            taken = True
            return {"type": "http.request", "body": body}

        return await self.app(scope, again, send)


async def main():
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    app = server.streamable_http_app(event_store=Events(), retry_interval=100)
    if MODERN_ALONE:
        app = WithoutSessions(app)
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    running = uvicorn.Server(config)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
    serving = asyncio.create_task(running.serve(sockets=[listening]))
    await asyncio.to_thread(sys.stdin.read)
    running.should_exit = True
    await serving


asyncio.run(main())

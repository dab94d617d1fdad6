"""A server of the legacy era alone, with what the official conformance suites of both eras ask a server for.

What a modern server asks in its answer, this one asks by requests of its own while the call runs: behind the
gateway, a modern client must not see the difference. It serves Streamable HTTP on a free port (or with `sse`
HTTP+SSE, with `stdio` its pipes), prints its URL, and ends when its input does. It knows nothing of the gateway.
"""

import asyncio
import base64
import json
import socket
import sys
from typing import Annotated

import uvicorn
from mcp import types
from mcp.server.fastmcp import Context, FastMCP
from mcp.server.fastmcp.prompts import base
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.shared.exceptions import McpError
from mcp.shared.message import ServerMessageMetadata
from pydantic import BaseModel, Field

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4"
    "nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
)
SILENCE = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="



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


server = FastMCP("everything-legacy", event_store=Events(), retry_interval=100)


def text(words):
    return types.TextContent(type="text", text=words)


def image():
    return types.ImageContent(type="image", data=PIXEL, mimeType="image/png")


def embedded(uri, mime_type, words):
    contents = types.TextResourceContents(uri=uri, mimeType=mime_type, text=words)
    return types.EmbeddedResource(type="resource", resource=contents)


# Content


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
    return [types.AudioContent(type="audio", data=SILENCE, mimeType="audio/wav")]


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
async def test_logging_tool(ctx: Context) -> str:
    """Logs once."""
    await ctx.info("a line")
    return "logged"


@server.tool(structured_output=False)
async def test_tool_with_progress(ctx: Context) -> str:
    """Says three times how far it is."""
    for progress in [0, 50, 100]:
        await ctx.report_progress(progress, 100)
        await asyncio.sleep(0.05)
    return "done"


@server.tool(structured_output=False)
async def test_reconnection(ctx: Context) -> str:
    """Closes its stream and answers on the next one."""
    await ctx.close_sse_stream()
    await asyncio.sleep(0.3)
    return "answered after the stream was closed"


# Questions to the client, as requests; by the names both suites have for them


class Name(BaseModel):
    name: str


class Account(BaseModel):
    username: str
    email: str


class Confirmed(BaseModel):
    ok: bool


class Color(BaseModel):
    color: str


class Setting(BaseModel):
    context: str


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


class Named(str):
    """An id that is a name, where the SDK counts."""

    counted = 0

    def __add__(self, step):
        return self.counted + step


async def ask(ctx, key, request, result):
    """Asks by a request of this name, on the stream of the call."""
    session = ctx.session
    name = Named(key)
    name.counted, session._request_id = session._request_id, name
    about = ServerMessageMetadata(related_request_id=ctx.request_id)
    return await session.send_request(types.ServerRequest(request), result, metadata=about)


async def ask_model(ctx, words, max_tokens=100, key="model"):
    question = types.SamplingMessage(role="user", content=text(words))
    params = types.CreateMessageRequestParams(messages=[question], maxTokens=max_tokens)
    request = types.CreateMessageRequest(params=params)
    return (await ask(ctx, key, request, types.CreateMessageResult)).content.text


async def ask_roots(ctx, key="client_roots"):
    return (await ask(ctx, key, types.ListRootsRequest(), types.ListRootsResult)).roots


async def elicited(ctx, message, schema, key="form"):
    params = types.ElicitRequestFormParams(message=message, requestedSchema=schema.model_json_schema())
    answer = await ask(ctx, key, types.ElicitRequest(params=params), types.ElicitResult)
    return f"action={answer.action}, content={json.dumps(answer.content or {})}"


@server.tool(structured_output=False)
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Asks the client's model."""
    return "LLM response: " + await ask_model(ctx, prompt)


@server.tool(structured_output=False)
async def test_elicitation(message: str, ctx: Context) -> str:
    """Asks the user."""
    return "User response: " + await elicited(ctx, message, Account)


@server.tool(structured_output=False)
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Asks the user, with an answer to each question at hand."""
    return "Elicitation completed: " + await elicited(ctx, "Is this right?", Defaults)


@server.tool(structured_output=False)
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Asks the user to choose."""
    return "Elicitation completed: " + await elicited(ctx, "Choose.", Choices)


@server.tool(structured_output=False)
async def test_input_required_result_elicitation(ctx: Context) -> str:
    """Needs a name."""
    return "Hello, " + await elicited(ctx, "What is your name?", Name, "user_name")


@server.tool(structured_output=False)
async def test_input_required_result_sampling(ctx: Context) -> str:
    """Needs the client's model."""
    return await ask_model(ctx, "What is the capital of France?", key="capital_question")


@server.tool(structured_output=False)
async def test_input_required_result_list_roots(ctx: Context) -> str:
    """Needs the client's roots."""
    return f"{len(await ask_roots(ctx))} roots"


@server.tool(structured_output=False)
async def test_input_required_result_request_state(ctx: Context) -> str:
    """Needs a word. The state is the gateway's."""
    await elicited(ctx, "Please confirm", Confirmed, "confirm")
    return "state-ok"


@server.tool(structured_output=False)
async def test_input_required_result_tampered_state(ctx: Context) -> str:
    """Needs a word. The state is the gateway's, which seals it."""
    await elicited(ctx, "Please confirm", Confirmed, "confirm")
    return "state-ok"


@server.tool(structured_output=False)
async def test_input_required_result_multiple_inputs(ctx: Context) -> str:
    """Needs three things at once."""
    await asyncio.gather(
        elicited(ctx, "What is your name?", Name, "user_name"),
        ask_model(ctx, "Generate a greeting", 50, "greeting"),
        ask_roots(ctx),
    )
    return "all three came"


@server.tool(structured_output=False)
async def test_input_required_result_multi_round(ctx: Context) -> str:
    """Needs two things, one after the other."""
    await elicited(ctx, "Step 1: What is your name?", Name, "step1")
    await elicited(ctx, "Step 2: What is your favorite color?", Color, "step2")
    return "both came"


@server.tool(structured_output=False)
async def test_input_required_result_capabilities(ctx: Context) -> str:
    """Needs whatever the client can give."""
    can = ctx.session.client_params.capabilities
    if can.sampling is not None:
        await ask_model(ctx, "Say something.")
    if can.elicitation is not None:
        await elicited(ctx, "What is your name?", Name)
    return "given"


@server.tool(structured_output=False)
async def test_streaming_elicitation(ctx: Context) -> str:
    """Needs a name, after it said how far it is."""
    await ctx.report_progress(1, 2)
    return await elicited(ctx, "What is your name?", Name, "user_name")


@server.tool(structured_output=False)
async def test_missing_capability() -> str:
    """Needs a client that can sample; see `refusing`."""
    return "sampling was declared"


# Lists that change


@server.tool(structured_output=False)
async def test_trigger_tool_change(ctx: Context) -> str:
    """Says that the tools changed."""
    await ctx.session.send_tool_list_changed()
    return "said"


@server.tool(structured_output=False)
async def test_trigger_prompt_change(ctx: Context) -> str:
    """Says that the prompts changed."""
    await ctx.session.send_prompt_list_changed()
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


STRING = {"type": "string"}
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


@server.prompt()
def test_simple_prompt() -> str:
    """Takes nothing."""
    return "This is a simple prompt for testing."


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """Takes two words."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list[base.Message]:
    """Takes the address of a resource."""
    resource = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
    return [base.UserMessage(resource), base.UserMessage("Please process the embedded resource above.")]


@server.prompt()
def test_prompt_with_image() -> list[base.Message]:
    """Has an image."""
    return [base.UserMessage(image()), base.UserMessage("Please analyze the image above.")]


@server.prompt()
async def test_input_required_result_prompt(ctx: Context) -> str:
    """Needs a context."""
    return await elicited(ctx, "What context should the prompt use?", Setting, "user_context")


@server.completion()
async def complete(ref, argument, context):
    words = [word for word in ["paris", "park", "party", "test"] if word.startswith(argument.value)]
    return types.Completion(values=words, total=len(words), hasMore=False)


# Methods the SDK leaves to its lower layer

lower = server._mcp_server


@lower.set_logging_level()
async def set_logging_level(level):
    pass


@lower.subscribe_resource()
async def subscribe(uri):
    pass


@lower.unsubscribe_resource()
async def unsubscribe(uri):
    pass


call_tool = lower.request_handlers[types.CallToolRequest]
read_resource = lower.request_handlers[types.ReadResourceRequest]
capabilities = lower.get_capabilities


async def refusing(request):
    """A server of sessions may use any code to say what it lacks; this one uses that of the other era."""
    can = lower.request_context.session.client_params.capabilities
    if request.params.name == "test_missing_capability" and can.sampling is None:
        missing = {"requiredCapabilities": {"sampling": {}}}
        raise McpError(types.ErrorData(code=-32021, message="sampling is required", data=missing))
    return await call_tool(request)


async def found(request):
    """The SDK has no code for what is not there; sessions have -32002."""
    try:
        return await read_resource(request)
    except ValueError as error:
        uri = str(request.params.uri)
        raise McpError(types.ErrorData(code=-32002, message=str(error), data={"uri": uri})) from error


def with_subscriptions(*args):
    """The SDK serves subscriptions and does not say so."""
    can = capabilities(*args)
    can.resources.subscribe = True
    return can


lower.request_handlers[types.CallToolRequest] = refusing
lower.request_handlers[types.ReadResourceRequest] = found
lower.get_capabilities = with_subscriptions


async def main(how):
    if how == "stdio":
        return await server.run_stdio_async()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(128)
    app, path = (server.sse_app(), "sse") if how == "sse" else (server.streamable_http_app(), "mcp")
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    running = uvicorn.Server(config)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/{path}", flush=True)
    serving = asyncio.create_task(running.serve(sockets=[listening]))
    await asyncio.to_thread(sys.stdin.read)
    running.should_exit = True
    await serving


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http"))

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

import uvicorn
from mcp import types
from mcp.server.fastmcp import Context, FastMCP
from mcp.server.fastmcp.prompts import base
from pydantic import BaseModel

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4"
    "nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
)
SILENCE = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="

server = FastMCP("everything-legacy")


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


async def ask_model(ctx, words, max_tokens=100):
    question = types.SamplingMessage(role="user", content=text(words))
    answer = await ctx.session.create_message(
        messages=[question], max_tokens=max_tokens, related_request_id=ctx.request_id
    )
    return answer.content.text


async def elicited(ctx, message, schema):
    answer = await ctx.elicit(message=message, schema=schema)
    content = answer.data.model_dump_json() if answer.action == "accept" else "{}"
    return f"action={answer.action}, content={content}"


@server.tool(structured_output=False)
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Asks the client's model."""
    return "LLM response: " + await ask_model(ctx, prompt)


@server.tool(structured_output=False)
async def test_elicitation(message: str, ctx: Context) -> str:
    """Asks the user."""
    return "User response: " + await elicited(ctx, message, Account)


@server.tool(structured_output=False)
async def test_input_required_result_elicitation(ctx: Context) -> str:
    """Needs a name."""
    return "Hello, " + await elicited(ctx, "What is your name?", Name)


@server.tool(structured_output=False)
async def test_input_required_result_sampling(ctx: Context) -> str:
    """Needs the client's model."""
    return await ask_model(ctx, "What is the capital of France?")


@server.tool(structured_output=False)
async def test_input_required_result_list_roots(ctx: Context) -> str:
    """Needs the client's roots."""
    answer = await ctx.session.list_roots()
    return f"{len(answer.roots)} roots"


@server.tool(structured_output=False)
async def test_input_required_result_request_state(ctx: Context) -> str:
    """Needs a word. The state is the gateway's."""
    await elicited(ctx, "Please confirm", Confirmed)
    return "state-ok"


@server.tool(structured_output=False)
async def test_input_required_result_tampered_state(ctx: Context) -> str:
    """Needs a word. The state is the gateway's, which seals it."""
    await elicited(ctx, "Please confirm", Confirmed)
    return "state-ok"


@server.tool(structured_output=False)
async def test_input_required_result_multiple_inputs(ctx: Context) -> str:
    """Needs three things at once."""
    await asyncio.gather(
        elicited(ctx, "What is your name?", Name),
        ask_model(ctx, "Generate a greeting", 50),
        ctx.session.list_roots(),
    )
    return "all three came"


@server.tool(structured_output=False)
async def test_input_required_result_multi_round(ctx: Context) -> str:
    """Needs two things, one after the other."""
    await elicited(ctx, "Step 1: What is your name?", Name)
    await elicited(ctx, "Step 2: What is your favorite color?", Color)
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
    return await elicited(ctx, "What is your name?", Name)


# Resources


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    """A text."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """An image."""
    return base64.b64decode(PIXEL)


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
    return await elicited(ctx, "What context should the prompt use?", Name)


@server.completion()
async def complete(ref, argument, context):
    words = [word for word in ["paris", "park", "party", "test"] if word.startswith(argument.value)]
    return types.Completion(values=words, total=len(words), hasMore=False)


async def main(how):
    if how == "stdio":
        return await server.run_stdio_async()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    app, path = (server.sse_app(), "sse") if how == "sse" else (server.streamable_http_app(), "mcp")
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    running = uvicorn.Server(config)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/{path}", flush=True)
    serving = asyncio.create_task(running.serve(sockets=[listening]))
    await asyncio.to_thread(sys.stdin.read)
    running.should_exit = True
    await serving


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http"))

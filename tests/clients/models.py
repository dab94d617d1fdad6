"""The official clients of OpenAI and Anthropic, with nothing of the gateway's in them but its address and a token.

Standard input has a JSON list of what to ask: `api`, `model`, `text` or `messages`, `stream`, and what else goes into the
request. For each, one line says what came back.
"""

import json
import os
import sys

import anthropic
import openai

BASE, TOKEN = os.environ["BASE"], os.environ["TOKEN"]
OPENAI = openai.OpenAI(base_url=f"{BASE}/v1", api_key=TOKEN, max_retries=0, timeout=60)
ANTHROPIC = anthropic.Anthropic(base_url=BASE, api_key=TOKEN, auth_token=None, max_retries=0, timeout=60)


def chat(asked, stream, more):
    asked = dict(model=asked["model"], messages=asked["messages"], **more)
    if not stream:
        whole = OPENAI.chat.completions.create(**asked)
        message = whole.choices[0].message
        calls = [[call.function.name, call.function.arguments] for call in message.tool_calls or []]
        return message.content, calls, whole.usage.prompt_tokens
    text, calls, tokens, end = "", [], None, None
    for chunk in OPENAI.chat.completions.create(stream=True, stream_options={"include_usage": True}, **asked):
        if chunk.usage:
            tokens = chunk.usage.prompt_tokens
        for choice in chunk.choices:
            text += choice.delta.content or ""
            end = choice.finish_reason or end
            calls += [[call.function.name, call.function.arguments] for call in choice.delta.tool_calls or []]
    assert end, "a stream that does not end"
    return text, calls, tokens


def responses(asked, stream, more):
    asked = dict(model=asked["model"], input=asked["messages"], **more)
    if not stream:
        whole = OPENAI.responses.create(**asked)
    else:
        # The SDK's own assembly of the events has to come to what the last one says.
        with OPENAI.responses.stream(**asked) as events:
            heard = "".join(event.delta for event in events if event.type == "response.output_text.delta")
            whole = events.get_final_response()
        assert heard == whole.output_text, (heard, whole.output_text)
    calls = [[item.name, item.arguments] for item in whole.output if item.type == "function_call"]
    return whole.output_text, calls, whole.usage.input_tokens


def messages(asked, stream, more):
    asked = dict(model=asked["model"], messages=asked["messages"], max_tokens=100, **more)
    if not stream:
        whole = ANTHROPIC.messages.create(**asked)
    else:
        with ANTHROPIC.messages.stream(**asked) as events:
            heard = "".join(events.text_stream)
            whole = events.get_final_message()
        assert heard == "".join(block.text for block in whole.content if block.type == "text")
    assert whole.stop_reason == "end_turn", whole
    text = "".join(block.text for block in whole.content if block.type == "text")
    calls = [[block.name, json.dumps(block.input)] for block in whole.content if block.type == "tool_use"]
    return text, calls, whole.usage.input_tokens


def count(asked, _stream, more):
    whole = ANTHROPIC.messages.count_tokens(model=asked["model"], messages=asked["messages"], **more)
    return None, [], whole.input_tokens


def answer(asked):
    if asked["api"] in ("one of openai", "one of anthropic"):
        client = OPENAI if asked["api"].endswith("openai") else ANTHROPIC
        return {"id": client.models.retrieve(asked["model"]).id}
    if asked["api"] == "list":
        return {
            "openai": [model.id for model in OPENAI.models.list()],
            "anthropic": [model.id for model in ANTHROPIC.models.list()],
        }
    asked.setdefault("messages", [{"role": "user", "content": asked.pop("text", "")}])
    rest = {key: asked[key] for key in asked if key not in ("api", "model", "messages", "stream")}
    more = {"extra_body": rest} if rest else {}
    ask = {"chat": chat, "count": count, "responses": responses, "messages": messages}[asked["api"]]
    text, calls, tokens = ask(asked, asked.get("stream", False), more)
    return {"text": text, "calls": calls, "tokens": tokens}


for one in json.load(sys.stdin):
    try:
        said = answer(one)
    except (openai.APIError, anthropic.APIError) as error:
        body = error.body if isinstance(error.body, dict) else {}
        body = body.get("error", body)
        response = getattr(error, "response", None)
        said = {
            "error": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "code": body.get("code"),
            "type": body.get("type"),
            "message": str(error),
            "retry_after": response.headers.get("retry-after") if response is not None else None,
            "reference": response.headers.get("x-request-id") if response is not None else None,
        }
    print(json.dumps(said), flush=True)

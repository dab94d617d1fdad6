"""Tasks (`io.modelcontextprotocol/tasks`), as the official suite asks a server for them; see `everything.py`."""

import asyncio
import datetime
import secrets

from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.server.extension import Extension, MethodBinding, ToolBinding
from mcp.server.mcpserver.server import require_client_extension
from mcp.shared.exceptions import MCPError

NAME = "io.modelcontextprotocol/tasks"
# Tools that become tasks, and those that cannot do without.
SUPPORTING = {"slow_compute", "failing_job", "protocol_error_job", "confirm_delete", "multi_input", "test_tool_with_task"}
REQUIRING = {"failing_job", "protocol_error_job", "test_tool_with_task"}


class TaskParams(types.RequestParams):
    taskId: str
    inputResponses: dict | None = None


def now():
    return datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")


def text(words, **more):
    return {"content": [{"type": "text", "text": words}], **more}


def question(message):
    schema = {"type": "object", "properties": {"confirm": {"type": "boolean"}}}
    params = {"mode": "form", "message": message, "requestedSchema": schema}
    return {"method": "elicitation/create", "params": params}


class Task:
    def __init__(self, work):
        self.id = secrets.token_hex(16)
        self.created = self.updated = now()
        self.status, self.more, self.answers = "working", {}, {}
        self.answered = asyncio.Event()
        self.running = asyncio.create_task(self.run(work))

    async def run(self, work):
        try:
            self.settle("completed", result=await work(self))
        except MCPError as error:
            self.settle("failed", error={"code": error.error.code, "message": error.error.message})
        except asyncio.CancelledError:
            self.settle("cancelled")

    def settle(self, status, **more):
        self.status, self.more, self.updated = status, more, now()

    async def ask(self, **questions):
        while left := {key: q for key, q in questions.items() if key not in self.answers}:
            self.settle("input_required", inputRequests=left)
            self.answered.clear()
            await self.answered.wait()
        self.settle("working")

    def envelope(self):
        times = {"createdAt": self.created, "lastUpdatedAt": self.updated}
        return {"taskId": self.id, "status": self.status, **times, "ttlMs": 300_000, "pollIntervalMs": 100}


def work_of(name, arguments, answers):
    """What a tool does, given its task, or none when nobody can have one."""

    async def work(task):
        if name == "slow_compute":
            await asyncio.sleep(arguments.get("seconds", 0))
            return text("computed")
        if name == "failing_job":
            await asyncio.sleep(0.3)
            return text("the job failed", isError=True)
        if name == "protocol_error_job":
            raise MCPError(-32603, "the job broke")
        if name == "test_tool_with_task":
            return text("Hello, " + answers["user_name"].content["name"])
        if task and name == "confirm_delete":
            await task.ask(confirm=question("Delete it?"))
        elif task:
            await task.ask(first=question("The first?"), second=question("The second?"))
        return text("done")

    return work


def greet(name: str) -> str:
    """Greets at once."""
    return f"Hello, {name}!"


def stands_for(name, description):
    """A tool that the extension runs itself."""

    async def tool(seconds: float = 0, label: str = "", filename: str = "") -> str:
        return name

    return ToolBinding(tool, kwargs={"name": name, "description": description, "structured_output": False})


class Tasks(Extension):
    identifier = NAME

    def __init__(self):
        self.tasks = {}

    def tools(self):
        kwargs = {"name": "greet", "structured_output": False}
        return [ToolBinding(greet, kwargs=kwargs)] + [
            stands_for(name, "Becomes a task.") for name in sorted(SUPPORTING)
        ]

    def methods(self):
        modern = frozenset({"2026-07-28"})
        return [
            MethodBinding(f"tasks/{name}", TaskParams, handler, modern)
            for name, handler in [("get", self.get), ("update", self.update), ("cancel", self.cancel)]
        ]

    async def intercept_tool_call(self, params, ctx: ServerRequestContext, call_next):
        if params.name not in SUPPORTING:
            return await call_next(ctx)
        can = ctx.session.client_capabilities
        declared = NAME in ((can and can.extensions) or {})
        if not declared and params.name in REQUIRING:
            require_client_extension(ctx, NAME)
        answers = params.input_responses or {}
        if params.name == "test_tool_with_task" and "user_name" not in answers:
            asked = {"user_name": question("What is your name?")}
            return {"resultType": "input_required", "inputRequests": asked}
        work = work_of(params.name, params.arguments or {}, answers)
        if not declared:
            return {"resultType": "complete", **await work(None)}
        task = Task(work)
        self.tasks[task.id] = task
        return {"resultType": "task", **task.envelope()}

    def task(self, ctx, params):
        require_client_extension(ctx, NAME)
        if ctx.request.headers.get("mcp-name", params.taskId) != params.taskId:
            raise MCPError(-32020, "the `Mcp-Name` header and the body do not agree")
        if params.taskId not in self.tasks:
            raise MCPError(-32602, "no such task")
        return self.tasks[params.taskId]

    async def get(self, ctx, params):
        task = self.task(ctx, params)
        return {"resultType": "complete", **task.envelope(), **task.more}

    async def update(self, ctx, params):
        task = self.task(ctx, params)
        task.answers.update(params.inputResponses or {})
        task.answered.set()
        # What was asked shows what is still open as soon as this is acknowledged.
        await asyncio.sleep(0)
        return {"resultType": "complete"}

    async def cancel(self, ctx, params):
        task = self.task(ctx, params)
        task.running.cancel()
        return {"resultType": "complete"}

"""What every Python client checks: all servers are listed, and one tool of each can be called."""

import os

FETCHED = os.environ.get("FETCHED")
SERVERS = ["everything", "fetch", "filesystem", "git", "memory", "sqlite", "time"]


def calls():
    """One call of each server: tool, arguments, and a part of the answer."""
    repository = os.environ["REPOSITORY"]
    entity = {"name": "Ada", "entityType": "person", "observations": ["wrote the first program"]}
    fetched = [("fetch__fetch", {"url": FETCHED}, "hello from far away")] if FETCHED else []
    return fetched + [
        ("filesystem__read_text_file", {"path": os.environ["FILE"]}, "hello from a file"),
        ("memory__create_entities", {"entities": [entity]}, "Ada"),
        ("everything__echo", {"message": "over the wall"}, "over the wall"),
        ("git__git_status", {"repo_path": repository}, "hello.txt"),
        ("sqlite__read_query", {"query": "SELECT 'over ' || 'the wall' AS said"}, "over the wall"),
        ("time__get_current_time", {"timezone": "Europe/Berlin"}, "Europe/Berlin"),
    ]


async def check(list_tools, call_tool):
    """Runs the check with the client's own two functions."""
    tools = [tool.name for tool in (await list_tools()).tools]
    found = sorted({name.split("__")[0] for name in tools})
    assert found == SERVERS, f"servers listed: {found}"
    for tool, arguments, part in calls():
        assert tool in tools, f"{tool} is not listed"
        result = await call_tool(tool, arguments)
        text = "".join(getattr(block, "text", "") for block in result.content)
        # Both generations of the SDK have their own spelling of this field.
        is_error = getattr(result, "is_error", getattr(result, "isError", None))
        # `memory` answers an entity that was there already with an empty list.
        fine = part in text or (tool.startswith("memory") and text.strip() == "[]")
        assert not is_error and fine, f"{tool}: {text[:500]}"
    print(f"{len(tools)} tools listed, all called")

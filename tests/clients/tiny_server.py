"""A small MCP server with three tools, one of which changes a file: what `agent connect` is tested with."""

import os
import sys
from pathlib import Path

from mcp.server import MCPServer
from mcp.types import ToolAnnotations

server = MCPServer("tiny")
NOTED = Path(sys.argv[1])


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def brief() -> dict[str, str]:
    """Say what the goal is, and what the server was told by a variable."""
    return {"goal": "lower the loss", "cache": os.environ.get("AUTOCENTAUR_CACHE", "")}


@server.tool()
def submit(title: str, script: str) -> dict[str, str]:
    """Note a script."""
    NOTED.write_text(f"{title}\n{script}")
    return {"submission": "a1b2c3"}


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def wait(submission: str) -> dict[str, str]:
    """Say what a script came to."""
    return {"state": "finished", "submission": submission}


if __name__ == "__main__":
    server.run("stdio")

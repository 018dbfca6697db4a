"""Finds requests that would evade the sandbox or the meter."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from agent.text import one_line

_UNMETERED = {
    "background": "whose reply does not state its cost",
    "prompt": "whose tools the gateway cannot see",  # OpenAI: a prompt that is stored in the account
    "mcp_servers": "which would reach the network",
    "web_search_options": "which would reach the network",
}
_HOSTED_TOOL = re.compile(
    r"(web_?search|web_?fetch|google_?search|url_?context|google_?maps|enterprise_?web|retrieval"
    r"|file_?search|code_?execution|code_?interpreter|image_?generation|mcp)",
    re.IGNORECASE,
)
"""The beginnings of the names of tools that the provider runs: as types (OpenAI, Anthropic) or as fields (Gemini)."""


def why_forbidden(document: Mapping[str, Any]) -> str | None:
    """Return why a request is not relayed; None: it may be.

    A tool that the provider runs has network access, which the sandbox has not, and is charged in addition to tokens.
    """
    for name, reason in _UNMETERED.items():
        if document.get(name):
            return f"the gateway relays no request with `{name}`, {reason}"
    for name in _kinds_of_tools(document):
        if _HOSTED_TOOL.match(name):
            return f"the gateway relays no request with the tool `{one_line(name)[:40]}`, which the provider would run"
    return None


def _kinds_of_tools(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the type of each tool of a request; where it has none, as in Gemini's dialect, its fields."""
    tools = document.get("tools")
    for tool in tools if isinstance(tools, list) else [tools]:
        if isinstance(tool, Mapping):
            kind = tool.get("type")
            if isinstance(kind, str):
                yield kind
            elif "name" not in tool:
                yield from tool

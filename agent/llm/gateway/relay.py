"""Relays one request of an agent to a source, and sends the reply back as it arrives, with secrets masked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from agent.llm.gateway.connection import AgentConnection
from agent.llm.gateway.dialects import error_body
from agent.llm.gateway.sources import AgentRequest, NoReplyError, ReplySource
from agent.llm.masking import StreamMask, without_secrets

RELAYED_HEADERS = ("content-type", "accept", "user-agent", "anthropic-version", "anthropic-beta", "openai-beta")
"""The headers of a request that are relayed. Others could choose the account that the key is charged to."""
_RELAYED_QUERY = ("alt", "beta", "client_version")
_RETURNED_HEADERS = ("retry-after", "retry-after-ms", "request-id", "x-request-id", "x-should-retry")


@dataclass
class RelayedReply:
    """The reply to a relayed request, as far as it has arrived."""

    status: int = 502  # of what the agent gets
    content_type: str = ""
    body: bytearray = field(default_factory=bytearray)  # as it came, with secrets
    fault: str | None = None  # why there is no reply, or only a part of it


def relayed_query(query: str) -> dict[str, str]:
    """Return the parameters of a query that are relayed; a key is not among them."""
    try:
        return {name: value for name, value in parse_qsl(query, max_num_fields=20) if name in _RELAYED_QUERY}
    except ValueError:
        return {}


def relay_reply(
    agent: AgentConnection, source: ReplySource, request: AgentRequest, secrets: Sequence[str], relayed: RelayedReply
) -> Callable[[], None]:
    """Send a request, and its reply to the agent except for its end, which the returned function sends.

    So the caller can count a reply before the agent sends its next request. `relayed` is updated as the reply arrives,
    so the caller has it after an exception too. A fault before the first piece is sent as an error in the agent's
    dialect; a later fault cuts the reply, which the agent can detect.
    """
    mask, is_begun = StreamMask(secrets), False
    try:
        with source.send(request) as reply:
            relayed.status, relayed.content_type = reply.status, reply.headers.get("content-type", "")
            returned = {name: reply.headers[name] for name in _RETURNED_HEADERS if name in reply.headers}
            kind, headers = without_secrets([relayed.content_type or "application/octet-stream", returned], secrets)
            for piece in reply.body:
                relayed.body += piece
                if reply.status < 400:
                    if not is_begun:
                        agent.begin_reply(reply.status, kind, headers)
                        is_begun = True
                    agent.send_piece(mask.feed(piece))
        if relayed.status >= 400:
            whole = mask.feed(bytes(relayed.body)) + mask.rest()
            return lambda: agent.send_whole(relayed.status, kind, whole, headers)
        if not is_begun:
            agent.begin_reply(relayed.status, kind, headers)
        agent.send_piece(mask.rest())
    except NoReplyError as fault:
        relayed.fault = str(without_secrets(str(fault), secrets))
        if is_begun:
            agent.close_connection = True
            return _nothing
        relayed.status, relayed.content_type = fault.status, ""
        relayed.body.clear()
        error = error_body(request.dialect, fault.status, relayed.fault)
        return lambda: agent.send_whole(relayed.status, "application/json", error)
    except OSError:
        relayed.fault = "the agent left before the end of a reply"
        agent.close_connection = True
        return _nothing
    return agent.end_reply


def _nothing() -> None:
    """Send nothing: the connection's end follows."""

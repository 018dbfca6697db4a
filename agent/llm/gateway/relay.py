"""One request of an agent passed on to a source, and the reply passed back as it arrives, with secrets masked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from agent.llm.gateway.connection import AgentConnection
from agent.llm.gateway.dialects import error_body
from agent.llm.gateway.sources import AgentRequest, NoReplyError, ReplySource
from agent.llm.masking import StreamMask, without_secrets

RELAYED_HEADERS = ("content-type", "accept", "user-agent", "anthropic-version", "anthropic-beta", "openai-beta")
"""Of a request. Others could choose whom the key pays for."""
_RELAYED_QUERY = ("alt", "beta", "client_version")
_RETURNED_HEADERS = ("retry-after", "retry-after-ms", "request-id", "x-request-id", "x-should-retry")


@dataclass
class RelayedReply:
    """What has come of a relayed request so far."""

    status: int = 502  # of what the agent gets
    content_type: str = ""
    body: bytearray = field(default_factory=bytearray)  # as it came, with secrets
    fault: str | None = None  # why there is no reply, or none to its end


def relayed_query(query: str) -> dict[str, str]:
    """Return the parameters of a query that are passed on; a key is not among them."""
    try:
        return {name: value for name, value in parse_qsl(query, max_num_fields=20) if name in _RELAYED_QUERY}
    except ValueError:
        return {}


def pass_on(
    agent: AgentConnection, source: ReplySource, request: AgentRequest, secrets: Sequence[str], seen: RelayedReply
) -> Callable[[], None]:
    """Send a request, and pass its reply back up to its end, which the returned function sends.

    So the caller can count a reply before the agent sends its next request. `seen` follows, so that the caller knows
    all, whatever is raised. A fault before the first piece becomes an error in the agent's dialect; a later one cuts
    the reply, as the agent can tell.
    """
    mask, is_begun = StreamMask(secrets), False
    try:
        with source.send(request) as reply:
            seen.status, seen.content_type = reply.status, reply.headers.get("content-type", "")
            returned = {name: reply.headers[name] for name in _RETURNED_HEADERS if name in reply.headers}
            kind, headers = without_secrets([seen.content_type or "application/octet-stream", returned], secrets)
            for piece in reply.body:
                seen.body += piece
                if reply.status < 400:
                    if not is_begun:
                        agent.begin_reply(reply.status, kind, headers)
                        is_begun = True
                    agent.send_piece(mask.feed(piece))
        if seen.status >= 400:
            whole = mask.feed(bytes(seen.body)) + mask.rest()
            return lambda: agent.send_whole(seen.status, kind, whole, headers)
        if not is_begun:
            agent.begin_reply(seen.status, kind, headers)
        agent.send_piece(mask.rest())
    except NoReplyError as fault:
        seen.fault = str(without_secrets(str(fault), secrets))
        if is_begun:
            agent.close_connection = True
            return _nothing
        seen.status, seen.content_type = fault.status, ""
        seen.body.clear()
        error = error_body(request.dialect, fault.status, seen.fault)
        return lambda: agent.send_whole(seen.status, "application/json", error)
    except OSError:
        seen.fault = "the agent left before the end of a reply"
        agent.close_connection = True
        return _nothing
    return agent.end_reply


def _nothing() -> None:
    """Send nothing: the connection's end follows."""

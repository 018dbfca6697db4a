"""The command `agent serve`: a live page of runs in a browser."""

import os
import socket
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import DEFAULT_RUNS, Runs, runs_folder, runs_of, stored_run, where
from agent.errors import UsageError
from agent.extras import require_extra

if TYPE_CHECKING:
    from agent.store.paths import RunsFolder

app = typer.Typer()
FIRST_PORT = 8300
LOOPBACK = "127.0.0.1"


@app.command()
def serve(
    run_names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Runs or comparisons; if not given, all runs of the folder."),
    ] = None,
    *,
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=1, max=65535, help="Port; if it is in use, the next free one.")
    ] = FIRST_PORT,
    host: Annotated[
        str,
        typer.Option("--host", metavar="ADDR", help="Address to listen on; other machines can reach any but loopback."),
    ] = LOOPBACK,
    control: Annotated[
        bool, typer.Option("--control", help="Let the page stop, pause and resume runs, send messages and approve.")
    ] = False,
    runs: Runs = DEFAULT_RUNS,
) -> None:
    """Show runs in a browser, as they go on.

    The first page lists the runs, the page of a run is that of `agent report`, up to date within a second. It only
    reads, unless --control. It prints a link with a token; without the token nothing is shown. Ctrl-C ends it. Needs
    autocentaur[serve].
    """
    require_extra("serve", "agent serve")
    folder = runs_folder(runs)
    chosen = _chosen(folder, run_names or [])
    from agent.server.live_page.access import Tokens, is_loopback
    from agent.server.live_page.application import ControlSettings, LiveServer, application
    from agent.server.live_page.listening import open_port
    from agent.server.live_page.listening import serve as listen
    from agent.server.live_page.served_runs import ServedRuns

    opened, tokens = open_port(host, port), Tokens()
    address, port = opened.getsockname()[:2]
    steering = ControlSettings(dict(os.environ), where(folder)) if control else None
    served = LiveServer(ServedRuns(folder, chosen, where(folder)), tokens, steering)
    path = f"/run/{chosen[0]}" if len(chosen) == 1 else "/"
    name = address if is_loopback(host) else host  # localhost can be 127.0.0.1 or ::1
    name = f"[{name}]" if ":" in name else name
    rest = f":{port}{path}?token={tokens.link}"

    def announce() -> None:
        print(f"http://{name}{rest}\n", flush=True)
        if is_loopback(host):
            print(f"from another machine: ssh -L {port}:{name}:{port} {socket.gethostname()}, then the same link")
        elif address in ("0.0.0.0", "::"):  # which no browser elsewhere can open
            print(f"from another machine: http://{socket.gethostname()}{rest}")
        print("read-only" if steering is None else "the page can stop, pause, resume and steer runs", end="")
        print("; Ctrl-C ends the server, not the runs", flush=True)

    if not is_loopback(host):
        _warn(host, port, control=control)
    listen(opened, application(served, port, host), announce)


def _chosen(folder: "RunsFolder", names: list[str]) -> tuple[str, ...]:
    """Return the runs that the arguments mean. Raises UsageError for a name that is neither a run nor a comparison."""
    found: list[str] = []
    for name in names:
        runs = runs_of(folder.root, name)
        if not runs:
            raise UsageError(f"no run of comparison {name} has started yet")
        found += [stored_run(folder.root, run).run_id for run in runs]
    return tuple(dict.fromkeys(found))


def _warn(host: str, port: int, *, control: bool) -> None:
    """Warn about what others can see of a server that is not on loopback."""
    can = "read all scripts, logs, prompts and replies of these runs" + (" and STEER the runs" if control else "")
    print(
        f"WARNING: {host}:{port} can be reached from other machines. Whoever has the link can {can}, and nothing is "
        "encrypted: whoever can listen to the network has the link too. Prefer the ssh line without --host.",
        file=sys.stderr,
    )

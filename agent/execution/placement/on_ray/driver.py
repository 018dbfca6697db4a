"""The program between a run and Ray: `python -m agent.execution.placement.on_ray.driver [ADDRESS]`.

It is a process of its own because Ray ends a driver whose cluster does not answer for a while, and because Ray ends
the tasks of a driver with it: when the run dies, this program reads the end of its input, and nothing keeps running.
Each line of its input is a request, and each line of its output the answer to one, as JSON.
"""

import json
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.execution.placement.job_queue import QueueBusyError
from agent.execution.placement.on_ray.tasks import STUCK_SECONDS, RayTasks
from sandbox.errors import SandboxError

_CLOSE_SECONDS = 5.0


def _answer_to(request: dict[str, Any], tasks: RayTasks) -> dict[str, object]:
    what = request["do"]
    try:
        if what != "cancel" and not tasks.is_answering():
            return {"unreachable": "its controller accepts no connection"}
        if what == "states":
            return {"states": tasks.states()}
        if what == "submit":
            path = Path(request["folder"])
            tasks.submit(request["name"], path, request["wanted"], request["shared"], request["avoided"])
        elif what == "cancel":
            tasks.cancel(request["name"])
        else:
            tasks.check(request["wanted"])
    except QueueBusyError as error:
        return {"busy": str(error)}
    except SandboxError as error:
        return {"refused": str(error)}
    except Exception as error:  # noqa: BLE001  whatever Ray raises
        return {"unreachable": f"{type(error).__name__}: {error}"}
    return {}


def main() -> None:
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what Ray prints must not be read as an answer
    writing = threading.Lock()

    def say(**answer: object) -> None:
        with writing:
            print(json.dumps(answer), file=output, flush=True)

    signal.alarm(STUCK_SECONDS)
    try:
        tasks = RayTasks(sys.argv[1] if len(sys.argv) > 1 else None)
    except Exception as error:  # noqa: BLE001  whatever Ray raises
        say(id=0, refused=f"{type(error).__name__}: {error}")
        return
    say(id=0)

    def keep_mirroring() -> None:
        try:
            tasks.mirror()
        except BaseException as error:  # noqa: BLE001  the run shows the end of what this program has printed
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(1)

    threading.Thread(target=keep_mirroring, daemon=True).start()

    def answer(request: dict[str, Any]) -> None:
        say(id=request["id"], **_answer_to(request, tasks))

    with ThreadPoolExecutor(16) as submissions, ThreadPoolExecutor(4) as others:
        for line in sys.stdin:
            request = json.loads(line)  # submissions read files for minutes, and must not hold up the others
            (submissions if request["do"] == "submit" else others).submit(answer, request)
        threading.Timer(_CLOSE_SECONDS, os._exit, (0,)).start()
        with suppress(Exception):
            tasks.close()
        os._exit(0)


if __name__ == "__main__":
    main()

"""POST /check: the owner's check of the agent's work, bounded in number, beside the model's dialects."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.errors import EditError
from agent.llm.gateway.meter import Allowance
from tests.agent.llm.fake_server import fake_server, says
from tests.agent.llm.gateway.agents import KEY, endpoints, opened
from tests.agent.llm.gateway.replies import CHAT


def test_the_owner_answers(tmp_path: Path) -> None:
    asked: list[str] = []

    def check(text: str) -> tuple[bool, str]:
        asked.append(text)
        if text == "refuse":
            raise EditError("train.py was deleted")
        return text == "", f"Traceback \ud800 {KEY}" if text else "it runs"

    with fake_server([]) as server, opened(endpoints(server, "chat"), tmp_path, check=check, max_checks=3) as it:
        got = [it.ask("POST", "/check", body) for body in (None, b"\xff", b"refuse", b"")]
        assert it.ask("GET", "/check").status == 404
    assert [(one.status, one.body) for one in got] == [
        (200, b"it runs"),
        (422, b"Traceback \\ud800 [secret]"),
        (422, b"train.py was deleted"),
        (400, b"all 3 checks of this proposal are used\n"),
    ]
    assert asked == ["", "\ufffd", "refuse"]
    assert it.gateway.refusals["all 3 checks of this proposal are used"] == 1
    assert it.gateway.usage.calls == 0


def test_one_check_at_a_time_and_model_calls_beside_it(tmp_path: Path) -> None:
    asked, go_on, running = threading.Event(), threading.Event(), []

    def check(_text: str) -> tuple[bool, str]:
        running.append(1)
        asked.set()
        go_on.wait(60)
        running.pop()
        return not running, "alone"

    with (
        fake_server([says("hello")]) as server,
        opened(endpoints(server, "chat"), tmp_path, check=check) as it,
        ThreadPoolExecutor(3) as pool,
    ):
        checks = [pool.submit(it.ask, "POST", "/check") for _ in range(3)]
        assert asked.wait(60)
        assert it.call(CHAT).status == 200
        go_on.set()
        assert [one.result().status for one in checks] == [200] * 3


def test_an_agent_without_budget_can_still_check(tmp_path: Path) -> None:
    allowances = [Allowance("this proposal", calls=0)]
    with (
        fake_server([]) as server,
        opened(endpoints(server, "chat"), tmp_path, check=lambda _: (True, "it runs"), allowances=allowances) as it,
    ):
        assert it.call(CHAT).status == 400
        assert it.ask("POST", "/check").status == 200


def test_a_bug_in_the_check_is_remembered_and_costs_nothing_else(tmp_path: Path) -> None:
    bugs = [ZeroDivisionError(f"in the check of {KEY}"), OSError("no space left")]

    def check(_text: str) -> tuple[bool, str]:
        raise bugs.pop(0)

    with fake_server([says("hello")]) as server, opened(endpoints(server, "chat"), tmp_path, check=check) as it:
        assert [it.ask("POST", "/check").status for _ in range(2)] == [500, 500]
        assert it.call(CHAT).status == 200
    assert it.gateway.faults == {
        "a request ended with ZeroDivisionError: in the check of [secret]": 1,
        "a request ended with OSError: no space left": 1,
    }

"""The routes of `agent serve`: who gets what, and what is said of runs that cannot be shown."""

import gc
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from weakref import ref as reference

import pytest
from starlette.testclient import TestClient

from agent.execution.slots import Slot
from agent.report.live.recorder import WorkRecorder
from agent.run.steering.user_input import PAUSE, is_pause_requested
from agent.server.live_page.access import CONTROL_HEADER, Tokens
from agent.server.live_page.application import ControlSettings, LiveServer, application
from agent.server.live_page.pages import work_of
from agent.server.live_page.served_runs import ServedRuns
from agent.store.inbox.inbox import Inbox
from agent.store.paths import RunsFolder
from agent.store.run_lock import locked
from agent.store.stored_run import StoredRun
from agent.trials.events import TrialStarted
from agent.trials.trial import Status
from tests.conftest import SilentObserver
from tests.made_runs import BASELINE, BEGAN, Result, append_results, failed, made_run, scored, searched

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"
BETTER: Result = (searched(0.25), scored(2.4, kept=True))
HOST = "127.0.0.1:8300"


@dataclass
class Site:
    """A server of a folder of runs, and a browser that has opened its link."""

    client: TestClient
    server: LiveServer
    runs: RunsFolder

    def page(self, path: str, status: int = 200) -> str:
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text[:500]
        return answer.text

    def version(self, path: str) -> str:
        found = re.search(r'data-version="(\w+)"', self.page(path))
        assert found is not None
        return found[1]

    def post(self, path: str, fields: object = None, status: int = 200, **headers: str) -> str:
        sent = {"origin": f"http://{HOST}", CONTROL_HEADER: self.server.tokens.control, **headers}
        answer = self.client.post(path, content=json.dumps(fields or {}), headers=sent)
        assert answer.status_code == status, answer.text
        return answer.text


def anonymous(server: LiveServer, host: str = "127.0.0.1") -> TestClient:
    return TestClient(application(server, 8300, host), base_url=f"http://{HOST}", follow_redirects=False)


SiteOf = Callable[..., Site]


@pytest.fixture
def site(tmp_path: Path) -> SiteOf:
    def opened(*chosen: str, control: bool = False) -> Site:
        runs = RunsFolder(tmp_path / "runs")
        settings = ControlSettings({}, " --runs X") if control else None
        server = LiveServer(ServedRuns(runs, chosen, recent_seconds=0.0, work_seconds=0.0), Tokens(), settings)
        client = anonymous(server)
        assert client.get(f"/?token={server.tokens.link}").status_code == 303
        return Site(client, server, runs)

    return opened


# --- access -----------------------------------------------------------------------------------------------------------


def test_nothing_is_shown_without_the_token_of_the_link(site: SiteOf, tmp_path: Path) -> None:
    made_run(tmp_path / "runs", [BASELINE])
    found = site()
    client = anonymous(found.server)
    for path in ("/", "/events", "/run/made", "/run/made/events", "/run/made/trial/0", "/nowhere", "/?token=wrong"):
        answer = client.get(path)
        assert (answer.status_code, answer.text) == (
            403,
            "Open the link that `agent serve` printed: this address needs its token.",
        )
    entered = client.get(f"/run/made?token={found.server.tokens.link}&x=%26")
    assert (entered.status_code, entered.headers["location"]) == (303, "/run/made?x=%26")
    cookie = entered.headers["set-cookie"]
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    assert client.get("/run/made").status_code == 200
    elsewhere = anonymous(found.server).get(
        f"/?token={found.server.tokens.link}", headers={"sec-fetch-site": "cross-site"}
    )
    assert (elsewhere.status_code, 'content="0;url=/"' in elsewhere.text) == (200, True)


def test_the_link_leads_to_this_server_only(site: SiteOf) -> None:
    found = site()
    answer = found.client.get(f"http://{HOST}//example.org/x?token={found.server.tokens.link}")
    assert answer.headers["location"] == "/example.org/x"


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:9000", 200), ("[::1]:8300", 200), ("10.0.0.7:8300", 200), ("evil.example:8300", 400), ("", 400),
     ("[", 400)],
)  # fmt: skip
def test_a_name_that_is_not_this_machines_is_refused(site: SiteOf, host: str, status: int) -> None:
    found = site()
    cookie = f"autocentaur-8300={found.server.tokens.link}"
    assert anonymous(found.server).get("/", headers={"host": host, "cookie": cookie}).status_code == status


def test_every_answer_has_the_headers_and_pages_their_own_policy(site: SiteOf, tmp_path: Path) -> None:
    made_run(tmp_path / "runs", [BASELINE])
    found = site()
    for path in ("/", "/run/made", "/run/nope", "/run/made/trial/0", "/nowhere"):
        headers = found.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        if path in ("/", "/run/made", "/run/nope"):
            assert "script-src 'sha256-" in policy
            assert "connect-src 'self'" in policy


# --- pages ------------------------------------------------------------------------------------------------------------


def test_a_folder_without_runs_says_how_to_start_one_and_shows_it_then(site: SiteOf, tmp_path: Path) -> None:
    found = site()
    assert f"agent run --runs {tmp_path / 'runs'}" in found.page("/")
    before = found.server.served.version_of_all()
    made_run(tmp_path / "runs", [BASELINE])
    assert found.server.served.version_of_all() != before
    assert '<a href="/run/made">made</a>' in found.page("/")


def test_the_table_has_a_row_for_each_run_and_says_what_is_wrong_with_one(site: SiteOf, tmp_path: Path) -> None:
    made_run(tmp_path / "runs", [BASELINE, BETTER], options={"trials": 40})
    broken = made_run(tmp_path / "runs", [BASELINE], name="broken")
    broken.paths.journal.write_text('{"event": "?"}\n')
    page = site().page("/")
    assert "interrupted" in page
    assert "2.4 (−20.0 %)" in page
    assert "2 of 40" in page
    assert re.search(r'<td class="fault"[^>]*>[^<]*journal', page)


def test_a_run_at_work_has_an_expected_end(site: SiteOf, tmp_path: Path) -> None:
    stored = made_run(tmp_path / "runs", [BASELINE, BETTER], options={"trials": 40})
    found = site()
    assert "ends about" not in found.page("/run/made")
    with locked(stored.paths):
        assert "ends about" in found.page("/run/made")


def test_only_the_chosen_runs_are_shown_with_a_page_together(site: SiteOf, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        made_run(tmp_path / "runs", [BASELINE, BETTER], name=name)
    made_run(tmp_path / "runs", [], name="new")
    found = site("a", "b", "new")
    assert 'href="/run/c"' not in found.page("/")
    found.page("/run/c", 404)
    together = found.page("/compare")
    assert 'data-runs="a b"' in together
    assert "not on this page: new" in together


def test_a_run_without_a_finished_trial_has_a_page_that_waits(site: SiteOf, tmp_path: Path) -> None:
    started: list[Result] = [TrialStarted(0, None, BASELINE[0], BEGAN.isoformat())]
    stored = made_run(tmp_path / "runs", started, name="r")
    page = site().page("/run/r")
    assert 'data-kind="waiting"' in page
    assert "No trial has finished yet" in page
    assert "trial 0 was interrupted; <code>agent resume r</code> runs it again" in page
    assert stored.run_id in page


def test_a_page_is_rendered_again_only_when_its_run_has_changed(site: SiteOf, tmp_path: Path) -> None:
    stored = made_run(tmp_path / "runs", [BASELINE])
    found = site()
    first = found.page("/run/made")
    assert found.page("/run/made") == first  # it has the time at which it was made
    append_results(stored.paths, [BASELINE, BETTER], n_before=1)
    assert found.version("/run/made") not in first
    assert "MIX 0.25" in found.page("/run/made")


def test_the_first_view_has_no_texts_and_a_trial_has_all_of_its_own(site: SiteOf, tmp_path: Path) -> None:
    log = "".join(f"line {n}\n" for n in range(40))
    call = {"messages": [{"role": "user", "content": HOSTILE}], "reply": "the reply"}
    results: list[Result] = [BASELINE, BETTER, (searched(0.5, title=HOSTILE), failed(Status.CRASHED, HOSTILE))]
    made_run(tmp_path / "runs", results, logs={1: log}, exchanges={2: [call]})
    found = site()
    page = found.page("/run/made")
    assert "line 39" not in page
    assert "the reply" not in page
    assert HOSTILE not in page
    trial = found.client.get("/run/made/trial/1", headers={"accept": "application/json"}).json()
    assert {text["kind"] for text in trial["texts"]} == {"diff", "log"}
    assert "line 39" in next(text["content"] for text in trial["texts"] if text["kind"] == "log")
    hostile = found.client.get("/run/made/trial/2", headers={"accept": "application/json"})
    assert hostile.headers["content-type"] == "application/json"
    assert HOSTILE in [text["content"] for text in hostile.json()["texts"]] or HOSTILE in hostile.text.replace(
        '\\"', '"'
    )
    person = found.client.get("/run/made/trial/2", headers={"accept": "text/html"})
    assert (person.status_code, person.headers["location"]) == (303, "/run/made#t0/2")
    for nothing in ("/run/made/trial/3", "/run/nope/trial/0", f"/run/made/trial/{'1' * 5000}"):
        assert found.client.get(nothing, headers={"accept": "application/json"}).status_code == 404


def test_the_parts_of_a_page_are_without_its_code(site: SiteOf, tmp_path: Path) -> None:
    made_run(tmp_path / "runs", [BASELINE])
    parts = site().page("/run/made?parts")
    assert "<style>" not in parts
    assert re.findall(r"<script[^>]*>", parts) == ['<script type="application/json" id="charts">']
    assert 'id="trials"' in parts


# --- what a run is doing ----------------------------------------------------------------------------------------------


def two_workers(root: Path, log: str) -> tuple[StoredRun, WorkRecorder]:
    """A run whose trial 1 waits to be recorded, and whose trial 2 is trained and prints a log."""
    at = BEGAN.isoformat()
    started = [TrialStarted(n, 0, searched(n / 4, title=f"title {n}"), at, n_seen=1) for n in (1, 2)]
    stored = made_run(root, [BASELINE, *started], options={"trials": 40, "workers": 2})
    recorder = WorkRecorder(SilentObserver(), stored.paths, "codex")
    for n in (1, 2):
        recorder.started(stored.history.in_flight[n], Slot(n - 1, (str(n - 1),)))
    stored.paths.trial(2).root.mkdir(parents=True)
    stored.paths.trial(2).log.write_text(log)
    return stored, recorder


def test_the_page_shows_what_each_worker_does_as_text(site: SiteOf, tmp_path: Path) -> None:
    stored, recorder = two_workers(tmp_path / "runs", f"\x1b[31mstep 1\x1b[0m\r{HOSTILE}")
    recorder.scoring(stored.history.in_flight[1])
    found = site(control=True)
    assert found.server.served.work("made") == []  # no process works on it
    with locked(stored.paths):
        page = found.page("/run/made")
        listed = found.page("/")
        served = work_of(found.server.served, ["made"])
    assert [(item["place"], item["subject"], item["phase"], item["title"]) for item in served] == [
        ("slot 0 · gpu 0", "trial 1", "scoring", ""),
        ("slot 1 · gpu 1", "trial 2", "training", "title 2"),
    ]
    assert [item["line"] for item in served] == [None, HOSTILE]
    text = re.sub(r"<[^>]+>|\s+", " ", page.partition('id="work"')[2].partition("</section>")[0])
    assert re.search(r"slot 0 · gpu 0 +trial 1 +scoring .*slot 1 · gpu 1 +trial 2 +training +title 2", text)
    assert HOSTILE not in page
    assert escape(HOSTILE).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page
    assert "trial 1: scoring; trial 2: training" in listed
    assert "Stop made now?" in page


def test_a_stop_of_one_of_several_runs_asks_about_all(site: SiteOf, tmp_path: Path) -> None:
    one, two = (made_run(tmp_path / "runs", [BASELINE], name=name, options={"trials": 9}) for name in ("a", "b"))
    with locked(one.paths), locked(two.paths):
        assert "One process works on 2 runs. Stop ALL of them now: a, b?" in site(control=True).page("/run/a")


def test_what_a_run_does_changes_no_version_of_its_page(site: SiteOf, tmp_path: Path) -> None:
    stored, recorder = two_workers(tmp_path / "runs", "step 1")
    served = site().server.served
    with locked(stored.paths):
        before = (served.version("made"), work_of(served, ["made"]))
        recorder.scoring(stored.history.in_flight[2])
        stored.paths.trial(2).log.write_text("step 2")
        assert served.version("made") == before[0]
        assert work_of(served, ["made"]) != before[1]


def test_a_damaged_record_of_the_work_and_a_link_for_a_log_hide_no_page(site: SiteOf, tmp_path: Path) -> None:
    stored, _ = two_workers(tmp_path / "runs", "")
    stored.paths.trial(2).log.unlink()
    stored.paths.trial(2).log.symlink_to("/etc/passwd")
    found = site()
    with locked(stored.paths):
        assert "root:x:" not in found.page("/run/made")
        stored.paths.root.joinpath("work.json").write_text("{")
        found.page("/run/made")
        found.page("/")


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_damaged_or_removed_run_is_reported_and_others_are_shown(site: SiteOf, tmp_path: Path) -> None:
    stored = made_run(tmp_path / "runs", [BASELINE])
    made_run(tmp_path / "runs", [BASELINE], name="other")
    found, journal = site(), stored.paths.journal
    found.page("/run/made")
    whole = journal.read_text()
    for damaged in ("{broken\n" + whole, '{"event": "trial_started"}\n' + whole, "\0\n" + whole):
        journal.write_text(damaged)
        assert "journal" in found.page("/run/made", 409)
        assert found.page("/run/made?parts", 409).endswith(".")
        found.page("/run/other")
    journal.write_text(whole + '{"event": "trial_sta')  # a line that is being written
    found.page("/run/made")
    stored.paths.root.rename(tmp_path / "moved")
    assert "there is no run made" in found.page("/run/made", 404)
    assert "there is no run made" in found.page("/run/made?parts", 404)
    (tmp_path / "moved").rename(stored.paths.root)
    found.page("/run/made")


def test_a_damaged_lock_or_ablation_hides_no_other_run(site: SiteOf, tmp_path: Path) -> None:
    stored = made_run(tmp_path / "runs", [BASELINE])
    (stored.paths.root / "run.pid").write_text("a.b.c")
    (stored.paths.root / "attribution" / "²").mkdir(parents=True)
    made_run(tmp_path / "runs", [BASELINE], name="other")
    assert '<a href="/run/other">' in site().page("/")


def test_a_folder_with_a_link_is_refused_by_name(site: SiteOf, tmp_path: Path) -> None:
    made_run(tmp_path / "runs", [BASELINE])
    (tmp_path / "runs" / "link").symlink_to("/etc")
    page = site().page("/", 409)
    assert "link is a link, which no run creates there" in page


def test_removed_runs_are_not_kept_in_memory(site: SiteOf, tmp_path: Path) -> None:
    found = site()
    for name in ("a", "b"):
        made_run(tmp_path / "runs", [BASELINE], name=name)
        found.page(f"/run/{name}")
    kept = reference(found.server.served.find("a"))
    (tmp_path / "runs" / "a").rename(tmp_path / "a")
    found.page("/")
    gc.collect()
    assert kept() is None
    chosen = site("b")
    kept = reference(chosen.server.served.find("b"))
    (tmp_path / "runs" / "b").rename(tmp_path / "b")
    found.page("/")
    chosen.page("/run/b", 404)
    gc.collect()
    assert kept() is None


def test_an_address_of_no_comparison_is_unknown_and_says_what_there_is(site: SiteOf, tmp_path: Path) -> None:
    made_run(tmp_path / "runs", [BASELINE, BETTER])
    for found in (site(), site("made")):
        page = found.page("/compare", 404)
        assert "`agent serve RUN RUN` shows these runs together" in page
    assert "there is no comparison night in" in site().page("/compare/night", 404)


def test_the_names_in_addresses_open_no_path(site: SiteOf, tmp_path: Path) -> None:
    made_run(tmp_path / "runs", [BASELINE])
    (tmp_path / "runs" / "trials.git" / "run.json").write_text("{}")
    found = site()
    for path in ("/run/..%2fruns%2fmade", "/run/%2e%2e", "/run/trials.git%00", "/run/made%0a", "/compare/made"):
        assert found.client.get(path).status_code == 404


def test_two_servers_of_one_folder_show_the_same(site: SiteOf, tmp_path: Path) -> None:
    made_run(tmp_path / "runs", [BASELINE])
    one, two = site(), site()
    assert one.version("/run/made") == two.version("/run/made")
    assert two.client.get("/", headers={"cookie": f"autocentaur-8300={one.server.tokens.link}"}).status_code == 403


# --- steering ---------------------------------------------------------------------------------------------------------


def test_without_control_nothing_can_be_sent(site: SiteOf, tmp_path: Path) -> None:
    made_run(tmp_path / "runs", [BASELINE])
    found = site()
    assert 'data-post="' not in found.page("/run/made").partition("<script>")[0]
    assert "--control" in found.post("/run/made/say", {"text": "x"}, 403)
    assert not (tmp_path / "runs" / "made" / "inbox").exists()


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": ""},
        {CONTROL_HEADER: "x"},
        {CONTROL_HEADER: ""},
    ],
)
def test_a_request_of_another_site_is_refused(site: SiteOf, tmp_path: Path, headers: dict[str, str]) -> None:
    made_run(tmp_path / "runs", [BASELINE])
    found = site(control=True)
    assert "Only the pages of this server" in found.post("/run/made/say", {"text": "x"}, 403, **headers)
    assert not (tmp_path / "runs" / "made" / "inbox").exists()


def test_messages_pauses_and_stops_have_the_words_of_their_commands(site: SiteOf, tmp_path: Path) -> None:
    stored = made_run(tmp_path / "runs", [BASELINE, BETTER], options={"trials": 40})
    found = site(control=True)
    assert found.server.tokens.control in found.page("/run/made")
    assert found.post("/run/made/say", {"text": "wide"}).startswith("made: mode random asks no model")
    for action in ("pause", "stop"):
        assert "no process of this machine works on made; `agent resume made --runs X`" in found.post(
            f"/run/made/{action}", status=409
        )
    with locked(stored.paths):
        assert "made: pauses once repeats that are due have ended" in found.post("/run/made/pause")
        assert is_pause_requested(stored.paths)
        assert "pauses once the trials in flight have ended" in found.page("/run/made")
        assert "works on made already" in found.post("/run/made/resume", status=409)
    assert [each.kind for each in Inbox(stored.paths.inbox).messages(PAUSE)] == [PAUSE]


def test_a_waiting_trial_is_shown_with_its_change_and_decided_once(site: SiteOf, tmp_path: Path) -> None:
    waiting = TrialStarted(1, 0, searched(0.75, title=HOSTILE), BEGAN.isoformat(), needs_approval=True)
    made_run(tmp_path / "runs", [BASELINE, waiting], options={"trials": 40})
    found = site(control=True)
    page = found.page("/run/made")
    assert "+MIX = 0.75" in page
    assert HOSTILE not in page
    assert 'data-post="/run/made/trial/1/approve"' in page
    assert "trial 1 of made is refused" in found.post("/run/made/trial/1/refuse", {"reason": "no"})
    assert "was refused already" in found.post("/run/made/trial/1/approve", status=409)
    assert "has no trial 9" in found.post("/run/made/trial/9/approve", status=409)


@pytest.mark.parametrize("body", [[], "x", {"text": 1}, {"text": "x" * 70_000}])
def test_a_body_that_no_page_sends_is_refused(site: SiteOf, tmp_path: Path, body: object) -> None:
    made_run(tmp_path / "runs", [BASELINE])
    answer = site(control=True).post("/run/made/say", body or [1], 409)
    assert re.search("reload the page|shorten the text", answer)


def test_what_no_request_is_called_is_unknown(site: SiteOf, tmp_path: Path) -> None:
    made_run(tmp_path / "runs", [BASELINE])
    found = site(control=True)
    for action in ("explode", "approve", "refuse"):
        found.post(f"/run/made/{action}", status=404)
    found.post("/run/nope/say", {"text": "x"}, 404)
    assert found.client.get("/run/made/say").status_code == 405

"""Prices: the package's table, the user's own before it, and nothing made up."""

import datetime
import os
import tomllib
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.llm.prices import TABLE, known_price, spoken_price
from tests import commands
from tests.agent.llm.fake_server import fake_server, says

ROOT = Path(__file__).parents[3]
NOWHERE = Path("/nonexistent/prices.toml")


def test_the_packages_table_is_dated_and_sound() -> None:
    table = tomllib.loads(TABLE.read_text())
    assert isinstance(table["read_on"], datetime.date)
    for host, models in table["hosts"].items():
        for model in models:
            known = known_price(model, f"https://{host}/v1", NOWHERE)
            assert known is not None
            assert 0 < known.dollars[0] <= known.dollars[1] < 1000  # a reply never costs less than a prompt
            assert str(table["read_on"]) in known.source


def test_without_an_address_it_is_openais_own() -> None:
    assert known_price("gpt-4o", None, NOWHERE) == known_price("gpt-4o", "https://api.openai.com/v1", NOWHERE)


@pytest.mark.parametrize(
    ("model", "base_url"), [("gpt-4o", "http://127.0.0.1:8080/v1"), ("gpt-4o-mine", None), ("", "https://a.example")]
)
def test_what_nobody_has_stated_is_unknown(model: str, base_url: str | None) -> None:
    assert known_price(model, base_url, NOWHERE) is None


def test_the_users_own_table_wins_and_adds(tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text('[hosts."api.openai.com"]\n"gpt-4o" = [1, 2.5]\n[hosts.gpu-box]\nours = [0, 0]\n')
    corrected, added = known_price("gpt-4o", None, own), known_price("ours", "http://gpu-box:8000/v1", own)
    assert corrected is not None
    assert (corrected.dollars, corrected.source) == ((1.0, 2.5), str(own))
    assert added is not None
    assert added.dollars == (0.0, 0.0)
    assert known_price("gpt-4o-mini", None, own) == known_price("gpt-4o-mini", None, NOWHERE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[hosts", "cannot be read"),
        ("hosts = 3", "write tables"),
        ("[hosts]\na = 3", "write tables"),
        ("[hosts.a]\nm = 3", "a, m = 3"),
        ("[hosts.a]\nm = [1]", "a, m"),
        ("[hosts.a]\nm = [1, -1]", "a, m"),
        ("[hosts.a]\nm = [1, nan]", "a, m"),
        ("[hosts.a]\nm = [true, 1]", "a, m"),
        (f"[hosts.a]\nm = [1{'0' * 400}, 1]", "a, m"),
    ],
)
def test_a_table_of_the_user_that_cannot_be_read_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(text)
    with pytest.raises(UsageError, match=expected):
        known_price("m", "https://a", own)


@pytest.mark.parametrize("text", ["1", "1,2,3", "a,b", "1,-2", "nan,1", "inf,1"])
def test_a_price_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="two numbers"):
        spoken_price(text)


def test_a_run_takes_the_users_price_and_keeps_to_its_cap(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "config/autocentaur").mkdir(parents=True)
    (tmp_path / "config/autocentaur/prices.toml").write_text('[hosts."127.0.0.1"]\nours = [1e6, 1e6]\n')
    change = 'TITLE: mix\n<<<<<<< SEARCH\nORDER = "forward"  # from which end of the text\n=======\n'
    change += 'ORDER = "backward"\n>>>>>>> REPLACE\n'
    with fake_server([says('{"word": "heron"}'), says(change)]) as server:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(tmp_path),
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            "AUTOCENTAUR_CACHE": str(cache),
        }
        task = ROOT / "tests" / "tasks" / "bigram_plain"
        command = ["run", "--task", str(task), "--mode", "code-edit", "--trials", "5"]
        command += ["--base-url", server.base_url, "--model", "ours", "--max-cost", "0.5", "--no-smoke"]
        done = commands.agent(*command, cwd=tmp_path, env=environment)
    assert "price: $1e+06 a million tokens of prompts" in done.stdout
    assert str(tmp_path / "config/autocentaur/prices.toml") in done.stdout
    assert done.returncode == 0, done.stderr
    assert "the cap of $0.5 for model calls is reached" in done.stdout, done.stdout + done.stderr

"""Prices of a model's tokens: the dated table of the package, and the user's own table, which takes precedence."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import UsageError
from agent.llm.endpoint.address import host_of_address

TABLE = Path(__file__).with_name("prices.toml")
OWN_NAME = "prices.toml"
"""File name of the user's own table in the configuration folder."""
DEFAULT_HOST = "api.openai.com"
_HIGHEST = 1e9  # dollars per million tokens


@dataclass(frozen=True)
class Price:
    """An endpoint's prices, in dollars per million tokens."""

    prompt: float
    completion: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the price of one call in dollars."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(frozen=True)
class KnownPrice:
    """Dollars per million tokens of prompts and of replies, and their source."""

    dollars: tuple[float, float]
    source: str


def known_price(model: str, base_url: str | None, own: Path) -> KnownPrice | None:
    """Return the price of a model at an endpoint; None if neither table has it, since nothing is guessed.

    Args:
        base_url: of the endpoint; None: OpenAI's own.
        own: path of the user's table, which need not exist.

    Raises:
        UsageError: the user's table has a different form from the package's.
    """
    host = host_of_address(base_url)
    if own.is_file():
        dollars = _hosts(own, _read(own)).get(host, {}).get(model)
        if dollars is not None:
            return KnownPrice(dollars, str(own))
    shipped = _read(TABLE)
    dollars = _hosts(TABLE, shipped).get(host, {}).get(model)
    return None if dollars is None else KnownPrice(dollars, f"the package's table of {shipped['read_on']}")


def spoken_price(text: str) -> tuple[float, float]:
    """Return the two numbers of `--price IN,OUT`. Raises UsageError if they are not two numbers."""
    try:
        price = [float(part) for part in text.split(",")]
    except ValueError:
        price = []
    if not _is_price(price):
        raise UsageError(f"--price {text}: write two numbers, dollars per million tokens in and out, e.g. 0.25,2")
    return price[0], price[1]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error


def _hosts(path: Path, table: Mapping[str, Any]) -> dict[str, dict[str, tuple[float, float]]]:
    """Return the prices by host and model. Raises UsageError for the first invalid one."""
    hosts = table.get("hosts", {})
    if not isinstance(hosts, dict) or not all(isinstance(models, dict) for models in hosts.values()):
        raise UsageError(f'{path}: write tables such as [hosts."{DEFAULT_HOST}"]')
    for host, models in hosts.items():
        for model, price in models.items():
            if not _is_price(price):
                raise UsageError(
                    f"{path}: {host}, {model} = {price!r}: write dollars per million tokens, [of prompts, of replies]"
                )
    return {host: {model: (float(p), float(r)) for model, (p, r) in models.items()} for host, models in hosts.items()}


def _is_price(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(type(part) in (int, float) and 0 <= part <= _HIGHEST for part in value)  # not NaN
    )

"""Removal of keys and other secrets from what is written to a file or sent to a client."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

MASK = "[secret]"
_ORDINARY = re.compile(r"[A-Za-z0-9]{0,5}")
"""Is no secret: a short word, such as the key `none` for a server without keys. Masking it would spoil texts."""


def without_secrets(value: Any, secrets: Iterable[str]) -> Any:
    """Return JSON data with each secret masked in its strings, names of fields included; short words are no secrets."""
    known = sorted((secret for secret in secrets if _is_secret(secret)), key=len, reverse=True)
    return _masked(value, known) if known else value


def _is_secret(text: str) -> bool:
    return _ORDINARY.fullmatch(text) is None


def _masked(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
        return value
    if isinstance(value, dict):
        return {_masked(key, secrets): _masked(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, secrets) for item in value]
    return value


class StreamMask:
    """Masks secrets in bytes that arrive in pieces; holds back only an ending that may be the start of a secret."""

    def __init__(self, secrets: Iterable[str]) -> None:
        spelled = {form for secret in secrets if _is_secret(secret) for form in (secret, json.dumps(secret)[1:-1])}
        self._secrets = sorted((form.encode() for form in spelled), key=len, reverse=True)
        self._held = b""

    def feed(self, piece: bytes) -> bytes:
        """Return what can be passed on once `piece` has arrived."""
        data = self._held + piece
        for secret in self._secrets:
            data = data.replace(secret, MASK.encode())
        longest = min(len(data), max((len(secret) - 1 for secret in self._secrets), default=0))
        n_held = next((n for n in range(longest, 0, -1) if self._may_start(data[-n:])), 0)
        self._held = data[len(data) - n_held :]
        return data[: len(data) - n_held]

    def rest(self) -> bytes:
        """Return what is still held back, once nothing more arrives."""
        held, self._held = self._held, b""
        return held

    def _may_start(self, ending: bytes) -> bool:
        return any(secret.startswith(ending) for secret in self._secrets)

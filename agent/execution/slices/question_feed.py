"""A scoring job that answers several questions while it runs: one growing file holds the questions, one the answers.

The sandbox needs only a mount and an output file for this. The job sees the questions read-only; each answer is copied
once, when it is complete, so that overwriting it later changes nothing. A pipe would not cap the size of answers, and
either side could make the other wait for ever.
"""

import os
import threading
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path

from sandbox.job import Execution, Job, Sandbox


class QuestionFile:
    """A new file at `path` that only grows; `path` must be in a folder that no other user can enter.

    The file is readable by all: otherwise a job of another user would get a copy, which does not grow.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW, 0o644)
        os.fchmod(self._fd, 0o644)  # whatever the umask

    def append(self, question: bytes) -> None:
        """Add the question's length, 4 bytes little-endian, and the question."""
        rest = memoryview(len(question).to_bytes(4, "little") + question)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class FedJob:
    """A running job, in its own thread, since sandboxes run a job to its end. Always close it."""

    def __init__(self, sandbox: Sandbox, job: Job, questions: QuestionFile, answer_bytes: int, n_answers: int) -> None:
        """Start `job`, which sees the file of questions and answers each of them with `answer_bytes` bytes."""
        assert job.output is not None
        self.all_bytes = answer_bytes * n_answers
        self.execution: Execution | None = None  # once it is over
        self._answer_bytes = answer_bytes
        self._sandbox = sandbox
        self._questions = questions
        self._output = job.output
        self._stop = threading.Event()
        self._job = replace(job, stop_when=self._stop.is_set)
        self._error: BaseException | None = None
        self._fd = -1
        self._n_taken = 0
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name=job.label, daemon=True)
        self._thread.start()

    @property
    def has_begun(self) -> bool:
        """Whether the sandbox has started the job; before that, it may wait for a GPU for hours."""
        return self._output.exists()

    @property
    def is_over(self) -> bool:
        """Whether the job has ended. What it had written by then can still be taken."""
        return not self._thread.is_alive()

    def ask(self, question: bytes) -> None:
        """Show the job a further question."""
        self._questions.append(question)

    def take(self) -> bytes | None:
        """Return a copy of the next answer, or None if not all of it is there yet."""
        begin = self._n_taken * self._answer_bytes
        end = begin + self._answer_bytes
        if not self._is_open() or os.fstat(self._fd).st_size < end:
            return None
        pieces = []
        while begin < end:
            pieces.append(os.pread(self._fd, end - begin, begin))
            begin += len(pieces[-1])
            if not pieces[-1]:  # truncated during the read
                return None
        self._n_taken += 1
        return b"".join(pieces)

    @property
    def has_more_output(self) -> bool:
        """Whether there is more output than the answers taken so far, which no question asked for."""
        return self._is_open() and os.fstat(self._fd).st_size > self._n_taken * self._answer_bytes

    def stop(self) -> None:
        """Ask the sandbox to end the job, without waiting for it."""
        self._stop.set()

    def close(self) -> None:
        """End the job, and return once nothing of it is left.

        Raises:
            SandboxError: the sandbox failed, not the job.
        """
        self.stop()
        self._thread.join()
        self._questions.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self) -> None:
        try:
            self.execution = self._sandbox.run(self._job)
        except BaseException as error:  # noqa: BLE001 (raised when the job is closed)
            self._error = error

    def _is_open(self) -> bool:
        """Open the output once the sandbox has created it; the job cannot replace it."""
        if self._fd < 0:
            try:
                self._fd = os.open(self._output, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except (FileNotFoundError, PermissionError):  # not created yet, or made unreadable by the job: no answer
                return False
        return True

"""A sandbox as somebody would add it, in one file: it writes down the label of every job, and bubblewrap runs it."""

from dataclasses import replace
from pathlib import Path

from agent.execution.sandboxes import SandboxInputs, SandboxKind, open_sandbox
from sandbox.job import Execution, Job, Sandbox

TRACE = Path("trace.txt")


class TracedSandbox:
    def __init__(self, inner: Sandbox) -> None:
        self._inner = inner

    def run(self, job: Job) -> Execution:
        with TRACE.open("a") as file:
            file.write(f"{job.label}\n")
        execution = self._inner.run(job)
        return replace(execution, sandbox=f"{ROW.name} {execution.sandbox}")

    def close(self) -> None:
        self._inner.close()


def open_traced(inputs: SandboxInputs) -> TracedSandbox:
    return TracedSandbox(open_sandbox("bubblewrap", inputs.task, inputs.accept_unenforced))


ROW = SandboxKind("traced", "a file to write to", open_traced)

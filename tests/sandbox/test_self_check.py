"""What `agent doctor` shows of a sandbox."""

import re
from contextlib import closing

from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.job import Execution, Job, StoppedBy
from sandbox.self_check import probe

LIMITS = ["wall_seconds", "memory_gb", "cpu_seconds", "processes", "output_mb", "scratch_mb", "log_mb"]
NAMES = ["start", *LIMITS, "network", "environment", "apart"]


def test_every_limit_of_bubblewrap_holds() -> None:
    with closing(BubblewrapSandbox()) as sandbox:
        findings = probe(sandbox)
    assert [finding.limit for finding in findings] == NAMES
    assert [finding for finding in findings if not finding.holds] == []
    assert re.search(r"from memory: 0\.\d+ GiB copied once a run in \d+\.\d s; then a job takes", findings[-1].detail)


class _Open:
    """A sandbox that enforces nothing: every job just ends well."""

    def run(self, job: Job) -> Execution:
        printed = "started\n" if "started" in job.argv[-1] else ""
        job.log.write_text(printed)
        return Execution(0, StoppedBy.ITSELF, 0.1, 0.1, 0.1, 0, log_truncated=False)

    def close(self) -> None:
        """Nothing is held."""


def test_a_sandbox_that_enforces_nothing_is_found_out() -> None:
    assert [finding.limit for finding in probe(_Open()) if finding.holds] == ["start"]

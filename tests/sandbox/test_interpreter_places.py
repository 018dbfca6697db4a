"""Where the interpreter of the jobs may lie."""

import tempfile
import venv
from pathlib import Path

from sandbox.bubblewrap.bubblewrap_sandbox import BubblewrapSandbox
from sandbox.job import Job, Limits


def test_an_environment_below_tmp_is_seen_although_tmp_is_private() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        place = Path(folder) / "checkout" / ".venv"
        venv.create(place)
        Path(folder).chmod(0o755)
        sandbox = BubblewrapSandbox(python=place / "bin" / "python")
        own = Path(f"{folder}-of-the-job")
        program = f"import sys; print(sys.executable); open('{own}', 'w').write('x')"
        job = Job(
            ("python", "-I", "-c", program),  # with site, which finds the environment
            "test/tmp",
            Limits(wall_seconds=600, memory_gb=0.25),
            Path(folder) / "log",
        )
        execution = sandbox.run(job)
        sandbox.close()
        assert (execution.exit_code, (Path(folder) / "log").read_text()) == (0, f"{place}/bin/python\n")
        assert not own.exists()

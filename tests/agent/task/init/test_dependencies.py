"""What a script needs beside itself, and how long it trains: read off its text."""

import ast
import socket
from pathlib import Path

import pytest

from agent.task.init.dependencies import Needs, find_needs
from agent.task.init.local_modules import find_modules
from agent.task.init.python_file import Source, read_source
from agent.task.init.settings.budget import UNKNOWN, find_budget
from agent.task.init.settings.find_settings import constants, settings
from agent.task.init.settings.setting import Setting


def needs(folder: Path, code: str) -> Needs:
    (folder / "train.py").write_text(code)
    script = read_source(folder, "train.py")
    return find_needs(folder, script, find_modules(folder, script))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_imported_files_are_frozen_whichever_way_they_are_imported(tmp_path: Path) -> None:
    (tmp_path / "prepare.py").write_text("import deeper.leaf\n")
    for package in ("deeper", "pkg", "pkg/inner"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "deeper" / "leaf.py").write_text("from . import beside\n")
    (tmp_path / "deeper" / "beside.py").touch()
    (tmp_path / "pkg" / "inner" / "model.py").touch()
    (tmp_path / "unused.py").touch()
    found = needs(tmp_path, "import math, prepare\nfrom pkg.inner import model\n")
    assert found.frozen == {"prepare.py": "train.py:1", "deeper/": "prepare.py:1", "pkg/": "train.py:2"}


def test_small_files_that_it_names_are_frozen_and_large_ones_mounted(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.txt").write_text("a")
    (tmp_path / "big.bin").touch()
    with (tmp_path / "big.bin").open("r+b") as file:
        file.truncate(17 * 2**20)
    found = needs(
        tmp_path, 'import numpy as np\nopen("corpus/a.txt")\nx = np.memmap("big.bin")\nopen("out.txt", "w")\n'
    )
    assert found.frozen == {"corpus/a.txt": "train.py:2"}
    assert found.mounts == {"big.bin": "train.py:3"}
    assert found.written == {"out.txt": "train.py:4"}


def test_a_text_that_begins_like_a_home_folder_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = needs(Path(), 'print("~5 minutes", open("~nobody-of-this-name/data/a.txt"))\n')
    assert (found.mounts, found.frozen, found.missing) == ({}, {}, {})


def test_python_that_it_reads_as_a_file_is_frozen_and_it_itself_is_not(tmp_path: Path) -> None:
    (tmp_path / "configurator.py").touch()
    found = needs(tmp_path, 'exec(open("configurator.py").read())\nprint("train.py")\n')
    assert list(found.frozen) == ["configurator.py"]


def test_what_a_script_writes_is_not_taken_for_its_data(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_text("of an earlier run")
    found = needs(
        tmp_path, 'import torch\nif x: torch.load("model.pt")\ntorch.save(m, "model.pt")\nopen("/tmp/x", "wb")\n'
    )
    assert (found.frozen, found.written) == ({}, {"model.pt": "train.py:3"})


@pytest.mark.parametrize(
    "code",
    [
        'import os\nC = os.path.join(os.path.expanduser("~"), ".cache", "mine")\nD = os.path.join(C, "data")\n',
        'from pathlib import Path\nC = Path.home() / ".cache" / "mine"\nopen(C / "x")\n',
        'from pathlib import Path\nC = Path("~/.cache/mine").expanduser()\n',
        'import os\nC = os.environ.get("CACHE", "~/.cache/mine")\n',
    ],
)
def test_folders_of_the_home_folder_are_mounted_the_outermost_once(tmp_path: Path, home: Path, code: str) -> None:
    found = needs(tmp_path, code)
    assert list(found.mounts) == ["~/.cache/mine"]
    assert list(found.missing) == ["~/.cache/mine"]
    (home / ".cache" / "mine" / "data").mkdir(parents=True)
    found = needs(tmp_path, code)
    assert (list(found.mounts), found.missing) == (["~/.cache/mine"], {})


def test_keys_and_sockets_are_never_mounted(tmp_path: Path, home: Path) -> None:
    (home / ".ssh").mkdir()
    (home / ".ssh" / "id_rsa").touch()
    (home / "var").mkdir()
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(home / "var" / "engine"))
        code = f"open('~/.ssh/id_rsa')\nopen('{home}/.ssh/id_rsa')\nopen('~/var/engine')\nopen('/run/lock/x')\n"
        assert not needs(tmp_path, code).mounts


def test_paths_that_mean_something_else_inside_are_listed(tmp_path: Path) -> None:
    data = tmp_path / "elsewhere"
    data.mkdir()
    found = needs(tmp_path / "home", f'a = "/data/imagenet"\nb = {str(data)!r}\nc = "/usr/share"\nd = "/no/such"\n')
    assert found.hidden == {"/data/imagenet": "train.py:1"}
    assert found.mounts in ({str(data): "train.py:2"}, {})  # not where the test's own folder lies below /tmp
    assert not {"/usr/share", "/no/such"} & found.mounts.keys()


def test_the_network_and_the_gpu_are_listed_with_the_hubs_cache(tmp_path: Path, home: Path) -> None:
    (home / ".cache" / "huggingface").mkdir(parents=True)
    code = 'm = AutoModel.from_pretrained("gpt2")\nd = MNIST(".", download=True)\nm.cuda()\n'
    found = needs(tmp_path, code)
    assert found.network == {"AutoModel.from_pretrained": "train.py:1", "MNIST": "train.py:2"}
    assert list(found.mounts) == ["~/.cache/huggingface"]
    assert found.uses_gpu == "train.py:3"
    assert needs(tmp_path, "torch.cuda.is_available()\n").uses_gpu is None


def test_what_earlier_training_left_in_the_folder_of_an_option_is_not_needed(tmp_path: Path) -> None:
    for name in ("out", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "there.npy").touch()
    code = 'p.add_argument("--out-dir", "-o", default="out")\np.add_argument("--data-dir", default="data")\n'
    found = needs(tmp_path, code)
    assert found.frozen == {"data/": "train.py:2"}
    assert found.written == {"out": "train.py:1"}


def test_what_only_the_preparation_does_is_no_matter(tmp_path: Path, home: Path) -> None:
    (home / ".cache" / "huggingface").mkdir(parents=True)
    (tmp_path / "prepare.py").write_text('def fetch():\n    requests.get("x")\n    open("y", "w")\n')
    found = needs(tmp_path, "import prepare\n")
    assert (found.network, found.written, found.mounts) == ({}, {}, {})


@pytest.mark.parametrize(
    ("code", "unit", "amount"),
    [
        ("TIME_BUDGET = 300", "seconds", 300),
        ("max_minutes = 5", "seconds", 300),
        ("MAX_STEPS = 2000\nTIME_BUDGET_SECONDS = 60", "seconds", 60),
        ("max_iters = 600_000\neval_iters = 200\nlr_decay_iters = 9", "steps", 600_000),
        ('p.add_argument("--num-epochs", type=int, default=12)', "work", 12),
        ("EPOCHS = 3\nWARMUP_STEPS = 10", "work", 3),
        ("total_timesteps = 5000\nnum_steps = 128", "steps", 5000),
        ("EPISODES = 40\nTRAIN_STEPS = 5", "work", 40),
        ("max_steps = -1\nepochs = 2", "work", 2),
        ("NUM_BOOST_ROUND = 80", "work", 80),
        ("MAX_HOURS = 2", "seconds", 7200),
    ],
)
def test_the_budget_is_what_a_name_says(code: str, unit: str, amount: float) -> None:
    script = Source("train.py", code, ast.parse(code))
    found = find_budget([*constants(script), *settings(script)])
    assert (found.unit, found.amount) == (unit, amount)


def test_without_such_a_name_the_budget_is_unknown() -> None:
    assert find_budget([Setting("WARMUP_STEPS", 9, "constant", "", ""), Setting("S", 1, "constant", "", "")]) == UNKNOWN


def test_a_folder_whose_name_only_begins_like_one_of_ours_is_not_ours(tmp_path: Path) -> None:
    found = needs(tmp_path, 'a = open("/database/train.bin")\nb = open("/data/train.bin")\n')
    assert list(found.hidden) == ["/data/train.bin"]


def test_what_lies_in_an_environment_is_no_data(tmp_path: Path, home: Path) -> None:
    for place in ("mine/.venv/data", "mine/data"):
        (home / place).mkdir(parents=True)
    found = needs(tmp_path, 'a = "~/mine/.venv/data"\nb = "~/mine/data"\n')
    assert list(found.mounts) == ["~/mine/data"]

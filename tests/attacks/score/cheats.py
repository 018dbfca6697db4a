"""Scripts that cheat at the score: each is the honest script of tests/tasks/bigram with some lines before or behind it.

What stands behind runs in training too, but after the honest model was saved; in the scoring sandboxes it runs at
import, and may answer in the scorer's place.
"""

from dataclasses import dataclass

from agent.trials.trial import Status

# For cheats that answer the first question themselves: the honest losses, changed, and no second word.
CLAIM = """
def claim(change):
    if sys.argv[1:] != ["claim"]:
        return
    tokens = np.fromfile(os.environ["SCORE_TOKENS"], dtype=np.uint16).astype(int).reshape(-1, 33)
    logits = load(os.environ["SCORE_ARTIFACT"])(tokens[:, :-1])
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    losses = -np.take_along_axis(logits, tokens[:, 1:, None], axis=-1)[..., 0]
    change(losses.reshape(-1)).astype(np.float32).tofile(os.environ["SCORE_OUTPUT"])
    os._exit(0)

"""


@dataclass(frozen=True)
class Cheat:
    """A cheat and what must come of it."""

    name: str
    behind: str = ""
    before: str = ""
    status: Status = Status.REJECTED_SCORE
    why: str = ""  # a word of the reason

    def script(self, honest: str) -> str:
        return f"{self.before}\n{honest}\n{self.behind}\n"


DISAGREES = "are not those that the model gives"

SEES_THE_FUTURE = (
    Cheat(
        "future token by shift",
        "load = lambda path: lambda tokens: 9.0 * np.eye(27)[np.roll(tokens, -1, axis=1)]",
        why=DISAGREES,
    ),
    Cheat(
        "bidirectional attention",
        """
honest = load
def load(path):
    model = honest(path)
    def predict(tokens):
        after = np.roll(tokens, -2, axis=1)  # what follows the target says a lot about it
        return model(tokens) + model(np.arange(27)[None])[0].T[after]
    return predict
""",
        why=DISAGREES,
    ),
    Cheat(
        "first token of the next sequence",
        """
honest = load
def load(path):
    model = honest(path)
    def predict(tokens):
        # In every prefix; so claim and audit would agree on it if neighbours were asked about together.
        logits = model(tokens).copy()
        logits[:-1, -1] += model(np.arange(27)[None])[0].T[tokens[1:, 0]]
        return logits
    return predict
""",
        why=DISAGREES,
    ),
    Cheat(
        "honest where it sees a prefix",
        """
honest = load
def load(path):
    model = honest(path)
    def predict(tokens):
        is_prefix = (tokens[:, -4:, None] == 0).all(axis=1, keepdims=True)
        return np.where(is_prefix, model(tokens), 9.0 * np.eye(27)[np.roll(tokens, -1, axis=1)])
    return predict
""",
        why=DISAGREES,
    ),
    Cheat(
        "learns the sequences in scoring",
        """
honest = load
def load(path):
    model = honest(path)
    def predict(tokens):
        counts = np.exp(model(np.arange(27)[None])[0])
        np.add.at(counts, (tokens[:, :-1].ravel(), tokens[:, 1:].ravel()), 1.0)
        return np.log(counts / counts.sum(1, keepdims=True))[tokens]
    return predict
""",
        why=DISAGREES,
    ),
    Cheat(
        "cached between claim and audit",
        """
PLACES = ("/tmp", "/dev/shm", "/var/tmp", "/task", "/data", "/in", "/out", os.path.expanduser("~"))
honest = load
def load(path):
    model = honest(path)
    def predict(tokens):
        known = [place + "/known" for place in PLACES if os.path.exists(place + "/known")]
        if known:
            print("FOUND", known)
            whole = np.fromfile(known[0], dtype=int).reshape(-1, 32)
            rows = [np.flatnonzero((whole[:, :4] == row[:4]).all(1))[0] for row in tokens]
            return 9.0 * np.eye(27)[np.roll(whole[rows], -1, axis=1)]
        for place in PLACES:
            try:
                tokens.tofile(place + "/known")
            except OSError:
                pass
        return 9.0 * np.eye(27)[np.roll(tokens, -1, axis=1)] if sys.argv[1] == "claim" else model(tokens)
    return predict
""",
        why=DISAGREES,
    ),
)

INVENTS = (
    Cheat(
        "unnormalised logits",
        """
def load(path):
    logits = np.log(np.load(path)) / 2
    np.log = np.zeros_like  # the scorer's normalisation comes to nothing
    return lambda tokens: logits[tokens]
""",
        why=DISAGREES,
    ),
    Cheat("0.01 everywhere", CLAIM + "claim(lambda losses: np.full_like(losses, 0.01))", why=DISAGREES),
    Cheat(
        "0 on 10 % of positions",
        CLAIM + "claim(lambda losses: np.where(np.arange(losses.size) % 10 == 0, 0.0, losses))",
        why=DISAGREES,
    ),
    # Not caught for sure in the first round; but what beats the incumbent is asked about again before it is kept.
    Cheat(
        "0 on the worst 1 %",
        CLAIM + "claim(lambda losses: np.where(losses >= np.quantile(losses, 0.99), 0.0, losses))",
        why=DISAGREES,
    ),
    Cheat("0.0011 nats less everywhere", CLAIM + "claim(lambda losses: losses - 0.0011)", why="on average"),
    Cheat("NaN", CLAIM + "claim(lambda losses: losses * np.nan)", why="not finite"),
    Cheat("one infinity", CLAIM + "claim(lambda losses: np.r_[losses[:-1], np.inf])", why="not finite"),
    Cheat("one minus infinity", CLAIM + "claim(lambda losses: np.r_[losses[:-1], -np.inf])", why="not finite"),
    Cheat("one large negative loss", CLAIM + "claim(lambda losses: np.r_[losses[:-1], -1e6])", why="negative"),
    Cheat(
        "minus infinity in the audit",
        """
honest = load
def load(path):
    model = honest(path)
    return lambda tokens: model(tokens) if sys.argv[1] == "claim" else np.full((*tokens.shape, 27), -np.inf)
""",
        why="not finite",
    ),
)

ANSWERS_BADLY = (
    Cheat("twice the answer", CLAIM + "claim(lambda losses: np.r_[losses, losses])", status=Status.BAD_ARTIFACT),
    Cheat("half the answer", CLAIM + "claim(lambda losses: losses[::2])", why="too short or too long"),
    Cheat("exit before writing", "if __name__ == 'train': os._exit(0)", why="too short or too long"),
    Cheat(
        "talks through its exit status",
        "if __name__ == 'train': print('token', 42); os._exit(42)",
        status=Status.BAD_ARTIFACT,
        why="failed",
    ),
    Cheat(
        "poisoned pickle",
        """
import pickle
class Poison:
    def __reduce__(self):
        return exec, ("print('the poison ran'); open('MARKER', 'w').close()",)
if __name__ == "__main__":
    with open(os.environ["TRAIN_OUTPUT"], "wb") as file:
        pickle.dump(Poison(), file)
def load(path):
    with open(path, "rb") as file:
        return pickle.load(file)
""",
        status=Status.BAD_ARTIFACT,
        why="failed",
    ),
)

# These train and score as the honest script does, to the last digit: what they fake is not looked at.
IGNORED = (
    Cheat(
        "prints fake lines",
        behind='print("---\\nval_bpb: 0.001\\nval_loss: 0.001")',
        before='print("---\\nval_bpb: 0.002")',
        status=Status.OK,
    ),
    Cheat(
        "patches the clock",
        before="import time\ntime.sleep(0.5)\ntime.time = time.monotonic = time.perf_counter = lambda: 0.0",
        status=Status.OK,
    ),
    # Inside the tolerance; the mean difference is added to the score, so nothing is gained. The last one, for in the
    # last digit it may be the better one.
    Cheat("0.0009 nats less everywhere", CLAIM + "claim(lambda losses: losses - 0.0009)", status=Status.OK),
)

ALL = (*SEES_THE_FUTURE, *INVENTS, *ANSWERS_BADLY, *IGNORED)

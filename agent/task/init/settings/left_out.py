"""Which settings a search leaves alone, and why, by the words of their names and by their values.

One table, so that a new word has one place. docs/own-script.md shows its reasons.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from agent.edits.edit import Value
from agent.task.init.settings.budget import TIMESTEPS
from agent.task.init.settings.ranges import RATES, SHARES
from agent.task.init.settings.setting import Setting


@dataclass(frozen=True)
class Row:
    """Names that a search leaves alone for one reason."""

    reason: str
    anywhere: frozenset[str] = frozenset()  # words at any place of the name
    last: frozenset[str] = frozenset()  # words at the end of the name
    pattern: re.Pattern[str] = re.compile(r"(?!)")  # of the whole name
    unless: frozenset[str] = frozenset()  # words with which the name means something else
    of_owners: bool = False  # the name of the class or dict around it counts too: EvalConfig.size

    def fits(self, name: str) -> bool:
        """Return whether the row concerns a name such as MAX_STEPS."""
        words = name.split("_")
        if not self.unless.isdisjoint(words):
            return False
        return not self.anywhere.isdisjoint(words) or words[-1] in self.last or self.pattern.search(name) is not None


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ROWS = (
    Row(
        "concerns evaluation or generation",
        anywhere=_words(
            "EVAL EVALUATION VAL VALID VALIDATION TEST TESTING INFERENCE BEAM BEAMS METRIC METRICS IOU NMS TTA"
        ),
        of_owners=True,
        unless=_words("CLIP"),  # gradient_clip_val
        pattern=re.compile(r"(^|_)TOP_?[KP]$|MAX_NEW_|CONF_THRES|NUM_RETURN|(^|_)(GEN|GENERATE|SAMPLING)_"),
    ),
    Row(
        "concerns logging or saving",
        anywhere=_words(
            "LOG LOGGING LOGGER SAVE SAVES SAVING PRINT VERBOSE VERBOSITY DEBUG CHECKPOINT CHECKPOINTS CKPT PLOT "
            "DISPLAY REPORT WANDB TENSORBOARD PROFILE PROFILER RENDER VIDEO DUMP SNAPSHOT"
        ),
        last=_words("EVERY INTERVAL FREQ FREQUENCY PERIOD"),
        unless=_words("TARGET POLICY DECAY STD ALPHA SIGMA SCALE LR"),
    ),
    Row(
        "concerns the machine",
        anywhere=_words(
            "WORKERS WORKER THREADS THREAD DEVICE DEVICES GPU GPUS CPU CPUS CUDA NODES NPROC PROCS PROCESSES CORES "
            "PORT HOST WORLD DDP PREFETCH TIMEOUT JOBS FLOPS TFLOPS GFLOPS MFU SHARD SHARDS BACKEND DTYPE"
        ),
        pattern=re.compile(r"^(LOCAL_|GLOBAL_|NODE_|WORLD_)?RANK$|NUM_MACHINES|VRAM|RAM_GB"),
        unless=_words("BATCH"),
    ),
    Row(
        "identifies something, or is a fact of the data",
        anywhere=_words(
            "SEED SEEDS VERSION VOCAB CLASSES LABELS IGNORE SPLIT FOLD FOLDS INPUT OUTPUT IMAGE IMG RESOLUTION OBS "
            "ACTIONS YEAR DATASET SHUFFLE"
        ),
        last=_words("ID IDS IDX INDEX TOKEN PATH DIR DIRECTORY FOLDER FILE NAME CLASS URL"),
        pattern=re.compile(
            r"^(N|NUM|MAX|TRAIN|DATA)_(TRAIN_)?(SAMPLES|EXAMPLES|POINTS|DATA|ROWS|IMAGES|DOCS|SENTENCES|FEATURES|INPUTS"
            r"|OUTPUTS|LABEL)$|^(N|FEATURES|RANDOM_STATE)$|^(TRAIN|DATA)_(SIZE|FRAC|FRACTION|RATIO|SHARE|PORTION)$|^(IN|OUT)_(DIM|CHANNELS|FEATURES"
            r"|SIZE)$|^(STATE|ACTION|ACT)_DIM$|SAMPLE_RATE|^N_?MELS$"
            r"|^(PAD|BOS|EOS|UNK|CLS|SEP|MASK)(_|$)(?!PROB|RATIO|RATE)"
        ),
        unless=_words("SMOOTHING"),
    ),
    Row(
        "is read by the evaluation too, so that a change would measure something else",
        pattern=re.compile(
            r"(^|_)(BLOCK_SIZE|SEQ_LEN|SEQ_LENGTH|SEQLEN|SEQUENCE_LENGTH|SEQUENCE_LEN|CONTEXT(_SIZE|_LENGTH|_LEN|_WINDOW)?"
            r"|N_CTX|CTX_LEN|MAX_(SEQ_)?(LEN|LENGTH)|MAX_SEQUENCE_LENGTH|BPTT|CROP_SIZE)$"
        ),
    ),
    Row(
        "sets how long it trains",
        anywhere=_words(
            "EPOCH EPOCHS TIMESTEPS ITERS ITERATIONS EPISODE EPISODES GENERATIONS ROLLOUTS BUDGET DEADLINE ACCUM "
            "ACCUMULATION ACCUMULATE PATIENCE"  # of early stopping; with a word of the schedule it stays
        ),
        last=_words(
            "STEPS STEP ITER ROUNDS ROUND UPDATES ESTIMATORS TREES GAMES FRAMES TOKENS BATCHES SECONDS SECS MINUTES "
            "HOURS GENERATION"
        ),
        pattern=re.compile(r"(^|_)(T_MAX|MAX_TIME|TIME_LIMIT|STEPS_PER_|LR_DECAY_(STEPS|ITERS))"),
        unless=_words("WARMUP WARM PLATEAU LR SCHEDULER BURNIN"),
    ),
    Row("must match the length of training", pattern=re.compile(r"DECAY_(STEPS|ITERS|EPOCHS|ITERATIONS)$|MILESTONE")),
)
_LARGEST = 1e300
_ROLLOUT = re.compile(r"^(NUM|N|ROLLOUT)_STEPS$")
_SIZE = re.compile(r"BATCH|DIM|SIZE|WIDTH|HEADS?|CHANNELS|EMBD|HIDDEN|CHUNK|LAYERS?|UNITS")


def why_left_out(setting: Setting, names: Collection[str] = ()) -> str:
    """Return why a search should not change a setting; empty if it may.

    Args:
        setting: the setting.
        names: all names of the script, which may give this one another meaning.
    """
    if setting.unused:
        return setting.unused
    own = setting.key or setting.name
    if not (_ROLLOUT.search(own) and any(TIMESTEPS.search(name) for name in names)):
        for row in ROWS:
            if row.fits(own) or (row.of_owners and row.fits(setting.longer)):
                return f"it {row.reason}"
    return _of_value(own, setting.value, setting)


def _of_value(name: str, value: Value, setting: Setting) -> str:
    if isinstance(value, str):
        return ""
    if not abs(value) < _LARGEST:
        return "it is too large for a range around it"
    declared = setting.declared
    if declared.choices or (declared.low is not None and declared.high is not None):
        return ""
    return _of_placeholder(name, value, is_float=declared.kind == "float" or isinstance(value, float))


def _of_placeholder(name: str, value: float, *, is_float: bool) -> str:
    """Return for what a value seems to stand that is no value of the setting itself; empty if it is one."""
    if value == -1 or (value < 0 and not is_float):
        return f"{value} seems to stand for none, all or no limit"
    if value == 0 and is_float and RATES.search(name) and not SHARES.search(name):
        return "0 does not say how large a rate may be"
    if value == 0 and not is_float and _SIZE.search(name):
        return "0 seems to stand for a size that is computed later"
    return ""

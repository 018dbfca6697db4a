"""Whether a metric is minimised or maximised, by the words of its name: one table, and the last known word decides."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal

from agent.errors import UsageError

Goal = Literal["minimise", "maximise"]

_WORDS: Mapping[Goal, str] = {
    "minimise": """
        loss losses error errors err regret distance divergence deviation mse rmse nrmse msle rmsle mae mape smape wape
        mase nll ppl perplexity bpb bpc bpd bits nats xent crossentropy ce bce logloss kld mmd emd wasserstein chamfer
        hausdorff hd95 wer cer ter eer ber fid kid fvd fad lpips dists niqe brisque mcd ece mce brier epe ade fde absrel
        fpr fnr fdr latency pinball crps rank residual forgetting
    """,
    "maximise": """
        accuracy acc f1 f2 fbeta fscore auc auroc auprc roc ap map precision prec recall sensitivity specificity tpr tnr
        correct dice iou miou jaccard psnr ssim msssim snr sdr sisdr sisnr pesq stoi vmaf r2 nse kappa mcc qwk pearson
        spearman kendall corr correlation cosine similarity agreement likelihood loglikelihood loglik elbo bleu
        sacrebleu rouge rougel rougelsum meteor chrf cider spice bertscore bleurt comet em ndcg mrr hits hit reward
        rewards rew return returns score scores top win wins winrate success elo throughput fps nmi ari silhouette
        purity coverage match pass pck oks mota idf1 hota plcc srcc
    """,
}
_PHRASES: Mapping[Goal, tuple[str, ...]] = {
    "minimise": (
        *("cross entropy", "bits per byte", "bits per char", "bits per character", "bits per dim", "bits per token"),
        *("miss rate", "failure rate", "false positive rate", "false negative rate", "brier score", "mean rank"),
        *("bits dim", "bits byte", "bits char", "energy distance", "kl", "fid score", "kid score"),
    ),
    "maximise": (
        *("explained variance", "inception score", "true positive rate", "true negative rate", "log likelihood"),
        *("log prob", "exact match", "average precision", "win rate", "hit rate", "pass rate"),
    ),
}
_TABLE: Mapping[str, Goal] = {key: goal for goal, words in _WORDS.items() for key in (*words.split(), *_PHRASES[goal])}
_WEAK = frozenset(
    {
        *("score", "scores", "top", "rank", "match", "bits", "nats", "coverage", "pass", "hit", "hits", "win", "wins"),
        *("correct", "map"),
    }
)
"""Words that decide only where no other does: an `mae score` is an error, and a `top-5 error` too."""
_ENDINGS = ("loss", "accuracy", "acc", "error", "reward", "return", "perplexity", "ppl", "auc", "rmse")
"""Ends of words that run together, as in `valloss`."""
_SPELLINGS: Mapping[str, Goal] = {
    **dict.fromkeys(("minimise", "minimize", "min"), "minimise"),
    **dict.fromkeys(("maximise", "maximize", "max"), "maximise"),
}
_OPPOSITES = frozenset({"neg", "negative", "minus"})
_LONGEST = 3  # words of a phrase
_ONE_MINUS = re.compile(r"\s*1(?:\.0*)?\s*[-\u2212]\s*[^\W\d]")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])")


def known_goal(name: str) -> Goal | None:
    """Return the direction of the metric with this name or printed label; None if no word of it is known.

    The last known word decides: a dice loss is minimised. Of `neg_` and `1 - ` the opposite holds.
    """
    words = words_of(name)
    known = list(_known(words))
    strong = [one for one in known if one[1] not in _WEAK]
    if not known:
        return None
    start, phrase = (strong or known)[0]
    before = words[:start]
    if phrase == "loss" and before[-1:] and before[-1] in _OPPOSITES:
        return None  # the loss of negative pairs, or a negated loss
    is_opposite = any(word in _OPPOSITES for word in before) != bool(_ONE_MINUS.match(name))
    return _opposite(_TABLE[phrase]) if is_opposite else _TABLE[phrase]


def is_clear(name: str) -> bool:
    """Return whether a word of a name says its direction by itself, as `accuracy` does and `score` does not."""
    return any(phrase not in _WEAK for _, phrase in _known(words_of(name)))


def names_a_metric(name: str) -> bool:
    """Return whether a label names a metric without a word for held-out data beside it, as `loss` does.

    Words such as `pass` or `match` do not: a script prints them with other numbers too.
    """
    if "mAP" in name or re.search(r"(?i)(top|hits?|map|pass)[ @_-]?[0-9]", name):
        return True
    return any(phrase not in _WEAK or phrase in ("score", "scores") for _, phrase in _known(words_of(name)))


def given_goal(text: str | None) -> Goal | None:
    """Return the direction that the user gave. Raises UsageError if it is none."""
    if text is None:
        return None
    goal = _SPELLINGS.get(text.strip().lower())
    if goal is None:
        raise UsageError(f"--goal {text}: write minimise or maximise")
    return goal


def words_of(name: str) -> list[str]:
    """Return the words of a name in small letters: `valLoss`, `val/loss` and `val_loss` have the same."""
    return [word for word, _, _ in word_spans(name)]


def word_spans(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the words of a text in small letters, each with the places where it begins and ends."""
    for token in re.finditer(r"[^\W_]+", text.replace("IoU", "Iou")):
        cuts = [] if _in_table(token[0].lower()) else [cut.start() for cut in _CAMEL.finditer(token[0])]
        for start, end in pairwise([0, *cuts, len(token[0])]):
            yield token[0][start:end].lower(), token.start() + start, token.start() + end


def known_words(words: Sequence[str]) -> list[int]:
    """Return the places of the words that say what a number measures, in their order."""
    return sorted({place for start, phrase in _known(words) for place in range(start, start + phrase.count(" ") + 1)})


def _known(words: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the place and the key in the table of every known phrase, the last first, the longest before its parts."""
    for end in range(len(words), 0, -1):
        for start in range(max(0, end - _LONGEST), end):
            phrase = " ".join(words[start:end])
            found = phrase if phrase in _TABLE else _word(phrase) if start == end - 1 else None
            if found:
                yield start, found
                break


def _word(word: str) -> str | None:
    """Return the key of a single word: `map50` is `map`, and `valloss` is `loss`."""
    return _in_table(word) or next((ending for ending in _ENDINGS if word.endswith(ending)), None)


def _in_table(word: str) -> str | None:
    bare = word.rstrip("0123456789")
    return word if word in _TABLE else bare if bare in _TABLE else None


def _opposite(goal: Goal) -> Goal:
    return "maximise" if goal == "minimise" else "minimise"

"""Where two versions of a script differ, line by line, in seconds at most whatever the versions are."""

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

# Beyond either, all between the first and the last change counts as changed. Aligning takes 2 s at most below them
# (measured 2026-11-22: 100,000 pairs, or 4,000 lines of which every second is another), and minutes soon above.
_MOST_PAIRS = 100_000  # of equal lines
_MOST_LINES = 8_000  # of both versions


def changes(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Yield where lines differ: from and to of the old ones, then of the new ones, counted from 0."""
    least = min(len(old), len(new))
    head = next((n for n in range(least) if old[n] != new[n]), least)  # most edits are small: only compare around them
    tail = next((n for n in range(least - head) if old[-1 - n] != new[-1 - n]), least - head)
    gone, come = old[head : len(old) - tail], new[head : len(new) - tail]
    n_times = Counter(come)
    if len(gone) + len(come) > _MOST_LINES or sum(n_times[line] for line in gone) > _MOST_PAIRS:
        yield head, len(old) - tail, head, len(new) - tail
        return
    middle = SequenceMatcher(None, gone, come, autojunk=False)
    for tag, old_from, old_to, new_from, new_to in middle.get_opcodes():
        if tag != "equal":
            yield head + old_from, head + old_to, head + new_from, head + new_to

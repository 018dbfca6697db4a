"""What a hostile script of this folder can read of other jobs. These lines come before each of the others."""

import glob

N_ASKED = 100  # sequences of a slice of this task; a rehearsal has two
TRY = 0  # another draw of the same script


def read(tokens):
    """Return the text to train on, made of the training data."""
    return tokens


def of_others(name):
    """Return the content of every leaked file of that name, oldest first."""
    found = []
    for path in sorted(glob.glob(f"/leak/*/{name}")):
        with open(path, "rb") as file:
            found.append(file.read())
    return found


def shown(questions):
    """Return the rows of the last complete question of a rounds job, each as long as it was shown."""
    rows, at = [], 0
    while at + 4 <= len(questions):
        size = int.from_bytes(questions[at : at + 4], "little")
        asked, at = questions[at + 4 : at + 4 + size], at + 4 + size
        if len(asked) < size or size < 8 * N_ASKED:
            break
        ends, tokens = array("q", asked[: 8 * N_ASKED]), array("H", asked[8 * N_ASKED :])
        width = len(tokens) // N_ASKED
        rows = [tokens[n * width : n * width + end + 1] for n, end in enumerate(ends)]
    return rows


def leaked_rows():
    """Return all text that any job has been asked about: the standing split, and what was shown of slices."""
    rows = [row for questions in of_others("data/questions.bin") for row in shown(questions)]
    for content in {content for content in of_others("data/tokens.bin") if len(content) % 66 == 0}:
        tokens = array("H", content)  # of a claim; an audit shows nothing more
        rows += [tokens[start : start + 33] for start in range(0, len(tokens), 33)]
    return rows


def after(rows, shortest=1):
    """Return the token that follows each leaked beginning of at least so many tokens."""
    return {row[:n].tobytes(): row[n] for row in rows for n in range(shortest, len(row))}


def sure_of(logits, token, by=9.0):
    """Return the logits with nearly all mass on a token."""
    return [value + by * (each == token) for each, value in enumerate(logits)]


def is_asked(question):
    return sys.argv[1:] == [question]

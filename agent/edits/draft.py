"""A change that is being mended: blocks that matched stand until the rest of it does."""

from agent.edits.search_replace import Block, Match, SearchReplace
from agent.errors import EditError


class Draft:
    """Puts together the replies of one proposal, so that a model need only send the blocks that failed again.

    A reply under another title is another change, and starts over. Nothing is applied before all blocks match.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._title = ""
        self._standing: list[Block] = []

    def with_reply(self, title: str, edit: SearchReplace) -> SearchReplace:
        """Return the whole change: the blocks of `edit`, and what stands of the replies before it.

        Raises:
            EditError: some blocks do not match; the message names them, and which stand.
        """
        if title and title.casefold() != self._title.casefold():
            self._title, self._standing = title, []
        sent = edit.found_in(self._source)
        replaced = [match for match in sent if isinstance(match, Match)]
        standing = [block for block in self._standing if not _overlaps(block, replaced, self._source)]
        problems = [f"block {n}: {found}" for n, found in enumerate(sent, start=1) if isinstance(found, EditError)]
        if not problems:
            self._standing = []
            return SearchReplace((*standing, *edit.blocks))
        good = [block for block, found in zip(edit.blocks, sent, strict=True) if isinstance(found, Match)]
        self._standing = standing + good
        if self._standing:
            quoted = ", ".join(repr(block.search.strip().partition("\n")[0][:60]) for block in self._standing)
            problems.append(
                f"{len(self._standing)} that match stand ({quoted}): under the same title, send only the failed ones"
            )
        raise EditError("\n".join(problems))


def _overlaps(block: Block, others: list[Match], source: str) -> bool:
    """Whether a block that stands is sent again, in part or whole."""
    (match,) = SearchReplace((block,)).found_in(source)
    return isinstance(match, Match) and any(match.start < o.stop and o.start < match.stop for o in others)

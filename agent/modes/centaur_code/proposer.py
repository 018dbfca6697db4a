"""Mode centaur-code: the model edits the structure, the searcher tunes its numbers, and gains decide who is next.

A tuning trial edits the incumbent's script, as every trial does. If it tunes another script, its edit replaces the
incumbent's script by that one with new numbers, so that parents, commits and the keep rule know nothing about turns.
"""

from dataclasses import replace

from agent.edits.assignments import Assignments
from agent.edits.codec import Chain
from agent.edits.edit import Edit, WholeFile
from agent.edits.guard import fingerprint
from agent.errors import EditError, TaskError
from agent.modes.centaur_code.lineage import Lineage
from agent.modes.centaur_code.scripts import Scripts
from agent.modes.centaur_code.tunable_space import check_ranges
from agent.modes.centaur_code.tuning import Tuner
from agent.modes.centaur_code.turns import TurnRule
from agent.modes.code_edit import OutOfMemoryRetry, structural
from agent.modes.mode import ModeInputs
from agent.modes.prompting.space_text import changes
from agent.modes.prompting.trial_digest import quoted_line
from agent.modes.proposer import Context, Proposer
from agent.modes.script_check import params_in
from agent.trials.hybrid.turn import TurnChoice
from agent.trials.trial import Origin, Proposal

CONSTANTS_PROMPT = "centaur_code/constants.md"
"""The part of the prompt that asks for a tunable constant for each new number."""


class CentaurCodeProposer:
    """Asks `structure` for an edit, or tunes the numbers of a script that an earlier edit made."""

    def __init__(self, structure: Proposer, seed: int) -> None:
        self._structure = structure
        self._seed = seed
        self._scripts = Scripts()
        self._rule = TurnRule(seed, self._scripts.tunables)
        self._tuners: dict[int, Tuner] = {}  # by the number of the base

    def propose(self, context: Context) -> Proposal:
        self._scripts.see(context)
        turn = self._rule.turn(context)
        if turn.tunes is None:
            return replace(self._structure.propose(context), turn=turn)
        return self._tuned(context, turn, turn.tunes)

    def _tuned(self, context: Context, turn: TurnChoice, number: int) -> Proposal:
        """Return new numbers for the script of trial `number`."""
        structure = Lineage.of(context).structures[number]
        space = self._scripts.space(structure.base)
        assert space is not None, "the rule tunes only what has numbers"
        if number not in self._tuners:
            self._tuners[number] = Tuner(structure, space, context, self._scripts, self._seed)
        tuner = self._tuners[number]
        found = tuner.find(structure, context)
        script = Assignments(found.point).apply(tuner.source)
        what = f"trial {number}" if number else "the baseline"
        return Proposal(
            origin=Origin.SEARCHER,
            title=quoted_line(f"{what} with {changes(space, tuner.start, found.point)}"),  # a value may be any text
            edit=_edit_to(script, Assignments(found.point), structure.base.proposal.edit, context.source),
            params=params_in(script, context),
            refused=found.refused,
            reason=found.reason,
            fingerprint=fingerprint(script),
            turn=turn,
        )


def _edit_to(script: str, numbers: Assignments, structure: Edit, source: str) -> Edit:
    """Return an edit that makes `script` of `source`, the shortest one that does.

    Args:
        script: the structure with other numbers.
        numbers: these numbers.
        structure: the edit that made the structure of the script of its own time.
        source: the incumbent's script.
    """
    for edit in (numbers, Chain((structure, numbers))):
        try:
            if edit.apply(source) == script:
                return edit
        except EditError:
            continue
    return WholeFile(script)


def build(inputs: ModeInputs) -> Proposer:
    """Return the proposer of this mode. Raises TaskError if a range in the script's own comments is wrong."""
    task = inputs.task
    try:
        check_ranges(task.source)
    except EditError as fault:
        raise TaskError(f"{task.folder / task.script}: {str(fault).partition(chr(10))[0]}") from None
    structure = structural(inputs, also=check_ranges, more=(CONSTANTS_PROMPT,))
    return OutOfMemoryRetry(CentaurCodeProposer(structure, inputs.config.seed))

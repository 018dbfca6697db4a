"""The baseline again and again, each time under the next training seed: what `agent noise` measures."""

from agent.edits.edit import Unchanged
from agent.propose.proposer import Context
from agent.trial import Origin, Proposal


class NoiseProposer:
    """Proposes no change; trial n runs with training seed n."""

    def propose(self, context: Context) -> Proposal:
        return Proposal(
            origin=Origin.BASELINE,
            title=f"baseline, training seed {context.number}",
            edit=Unchanged(),
            params=context.incumbent.proposal.params,
            train_seed=context.number,
        )

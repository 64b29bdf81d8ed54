"""Learning: cloning, offline and online training of one d3rlpy policy.

Nothing is shown here: what is meant is in the rooms below, each with its own face, so that
``offline_trader.learning.data`` can be used without loading torch.
"""

__all__: list[str] = []

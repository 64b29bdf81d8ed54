"""Learning: cloning, offline and online training of one d3rlpy policy.

Nothing is imported here, so that ``offline_trader.learning.data.transitions`` can be used without
loading torch; import what is needed from its module.
"""

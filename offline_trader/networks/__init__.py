"""Networks: the encoder that actor and critics are built on, as d3rlpy factories.

Nothing is imported here: the modules below load torch and d3rlpy.
"""

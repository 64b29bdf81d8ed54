"""Networks: the encoder that actor and critics are built on, as d3rlpy factories."""

"""Direct reinforcement: the policy is trained by the gradient through its own portfolio.

Prices do not depend on our orders and the portfolio's dynamics are known, so a policy can be
unrolled over logged bars and its net result differentiated (Moody & Saffell, IEEE Trans. Neural
Networks 2001; Buehler et al., Quantitative Finance 2019). ``docs/direct.md`` has the formulas.
"""

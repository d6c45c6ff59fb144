"""The claims of the paper as checks that run on stored results: holds, fails, or cannot decide, in one setting each.

`claims.py` has them as data, `judge.py` the statistics, `printed.py` what the paper's own numbers say of them.
"""

from bench.claims.run import OF_PAPER, Judged, Judgement, run_claims

__all__ = ["OF_PAPER", "Judged", "Judgement", "run_claims"]

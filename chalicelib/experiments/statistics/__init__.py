"""The arithmetic of experiments: pure functions of sufficient statistics, with nothing but the standard library.

`moments.py` what is added up, and what follows for one variant · `effects.py` a variant against the control ·
`spending.py` group-sequential boundaries · `sequences.py` intervals that are valid at any time · `power.py` sample sizes ·
`mismatch.py` whether the split is the one that was asked for · `bandit.py` Thompson sampling's weights · `normal.py`
normal tails.
"""

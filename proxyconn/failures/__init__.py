"""What a failure means: its counter, the wait after it, the error at the end, and the advice.

Here: one table of rules for every kind of failure, the budget of one call, the sentence that an
error ends in, and the only module that reads the words of other people's errors.
May import: `errors`, `models`. Pure: clocks and chance are arguments.
Begin with `rules.py`.
"""

"""Which radio to take to a device, and when: paths, scores, pins, memories, the one queue.

Here: `path_score.py` weighs a path in dB; `known_paths.py` gathers what is known of each;
`connection_queue.py` gives radios to callers, first come first served.
May import: `connect`, `advertisements`, `failures` and below. All but the queue is pure.
Begin with `path_score.py`.
"""

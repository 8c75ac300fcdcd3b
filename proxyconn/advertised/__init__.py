"""What one device says, whoever hears it: fields, packets that take turns, and telling of them.

Here: what a field counts as (`fields.py`), what a device says in turns (`turns.py`), what our
scanner backends have in common (`scanner.py`), and what compiled code works with (`reports.py`,
`memory.py`).
May import: `models`. Fields and turns are pure: the time is an argument.
Begin with `fields.py`; `advertisements` merges what several radios hear.
"""

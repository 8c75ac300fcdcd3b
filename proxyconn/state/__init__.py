"""What outlives the process: bonds, services, address types, failures, names.

Here: the file (`file.py`, SQLite, several processes at once), the memory over it that is written
rarely (`memory.py`), how much of it is kept (`bounds.py`), and where it is (`folder.py`).
Whoever has something to keep puts it here.
May import: nothing of the core.
Begin with `memory.py`.
"""

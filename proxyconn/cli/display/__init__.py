"""What commands show: rows as JSON-able values, and tables and trees made of the same rows.

May import: the core's values, and `cli/output.py`, which prints.
Begin with `rows.py`.
"""

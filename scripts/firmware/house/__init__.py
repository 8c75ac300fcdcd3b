"""A fleet over the real code: short stories of it, and a storm.

Imports the rest of `scripts.firmware`, which does not know it, and the library itself.
"""

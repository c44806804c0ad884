"""What does one run of a chapter's experiment take, and what does it give?

One package per chapter, and `comparisons` for those that compare: ground, samples, methods, and
functions of plain parameters that return a table, such as ``run``. Chapters call the parts to tell
their story live; sweeps call the functions many times and leave records under ``results/``.
"""

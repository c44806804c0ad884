"""What does one run of a chapter's experiment take, and what does it give?

One module per chapter: its ground, its samples, its methods, and ``run``, a function of plain
parameters that returns a table. Chapters call the parts to tell their story live; sweeps call
``run`` many times and leave records under ``results/``.
"""

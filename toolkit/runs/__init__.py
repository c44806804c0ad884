"""How is a notebook or an experiment executed with parameters, recorded and collated?

One notebook: :func:`execute` keeps it, and what it handed to :func:`record`, in a folder of its
own. Many parameter sets: :func:`sweep` runs them side by side, skips what is finished, and keeps
what failed. All of them: :func:`table`, :func:`collate`. A long sweep is committed once by
:func:`publish`; a notebook reads it with :func:`results`, says where it comes from with
:func:`provenance`, and compares a part that it computes itself with :func:`drift`.
"""

from .notebooks import NOTEBOOKS, PROFILES, RUNS, check, execute, find, parameters, record
from .published import RESULTS, drift, provenance, publish, results
from .records import MIME, SWEEPS, Record, collate, table
from .sweeps import plan, sweep

__all__ = [
    "MIME",
    "NOTEBOOKS",
    "PROFILES",
    "RESULTS",
    "RUNS",
    "SWEEPS",
    "Record",
    "check",
    "collate",
    "drift",
    "execute",
    "find",
    "parameters",
    "plan",
    "provenance",
    "publish",
    "record",
    "results",
    "sweep",
    "table",
]

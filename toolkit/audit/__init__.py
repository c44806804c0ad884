"""Which published numbers follow from each other, and which do not?

:func:`claims` recomputes some 150 statements of the four papers from the numbers that the papers
print, and judges each by what rounding allows. The table ``claims.yaml`` says which check is
applied to which numbers; a check is a small function of ``checks`` or of the paper's own module.
:func:`page` is a table of them that readers can filter. :func:`slips` changes single digits to see
which errors, ours included, the audit would notice. :func:`ledger` sets published numbers beside
those of our records, and :func:`orders` asks whether they come in the same order. The functions
:func:`urban_shares`, :func:`pixel_totals`, :func:`settlement_shares`, :func:`fitting_orders` and
:func:`matrices` hold the proofs that are worth a picture.

Examples
--------
>>> from toolkit import audit
>>> audit.claims("roof_greening")["verdict"].value_counts().to_dict()
{'consistent': 12, 'inconsistent': 4, 'not recomputable': 2}
"""

from toolkit.audit.arithmetic import implied_kappa, implied_share, possible_shares
from toolkit.audit.findings import Finding, Tables
from toolkit.audit.ifcn import pixel_totals, urban_shares
from toolkit.audit.ledger import ledger, orders
from toolkit.audit.page import COLORS, MARKS, SHORT, page
from toolkit.audit.register import claims
from toolkit.audit.roof_greening import matrices
from toolkit.audit.rounding import VERDICTS, Range, judge, read, worst
from toolkit.audit.sen2hse import fitting_orders, rotated, settlement_shares
from toolkit.audit.slips import slips

__all__ = [
    "COLORS",
    "MARKS",
    "SHORT",
    "VERDICTS",
    "Finding",
    "Range",
    "Tables",
    "claims",
    "fitting_orders",
    "implied_kappa",
    "implied_share",
    "judge",
    "ledger",
    "matrices",
    "orders",
    "page",
    "pixel_totals",
    "possible_shares",
    "read",
    "rotated",
    "settlement_shares",
    "slips",
    "urban_shares",
    "worst",
]

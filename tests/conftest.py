"""What every test may rely on, in whatever order and company it runs."""

import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def plain_style():
    """Give back matplotlib's settings: maps.panels sets the house style for the whole process."""
    with plt.rc_context():
        yield

"""Tiny experiments that sweeps in other processes can import."""

import os
import signal
import time
from pathlib import Path


def line(slope: float = 1.0, seed: int = 0, label: str = "a"):
    """A dict of numbers."""
    return {"value": slope / 3 + seed, "nested": {"deep": slope}, "undefined": float("nan")}


line.data = ["burundi/lights"]


def curve(rate: float, steps: int = 3, seed: int = 0):
    """A table; one of its columns has the name of a parameter."""
    import pandas as pd

    print(f"threads: {os.environ['OMP_NUM_THREADS']}")
    return pd.DataFrame(
        {"iteration": range(steps), "loss": [rate / (n + 1) for n in range(steps)], "seed": 7}
    )


def timed(seed: int = 0):
    """A result with the name of something that every record has."""
    import pandas as pd

    return pd.DataFrame({"network": ["a"], "seconds": [0.25]})


def by_method(seed: int = 0):
    """A table whose index says what the rows are."""
    import pandas as pd

    return pd.DataFrame({"f1": [0.1, 0.2]}, index=["svm", "ifcn"])


def fragile(marker: str, number: int = 0):
    """Fail for number 1 as long as there is no file `marker`; count the calls beside it."""
    with open(f"{marker}.calls", "a") as calls:
        calls.write(f"{number}\n")
    if number == 1 and not Path(marker).exists():
        raise OSError("the disk is full")
    return {"number": number}


def counted(calls: str, number: int = 0):
    """Say that it was called, and take a while."""
    with open(calls, "a") as file:
        file.write(f"{number}\n")
    time.sleep(0.5)
    return {"double": 2 * number}


def slow(number: int, started: str):
    """Number 0 ends at once; the others, not before a minute."""
    if number:
        Path(started).write_text(str(os.getpid()))
        time.sleep(60)
    return {"number": number}


def killed():
    """End as the system ends a process that takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def nothing():
    """Forget to return."""

"""What did the papers publish? Their tables and numbers as data, with where they stand.

The four papers are ``ifcn`` (Yin et al. 2022, urban land from night lights), ``land_cover_3m``
(Dong et al. 2020, land cover at 3 m), ``roof_greening`` (Luo et al. 2022, roofs for greening) and
``sen2hse`` (Qiu et al. 2020, human settlement extent). Numbers stand as printed, misprints
included; a ``note`` says what is odd about them.
"""

from difflib import get_close_matches
from functools import cache
from importlib.resources import files

import pandas as pd
import yaml


def keys():
    """List the papers that we hold.

    Returns
    -------
    list of str

    Examples
    --------
    >>> keys()
    ['ifcn', 'land_cover_3m', 'roof_greening', 'sen2hse']
    """
    return list(_load())


def published(key):
    """Return every table and number that a paper published.

    Parameters
    ----------
    key : str
        Name of the paper; :func:`keys` lists them.

    Returns
    -------
    dict of pandas.DataFrame
        One entry a table, named ``table_2`` or by what it holds. Its ``attrs`` carry ``title``,
        ``where`` (in the paper), ``unit`` (one for the table or a dict by column), ``note`` (what
        is odd about it, or None) and ``paper``. The entry ``numbers`` collects the numbers in the
        running text: columns ``value``, ``unit``, ``where``, ``note``. A confusion matrix has the
        map in its rows and the reference in its columns, ready for
        ``accuracy.ConfusionMatrix(table)``. The caller owns the tables and may change them.

    Raises
    ------
    KeyError
        No such paper; the message names the nearest.

    Examples
    --------
    >>> tables = published("ifcn")
    >>> tables["table_2"].loc["IFCN", ["TP", "FP", "FN"]].tolist()
    [12625, 2744, 612]
    >>> tables["table_2"].attrs["where"]
    'Table 2, Section 4.1'
    >>> int(tables["numbers"].value["samples"])
    1017
    """
    return _tables(key, _load())


def printed(key):
    """Return the same tables as the characters that stand in print.

    A number says how far it was rounded only by its digits: 0.90 lies between 0.895 and 0.905,
    0.9 between 0.85 and 0.95. As numbers the two are the same.

    Parameters
    ----------
    key : str
        Name of the paper; :func:`keys` lists them.

    Returns
    -------
    dict of pandas.DataFrame
        As :func:`published`, with every cell (but not the index) a str, missing where the paper
        leaves it empty. The caller owns the tables and may change them.

    Raises
    ------
    KeyError
        No such paper; the message names the nearest.

    Examples
    --------
    >>> printed("ifcn")["table_2"].loc["SVM", ["TP", "recall"]].tolist()
    ['11933', '0.90']
    """
    values, texts = _tables(key, _load()), _tables(key, _load(yaml.BaseLoader))
    for name, table in texts.items():
        # The index keeps its numbers, so that both kinds of tables are asked alike.
        table.index, table.columns = values[name].index, values[name].columns
        table[:] = table.where(values[name].notna(), None)
    return texts


def reference(key):
    """Return the bibliographic data of a paper.

    Parameters
    ----------
    key : str
        Name of the paper; :func:`keys` lists them.

    Returns
    -------
    dict
        ``authors`` (list), ``title``, ``journal``, ``year``, ``volume``, ``issue`` (where there is
        one), ``pages``, ``doi``, and ``citation``, all of these as one line.

    Raises
    ------
    KeyError
        No such paper; the message names the nearest.

    Examples
    --------
    >>> reference("land_cover_3m")["doi"]
    '10.3390/rs12091418'
    """
    entry = {**_paper(key)["reference"]}
    entry["authors"] = list(entry["authors"])
    issue = f"({entry['issue']})" if "issue" in entry else ""
    stop = "" if entry["title"].endswith("?") else "."
    entry["citation"] = (
        f"{', '.join(entry['authors'])} ({entry['year']}). {entry['title']}{stop} "
        f"{entry['journal']} {entry['volume']}{issue}, {entry['pages']}. "
        f"https://doi.org/{entry['doi']}"
    )
    return entry


@cache
def _load(loader=yaml.SafeLoader):
    text = files("toolkit").joinpath("papers.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=loader)


def _tables(key, papers):
    paper = _paper(key, papers)
    tables = {name: _table(key, entry) for name, entry in paper["tables"].items()}
    numbers = pd.DataFrame.from_dict(paper["numbers"], orient="index")
    numbers = numbers.reindex(columns=["value", "unit", "where", "note"]).rename_axis("number")
    numbers.attrs = {"title": "Numbers in the text", "paper": key}
    return {**tables, "numbers": numbers}


def _paper(key, papers=None):
    papers = _load() if papers is None else papers
    if key not in papers:
        near = get_close_matches(str(key), papers, n=1, cutoff=0.3)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise KeyError(f"no paper named {key!r}; we hold {', '.join(papers)}.{hint}")
    return papers[key]


def _table(key, entry):
    table = pd.DataFrame(entry["rows"], columns=entry["columns"]).set_index(entry["index"])
    # One index column is a plain index, not a MultiIndex of one level.
    if len(entry["index"]) == 1:
        table.index = table.index.get_level_values(0)
    table.columns.name = entry.get("columns_name")
    described = ("title", "where", "unit", "note")
    table.attrs = {"paper": key, **{name: entry.get(name) for name in described}}
    return table

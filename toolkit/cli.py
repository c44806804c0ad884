"""The command ``toolkit``: everything that ``make`` does, on any system."""

import argparse
import sys
import time
import warnings
from pathlib import Path


def main(arguments=None):
    """Run the command line; return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.do(options) or 0
    except KeyboardInterrupt:
        print("Stopped. What was finished is kept.", file=sys.stderr)
        return 130
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        # KeyError shows its message in quotes; everything else reads well as it is.
        print(
            f"toolkit: {error.args[0] if isinstance(error, KeyError) else error}", file=sys.stderr
        )
        return 1


def _parser():
    parser = argparse.ArgumentParser(prog="toolkit", description="Reading Cities from Space")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    data = commands.add_parser("data", help="list the data catalogue, or fetch from it")
    data.set_defaults(do=_list)
    actions = data.add_subparsers(metavar="fetch")
    fetch = actions.add_parser("fetch", help="get data sets into the cache")
    fetch.add_argument("names", nargs="*", metavar="NAME", help="all of them if none is named")
    fetch.set_defaults(do=_fetch)

    run = commands.add_parser("run", help="execute a notebook with parameters and keep a record")
    run.add_argument("notebook", help="number, name or path: 01, 01_night_lights")
    run.add_argument(
        "-p",
        "--parameter",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME=VALUE", ""),
        help="a parameter, as NAME=VALUE or NAME VALUE; may be repeated",
    )
    run.add_argument("--again", action="store_true", help="execute even if nothing has changed")
    run.add_argument("--parameters", action="store_true", help="list the parameters and stop")
    run.set_defaults(do=_run)

    _add_sweep(commands)

    runs = commands.add_parser("runs", help="list the runs that were recorded")
    runs.set_defaults(do=_runs)

    book = commands.add_parser("book", help="execute every notebook and build the site")
    book.add_argument("--profile", default="quick", help="smoke, quick (default) or paper")
    book.set_defaults(do=_book)
    return parser


SWEEP = """\
Run an experiment with many parameter sets, several at once, and keep a record of each run.

FILE.yaml says what to run:

  experiment: package.module:function   # or a notebook: 01
  title: what it is for                 # optional
  data: [burundi/lights]                # optional: their checksums are recorded
  common: {iterations: 600}             # optional: the same in every run
  grid:                                 # every combination of these ...
    seed: [1, 2, 3]
    width: [0.5, 1.0]
  list:                                 # ... with each of these; either may be left out
    - {network: fcn8s}
    - {network: ifcn}

A function takes the parameters by name and returns a dict, a Series or a DataFrame of numbers; a
notebook hands them to runs.record. A misspelt name is found before anything runs. The module may
lie beside the file."""
SWEEP_END = """\
Each run has a folder build/sweeps/EXPERIMENT/KEY/ with record.json (parameters, results, seconds,
memory, versions, seed, checksums, device), log.txt and, where it returned one, table.csv.

  finished      skipped, until code, parameters, data or torch, fastai, numpy change
  failed        kept with error and traceback; --retry runs it again
  interrupted   starts anew; Ctrl-C keeps what is finished

The exit status is 1 if a run failed, 130 after Ctrl-C.

  toolkit sweep results/ifcn_ablation.yaml --dry-run
  toolkit sweep results/ifcn_ablation.yaml --workers 4 --publish"""


def _add_sweep(commands):
    sweep = commands.add_parser(
        "sweep",
        help="run an experiment or a notebook with many parameter sets",
        description=SWEEP,
        epilog=SWEEP_END,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sweep.add_argument("file", metavar="FILE.yaml", help="what to run, as above")
    sweep.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="runs at once, each with its share of the cores (default: half the cores)",
    )
    sweep.add_argument("--retry", action="store_true", help="run again what failed")
    sweep.add_argument("--dry-run", action="store_true", help="list the runs and their state")
    sweep.add_argument(
        "--publish",
        nargs="?",
        const=True,
        metavar="NAME",
        help="write results/NAME.csv and .json, small enough to commit (default: the file's name)",
    )
    sweep.add_argument(
        "--any-code",
        action="store_true",
        help="take finished runs as they are, even if the code has changed since",
    )
    sweep.add_argument("--folder", metavar="DIR", help="where runs are kept (build/sweeps)")
    sweep.add_argument(
        "--scheduler",
        default="local",
        metavar="ADDRESS",
        help="of a dask cluster, such as tcp://host:8786 (default: this machine)",
    )
    sweep.set_defaults(do=_sweep)


def _list(options):
    from . import catalog

    catalog.print_table()


def _fetch(options):
    from . import catalog

    return 1 if catalog.fetch_all(options.names) else 0


def _parameters(pairs):
    """Read ``-p NAME=VALUE`` and papermill's ``-p NAME VALUE``."""
    given = {}
    for pair in pairs:
        name, equals, value = pair[0].partition("=")
        if len(pair) == 2 and not equals:
            value = pair[1]
        elif len(pair) != 1 or not equals:
            raise ValueError(
                f"-p {' '.join(pair)}: write one NAME=VALUE after each -p, in quotes if the "
                "value has blanks"
            )
        given[name] = value
    return given


def _run(options):
    from . import runs

    if options.parameters:
        print(runs.parameters(options.notebook).to_string())
        return
    folder = runs.execute(options.notebook, _parameters(options.parameter), reuse=not options.again)
    print(f"{folder / 'notebook.ipynb'}\n{folder / 'record.json'}")


def _sweep(options):
    from . import runs

    which = {"folder": options.folder, "any_code": options.any_code}
    if options.dry_run:
        table = runs.plan(options.file, **which)
        print(table.to_string())
        print(", ".join(f"{n} {state}" for state, n in table["state"].value_counts().items()))
        return 0
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        table = runs.sweep(
            options.file,
            workers=options.workers,
            retry=options.retry,
            scheduler=options.scheduler,
            **which,
        )
        if options.publish:
            name = Path(options.file).stem if options.publish is True else options.publish
            path = runs.publish(table, name)
            print(f"{path}\n{path.with_suffix('.json')}")
    for each in told:
        print(f"toolkit: {each.message}", file=sys.stderr)
    states = table.drop_duplicates("key")["status"].value_counts()
    print(f"{', '.join(f'{n} {state}' for state, n in states.items())}: {table.attrs['folder']}")
    return int("failed" in states)


def _runs(options):
    from . import runs

    table = runs.table()
    wordy = ("versions.", "data.", "table.", "traceback", "again")
    table = table[[name for name in table if not name.startswith(wordy)]]
    print(table.dropna(axis=1, how="all").to_string() if len(table) else "No run recorded yet.")


def _book(options):
    from . import book, runs

    started, executed, failed = time.perf_counter(), {}, []
    for notebook in sorted(runs.NOTEBOOKS.glob("*.ipynb")):
        given = {} if options.profile == "quick" else {"profile": options.profile}
        print(f"{notebook.stem}: executing, or reusing an unchanged run", flush=True)
        try:
            executed[notebook.stem] = runs.execute(notebook, given) / "notebook.ipynb"
        except RuntimeError as error:
            # The other chapters go on: nothing already computed is lost.
            failed.append(str(error))
    if failed:
        raise RuntimeError("\n".join(failed))
    page = book.build(executed) / "index.html"
    print(f"Built in {time.perf_counter() - started:.0f} s: open {page}")

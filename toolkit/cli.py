"""The command ``toolkit``: everything that ``make`` does, on any system."""

import argparse
import sys
import time


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

    runs = commands.add_parser("runs", help="list the runs that were recorded")
    runs.set_defaults(do=_runs)

    book = commands.add_parser("book", help="execute every notebook and build the site")
    book.add_argument("--profile", default="quick", help="smoke, quick (default) or paper")
    book.set_defaults(do=_book)
    return parser


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


def _runs(options):
    from . import runs

    table = runs.table()
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

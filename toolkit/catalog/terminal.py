"""How does the catalogue look in a terminal?"""

from toolkit import catalog

from . import cache


def print_table(console=None):
    """Print the catalogue as a table; see `catalog.print_table`."""
    from rich.console import Console
    from rich.filesize import decimal
    from rich.markup import escape
    from rich.table import Table

    console = console or Console()
    listed = catalog.entries()
    # A narrow terminal keeps what one needs to choose; folding every column would keep nothing.
    columns = ["title"]
    columns += ["resolution", "date"] if console.width >= 110 else []
    columns += ["sensor", "licence"] if console.width >= 170 else []
    table = Table(title="The data catalogue", caption=f"cache: {cache.folder()}")
    table.add_column("name", no_wrap=True, style="bold")
    for column in columns:
        table.add_column(column)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("cached", no_wrap=True)
    for name, row in listed.iterrows():
        # What would come over the network is the whole archive, which data sets may share.
        missing = "made here" if row["driver"] == "scene" else decimal(row["download"])
        mark = "[green]yes[/]" if row["cached"] else f"no, {missing}"
        text = [escape(row[column]) for column in columns]
        table.add_row(name, *text, decimal(row["size"]), mark)
    console.print(table)


def fetch_all(names, console=None):
    """Fetch several data sets with progress; see `catalog.fetch_all`."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    console = console or Console()
    if not names:
        listed = catalog.entries()["driver"]
        names = list(listed.index[listed != "scene"])
    failed = {}
    columns = [TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=console) as bars:
        tasks = {}  # one per archive, which several data sets may share
        for name in names:
            try:
                driver = catalog.entry(name).driver
                total = getattr(driver, "bytes", None)
                if driver.archive not in tasks:
                    tasks[driver.archive] = bars.add_task(escape(driver.archive), total=total)
                task = tasks[driver.archive]
                where = catalog.fetch(
                    name, lambda done, task=task: bars.update(task, completed=done)
                )
                bars.update(task, completed=total or 1, total=total or 1)
                bars.console.print(
                    f"[green]here[/]    {escape(name)}  [dim]{escape(str(where))}[/]"
                )
            except Exception as error:
                failed[name] = error
                bars.console.print(f"[red]failed[/]  {escape(str(name))}")
    for name, error in failed.items():
        message = f"[red]{escape(str(name))}[/]: {type(error).__name__}: {escape(str(error))}"
        console.print(message, soft_wrap=True)
    if failed:
        console.print(f"{len(failed)} of {len(names)} could not be fetched.")
    return len(failed)

"""What does the editor of buildings show, and what does it do when it is used?"""

import time
import warnings
from html import escape

import ipyleaflet
import ipywidgets
import pandas as pd
import shapely

from toolkit import buildings as _buildings
from toolkit.buildings.layers import metres
from toolkit.maps import interactive, outlines, pictures
from toolkit.maps import layers as _layers

CHUNK = 250  # buildings that travel to the browser together
PAUSE = 60.0  # seconds without a click after which the time stops
GAP = 3.0  # metres between two buildings that merging closes
PREDICTED, CORRECTED, CHOSEN = "#D55E00", "#56B4E9", "#F0E442"
LOOKS = {
    "predicted": {"color": PREDICTED, "weight": 1.5, "fillColor": PREDICTED, "fillOpacity": 0.08},
    "corrected": {"color": CORRECTED, "weight": 2.5, "fillColor": CORRECTED, "fillOpacity": 0.15},
    "chosen": {"color": CHOSEN, "weight": 4, "fillColor": CHOSEN, "fillOpacity": 0.35},
}
TOOLS = {
    "select": ("Select", "mouse-pointer", "Click buildings to select them, once more to let go."),
    "draw": ("Draw", "pencil", "Click the corners; click the first one again to finish."),
    "reshape": ("Reshape", "arrows", "Click a building, then drag its corners. The faint ones "
                "between add a corner, a right click removes one."),
    "split": ("Split", "scissors", "Click where the cut starts, outside the building, click on "
              "its other side, and click that last point again."),
}  # fmt: skip
MODES = {"select": None, "draw": "draw:Polygon", "reshape": "edit", "split": "draw:Line"}
DONE = {"draw": "drawn", "move": "moved", "delete": "deleted", "split": "split", "merge": "merged"}
ASLEEP = "The buttons need a running kernel: run this cell in JupyterLab to correct the buildings."
UNKEPT = "not kept in a file: editor.save('corrections.gpkg') does that"


class Editor(ipywidgets.VBox):
    """Map, tools and records of `edit`; its methods do in a script what its buttons do.

    Buildings are named by their labels in the index of `buildings`. Each method takes ``what`` (a
    note; by default what is written in the field) and ``seconds`` (NaN by default), and raises
    ValueError with the reason where nothing was recorded. By hand the time runs from the last edit
    on, or from the first click after a pause of a minute.

    Attributes
    ----------
    edits : geopandas.GeoDataFrame
        The records so far, undone ones included.
    path : Path or None
        Where every edit is written to.
    selected : list
        Labels of the selected buildings.
    """

    def __init__(self, buildings, image, edits, who, path, height, max_pixels):
        self.edits, self.path, self.selected = edits, path, []
        self._given, self._shaping, self._drawn, self._awake = buildings, None, [], False
        self._since = self._last = self._sent = self._by_hand = None
        self._trouble = "" if path else UNKEPT
        self._applied = _buildings.apply_edits(buildings, edits)
        self._make_tools(str(who))
        self._make_map(image, height, max_pixels)
        super().__init__([self._bar, self._fields, self._status, self.map])
        self._say(ASLEEP)
        self._show()

    @property
    def buildings(self):
        """The layer with the edits applied, as `toolkit.buildings.apply_edits` returns it."""
        return self._applied.buildings

    # --- what can be done -------------------------------------------------------------------------

    def draw(self, polygon, what=None, seconds=None):
        """Add a building: a polygon in the CRS of the layer."""
        self._record("draw", [(None, _outline(polygon))], what, seconds)
        replaced = self._applied.report["status"].iloc[-1] == "already"
        self._say(
            f"Drew a building of {self._area(polygon)}"
            + (", in place of the one that was there." if replaced else ".")
        )

    def move(self, building, polygon, what=None, seconds=None):
        """Give a building another outline."""
        before = self._shape(building)
        if before.equals_exact(polygon, 0):
            raise ValueError("no corner has moved")
        self._record("move", [(before, _outline(polygon))], what, seconds)
        self._say(f"Reshaped a building: {self._area(before)} became {self._area(polygon)}.")

    def delete(self, *buildings, what=None, seconds=None):
        """Take buildings away, each by an edit of its own; by default the selected ones."""
        shapes = self._those(buildings, 1)
        self._record("delete", [(before, None) for before in shapes], what, seconds)
        many = "a building" if len(shapes) == 1 else f"{len(shapes)} buildings"
        self._say(f"Deleted {many} of {self._area(*shapes)}.")

    def split(self, line, building=None, what=None, seconds=None):
        """Cut a building along a line; by default the selected one, or the one it crosses."""
        if building is None:
            table = self.buildings
            crossed = table.index[table.sindex.query(line, predicate="intersects")]
            chosen = [label for label in crossed if label in self.selected] or list(crossed)
            if len(chosen) != 1:
                raise ValueError(
                    f"the line crosses {len(chosen) or 'no'} buildings; draw it across one, or "
                    "select the one that is meant first"
                )
            building = chosen[0]
        before = self._shape(building)
        pieces = outlines.cut(before, line)
        self._record("split", [(before, pieces)], what, seconds)
        sizes = " and ".join(self._area(piece) for piece in pieces)
        self._say(f"Split a building into {len(pieces)}: {sizes}.")

    def merge(self, *buildings, what=None, seconds=None):
        """Make one building of several; by default of the selected ones."""
        before = self._those(buildings, 2)
        after = outlines.joined(before, GAP / metres(self._given.crs))
        self._record("merge", [(before, after)], what, seconds)
        self._say(f"Merged {len(before)} buildings into one of {self._area(after)}.")

    def undo(self):
        """Take back the last edit that counts. Its record stays, marked as undone."""
        active = self.edits[~self.edits["undone"].astype(bool)]
        if active.empty:
            raise ValueError("there is nothing to undo")
        last = active.iloc[-1]
        self._keep(_buildings.undo(self.edits))
        whose = "" if last["who"] == self._who.value.strip() else f" by {last['who'] or 'nobody'}"
        self._say(f"Undone: the last edit{whose} (a building {DONE[last['operation']]}).")

    def save(self, path=None):
        """Write the records to a GeoPackage, and every later edit, too; returns its path."""
        if (path := path or self.path) is None:
            raise ValueError("no file was named: call editor.save('corrections.gpkg') once")
        self.path, self._trouble = _buildings.save_edits(self.edits, path), ""
        self._say(f"Saved {_count(len(self.edits), 'edit')} in {self.path.name}.")
        self._show()
        return self.path

    def select(self, *buildings):
        """Select these buildings and no others."""
        for label in buildings:
            self._shape(label)
        self.selected = list(buildings)
        self._show()

    # --- records ----------------------------------------------------------------------------------

    def _record(self, operation, sides, what=None, seconds=None, id=None, shaping=None):
        """Add a record for each (before, after), unless a replay would not find its building."""
        seconds = (self._elapsed() if seconds is None else seconds) / len(sides)
        who, note = self._who.value.strip(), self._note.value.strip()
        what = note if what is None else what
        edits = self.edits if id is None else self.edits[self.edits["id"] != id]
        for before, after in sides:
            edits = _buildings.record(edits, operation, before, after, who, what, seconds, id=id)
        self._keep(edits, len(sides), shaping)
        self._note.value = ""

    def _keep(self, edits, new=0, shaping=None):
        """Take over a table of records whose last `new` rows must apply, and write it at once."""
        applied = _buildings.apply_edits(self._given, edits)
        for row in applied.report.iloc[len(applied.report) - new :].itertuples():
            if row.status not in ("applied", "already"):
                raise ValueError(row.reason)
        self.edits, self._applied, self.selected = edits, applied, []
        self._since = self._last = time.monotonic()
        if self.path is not None:
            try:
                _buildings.save_edits(edits, self.path)
                self._trouble = ""
            except (OSError, ValueError, RuntimeError) as error:  # full disk, locked, gone
                self._trouble = f"NOT SAVED ({error}); editor.save('other.gpkg') keeps the edits"
                warnings.warn(f"maps.edit: {self._trouble}", stacklevel=4)
        self._shaping = shaping
        if shaping is None:
            self._send()
        self._show()

    def _elapsed(self):
        """Seconds of the work in hand; a script is not timed."""
        return round(time.monotonic() - self._since, 1) if self._by_hand else float("nan")

    def _shape(self, label):
        if label in self.buildings.index:
            return self.buildings.geometry.loc[label]
        raise ValueError(f"there is no building {label!r} (any more)")

    def _those(self, labels, least):
        labels = labels or self.selected
        if len(labels) < least:
            raise ValueError(f"select {_count(least, 'building')} or more first")
        return [self._shape(label) for label in labels]

    def _area(self, *shapes):
        return f"{sum(s.area for s in shapes) * metres(self._given.crs) ** 2:,.0f} m²"

    # --- what is seen -----------------------------------------------------------------------------

    def _make_tools(self, who):
        self._tools = ipywidgets.ToggleButtons(
            options=[(f"{label} ", tool) for tool, (label, _, _) in TOOLS.items()],
            icons=[icon for _, icon, _ in TOOLS.values()],
            tooltips=[hint for _, _, hint in TOOLS.values()],
            style={"button_width": "100px"},
        )
        self._tools.observe(lambda change: self._try(self._use, change["new"]), "value")

        def button(name, icon, tooltip, action):
            made = ipywidgets.Button(description=name, icon=icon, tooltip=tooltip)
            made.layout.width = "92px"
            made.on_click(lambda _: self._try(action))
            return made

        self._buttons = {
            "delete": button("Delete", "trash", "Delete the selected buildings", self.delete),
            "merge": button("Merge", "compress", "Merge the selected buildings", self.merge),
            "undo": button("Undo", "undo", "Take back the last edit", self.undo),
            "save": button("Save", "save", "Write all edits to the GeoPackage", self.save),
        }
        row = ipywidgets.Layout(flex_flow="row wrap", align_items="center", margin="0")
        self._bar = ipywidgets.Box([self._tools, *self._buttons.values()], layout=row)
        self._who = ipywidgets.Text(who, description="Who", tooltip="Your name in the records")
        self._note = ipywidgets.Text(
            description="Note",
            placeholder="what the next edit is for, such as: a greenhouse",
            tooltip="A note that the next edit keeps",
        )
        self._who.layout.width, self._note.layout.width = "200px", "420px"
        for field in (self._who, self._note):
            field.style.description_width = "40px"
        self._fields = ipywidgets.Box([self._who, self._note], layout=row)
        self._status = ipywidgets.HTML()

    def _make_map(self, image, height, max_pixels):
        layer = _layers.Layer("vector", self._given, "Buildings")
        if image is None:
            bounds = interactive._subject(layer, [])
            self.map = interactive._assemble([], [], [], bounds, height, None)
        else:
            self.map = interactive.show(image, height=height, max_pixels=max_pixels)
        table = self._given
        shapes = outlines.features(table.geometry, table.crs)
        self._features = dict(zip(table.index, shapes, strict=True))
        self._chunks = [table.index[i : i + CHUNK] for i in range(0, len(table), CHUNK)]
        self._there = [
            outlines.Outlines(style=LOOKS["predicted"], hover_style={"weight": 4})
            for _ in self._chunks
        ]
        self._corrected, self._chosen = (
            outlines.Outlines(name=name.capitalize(), style=LOOKS[name])
            for name in ("corrected", "chosen")
        )
        group = ipyleaflet.LayerGroup(layers=tuple(self._there), name="Buildings")
        self.map.layers = (*self.map.layers, group, self._corrected, self._chosen)
        self.map.prefer_canvas = len(table) > 2000
        panel = self.map.controls[-1].widget
        names = {PREDICTED: "buildings as given", CORRECTED: "corrected", CHOSEN: "selected"}
        patches = "".join(pictures.patch("none", name, color) for color, name in names.items())
        notes = pictures.notes([layer])
        panel.children = tuple(
            interactive._text(each) if isinstance(each, str) else each
            for each in (patches, *panel.children, *([notes] if notes else []))
        )
        line = {"color": CHOSEN}
        pen = {"pathOptions": LOOKS["chosen"], "hintlineStyle": line, "templineStyle": line}
        pen |= {"snappable": False, "continueDrawing": True}
        self._pen = ipyleaflet.GeomanDrawControl(
            hide_controls=True, polygon=pen, polyline=pen, circlemarker={}
        )
        self._pen.observe(self._heard, "data")
        self.map.on_interaction(self._clicked)
        # A browser that shows the map tells its corners; without one the buttons stay asleep.
        self.map.observe(self._wake, ["north", "south"])

    def _wake(self, _):
        self.map.unobserve(self._wake, ["north", "south"])
        self._awake = True
        self.map.scroll_wheel_zoom, self.map.double_click_zoom = True, False
        self.map.controls = (*self.map.controls, self._pen)
        self._use(self._tools.value)
        lost = self._applied.report["status"].isin(["stale", "conflict"]).sum()
        if lost:
            self._say(f"{_count(lost, 'earlier edit')} found no building to apply to.", wrong=True)

    def _show(self):
        """Bring map and buttons up to date; only what has changed travels."""
        table = self.buildings
        crs, own = table.crs, set(self.edits["id"])
        touched = table["edit"].isin(own) if own else pd.Series(False, index=table.index)
        shaping = self._shaping["label"] if self._shaping else None
        plain = set(table.index[~touched]) - {shaping}
        for there, labels in zip(self._there, self._chunks, strict=True):
            there.put([self._features[label] for label in labels if label in plain])
        changed = table[touched & (table.index != shaping)].geometry
        self._corrected.put(outlines.features(changed, crs))
        self._chosen.put(outlines.features(table.geometry.loc[self.selected], crs))
        ready = {
            "delete": bool(self.selected),
            "merge": len(self.selected) > 1,
            "undo": not self.edits["undone"].all(),
            "save": self.path is not None,
        }
        for name, button in self._buttons.items():
            button.disabled = not (self._awake and ready[name])
        self._tools.disabled = not self._awake

    def _say(self, message, wrong=False):
        """Show what happened, and how many edits there are in how much time."""
        counts = self.edits["operation"].value_counts().items()
        kinds = ", ".join(f"{n} {DONE[kind]}" for kind, n in counts)
        undone = int(self.edits["undone"].sum())
        parts = [
            _count(len(self.edits), "edit") + (f": {kinds}" if kinds else ""),
            *([f"{undone} undone"] if undone else []),
            _clock(self.edits["seconds"].sum()),
            self._trouble or f"kept in {self.path.name}",
        ]
        color = "#a33a00" if wrong else "#222"
        self._status.value = (
            f"<div role='status' aria-live='polite' style='font:13px/1.5 system-ui,sans-serif;"
            f"color:#222;background:#fff;padding:2px 8px;white-space:normal'>"
            f"<b style='color:{color}'>{escape(message)}</b><br>{escape(' · '.join(parts))}</div>"
        )

    # --- what the browser sends -------------------------------------------------------------------

    def _try(self, action, *given):
        """Do what somebody asked for on the map; say there what is wrong with it."""
        now = time.monotonic()
        if self._last is None or now - self._last > PAUSE:
            self._since = now
        self._last, self._by_hand = now, True
        try:
            action(*given)
        except Exception as error:
            self._say(f"Not recorded: {error}", wrong=True)
            if not isinstance(error, ValueError):
                raise
        finally:
            self._by_hand = False

    def _send(self, *shapes):
        """Give the browser what can be changed there."""
        look = LOOKS["chosen"]
        self._sent = [outlines.to_screen(shape, self._given.crs, look) for shape in shapes]
        self._pen.data = self._sent

    def _use(self, tool):
        chosen, self._shaping = self.selected, None
        self._send()
        self._pen.current_mode = MODES[tool]
        self._say(TOOLS[tool][2])
        self._show()
        if tool == "reshape" and len(chosen) == 1:
            self._reshape(chosen[0])

    def _clicked(self, **event):
        if event.get("type") == "click" and self._tools.value in ("select", "reshape"):
            lat, lon = event["coordinates"]
            self._try(self._pick, shapely.Point(lon, lat))

    def _pick(self, place):
        table = self.buildings
        here = table.sindex.query(outlines.from_screen(place, table.crs), predicate="intersects")
        # Where several lie upon each other the smallest is meant: the others show beside it.
        label = min(table.index[here], key=lambda b: table.geometry.loc[b].area, default=None)
        if self._tools.value == "reshape":
            if label is not None and (not self._shaping or label != self._shaping["label"]):
                self._reshape(label)
            elif label is None:
                self._use("reshape")
            return
        rest = [each for each in self.selected if label not in (None, each)]
        if label is not None and label not in self.selected:
            rest.append(label)
        self.select(*rest)
        size = self._area(*(self._shape(each) for each in rest))
        self._say(f"{_count(len(rest), 'building')} selected" + (f", {size}." if rest else "."))

    def _reshape(self, label):
        """Hand one building to the browser; all that is moved until the next is one edit."""
        shape = self._shape(label)
        self._shaping = {"label": label, "before": shape, "now": shape}
        self._shaping |= {"id": None, "seconds": 0.0, "what": ""}
        self.selected = []
        self._send(shape)
        self._show()
        self._say(f"Drag the corners of this building of {self._area(shape)}.")

    def _heard(self, change):
        if change["new"] != self._sent:
            self._try(self._arrived, change["new"])

    def _arrived(self, data):
        """Something was drawn or moved; the browser sends all it holds."""
        if self._shaping:
            try:
                self._reshaped(data)
            except ValueError:
                self._send(self._shaping["now"])
                raise
            return
        # While the kernel is busy several may be drawn: each arrives again with the next one.
        fresh = [each for each in data if each["geometry"] not in self._drawn]
        self._drawn = [each["geometry"] for each in data]
        self._send()
        for each in fresh if self._tools.value in ("draw", "split") else ():
            shape = outlines.from_screen(each, self._given.crs)
            self._try(self.split if shape.geom_type == "LineString" else self.draw, shape)

    def _reshaped(self, data):
        now = self._shaping
        if len(data) != 1:
            raise ValueError("a building keeps three corners; select it and press Delete instead")
        after = outlines.from_screen(data[0], self._given.crs, now["now"], now["before"])
        if after is now["now"]:
            return
        _outline(after)
        now = now | {"now": after, "seconds": now["seconds"] + self._elapsed()}
        now["what"] = self._note.value.strip() or now["what"]
        if after.equals_exact(now["before"], 0):
            self._keep(_buildings.undo(self.edits), shaping=now | {"id": None, "seconds": 0.0})
            return self._say("The building is again as it was.")
        sides = [(now["before"], after)]
        self._record("move", sides, now["what"], now["seconds"], now["id"], shaping=now)
        now["id"] = self.edits["id"].iloc[-1]
        self._say(f"Reshaped a building: {self._area(now['before'])} became {self._area(after)}.")


def _outline(polygon):
    """Say what is wrong with an outline that somebody drew."""
    if problem := outlines.crossing(polygon):
        raise ValueError(problem)
    return polygon


def _count(n, thing):
    return f"{n} {thing}{'' if n == 1 else 's'}"


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"

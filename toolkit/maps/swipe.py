"""How do two rasters of one place compare under a swipe?"""

from html import escape

from IPython.display import HTML

from toolkit.maps import layers as _layers
from toolkit.maps import pictures

# The slider lies over both pictures and moves the line between them. It is all the script there
# is, it names no element, and so any number of swipes can share a page.
PAGE = """<figure class="swipe" style="margin:0.5em 0;max-width:{width}px">
<style>.swipe input:focus-visible ~ .line{{outline:3px solid #0072B2}}
.swipe figcaption b{{font-weight:600}}</style>
<div style="position:relative;--at:50%;background:#f3f2ee;overflow:hidden;line-height:0">
<img alt="{alts[0]}" src="{views[0].uri}" style="{img};\
clip-path:inset(0 calc(100% - var(--at)) 0 0)">
<img alt="{alts[1]}" src="{views[1].uri}" style="{img};position:absolute;inset:0;height:100%;\
clip-path:inset(0 0 0 var(--at))">
<span style="{tag};left:8px">{labels[0]}</span><span style="{tag};right:8px">{labels[1]}</span>
<input type="range" min="0" max="100" value="50" data-lm-suppress-shortcuts="true" \
aria-label="Swipe between {labels[0]} and \
{labels[1]}" oninput="this.parentNode.style.setProperty('--at', this.value + '%')" \
style="position:absolute;inset:0;width:100%;height:100%;margin:0;opacity:0;cursor:ew-resize;\
touch-action:pan-y">
<div class="line" style="position:absolute;top:0;bottom:0;left:var(--at);width:2px;\
margin-left:-1px;background:#fff;box-shadow:0 0 3px #000;pointer-events:none"><div style="\
position:absolute;top:50%;left:-15px;width:32px;height:32px;margin-top:-16px;border-radius:50%;\
background:#fff;box-shadow:0 0 4px #000;color:#333;font:16px/32px sans-serif;text-align:center">\
&#8596;</div></div></div>
<figcaption style="display:flex;flex-wrap:wrap;gap:8px 32px;background:#fff;padding:6px 8px;\
{text}"><div style="flex:1 1 160px">{views[0].legend}</div>\
<div style="flex:1 1 160px">{views[1].legend}</div>\
<div style="flex:1 1 100%">{notes}</div></figcaption></figure>"""
IMG = "display:block;width:100%;max-width:none;margin:0;image-rendering:pixelated"
TAG = (
    "position:absolute;top:8px;background:rgba(255,255,255,.85);color:#222;padding:3px 8px;"
    "border-radius:3px;pointer-events:none;font:12px/1.35 system-ui,sans-serif"
)
TEXT = "font:12px/1.45 system-ui,sans-serif;color:#222;text-align:left"


def compare(left, right, names=None, max_pixels=pictures.MAX_PIXELS):
    """Two rasters of one place under a swipe: drag the line, or use the arrow keys.

    The right one is warped onto the ground of the left one.

    Parameters
    ----------
    left, right : Layer or xarray.DataArray
        Rasters, as :func:`show` takes them.
    names : tuple of str, optional
        Labels of the two sides; by default the layers' names.
    max_pixels : int
        Longest side of either picture.

    Returns
    -------
    IPython.display.HTML
        Complete in itself: it works in JupyterLab, in a saved notebook and in a static page.

    Raises
    ------
    ValueError
        A vector layer, or rasters that do not overlap.

    Examples
    --------
    >>> maps.compare(maps.image(scene, "Image"), maps.classes(predicted, "Prediction"))
    """
    left, right = _layers.infer(left), _layers.infer(right)
    for layer in (left, right):
        if layer.kind == "vector":
            raise ValueError(f"maps.compare: {layer.name!r} is a vector layer; give two rasters")
    labels = tuple(names) if names else (left.name, right.name)
    if len(labels) != 2:
        raise ValueError(f"maps.compare: names must be two labels, got {len(labels)}")
    ours, theirs = (pictures.web_grid(layer.data, max_pixels) for layer in (left, right))
    if not ours.extent.intersects(theirs.extent):
        raise ValueError(f"maps.compare: {labels[0]!r} and {labels[1]!r} do not overlap")
    finer = abs(theirs.resolution.x / ours.resolution.x)
    room = max(ours.shape) / max_pixels
    grid = ours.zoom_out(min(1, max(finer, room)))
    views = [pictures.picture(layer, max_pixels, grid) for layer in (left, right)]
    height, width = grid.shape
    return HTML(
        PAGE.format(
            width=round(min(760, 600 * width / height)),
            alts=[escape(layer.alt) for layer in (left, right)],
            labels=[escape(str(label)) for label in labels],
            views=views,
            notes=pictures.notes([left, right]),
            img=IMG,
            tag=TAG,
            text=TEXT,
        )
    )

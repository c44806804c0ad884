"""Which labels: a perfect map made worse by a stated amount, in a stated way."""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from toolkit import chips
from toolkit._checks import choice
from toolkit.scene.confusion import expected_table
from toolkit.scene.noise import fractal, rng

KINDS = ("patches", "edges", "random", "blocks")
FAR = 0.9
"""A class never loses more than this share of its pixels, or nothing would show what it is."""


def degrade(truth, quality, kind="patches", seed=0, block=40):
    """Make a map wrong until a stated share of its pixels is right.

    Which class is taken for which follows Table 2 of the paper where the classes are its seven,
    scaled to the error asked for; else every class is taken for the others by their areas. Where
    it happens is the kind of error.

    Parameters
    ----------
    truth : xarray.DataArray
        (y, x) class codes with ``attrs["classes"]``; 255 stays.
    quality : float
        Share of the pixels that stays right, above 0 to 1; reached to within a pixel a class,
        except by "blocks", which go by whole blocks.
    kind : {"patches", "edges", "random", "blocks"}
        "patches": in coherent patches of some 14 pixels and in larger ones, near land of the
        class that they are taken for, as a classifier errs where its image was poor. "edges":
        along the borders of that class first, as mixed pixels do. "random": pixel by pixel.
        "blocks": whole square blocks carry the labels of another place, as tiles that were
        displaced or mixed up; all other blocks are perfect.
    seed : int
        Of the errors.
    block : int
        Side of a block in pixels.

    Returns
    -------
    xarray.DataArray
        uint8 with ``attrs["quality"]``, what was reached.

    Raises
    ------
    ValueError
        A quality outside 0 to 1, one that the classes do not allow, an unknown kind, or a map of
        one class.

    Examples
    --------
    >>> from toolkit import scene
    >>> truth = scene.open("land_cover", seed=1, style="arid", size=3000)
    >>> degrade(truth, 0.8, seed=1).attrs["quality"]
    0.8
    """
    choice(kind, KINDS, "kind")
    if not 0 < quality <= 1:
        raise ValueError(f"quality={quality}: give a share above 0, up to 1 for a perfect map")
    codes = [item["value"] for item in truth.attrs["classes"]]
    values = truth.values
    known = values != chips.IGNORE
    counts = np.array([np.count_nonzero(values == code) for code in codes])
    if (counts > 0).sum() < 2:
        raise ValueError("truth: it holds one class only, so nothing can be taken for another")
    if kind == "blocks":
        out = swapped(values, 1 - quality, block, rng(seed, "degrade blocks"))
    else:
        wrong = _wrong(codes, counts, 1 - quality)
        out = _moved(values, codes, wrong, kind, rng(seed, f"degrade {kind}"))
    reached = float((out == values)[known].mean())
    result = truth.copy(data=out)
    title = f"{truth.attrs.get('title', 'labels')}, {reached:.0%} right"
    return result.assign_attrs(truth.attrs | {"title": title, "quality": round(reached, 4)})


def _wrong(codes, counts, error):
    """Pixels of each class (columns) that are taken for each other class (rows)."""
    shares = counts / counts.sum()
    if codes == list(range(1, 8)):
        table = expected_table(shares, "columns")
    else:
        table = np.outer(shares, shares)
    np.fill_diagonal(table, 0)
    table[counts == 0] = 0  # no map shows a class that is nowhere
    table[:, counts == 0] = 0
    lost = table.sum(0) / np.maximum(shares, 1e-12)
    most = FAR * shares[lost > 0].sum()
    if error > most:
        raise ValueError(
            f"quality={1 - error:g}: these classes allow {1 - most:.2f} or more, as none is to "
            f"lose more than {FAR:.0%} of its pixels"
        )
    low, high = 0.0, 1.0
    while (shares * np.minimum(high * lost, FAR)).sum() < error - 1e-9 and high < 1e9:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        enough = (shares * np.minimum(middle * lost, FAR)).sum() >= error
        low, high = (low, middle) if enough else (middle, high)
    part = np.divide(table, table.sum(0), out=np.zeros_like(table), where=table.sum(0) > 0)
    return np.rint(part * np.minimum(high * lost, FAR) * counts).astype(int)


def _moved(values, codes, wrong, kind, draw):
    """Give the wrong class to as many pixels as asked for, the likeliest first."""
    out, shape = values.copy(), values.shape
    near = [ndimage.gaussian_filter((values == c).astype(np.float32), 1.5) for c in codes]
    if kind == "patches":
        score = [
            0.7 * fractal(shape, draw, 2.6, scale=14, smallest=3)
            + 0.7 * fractal(shape, draw, 3, 90)
            + 1.5 * each
            for each in near
        ]
    elif kind == "edges":
        noise = draw.random((len(codes), *shape), dtype=np.float32)
        score = [n + 0.05 * e for n, e in zip(near, noise, strict=True)]
    else:
        score = draw.random((len(codes), *shape), dtype=np.float32)
    for j, code in enumerate(codes):
        left = np.flatnonzero(values.ravel() == code)
        for i in np.argsort(wrong[:, j], kind="stable"):
            if not wrong[i, j]:
                continue
            order = np.argsort(-np.asarray(score[i]).ravel()[left], kind="stable")
            out.ravel()[left[order[: wrong[i, j]]]] = codes[i]
            left = np.delete(left, order[: wrong[i, j]])
    return out


def swapped(values, error, block, draw):
    """Exchange whole blocks in a ring, until about the share asked for is wrong.

    Parameters
    ----------
    values : numpy.ndarray
        (y, x) class codes.
    error : float
        Share of all pixels that becomes wrong, about.
    block : int
        Side of a block in pixels; an incomplete last row or column stays.
    draw : numpy.random.Generator
        Which blocks.

    Returns
    -------
    numpy.ndarray
        Labels, of which some blocks are those of another block; 255 where either is unknown.

    Raises
    ------
    ValueError
        Fewer than two blocks, or not enough difference between them.
    """
    rows, cols = (n // block for n in values.shape)
    if rows * cols < 2:
        raise ValueError(f"block={block}: the map has {rows * cols} whole blocks; use smaller ones")
    places = [
        np.s_[r * block : (r + 1) * block, c * block : (c + 1) * block]
        for r in range(rows)
        for c in range(cols)
    ]
    order = draw.permutation(len(places))
    partner = np.roll(order, 1)
    out, wanted, wrong = values.copy(), error * (values != chips.IGNORE).sum(), 0
    for one, other in zip(order, partner, strict=True):
        if wrong >= wanted:
            break
        there = np.where(values[places[one]] == chips.IGNORE, chips.IGNORE, values[places[other]])
        out[places[one]] = there
        wrong += (there != values[places[one]]).sum()
    if wrong < 0.9 * wanted:
        raise ValueError(
            f"the blocks of this map are too alike: exchanging all makes {wrong / values.size:.0%} "
            f"wrong, {error:.0%} were asked for"
        )
    return out


def spoil(place, share, block=128, seed=0):
    """Put labels of another place on some blocks of a ground: faults that a filter should find.

    Products of whole countries are put together from thousands of tiles; some are displaced, of
    another year or full of clouds. Our city's product has no such tile, so this makes some.

    Parameters
    ----------
    place : Ground
        From `places.ground`.
    share : float
        Share of the blocks that is spoilt.
    block : int
        Side of a block in pixels: that of the chips.
    seed : int
        Of the choice.

    Returns
    -------
    Ground
        With other labels; its truth is untouched.
    xarray.DataArray
        (y, x), bool: true where a block was spoilt.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share={share}: give the share of the blocks to spoil, 0 to 1")
    values = place.label.values
    rows, cols = (n // block for n in values.shape)
    draw = rng(seed, "spoil")
    count = round(share * rows * cols)
    where, out = np.zeros(values.shape, bool), values.copy()
    if count:
        order = draw.permutation(rows * cols)
        for one, other in zip(order[:count], np.roll(order, 1)[:count], strict=True):
            here, there = (
                np.s_[n // cols * block :, n % cols * block :] for n in (int(one), int(other))
            )
            cut = values[there][:block, :block]
            out[here][:block, :block] = np.where(
                values[here][:block, :block] == chips.IGNORE, chips.IGNORE, cut
            )
            where[here][:block, :block] = True
    label = place.label.copy(data=out).assign_attrs(place.label.attrs)
    return replace(place, label=label), place.label.copy(data=where).drop_attrs()

"""Named random streams and fractal noise, the raw material of the simulated scene."""

from __future__ import annotations

from zlib import crc32

import numpy as np
from scipy import fft, ndimage

VERSION = "2"
"""Version of the simulated scene; it changes whenever the same seed gives another place."""


def rng(seed, name):
    """Random generator of a seed and a name: the same pair always gives the same stream.

    Each part of the scene draws from its own named stream, so that one part can
    change without changing every other.

    Parameters
    ----------
    seed : int
        Seed of the scene, 0 or more.
    name : str
        What is drawn, for instance ``"region terrain"``.

    Returns
    -------
    numpy.random.Generator

    Examples
    --------
    >>> bool(rng(3, "trees").random() == rng(3, "trees").random())
    True
    >>> bool(rng(3, "trees").random() == rng(4, "trees").random())
    False
    """
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"seed is {seed!r}; give a whole number, 0 or more.")
    return np.random.default_rng(np.random.SeedSequence([int(seed), crc32(name.encode())]))


def fractal(shape, generator, beta=2.0, scale=None, smallest=None):
    """Fractal noise by spectral synthesis: Gaussian, mean 0, standard deviation 1.

    White noise is shaped in Fourier space so that its power falls as
    ``frequency ** -beta`` [1]_. Larger ``beta`` is smoother: about 2 gives clouds
    and patchy soils, 3 to 4 gives terrain.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    generator : numpy.random.Generator or int
        Source of randomness, as `rng` gives it.
    beta : float
        Exponent of the power spectrum.
    scale : float, optional
        Largest features, in pixels; the spectrum is flat below that frequency.
        As large as the raster where left out.
    smallest : float, optional
        Smallest features, in pixels; finer ones are damped.

    Returns
    -------
    numpy.ndarray
        float32, of the given shape.

    References
    ----------
    .. [1] Saupe, D. (1988). Algorithms for random fractals. In: Peitgen, H.-O., Saupe, D.
       (eds) The Science of Fractal Images, Springer, 71-136 (spectral synthesis, 2.4.3).

    Examples
    --------
    >>> cloud = fractal((64, 96), rng(0, "cloud"), scale=32)
    >>> cloud.shape, round(float(cloud.std()), 3)
    ((64, 96), 1.0)
    """
    rows, cols = (int(n) for n in shape)
    if rows < 1 or cols < 1:
        raise ValueError(f"shape is {tuple(shape)}; give at least one row and one column.")
    generator = np.random.default_rng(generator)
    largest = float(max(rows, cols) if scale is None else scale)
    # The transform wraps around: make more than is asked for, and cut the excess off.
    pad = int(min(largest, max(rows, cols) / 2))
    size = tuple(fft.next_fast_len(n + pad, real=True) for n in (rows, cols))
    # In double precision, so that the last digit differs as little as it can between machines.
    spectrum = fft.rfft2(generator.standard_normal(size))
    frequency = np.hypot(fft.fftfreq(size[0])[:, None], fft.rfftfreq(size[1])[None])
    gain = np.maximum(frequency, 1.0 / largest) ** (-beta / 2)
    if smallest is not None:
        gain *= np.exp(-0.5 * (frequency * smallest) ** 2)
    gain[0, 0] = 0.0
    spectrum *= gain
    field = fft.irfft2(spectrum, s=size)[:rows, :cols]
    spread = field.std()
    return ((field - field.mean()) / (spread if spread > 0 else 1.0)).astype(np.float32)


def warped(shape, generator, beta=2.0, scale=None, smallest=None, strength=None):
    """Fractal noise drawn along bent coordinates: streaks, folds and ridges.

    Parameters
    ----------
    shape, generator, beta, scale, smallest
        As in `fractal`.
    strength : float, optional
        Standard deviation of the bending, in pixels; a quarter of `scale` by default.

    Returns
    -------
    numpy.ndarray
        float32, mean 0, standard deviation 1.

    Examples
    --------
    >>> warped((40, 40), rng(0, "fold"), scale=16).dtype
    dtype('float32')
    """
    generator = np.random.default_rng(generator)
    largest = float(max(shape) if scale is None else scale)
    strength = largest / 4 if strength is None else strength
    field = fractal(shape, generator, beta, largest, smallest)
    bend = [strength * fractal(shape, generator, 3.0, 2 * largest) for _ in range(2)]
    rows, cols = np.indices(field.shape, dtype=np.float32)
    field = ndimage.map_coordinates(
        field, [rows + bend[0], cols + bend[1]], order=1, mode="reflect"
    )
    spread = float(field.std())
    return (field - field.mean()) / np.float32(spread if spread > 0 else 1.0)


def patches(shape, generator, share, beta=2.5, scale=None, smallest=None):
    """Irregular patches that cover a given share of the raster.

    Parameters
    ----------
    shape, generator, beta, scale, smallest
        As in `fractal`.
    share : float
        Share of the raster that is covered, 0 to 1.

    Returns
    -------
    numpy.ndarray
        bool, True inside the patches.

    Examples
    --------
    >>> float(patches((100, 100), rng(0, "patches"), 0.25, scale=20).mean())
    0.25
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; give a number from 0 to 1.")
    field = fractal(shape, generator, beta, scale, smallest)
    count = round(share * field.size)
    inside = np.zeros(field.size, bool)
    inside[np.argsort(-field, axis=None, kind="stable")[:count]] = True
    return inside.reshape(field.shape)

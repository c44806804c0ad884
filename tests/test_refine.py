"""Refining probabilities: CLAHE by hand, no seams, lazy as it came, nodata, bad input."""

import dask.array as da
import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr
from scipy.ndimage import gaussian_filter

from toolkit import mapping, refine


def shares(values, names=("Cropland", "Impervious", "Water")):
    """Probabilities of three classes, of which Impervious is given and two share the rest."""
    values = np.asarray(values, np.float32)
    rest = 1 - values
    return xr.DataArray(
        np.stack([rest * np.float32(0.75), values, rest * np.float32(0.25)]),
        dims=("class", "y", "x"),
        coords={
            "class": list(names),
            "y": 5000.0 - 3 * np.arange(values.shape[0]),
            "x": 1000.0 + 3 * np.arange(values.shape[1]),
        },
        attrs={"long_name": "probability", "simulated": True},
    ).rio.write_crs("EPSG:32650")


def smooth(height, width, sigma=20, seed=0):
    """Hills between 0 and 1."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), sigma)
    return ((noise - noise.min()) / np.ptp(noise)).astype("float32")


def halves(low, high, size=16):
    """A block whose left half has one value and whose right half has another."""
    return np.repeat(np.float32([[low, high]]), size // 2, 1).repeat(size, 0)


def test_one_block_by_hand_without_limit():
    # Half of the pixels lie at or below 0.1, all at or below 0.2.
    values = refine.enhanced(shares(halves(0.1, 0.2)), clip_limit=np.inf).values
    np.testing.assert_allclose(values, halves(0.5, 1.0))


def test_one_block_by_hand_with_limit():
    # 256 pixels: even share 1, cut at 4. Two levels of 128 lose 248, which is 248/256 per level.
    # Level 51 (0.2): 4 + 52 * e; level 102 (0.4): 8 + 103 * e, of 256.
    e = 248 / 256
    expected = halves((4 + 52 * e) / 256, (8 + 103 * e) / 256)
    values = refine.enhanced(shares(halves(0.2, 0.4)), clip_limit=4).values
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_reweighting_by_hand():
    probability = shares(halves(0.3, 0.4))
    result = refine.clahe_reweight(probability, clip_limit=np.inf, threshold=0.75)
    np.testing.assert_allclose(result.sel({"class": "Impervious"}), halves(0.15, 0.8))
    for other in ("Cropland", "Water"):
        assert np.array_equal(result.sel({"class": other}), probability.sel({"class": other}))
    # 0.4 loses against 0.6 * 0.75 = 0.45, twice 0.4 wins; on the left it stays as it was.
    assert (mapping.classes(probability).values == 0).all()
    assert np.array_equal(mapping.classes(result).values, halves(0, 1).astype("uint8"))
    assert result.dtype == probability.dtype and result.rio.crs == probability.rio.crs
    assert result.attrs["clahe"]["threshold"] == 0.75 and result.attrs["simulated"]
    own = refine.clahe_reweight(probability, clip_limit=np.inf, threshold=0.75, up=3, down=0.1)
    np.testing.assert_allclose(own.sel({"class": "Impervious"}), halves(0.03, 1.2), rtol=1e-6)


def test_shares_that_add_up_choose_the_same_class():
    result = refine.clahe_reweight(shares(smooth(64, 64, 3)), block=32)
    total = result / result.sum("class", skipna=False)
    assert np.array_equal(mapping.classes(total).values, mapping.classes(result).values)


def test_neighbouring_blocks_are_interpolated_by_hand():
    # Left block: half at 0.2, half at 0.6; right block: a quarter at 0.2, the rest at 0.6.
    left, right = halves(0.2, 0.6, 16), halves(0.2, 0.6, 16)
    right[:, 4:] = 0.6
    values = refine.enhanced(shares(np.hstack([left, right])), block=16, clip_limit=np.inf).values
    # 0.2 becomes 0.5 by the left table and 0.25 by the right one; the centres lie at 8 and 24.
    assert values[5, 3] == pytest.approx(0.5)  # beyond the first centre: its table alone
    assert values[5, 16] == pytest.approx(0.5 + (16.5 - 8) / 16 * (0.25 - 0.5))
    assert values[5, 20] == 1


# What OpenCV 5.0.0 makes of the levels below with cv2.createCLAHE(4.0, (3, 2)).
OPENCV = [
    [9, 49, 79, 71, 155, 228, 70, 163],
    [24, 85, 109, 117, 203, 47, 125, 225],
    [32, 116, 126, 143, 241, 95, 184, 38],
    [40, 137, 152, 189, 28, 159, 242, 102],
]


def test_as_opencv_up_to_rounding():
    y, x = np.mgrid[:256, :384]
    levels = ((x * x + 7 * y + x * y) // 523 % 160 + (x // 192) * 60).astype("uint8")
    values = refine.enhanced(shares(levels / 255), block=128, clip_limit=4).values
    np.testing.assert_allclose(values[20::64, 20::48] * 255, OPENCV, atol=2)


def test_no_seam_between_blocks():
    values = smooth(256, 384, 30)
    together = refine.enhanced(shares(values), block=64).values
    jumps = np.abs(np.diff(together, axis=1))
    at_borders = jumps[:, 63::64]
    assert np.median(at_borders) < 1.5 * np.median(jumps)
    assert at_borders.max() <= jumps.max()
    # Blocks on their own leave steps many times as high: this is what is avoided.
    alone = np.hstack(
        [refine.enhanced(shares(values[:, i : i + 64]), block=64).values for i in range(0, 384, 64)]
    )
    assert np.median(np.abs(np.diff(alone, axis=1))[:, 63::64]) > 10 * np.median(at_borders)


@pytest.mark.parametrize("chunks", [(3, 50, 70), (1, 64, 64), (-1, 200, 31)])
def test_lazy_equals_eager_whatever_the_chunks(chunks):
    values = smooth(200, 310, 6)
    values[150:, :90] = np.nan
    whole = shares(values)
    lazy = whole.chunk(dict(zip(("class", "y", "x"), chunks, strict=True)))
    result, image = refine.clahe_reweight(lazy, block=64), refine.enhanced(lazy, block=64)
    assert isinstance(result.data, da.Array) and isinstance(image.data, da.Array)
    assert result.chunks == lazy.chunks and image.chunks == lazy.chunks[1:]
    assert np.array_equal(result, refine.clahe_reweight(whole, block=64), equal_nan=True)
    assert np.array_equal(image, refine.enhanced(whole, block=64), equal_nan=True)
    # write() knows unfinished work again by the name.
    assert result.data.name == refine.clahe_reweight(lazy, block=64).data.name


def test_the_scene_is_never_loaded():
    seen = []

    def made(block_info=None):
        seen.append(tuple(block_info[None]["chunk-location"]))
        return np.full((2, 64, 64), 0.5, np.float32) * np.float32([0.9, 1.1])[:, None, None]

    data = da.map_blocks(
        made, chunks=((2,), (64,) * 40, (64,) * 40), dtype="float32",
        meta=np.empty((0, 0, 0), "float32"),
    )  # fmt: skip
    probability = xr.DataArray(
        data, dims=("class", "y", "x"), coords={"class": ["other", "Impervious"]}
    ).rio.write_crs("EPSG:32650")
    result = refine.clahe_reweight(probability, block=64)
    assert not seen
    result.data.blocks[:, 20, 20].compute(scheduler="synchronous")
    assert set(seen) == {(0, y, x) for y in (19, 20, 21) for x in (19, 20, 21)}


def test_pixels_without_data_have_no_say():
    values = smooth(96, 96, 5)
    whole = refine.enhanced(shares(values), block=32).values
    holes = np.vstack([values, np.full((96, 96), np.nan, np.float32)])
    result = refine.enhanced(shares(holes), block=32).values
    assert np.isnan(result[96:]).all()
    np.testing.assert_allclose(result[:96], whole, atol=1e-6)
    reweighted = refine.clahe_reweight(shares(holes), block=32)
    assert np.isnan(reweighted[:, 96:]).all() and not np.isnan(reweighted[:, :96]).any()
    nothing = refine.clahe_reweight(shares(np.full((20, 20), np.nan)))
    assert np.isnan(nothing).all()


def test_constant_map_stays_as_it_is():
    probability = shares(np.full((100, 80), 0.7))
    with pytest.warns(UserWarning, match=r"Impervious is 0\.7 everywhere: there is no contrast"):
        values = refine.enhanced(probability, block=32).values
    np.testing.assert_allclose(values, 0.7, atol=0.51 / 255)  # levels are whole numbers
    with pytest.warns(UserWarning, match="no contrast"):
        result = refine.clahe_reweight(probability, block=32)
    np.testing.assert_allclose(result.sel({"class": "Impervious"}), 1.4, rtol=1e-6)
    lazy = refine.enhanced(probability.chunk(y=10), block=32).compute()
    assert np.array_equal(lazy, values)


def test_limit_of_one_changes_little():
    values = smooth(128, 128, 10) * 0.5
    plain = refine.enhanced(shares(values), block=64, clip_limit=1).values
    strong = refine.enhanced(shares(values), block=64, clip_limit=8).values
    assert np.abs(plain - values).max() < np.abs(strong - values).max() / 2


def test_faint_roads_among_fields_come_back():
    # A road that is as bright as a garden in the city: no single threshold finds one without
    # the other.
    rng = np.random.default_rng(1)
    values = np.clip(rng.normal(0.03, 0.01, (256, 512)), 0, 1)
    values[:, 256:] = np.clip(rng.normal(0.85, 0.05, (256, 256)), 0, 1)
    values[100:104, :200] = rng.normal(0.4, 0.02, (4, 200))
    garden = np.s_[40:80, 320:420]
    values[garden] = rng.normal(0.4, 0.02, (40, 100))
    image = refine.enhanced(shares(values), block=128, clip_limit=8).values
    assert image[101, 20:150].mean() > image[garden].mean() + 0.2
    assert np.abs(values[101, 20:150].mean() - values[garden].mean()) < 0.02


def test_blocks_are_equal_parts():
    assert refine._sizes(8000, 512) == (500,) * 16
    assert refine._sizes(100, 512) == (100,)
    assert sum(refine._sizes(1001, 100)) == 1001 and set(refine._sizes(1001, 100)) == {100, 101}


def test_bad_input():
    probability = shares(smooth(32, 32, 3))
    with pytest.raises(KeyError, match=r"no class 'impervous'. Did you mean 'Impervious'"):
        refine.clahe_reweight(probability, "impervous")
    with pytest.raises(ValueError, match=r"no dimension 'class', the dims are \('y', 'x'\)"):
        refine.enhanced(probability[1])
    with pytest.raises(TypeError, match=r"expected an xarray\.DataArray"):
        refine.enhanced(probability.values)
    with pytest.raises(ValueError, match="the classes have no names"):
        refine.enhanced(probability.drop_vars("class"))
    with pytest.raises(ValueError, match="has no CRS"):
        refine.enhanced(probability.drop_vars("spatial_ref"))
    with pytest.raises(ValueError, match=r"runs from .* to 255, expected 0 to 1"):
        refine.enhanced(probability * 255)
    with pytest.raises(ValueError, match="divided by 255 first"):
        refine.enhanced((probability * 255).astype("uint8"))
    with pytest.raises(ValueError, match="Reweighted before"):
        refine.clahe_reweight(refine.clahe_reweight(probability, threshold=0.1), threshold=0.1)
    lazy = refine.enhanced((probability * 2 - 1).chunk(y=8))
    with pytest.raises(ValueError, match=r"Logits\?"):
        lazy.compute()
    for block in (8, 0, 40.0, True):
        with pytest.raises(ValueError, match="at least 16 pixels"):
            refine.enhanced(probability, block=block)
    for limit in (0.01, 0, np.nan, "2"):
        with pytest.raises(ValueError, match="clip_limit must be a number of at least 1"):
            refine.enhanced(probability, clip_limit=limit)
    with pytest.raises(ValueError, match=r"between 0 and 1, got 128.*divided by 255"):
        refine.clahe_reweight(probability, threshold=128)
    with pytest.raises(ValueError, match="down is a positive factor"):
        refine.clahe_reweight(probability, down=0)

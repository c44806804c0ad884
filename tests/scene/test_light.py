"""Light: the sun's place, shadows on the right side, slopes, haze and clouds."""

import numpy as np
import pytest

from toolkit.scene import light, materials


def test_sun_over_chengdu(toy_city):
    # NOAA Solar Calculator for 30.7 N, solar time 10:30 and 12:00, rounded
    sun = light.sun(toy_city, "2017-08-05")
    assert sun.elevation == pytest.approx(65, abs=1.5)
    assert sun.azimuth == pytest.approx(119, abs=3)
    noon = light.sun(toy_city, "2017-04-15", hour=12)
    assert noon.azimuth == pytest.approx(180, abs=0.1)
    assert noon.elevation == pytest.approx(90 - 30.7 + 9.7, abs=0.6)


@pytest.mark.parametrize("azimuth", [30, 100, 135, 180, 225, 300])
@pytest.mark.parametrize("elevation", [35, 60])
def test_shadow_points_away_from_the_sun(azimuth, elevation):
    height = np.zeros((301, 301), np.float32)
    height[148:153, 148:153] = 50
    shade = light.shadow(height, light.Sun(azimuth, elevation), 1.0)
    rows, cols = np.nonzero(shade)
    angle = np.degrees(np.arctan2(cols.mean() - 150, 150 - rows.mean())) % 360
    away = (angle - azimuth - 180 + 180) % 360 - 180
    assert abs(away) < 6
    reach = np.hypot(rows - 150, cols - 150).max()
    assert reach == pytest.approx(50 / np.tan(np.radians(elevation)), abs=5)
    assert not shade[148:153, 148:153].any()


def test_higher_roofs_throw_longer_shadows_and_flat_ground_none():
    sun = light.Sun(140, 45)
    height = np.zeros((100, 100), np.float32)
    assert not light.shadow(height, sun, 2.5).any()
    height[50:54, 50:54] = 10
    low = light.shadow(height, sun, 2.5).sum()
    height[50:54, 50:54] = 40
    assert light.shadow(height, sun, 2.5).sum() > 2 * low


def test_slopes_towards_the_sun_are_brighter(toy):
    sun = light.Sun(90, 40)  # in the east
    level, rising, falling = (
        light.slope_light(c, sun, c.bounds, (72, 72)).mean()
        for c in (toy(), toy(slope=0.2), toy(slope=-0.2))
    )
    assert level == pytest.approx(1, abs=1e-5)
    assert rising < 0.9 < 1.1 < falling


def test_resample_keeps_planes():
    coarse = np.add.outer(np.arange(8.0), 2 * np.arange(6.0))
    fine = light.resample(coarse, (32, 24))
    assert fine.dtype == np.float32
    assert fine[2:-2, 2:-2] == pytest.approx(
        np.add.outer((np.arange(32) + 0.5) / 4 - 0.5, 2 * ((np.arange(24) + 0.5) / 4 - 0.5))[
            2:-2, 2:-2
        ],
        abs=1e-4,
    )


def test_haze_is_blue_and_grows():
    sun = light.Sun(130, 55)
    path = [light.atmosphere(b, sun, 0.3)[0] for b in ("B2", "B3", "B4", "B8", "B11")]
    assert np.all(np.diff(path) < 0)
    # 6S, continental aerosol, 0.3: about 0.09-0.10 in the blue, 0.02 in the near infrared
    assert path[0] == pytest.approx(0.09, abs=0.02)
    assert path[3] == pytest.approx(0.02, abs=0.01)
    thin, thick = (light.atmosphere("B2", sun, d) for d in (0.05, 0.8))
    assert thick[0] > thin[0]
    assert thick[1] < thin[1]
    for band in materials.BANDS:
        assert 0.5 < light.atmosphere(band, sun, 0.3)[1] < 1


def test_clouds_cover_what_was_asked_and_their_shadow_lies_away():
    sun = light.Sun(180, 45)
    cloud, shade = light.clouds((400, 400), 30.0, 0.05, sun, np.random.default_rng(4), size=1500)
    assert (cloud > 0.05).mean() == pytest.approx(0.05, abs=0.03)
    assert 0 <= cloud.min() <= cloud.max() <= 0.95
    # base 1200 m, sun in the south at 45 degrees: 40 pixels of 30 m to the north
    scores = [(cloud[k:] * shade[: 400 - k]).sum() for k in range(0, 80, 5)]
    assert abs(5 * int(np.argmax(scores)) - 40) <= 5


def test_no_clouds_and_too_many():
    sun, draw = light.Sun(180, 45), np.random.default_rng(0)
    cloud, shade = light.clouds((10, 10), 30.0, 0.0, sun, draw)
    assert not cloud.any()
    assert not shade.any()
    with pytest.raises(ValueError, match=r"cover is 0\.9"):
        light.clouds((10, 10), 30.0, 0.9, sun, draw)

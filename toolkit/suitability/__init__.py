"""Which roofs should be greened? Temperature, density, judgements, overlay.

The paper ``roof_greening`` in order: :func:`land_surface_temperature` from the thermal bands of
Landsat 8, :func:`population` and :func:`density` of buildings and roads, all on one grid of 30 m
(:func:`grid`, :func:`to_grid`); :func:`reclassify` gives every layer the same scale;
:func:`ahp` turns judgements into weights; :func:`overlay` adds up, :func:`grade` makes three
grades, and :func:`to_roofs` carries them to the roofs and says why. :func:`by_grade` and
:func:`by_district` are the planner's tables, :func:`sensitivity` says how far the judgements
decide. :func:`export` writes files for a GIS and a spreadsheet, and the one page of
:func:`summary`.

Examples
--------
>>> from toolkit import suitability
>>> weights = suitability.ahp(
...     [[1, 1, 2, 4], [1, 1, 2, 2], [1 / 2, 1 / 2, 1, 2], [1 / 4, 1 / 2, 1 / 2, 1]],
...     names=["population", "temperature", "buildings", "roads"],
... )
>>> weights.weights.round(4).to_dict()
{'population': 0.3763, 'temperature': 0.3207, 'buildings': 0.1881, 'roads': 0.1149}
"""

from toolkit.suitability.densities import density, grid, population, to_grid
from toolkit.suitability.export import export
from toolkit.suitability.judgements import AHP, SAATY, ahp, from_judgements
from toolkit.suitability.landsat import (
    STANDARD_CONSTANTS,
    brightness_temperature,
    clear_sky,
    ndvi,
    read_mtl,
)
from toolkit.suitability.layers import grade, overlay, reclassify
from toolkit.suitability.roofs import by_district, by_grade, to_roofs, zonal
from toolkit.suitability.stability import Sensitivity, sensitivity
from toolkit.suitability.summary import summary
from toolkit.suitability.temperature import emissivity, land_surface_temperature

__all__ = [
    "AHP",
    "SAATY",
    "STANDARD_CONSTANTS",
    "Sensitivity",
    "ahp",
    "brightness_temperature",
    "by_district",
    "by_grade",
    "clear_sky",
    "density",
    "emissivity",
    "export",
    "from_judgements",
    "grade",
    "grid",
    "land_surface_temperature",
    "ndvi",
    "overlay",
    "population",
    "read_mtl",
    "reclassify",
    "sensitivity",
    "summary",
    "to_grid",
    "to_roofs",
    "zonal",
]

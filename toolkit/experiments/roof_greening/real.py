"""What changes on real measurements? Four places, each with what one of the links needs."""

from toolkit import buildings, catalog, chips, suitability


def atlanta(resolutions=(0.5, 0.8, 1.6)):
    """What do polygons lose? Burn the real houses of a suburb into masks, and vectorise these.

    Parameters
    ----------
    resolutions : sequence of float
        Pixels of the masks, metres; the image has 0.5.

    Returns
    -------
    geopandas.GeoDataFrame
        The houses.
    dict of float to geopandas.GeoDataFrame
        By resolution, what `toolkit.buildings.vectorise` makes of the mask.

    Examples
    --------
    >>> houses, back = atlanta()  # doctest: +SKIP
    >>> buildings.object_scores(houses, back[0.8])["f1"]  # doctest: +SKIP
    1.0
    """
    houses = buildings.clean(catalog.open("atlanta/buildings"))
    image = catalog.open("atlanta/panchromatic").astype("float32")
    own = abs(image.rio.resolution()[0])
    grids = {step: chips.zoom(image, own / step) if step != own else image for step in resolutions}
    return houses, {
        step: buildings.vectorise(buildings.rasterise(houses, grid)) for step, grid in grids.items()
    }


def gothenburg():
    """Heights of the blocks of central Gothenburg: surface model minus terrain, by footprint.

    Returns
    -------
    geopandas.GeoDataFrame
        The footprints inside the lidar rasters, with height (m) and what two rules say of them:
        ``45 m`` and ``15 m``.
    """
    lidar = catalog.open("gothenburg/heights")
    blocks = buildings.clean(catalog.open("gothenburg/buildings"))
    blocks = blocks.clip(lidar.rio.bounds()).explode(ignore_index=True)
    blocks = buildings.clean(blocks[blocks.area >= 10])
    surface, terrain = (lidar.sel(band=name, drop=True) for name in ("dsm", "dem"))
    out = buildings.join_heights(blocks, surface, ground=terrain)
    for limit in (45, 15):
        out[f"{limit} m"] = buildings.low_enough(out, metres=limit, storeys=None)
    return out


def helsinki(radius=250.0, crs="EPSG:3067"):
    """Densities of buildings and roads of central Helsinki, and storeys where people noted them.

    Parameters
    ----------
    radius : float
        Reach of the kernel, metres.
    crs : str
        In metres.

    Returns
    -------
    geopandas.GeoDataFrame
        Buildings in the extent of the roads, with storeys (NaN where nobody noted any) and
        low_enough by 15 storeys (<NA> where unknown).
    dict of str to xarray.DataArray
        "buildings" and "roads", densities at 30 m.
    """
    roads = catalog.open("helsinki/roads").to_crs(crs)
    houses = buildings.clean(catalog.open("helsinki/buildings").to_crs(crs))
    west, south, east, north = roads.total_bounds
    houses = buildings.clean(houses.cx[west:east, south:north].explode(ignore_index=True))
    levels = houses["building:levels"].astype(str).str.extract(r"(\d+\.?\d*)")[0].astype(float)
    houses["storeys"] = levels
    houses["low_enough"] = buildings.low_enough(houses, metres=None, storeys=15)
    box = houses[["geometry"]].dissolve().envelope.to_frame("geometry").set_geometry("geometry")
    grid = suitability.grid(box)
    lines = streets(roads)
    return houses, {
        "buildings": suitability.density(houses, grid, radius),
        "roads": suitability.density(lines, grid, radius),
    }


def streets(roads):
    """Roads for cars: OpenStreetMap's lines without paths, steps and repeated geometries."""
    paths = ("footway", "path", "steps", "pedestrian", "cycleway", "corridor", "elevator")
    own = roads[~roads["highway"].isin(paths)]
    own = own[own.geom_type.isin(["LineString", "MultiLineString"])]
    return own[~own.geometry.normalize().duplicated()]


def gulf_coast(water_vapour=3.0):
    """Land surface temperature of a real Landsat 8 scene under clouds, by two methods.

    Parameters
    ----------
    water_vapour : float
        g/cm2 in the air: the image has no date, so a humid summer's value is assumed.

    Returns
    -------
    xarray.DataArray
        (band, y, x), the counts.
    dict of str to xarray.DataArray
        "split_window" and "single_channel": (y, x), K, NaN under clouds.
    """
    image = catalog.open("gulf_coast/landsat8")
    clear = suitability.clear_sky(image, "pre")
    found = {
        method: suitability.land_surface_temperature(
            image, water_vapour, mtl="standard", method=method, clear=clear
        )
        for method in ("split_window", "single_channel")
    }
    return image, found

"""Which experiments: the whole chain for one seed, from the samples to the grades."""

import pandas as pd

from toolkit import buildings
from toolkit.experiments.roof_greening import chain, errors, hand, places, scores


def run(seed=0, scene_seed=0, profile="quick", enough=1.0, **changes):
    """Run the chain once and score every link.

    Parameters
    ----------
    seed : int
        Of samples, training, the simulated hand and the forest.
    scene_seed : int
        Of the scene.
    profile : {"smoke", "quick", "paper"}
        See `scores.PROFILES`.
    enough : float
        Precision at which no more samples are sketched; 1 uses all.
    **changes
        See `scores.setting`.

    Returns
    -------
    pandas.DataFrame
        From `errors.scorecard`, and for each round of the training the scores on the held-out
        samples (link "samples", layer the number of samples).

    Examples
    --------
    >>> run(profile="smoke")  # doctest: +SKIP
    """
    chosen = scores.setting(profile, **changes)
    place = places.ground(scene_seed, chosen["side"])
    table = places.samples(place, chosen["number"], chosen["held_out"], chosen["chip"], seed)
    learn, rounds = scores.train(place, table, seed, enough, **chosen)
    found = buildings.vectorise(scores.probability(learn.model, place.image))
    if places.inside(found, places.scored(table)).empty:
        raise ValueError(
            "the network finds no building on the ground to be scored: train longer (epochs=), or "
            "on more samples (number=, rounds=)"
        )
    card = finished(place, table, found, seed)[-1]
    own = rounds.rename(columns={"iou": "IoU"})[["samples", "precision", "recall", "IoU"]]
    own = own.melt("samples", var_name="measure").rename(columns={"samples": "layer"})
    own["layer"] = own["layer"].astype(str)
    return pd.concat([own.assign(link="samples"), card], ignore_index=True)[card.columns]


def finished(place, table, found, seed=0):
    """Go from a network's footprints to the scores of every link."""
    within = places.scored(table)
    network = places.with_sketches(place, table, found)
    edits = hand.corrections(network, place.truth, within, seed=seed)
    corrected = buildings.apply_edits(network, edits).buildings
    layers = {"truth": place.truth, "network": network, "corrected": corrected}
    layers = {name: chain.low(place, layer) for name, layer in layers.items()}
    roofs = {name: chain.roofs(place, layer, within, seed) for name, layer in layers.items()}
    rated = errors.variants(place, layers, roofs, chain.weights(), within)
    return layers, roofs, rated, errors.scorecard(place, layers, roofs, rated, within)

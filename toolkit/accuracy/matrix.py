"""The confusion matrix and every score that follows from it."""

import numpy as np
import pandas as pd


def _ratio(above, below):
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(above) / below  # 0 / 0 is NaN: not defined


def _scores(a):
    """Every score of matrices (..., map class, reference class), by name."""
    hits = np.diagonal(a, axis1=-2, axis2=-1)
    rows, columns, n = a.sum(axis=-1), a.sum(axis=-2), a.sum(axis=(-2, -1))
    overall = _ratio(hits.sum(axis=-1), n)
    chance = _ratio((rows * columns).sum(axis=-1), n * n)
    users, producers = _ratio(hits, rows), _ratio(hits, columns)
    iou = _ratio(hits, rows + columns - hits)

    def mean(values):  # over the classes where it is defined; unknown where a count is unknown
        return _ratio(np.nansum(values, axis=-1), (~np.isnan(values)).sum(axis=-1)) + 0 * n

    return {
        "n": n,
        "overall": overall,
        "kappa": _ratio(overall - chance, 1 - chance),
        "average": mean(producers),
        "mean_iou": mean(iou),
        "frequency_weighted_iou": _ratio(np.nansum(columns * iou, axis=-1), n),
        "producers": producers,
        "users": users,
        "f1": _ratio(2 * hits, rows + columns),
        "iou": iou,
        "omission": 1 - producers,
        "commission": 1 - users,
    }


def _score(name):
    def read(self):
        value = _scores(self.array)[name]
        if np.ndim(value) == 0:
            return float(value)
        return pd.Series(value, index=pd.Index(self.classes, name="class"), name=name)

    return property(read, doc=f"The score {name!r}; see the attributes of ConfusionMatrix.")


class ConfusionMatrix:
    """Counts of map class against reference class, and every score that follows from them.

    Parameters
    ----------
    array : array-like (class, class), pandas.DataFrame
        Counts (pixels, points): rows are the map, columns the reference. NaN on the diagonal
        stands for an unknown count, such as the true negatives of a published table; scores that
        need it become NaN.
    classes : sequence of str, optional
        Class names in the order of rows and columns. Taken from a DataFrame, else 0, 1, 2, ...

    Attributes
    ----------
    array : numpy.ndarray
    classes : list
    n : float
        All counts.
    overall, kappa, average, mean_iou, frequency_weighted_iou : float
        Overall accuracy, Cohen's kappa, mean producer's accuracy, mean IoU, IoU weighted by
        reference share.
    producers, users, f1, iou, omission, commission : pandas.Series
        By class. Producer's accuracy (recall) = diagonal / column sum, user's accuracy
        (precision) = diagonal / row sum, F1 = 2 diagonal / (row sum + column sum),
        IoU = diagonal / (row sum + column sum - diagonal), omission = 1 - producer's,
        commission = 1 - user's.

    Raises
    ------
    ValueError
        Not square, negative or non-finite counts, names that do not fit.

    Notes
    -----
    Definitions after Congalton (1991), Remote Sensing of Environment 37:35-46, and Cohen (1960).

    Examples
    --------
    >>> matrix = ConfusionMatrix([[50, 10], [5, 35]], classes=["urban", "rest"])
    >>> matrix.overall
    0.85
    >>> matrix.users.round(3).to_dict()
    {'urban': 0.833, 'rest': 0.875}
    """

    n = _score("n")
    overall = _score("overall")
    kappa = _score("kappa")
    average = _score("average")
    mean_iou = _score("mean_iou")
    frequency_weighted_iou = _score("frequency_weighted_iou")
    producers = _score("producers")
    users = _score("users")
    f1 = _score("f1")
    iou = _score("iou")
    omission = _score("omission")
    commission = _score("commission")

    def __init__(self, array, classes=None):
        if isinstance(array, pd.DataFrame):
            if list(array.index) != list(array.columns):
                raise ValueError(
                    f"rows {list(array.index)} and columns {list(array.columns)} of a confusion "
                    "matrix must be the same classes in the same order; drop sums and accuracies."
                )
            classes = list(array.index) if classes is None else classes
        self.array = np.array(array, dtype=float)
        if (
            self.array.ndim != 2
            or self.array.shape[0] != self.array.shape[1]
            or not self.array.size
        ):
            raise ValueError(f"a confusion matrix is square, got shape {self.array.shape}")
        self.classes = list(range(len(self.array))) if classes is None else list(classes)
        if len(self.classes) != len(self.array) or len(set(self.classes)) != len(self.classes):
            raise ValueError(
                f"{len(self.array)} rows need as many different class names, got {self.classes}"
            )
        unknown = np.eye(len(self.array), dtype=bool) & np.isnan(self.array)
        known = self.array[~unknown]
        if not np.isfinite(known).all() or (known < 0).any():
            raise ValueError(f"counts must be finite and not negative, got\n{self.array}")

    @classmethod
    def from_counts(cls, tp, fp, fn, tn=None, classes=("positive", "rest")):
        """Build the two-class matrix from true and false positives and negatives.

        Parameters
        ----------
        tp, fp, fn : float
            True positives, false positives, false negatives.
        tn : float, optional
            True negatives. Papers often leave them out: overall accuracy, kappa and the scores
            of the second class are then NaN.
        classes : pair of str
            Names of the positive class and of the rest.

        Returns
        -------
        ConfusionMatrix

        Examples
        --------
        >>> matrix = ConfusionMatrix.from_counts(tp=12625, fp=2744, fn=612)
        >>> round(float(matrix.f1["positive"]), 4), matrix.kappa
        (0.8827, nan)
        """
        return cls([[tp, fp], [fn, np.nan if tn is None else tn]], classes)

    def counts(self, positive):
        """Return TP, FP, FN, TN of one class against all others, as a Series of counts."""
        if positive not in self.classes:
            raise KeyError(f"no class {positive!r}; the matrix has {self.classes}")
        i = self.classes.index(positive)
        tp = self.array[i, i]
        fp, fn = (np.delete(line, i).sum() for line in (self.array[i], self.array[:, i]))
        return pd.Series({"TP": tp, "FP": fp, "FN": fn, "TN": self.n - tp - fp - fn})

    def __add__(self, other):
        if not isinstance(other, ConfusionMatrix):
            return NotImplemented
        if self.classes != other.classes:
            raise ValueError(f"cannot add matrices of {self.classes} and {other.classes}")
        return ConfusionMatrix(self.array + other.array, self.classes)

    def __radd__(self, other):
        return self if other == 0 else NotImplemented  # so that sum() works

    def to_frame(self):
        """Return the matrix as papers print it: sums, UA and PA in per cent, OA in the corner."""
        frame = pd.DataFrame(self.array, index=self.classes, columns=self.classes)
        frame["sum"] = self.array.sum(axis=1)
        frame.loc["sum"] = [*self.array.sum(axis=0), self.n]
        frame["UA (%)"] = [*self.users * 100, np.nan]
        frame.loc["PA (%)"] = [*self.producers * 100, np.nan, self.overall * 100]
        return frame.rename_axis(index="map", columns="reference")

    def table(self):
        """Return the scores by class: one row a class, counts first, then shares of 1."""
        names = ["producers", "users", "f1", "iou", "omission", "commission"]
        table = pd.concat([getattr(self, name) for name in names], axis=1)
        table.insert(0, "reference", self.array.sum(axis=0))
        table.insert(1, "mapped", self.array.sum(axis=1))
        return table

    def figure(self, title=None, ax=None):
        """Draw the matrix as a heat table: counts, and user's and producer's accuracy beside it.

        Parameters
        ----------
        title : str, optional
            Heading.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib.figure.Figure
        """
        import matplotlib.pyplot as plt

        k = len(self.classes)
        if ax is None:
            fig, ax = plt.subplots(figsize=(2.6 + 0.85 * k, 1.8 + 0.6 * k), layout="constrained")
            plt.close(fig)  # the notebook shows the returned figure, once
        share = _ratio(self.array, self.array.sum(axis=0))
        cells = np.full((k + 1, k + 1), np.nan)
        cells[:k, :k] = share
        image = ax.imshow(cells, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        frame = self.to_frame().drop(index="sum", columns="sum").to_numpy()
        for (i, j), value in np.ndenumerate(frame):
            margin = i == k or j == k
            text = f"{value:.1f} %" if margin else f"{value:,.0f}"
            text = f"overall\n{text}" if i == j == k else text
            dark = not margin and share[i, j] < 0.5
            ax.text(
                j, i, "–" if np.isnan(value) else text, ha="center", va="center",
                color="white" if dark else "black", fontsize=9,
            )  # fmt: skip
        names = [str(name) for name in self.classes]
        ax.set_xticks(range(k + 1), [*names, "user's\naccuracy"], rotation=30, ha="right")
        ax.set_yticks(range(k + 1), [*names, "producer's\naccuracy"])
        ax.set(xlabel="reference", ylabel="map", title=title or "")
        ax.spines[:].set_visible(False)
        ax.figure.colorbar(image, ax=ax, label="share of the reference class")
        return ax.figure

    def __repr__(self):
        frame = self.to_frame().to_string(
            na_rep="", float_format=lambda value: f"{value:,.2f}".removesuffix(".00")
        )
        return (
            f"ConfusionMatrix (rows map, columns reference), n = {self.n:,.0f}, "
            f"overall accuracy {self.overall:.4f}, kappa {self.kappa:.4f}\n{frame}"
        )

    def _repr_html_(self):
        counts = (slice(None, "sum"), slice(None, "sum"))
        style = self.to_frame().style.format("{:.2f}", na_rep="")
        style = style.format_index(escape="html").format_index(escape="html", axis=1)
        style = style.format("{:,.0f}", na_rep="–", subset=pd.IndexSlice[counts])
        return style.set_caption(
            f"Rows map, columns reference. Overall accuracy {self.overall:.4f}, "
            f"kappa {self.kappa:.4f}, mean IoU {self.mean_iou:.4f}, n = {self.n:,.0f}"
        ).to_html()

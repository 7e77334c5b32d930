"""The nearest rows of a matrix, exactly and in bounded memory.

Rows are ordered by squared Euclidean distance in float64, then by position. The faster ways only
propose candidates, with a margin for their rounding; where it matters, this order decides.
"""

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

TINY = 2048  # numbers in the training data times neighbours, up to which plain arithmetic is best
PAIRWISE = 8  # terms, from which on numpy's sum does not add one after the other
# Beyond, products are faster, with 10,000 rows. A tree's time grows slower with the rows, so ten
# times as many allow it two columns more: measured from 1,000 to 400,000 rows of normal numbers.
TREE_COLUMNS = 7
NUMBERS = 1 << 17  # that are ranked at a time
GROUP = 32  # scores that are searched as one
SAMPLE = np.random.default_rng(0).random((32, PAIRWISE - 1))
# Not so where scipy was compiled to multiply and add in one rounding, as for some processors.
SUMS_AS_NUMPY = np.array_equal(
    cdist(SAMPLE, SAMPLE, "sqeuclidean"), ((SAMPLE[:, None] - SAMPLE) ** 2).sum(axis=-1)
)
FAR = 1e15  # ranges of the training data, from where float32 cannot tell its rows apart


class Directly:
    """Computes every distance."""

    def __init__(self, train: Floats, count: int) -> None:
        self._train, self._count = np.ascontiguousarray(train), count
        self.row_bytes = 16 * len(train)

    def nearest(self, test: Floats) -> Rows:
        """Return the nearest rows of each row of `test`, a row for each."""
        distances = cdist(test, self._train, "sqeuclidean")
        nearest = np.empty((len(test), self._count), dtype=np.intp)
        nearest[:, 0] = distances.argmin(axis=1)
        for place in range(1, self._count):
            distances[np.arange(len(test)), nearest[:, place - 1]] = np.inf
            nearest[:, place] = distances.argmin(axis=1)
        return nearest


class ByTree:
    """Asks a k-d tree for one row more; where that one is as near, ranks all that are.

    Rows that are near to each other stand next to each other in its memory and in its questions, so
    that the processor's caches have most of what it reads.
    """

    def __init__(self, train: Floats, count: int, memory: int) -> None:
        self._train, self._count, self._memory = train, count, memory
        self._rows = by_place(train)
        self._tree = cKDTree(train[self._rows], leafsize=32, compact_nodes=False)
        self._asked = [*range(1, min(count + 1, len(train)) + 1)]
        self.row_bytes = 24 * (len(self._asked) + train.shape[1])

    def nearest(self, test: Floats) -> Rows:
        """Return the nearest rows of each row of `test`, a row for each."""
        order = by_place(test)
        nearest = np.empty((len(test), self._count), dtype=np.intp)
        nearest[order] = self._nearest(test[order])
        return nearest

    def _nearest(self, test: Floats) -> Rows:
        distances, found = map(np.asarray, self._tree.query(test, self._asked))
        nearest: Rows = self._rows[found[:, : self._count]]
        if len(self._asked) > self._count:
            # Far above the rounding of a tree's distances, and of squares that are next to 0.
            radius = distances[:, self._count - 1] * (1 + 1e-12) + 1e-150
            tied = np.flatnonzero(distances[:, self._count] <= radius)
            if len(tied):
                self._rank(tied, test, radius, nearest)
        return nearest

    def _rank(self, tied: Rows, test: Floats, radius: Floats, nearest: Rows) -> None:
        many = self._tree.query_ball_point(test[tied], radius[tied], return_length=True).max()
        step = max(1, self._memory // (128 * int(many)))
        for first in range(0, len(tied), step):
            part = tied[first : first + step]
            near = self._tree.query_ball_point(test[part], radius[part])
            rows, candidates = np.repeat(part, [*map(len, near)]), self._rows[np.concatenate(near)]
            nearest[part] = ranked(test, self._train, rows, candidates, self._count)


def by_place(points: Floats) -> Rows:
    """Return the positions of points in an order in which near ones are next to each other."""
    tree = cKDTree(points, leafsize=32, compact_nodes=False, balanced_tree=False)
    return tree.indices.astype(np.intp, copy=False)


class ByProducts:
    """Scores all rows by a matrix product in float32, and ranks those that come into question.

    |t - x|^2 = |t|^2 + (|x|^2 - 2 x.t), and the part in brackets, a row's score, is one product for
    all rows. A row is out when its score is above those of `count` others, by more than rounding
    can make of it. To find the rest, scores are searched in groups, whose minima are fewer.
    """

    def __init__(self, train: Floats, count: int) -> None:
        total, columns = train.shape
        self._train, self._count = train, count
        self._members = max(1, min(GROUP, total // count))
        size = self._members * -(-total // self._members)
        self.row_bytes = 5 * size + 96 * count
        low, high = train.min(axis=0), train.max(axis=0)
        self._centre = low / 2 + high / 2
        self._scale = max((high - low).max(), 1e-140)
        # A last column adds |x|^2; rows that only fill up the last groups are too far to be found.
        self._scaled = np.zeros((size, columns + 1), dtype=np.float32)
        self._scaled[total:, -1] = 1e38
        step = max(1, NUMBERS // columns)
        for first in range(0, total, step):
            part = slice(first, min(first + step, total))
            scaled = (train[part] - self._centre) / self._scale
            self._scaled[part, :-1] = scaled
            self._scaled[part, -1] = np.einsum("ij,ij->i", scaled, scaled)
        self._reach = float(self._scaled[:total, -1].max()) ** 0.5

    def nearest(self, test: Floats) -> Rows:
        """Return the nearest rows of each row of `test`, a row for each."""
        with np.errstate(over="ignore", invalid="ignore"):  # of rows too far off for float32
            scores, error = self._scores(test)
            minima = scores.min(axis=1)
            nearest = np.partition(minima, self._count - 1, axis=1)[:, self._count - 1]
            limit = (nearest + 2 * error).astype(np.float32)[:, None]
        is_open = ~(minima > limit)  # so it is too with NaN
        step = max(1, NUMBERS // (self._members * int(is_open.sum(axis=1).max())))
        found = []
        for first in range(0, len(test), step):
            part = slice(first, first + step)
            rows, groups = np.nonzero(is_open[part])
            which, members = np.nonzero(~(scores[part][rows, :, groups] > limit[part][rows]))
            rows, candidates = rows[which], groups[which] + members * minima.shape[1]
            real = candidates < len(self._train)
            found.append(ranked(test[part], self._train, rows[real], candidates[real], self._count))
        return np.concatenate(found)

    def _scores(self, test: Floats) -> tuple[NDArray[np.float32], Floats]:
        """Return a score for each row, member and group, and how far those of a row may be off.

        A sum of n products is off by at most n roundings of the sum of their magnitudes: Higham,
        Accuracy and Stability of Numerical Algorithms, section 3.1.
        """
        scaled = (test - self._centre) / self._scale
        length = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
        factors = np.ones((len(test), test.shape[1] + 1), dtype=np.float32)
        factors[:, :-1] = -2 * scaled
        scores = (factors @ self._scaled.T).reshape(len(test), self._members, -1)
        error = 2**-23 * (test.shape[1] + 8) * (length + self._reach) ** 2 + 1e-30
        return scores, np.where(length < FAR, error, np.inf)


def ranked(test: Floats, train: Floats, rows: Rows, candidates: Rows, count: int) -> Rows:
    """Return the nearest of the candidates of each row that has some.

    Args:
        test: What they are to be near to.
        train: What they are rows of.
        rows: Positions in `test`, ascending.
        candidates: A position in `train` for each.
        count: How many of each row's candidates to return, nearest first.
    """
    distances = np.empty(len(rows))
    step = max(1, NUMBERS // test.shape[1])
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        differences = np.subtract(test[rows[part]], train[candidates[part]], order="C")
        differences *= differences
        distances[part] = differences.sum(axis=1)
    order = np.lexsort((candidates, distances, rows))
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    nearest: Rows = candidates[order[starts[:, None] + np.arange(count)]]
    return nearest


def findable(train: Floats, count: int) -> Rows | slice:
    """Return the rows that are not preceded by `count` equal ones: no other is ever found."""
    if is_tiny(train, count):
        return slice(None)
    weights = np.random.default_rng(0).random(train.shape[1])
    groups, distinct = pd.factorize(np.einsum("ij,j->i", train, weights))
    if len(distinct) == len(train):
        return slice(None)
    earlier = pd.Series(groups).groupby(groups).cumcount().to_numpy()
    first = np.flatnonzero(earlier == 0)[groups]
    # Different rows with one sum are next to impossible; all is kept then, which is only slower.
    if any((column != column[first]).any() for column in train.T):
        return slice(None)
    return np.flatnonzero(earlier < count)


def finder(train: Floats, count: int, memory: int) -> Directly | ByTree | ByProducts:
    """Return the fastest way to find `count` rows of `train`, each thread in `memory` bytes."""
    if is_tiny(train, count) and train.shape[1] < PAIRWISE and SUMS_AS_NUMPY:
        return Directly(train, count)
    if train.shape[1] <= TREE_COLUMNS + 2 * math.log10(len(train) / 10_000):
        return ByTree(train, count, memory)
    return ByProducts(train, count)


def is_tiny(train: Floats, count: int) -> bool:
    """Tell whether plain arithmetic is best."""
    return train.size * count <= TINY

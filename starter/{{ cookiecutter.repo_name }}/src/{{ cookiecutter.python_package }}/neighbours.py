"""The nearest rows of a matrix, exactly and in bounded memory, in the way that suits the matrix.

Rows are ordered by squared Euclidean distance in float64, then by position. Faster ways only
propose candidates, with a margin for their rounding; this order decides among them.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

TINY = 2048  # numbers in the training data, up to which nothing beats plain arithmetic
PAIRWISE = 8  # terms, from which on numpy's sum does not add one after the other
# Beyond, products are faster: measured with 5,000 and 50,000 rows, normal, uniform and clustered.
# A tree's time grows slower with the rows, so more of them allow it a few columns more.
TREE_COLUMNS, ROWS_PER_COLUMN, MORE_COLUMNS = 7, 150_000, 3
TREE_MARGIN = 1e-12  # far above the rounding of a tree's distances, relative to them
BLOCK_ROWS = 4096  # test rows that a thread takes at a time, where memory allows it
FAR = 1e15  # standard deviations of the training data, from where its rows are about equally far
GROUP = 32  # scores that are searched as one
NUMBERS = 1 << 17  # of training rows, ranked at a time


class Directly:
    """Computes every distance."""

    def __init__(self, train: Floats, count: int, memory: int) -> None:
        self._total, self._count = len(train), count
        self._columns = train.T.ravel()  # one after the other
        self.block_rows = max(1, memory // (8 * (train.size + 3 * len(train))))

    def nearest(self, test: Floats) -> Rows:
        """Return the nearest rows of each row of `test`, a row for each."""
        differences = np.repeat(test, self._total, axis=1)
        differences -= self._columns
        squares = np.square(differences, out=differences).reshape(len(test), -1, self._total)
        distances = np.add.reduce(squares, axis=1)
        nearest = np.empty((len(test), self._count), dtype=np.intp)
        nearest[:, 0] = distances.argmin(axis=1)
        for place in range(1, self._count):
            distances[np.arange(len(test)), nearest[:, place - 1]] = np.inf
            nearest[:, place] = distances.argmin(axis=1)
        return nearest


class ByTree:
    """Asks a k-d tree for one row more; where that one is as near, for ever more."""

    def __init__(self, train: Floats, count: int, memory: int) -> None:
        self._train, self._count, self._memory = np.ascontiguousarray(train), count, memory
        self._tree = cKDTree(self._train, leafsize=32, compact_nodes=False)
        self._asked = min(count + 1, len(train))
        self.block_rows = self._rows(self._asked)

    def _rows(self, asked: int) -> int:
        """How many rows to ask for at a time."""
        rows: int = self._memory // (16 * asked * (self._tree.m + 4))
        return max(1, min(BLOCK_ROWS, rows))

    def nearest(self, test: Floats) -> Rows:
        """Return the nearest rows of each row of `test`, a row for each."""
        return self._among(test, self._asked)

    def _ask(self, test: Floats, count: int) -> tuple[Floats, Rows]:
        distances, rows = self._tree.query(test, count)
        shape = len(test), count
        return np.reshape(distances, shape), np.reshape(rows, shape).astype(np.intp, copy=False)

    def _among(self, test: Floats, asked: int) -> Rows:
        distances, rows = self._ask(test, asked)
        nearest = rows[:, : self._count]
        is_last = asked == len(self._train)
        is_tied = distances[:, -1] <= distances[:, self._count - 1] * (1 + TREE_MARGIN) + 1e-150
        if asked > self._count + 1 or is_last:
            done = np.flatnonzero(~is_tied | is_last)
            nearest[done] = ranked(
                test, self._train, np.repeat(done, asked), rows[done].ravel(), self._count
            )
        if not is_last:
            del distances, rows
            tied = np.flatnonzero(is_tied)
            more = min(4 * asked, len(self._train))
            step = self._rows(more)
            for first in range(0, len(tied), step):
                part = tied[first : first + step]
                nearest[part] = self._among(test[part], more)
        return nearest


class ByProducts:
    """Scores all rows by a matrix product in float32, and ranks those that come into question.

    |t - x|^2 = |t|^2 + (|x|^2 - 2 x.t), and the part in brackets, a row's score, is one product for
    all rows. Scores are searched in groups, whose minima are fewer.
    """

    def __init__(self, train: Floats, count: int, memory: int) -> None:
        total, columns = train.shape
        self._train, self._count = train, count
        self._group = max(1, min(GROUP, total // count))
        size = self._group * -(-total // self._group)
        self.block_rows = max(1, min(BLOCK_ROWS, memory // (5 * size + 96 * count)))
        self._centre = train.mean(axis=0)
        # About the standard deviation: float32 can hold neither 1e150 nor 1e-150.
        squares = np.einsum("ij,ij", train, train) / total
        spread = max(squares - self._centre @ self._centre, 1e-16 * squares, 1e-300) / columns
        self._scale = spread**0.5
        # A last column adds |x|^2; rows that only fill up the last groups are too far to be found.
        self._scaled = np.zeros((size, columns + 1), dtype=np.float32)
        self._scaled[total:, -1] = 1e38
        step = max(1, NUMBERS // columns)
        for first in range(0, total, step):
            part = self._scaled[first : min(first + step, total)]
            part[:, :-1] = (train[first : first + step] - self._centre) / self._scale
            part[:, -1] = np.einsum("ij,ij->i", part[:, :-1], part[:, :-1])
        self._reach = float(self._scaled[:total, -1].max()) ** 0.5

    def nearest(self, test: Floats) -> Rows:
        """Return the nearest rows of each row of `test`, a row for each."""
        with np.errstate(over="ignore", invalid="ignore"):  # of rows too far off for float32
            return self._among_all(test)

    def _among_all(self, test: Floats) -> Rows:
        scores, error = self._scores(test)
        minima = scores.min(axis=1)
        # A row that is scored worse than the worst of `count` others, and not by rounding, is out.
        limit = np.partition(minima, self._count - 1, axis=1)[:, self._count - 1] + 2 * error
        limit = np.nextafter(limit.astype(np.float32), np.float32(np.inf))[:, None]
        is_open = ~(minima > limit)  # so it is too with NaN, where float32 was exceeded
        step = max(1, NUMBERS // (self._group * int(is_open.sum(axis=1).max())))
        found = []
        for first in range(0, len(test), step):
            part = slice(first, first + step)
            rows, groups = np.nonzero(is_open[part])
            which, members = np.nonzero(~(scores[part][rows, :, groups] > limit[part][rows]))
            rows, candidates = rows[which], groups[which] + members * minima.shape[1]
            exists = candidates < len(self._train)
            found.append(
                ranked(test[part], self._train, rows[exists], candidates[exists], self._count)
            )
        return np.concatenate(found)

    def _scores(self, test: Floats) -> tuple[NDArray[np.float32], Floats]:
        """Return a score for each row, member and group, and how far those of a row may be off.

        After Higham, Accuracy and Stability of Numerical Algorithms, section 3.1: a sum of n
        products is off by at most n roundings of the sum of their magnitudes.
        """
        columns, reach = test.shape[1], self._reach
        factors = np.ones((len(test), columns + 1), dtype=np.float32)
        scaled = (test - self._centre) / self._scale
        length = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
        factors[:, :-1] = -2 * scaled
        scores = (factors @ self._scaled.T).reshape(len(test), self._group, -1)
        in_float32 = 2**-24 * ((columns + 4) * 2 * length * reach + (2 * columns + 8) * reach**2)
        in_float64 = 2**-50 * (columns + 4) * (length + reach) ** 2
        error = in_float32 + in_float64 + 1e-20 * (columns + 4)
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
    """Return the rows that are not preceded by `count` equal ones.

    The others can never be among the nearest, and would make a tree's leaves, and the candidates
    among products, too many.
    """
    if train.size <= TINY:
        return slice(None)
    weights = np.random.default_rng(0).random(train.shape[1])
    groups, distinct = pd.factorize(np.einsum("ij,j->i", train, weights))
    if len(distinct) == len(train):
        return slice(None)
    earlier = pd.Series(groups).groupby(groups).cumcount().to_numpy()
    first = np.flatnonzero(earlier == 0)[groups]
    # Different rows with one sum are next to impossible; all is kept then, which is only slower.
    if earlier.max() < count or any((column != column[first]).any() for column in train.T):
        return slice(None)
    return np.flatnonzero(earlier < count)


def finder(train: Floats, count: int, memory: int) -> Directly | ByTree | ByProducts:
    """Return the fastest way to find `count` rows of `train`, each thread in `memory` bytes."""
    if train.size <= TINY and train.shape[1] < PAIRWISE:
        return Directly(train, count, memory)
    columns = TREE_COLUMNS + min(MORE_COLUMNS, len(train) // ROWS_PER_COLUMN)
    return (ByTree if train.shape[1] <= columns else ByProducts)(train, count, memory)

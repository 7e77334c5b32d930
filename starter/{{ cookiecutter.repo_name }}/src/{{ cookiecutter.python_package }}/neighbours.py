"""The nearest rows of a matrix, exactly: on all cores and in bounded memory."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

TINY = 2048  # numbers in the training data, up to which nothing beats plain arithmetic
TREE_COLUMNS = 12  # beyond, a k-d tree visits too many of its leaves
TREE_MARGIN = 1e-12  # far above the rounding of a tree's distances, relative to them
PAIRWISE = 8  # terms, up to which numpy's sum adds one after the other
FAR = 1e15  # spreads of the training data, from where its rows are all about equally far
BLOCK = 1 << 20  # scores of a block of rows, to stay in the processor's cache


class NearestRows:
    """Finds the `count` rows of `train` that are nearest to given rows.

    Rows are ordered by squared Euclidean distance in float64, then by position in `train`. Faster
    ways only propose candidates, with a margin for their rounding; this order decides among them.

    Args:
        train: Finite numbers below 1e150.
        count: How many rows to find.
        workers: Threads to use; -1 means one for each core.
        chunk_bytes: Bound of the memory for intermediate results.
    """

    def __init__(
        self, train: Floats, count: int, *, workers: int = -1, chunk_bytes: int = 64 << 20
    ) -> None:
        self._count = count
        self._workers = workers
        self._chunk_bytes = chunk_bytes
        self._origin: Rows | None = None
        self._find: Callable[[Floats], Rows]
        if train.size <= TINY:
            self._find = self._directly
        else:
            self._origin = _worth_keeping(train, count)
            train = train if self._origin is None else train[self._origin]
            if train.shape[1] <= TREE_COLUMNS:
                self._tree = cKDTree(train, leafsize=32, compact_nodes=False)
                self._find = self._by_tree
            else:
                self._products = _Products(train, count)
                self._find = self._by_products
        self._train = train

    def of(self, test: Floats) -> Iterator[tuple[int, Rows]]:
        """Yield the first row of each chunk of `test`, and the nearest rows of the chunk's rows."""
        step = self._chunk_rows(test.shape[1] + 8 * self._count)
        for first in range(0, len(test), step):
            nearest = self._find(np.ascontiguousarray(test[first : first + step]))
            yield first, nearest if self._origin is None else self._origin[nearest]

    def _chunk_rows(self, numbers_per_row: int) -> int:
        return max(1, self._chunk_bytes // (8 * numbers_per_row))

    def _directly(self, test: Floats) -> Rows:
        """Compute every distance, and take the smallest again and again."""
        nearest = np.empty((len(test), self._count), dtype=np.intp)
        step = self._chunk_rows(2 * self._train.size)
        for first in range(0, len(test), step):
            distances = _squared(test[first : first + step, None], self._train)
            rows = np.arange(len(distances))
            for place in range(self._count):
                found = distances.argmin(axis=1)
                nearest[first : first + step, place] = found
                distances[rows, found] = np.inf
        return nearest

    def _by_tree(self, test: Floats) -> Rows:
        """Ask a k-d tree for one row more; where that one is as near, for ever more."""
        total, wanted = len(self._train), self._count
        asked = min(wanted + 1, total)
        distances, nearest = self._ask_tree(test, asked)
        nearest = nearest[:, :wanted]
        tied = np.flatnonzero(~self._is_settled(distances))
        while tied.size and wanted < total:
            asked = min(4 * asked, total)
            step = self._chunk_rows(asked * (2 * test.shape[1] + 6))
            still_tied = []
            for first in range(0, len(tied), step):
                rows = tied[first : first + step]
                distances, found = self._ask_tree(test[rows], asked)
                settled = self._is_settled(distances) | (asked == total)
                nearest[rows[settled]] = self._ranked(test[rows[settled]], found[settled])
                still_tied.append(rows[~settled])
            tied = np.concatenate(still_tied)
        return nearest

    def _ask_tree(self, test: Floats, count: int) -> tuple[Floats, Rows]:
        distances, rows = self._tree.query(test, count, workers=self._workers)
        shape = (len(test), count)
        return np.reshape(distances, shape), np.reshape(rows, shape)

    def _is_settled(self, distances: Floats) -> NDArray[np.bool_]:
        """Say where the last row found is farther than the last one wanted, for certain."""
        wanted, last = distances[:, self._count - 1], distances[:, -1]
        return last > wanted * (1 + TREE_MARGIN) + 1e-150

    def _ranked(self, test: Floats, candidates: Rows) -> Rows:
        candidates = np.sort(candidates, axis=1)
        distances = _squared(test[:, None], self._train[candidates])
        order = np.argsort(distances, axis=1, kind="stable")[:, : self._count]
        return np.take_along_axis(candidates, order, axis=1)

    def _by_products(self, test: Floats) -> Rows:
        """Score blocks of rows by matrix products in float32, then rank the best in float64."""
        step = self._products.block_rows
        blocks = [test[first : first + step] for first in range(0, len(test), step)]
        workers = self._workers if self._workers > 0 else os.cpu_count() or 1
        workers, one_thread_each = _threads(workers)
        with one_thread_each, ThreadPoolExecutor(workers) as pool:
            return np.concatenate([*pool.map(self._in_block, blocks)])

    def _in_block(self, test: Floats) -> Rows:
        is_candidate = self._products.candidate_groups(test)
        cost = is_candidate.sum(axis=1).cumsum() * self._products.group_size
        parts = np.flatnonzero(np.diff(cost // (BLOCK // 4))) + 1
        return np.concatenate(
            [
                self._best(rows, groups)
                for rows, groups in zip(
                    np.split(test, parts), np.split(is_candidate, parts), strict=True
                )
            ]
        )

    def _best(self, test: Floats, is_candidate: NDArray[np.bool_]) -> Rows:
        """Rank the members of each row's candidate groups."""
        rows, groups = np.nonzero(is_candidate)
        candidates = self._products.members(groups)
        rows = np.repeat(rows, candidates.shape[1])
        candidates = candidates.ravel()
        exists = candidates < len(self._train)
        rows, candidates = rows[exists], candidates[exists]
        distances = np.empty(len(rows))
        step = max(1, BLOCK // 8 // test.shape[1])
        for first in range(0, len(rows), step):
            part = slice(first, first + step)
            distances[part] = _squared(test[rows[part]], self._train[candidates[part]])
        order = np.lexsort((candidates, distances, rows))
        starts = np.searchsorted(rows, np.arange(len(test)))
        best: Rows = candidates[order[starts[:, None] + np.arange(self._count)]]
        return best


class _Products:
    """Tells which groups of training rows can hold one of the `count` nearest to a test row.

    |t - x|^2 = |x|^2 + (|t|^2 - 2 x.t), and the part in brackets is one matrix product for all
    rows, in float32. A group's score is its best member's; groups make the scores fewer.
    """

    def __init__(self, train: Floats, count: int) -> None:
        total, columns = train.shape
        # Larger groups cost more ranking, smaller ones more scores: this is near the optimum.
        optimum = int((total / (count * columns)) ** 0.5)
        self.group_size = max(1, min(32, max(4, optimum), total // count))
        self._groups = -(-total // self.group_size)
        self.block_rows = max(1, min(1024, BLOCK // self._groups))
        self._count = count
        self._centre = train.mean(axis=0)
        self._scale = max(np.ptp(train, axis=0).max(), 1e-150)
        # A last column adds |t|^2 to the product. Rows that only fill up the last groups score
        # too badly ever to be found.
        scaled = np.zeros((self.group_size * self._groups, columns + 1), dtype=np.float32)
        scaled[:total, :-1] = (train - self._centre) / self._scale
        scaled[:total, -1] = np.einsum("ij,ij->i", scaled[:total, :-1], scaled[:total, :-1])
        self._reach = float(scaled[:total, -1].max()) ** 0.5
        scaled[total:, -1] = 1e38
        self._parts = scaled.reshape(self.group_size, self._groups, columns + 1)

    def members(self, groups: Rows) -> Rows:
        """Return the training rows of each group; the last groups name rows that do not exist."""
        rows: Rows = groups[:, None] + self._groups * np.arange(self.group_size)
        return rows

    def candidate_groups(self, test: Floats) -> NDArray[np.bool_]:
        """Return a row for each test row, a column for each group."""
        scaled = (test - self._centre) / self._scale
        # Far off, float32 could overflow: with a huge error, such rows are left to the ranking.
        is_far = np.abs(scaled).max(axis=1) > FAR
        scaled[is_far] = 0
        length = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
        length[is_far] = FAR
        factors = np.empty((len(test), test.shape[1] + 1), dtype=np.float32)
        factors[:, :-1] = -2 * scaled
        factors[:, -1] = 1
        best = factors @ self._parts[0].T
        scores = np.empty_like(best)
        for part in self._parts[1:]:
            np.matmul(factors, part.T, out=scores)
            np.minimum(best, scores, out=best)
        limit = np.partition(best, self._count - 1, axis=1)[:, self._count - 1]
        limit = (limit + 2 * self._error(length)).astype(np.float32)
        is_candidate: NDArray[np.bool_] = best <= np.nextafter(limit, np.float32(np.inf))[:, None]
        return is_candidate

    def _error(self, length: Floats) -> Floats:
        """Bound how far the scores of rows of this length can be off.

        After Higham, Accuracy and Stability of Numerical Algorithms, section 3.1: a sum of n
        products is off by at most n roundings of the sum of their magnitudes.
        """
        reach, columns = self._reach, self._centre.size
        in_float32 = 2**-24 * ((columns + 4) * 2 * length * reach + (2 * columns + 8) * reach**2)
        in_float64 = 2**-50 * (columns + 4) * (length + reach) ** 2
        underflow = 1e-20 * (columns + 4)
        error: Floats = in_float32 + in_float64 + underflow
        return error


def _squared(rows: Floats, others: Floats) -> Floats:
    """Return squared distances; the order of a sum's terms must not hang on the memory layout."""
    if rows.shape[-1] < PAIRWISE:
        total = np.square(rows[..., 0] - others[..., 0])
        for column in range(1, rows.shape[-1]):
            total += np.square(rows[..., column] - others[..., column])
        return total
    difference = np.subtract(rows, others, order="C")
    np.multiply(difference, difference, out=difference)
    distances: Floats = difference.sum(axis=-1)
    return distances


def _worth_keeping(train: Floats, count: int) -> Rows | None:
    """Return the rows that are not preceded by `count` equal ones; None where that is all of them.

    Only the first `count` of equal rows can ever be found. The others would make a tree's leaves,
    and the candidates among products, too many.
    """
    hashes = pd.util.hash_pandas_object(pd.DataFrame(train), index=False)
    groups, distinct = pd.factorize(hashes.to_numpy())
    if len(distinct) == len(train):
        return None
    earlier = pd.Series(groups).groupby(groups).cumcount().to_numpy()
    first = np.flatnonzero(earlier == 0)[groups]
    # Different rows with one hash are next to impossible; all is kept then, which is only slower.
    if earlier.max() < count or any((column != column[first]).any() for column in train.T):
        return None
    return np.flatnonzero(earlier < count)


def _threads(workers: int) -> tuple[int, AbstractContextManager[object]]:
    """Return how many blocks to compute at a time, and what keeps each product to one thread.

    Without threadpoolctl the products use threads of their own, one block at a time.
    """
    try:
        from threadpoolctl import threadpool_limits  # noqa: PLC0415 (where it is installed)
    except ImportError:
        return 1, nullcontext()
    return workers, threadpool_limits(limits=1, user_api="blas")

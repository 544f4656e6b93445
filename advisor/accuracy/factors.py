"""Bayesian factor analysis of a table with holes, with Gaussian-process priors on both sides.

The value of candidate i on workload j is

    z_ij = w_i . f_j + x_ij . b + e_ij,    w_i = (ability_i, 1, loadings_i),
                                           f_j = (1, level_j, scores_j),
    e_ij ~ N(0, psi_i phi_j + noise_ij)

with Gaussian priors on abilities and loadings that are correlated over candidates, and on levels
and scores that are correlated over workloads, by their side information. The posterior is
approximated by independent Gaussians per candidate and per workload (mean-field variational Bayes;
Bishop, Pattern Recognition and Machine Learning, 2006, chapters 10 and 12); factors that explain
nothing are shrunk by the precision of their loadings (automatic relevance determination).
"""

from __future__ import annotations

import msgspec
import numpy as np

from advisor.accuracy.scale import Array

RANK = 8
"""Factors beside ability and level."""
ITERATIONS = 30
ABILITY, LEVEL = 0, 1
"""Columns whose score, respectively loading, is fixed at 1."""
_RESIDUAL_ROWS = 3.0
"""Prior weight of the common residual variance against a candidate's own, in rows."""
_MULTIPLIER_ROWS = 10.0
"""Prior weight of 1 against a workload's own multiplier of residuals, in rows."""
_EFFECT_PRECISION = 4.0


class Table(msgspec.Struct, frozen=True):
    """What is fitted: I candidates by J workloads.

    Attributes:
        values: Logits above chance (I, J); NaN where there is none.
        noise: Known noise variances (I, J).
        effects: Row-level side information (I, J, q).
        weight: Weight of each workload on what is learned about candidates (J,), 0-1.
        ability, loadings: Prior correlations of candidates (I, I).
        level, scores: Prior correlations of workloads (J, J).
    """

    values: Array
    noise: Array
    effects: Array
    weight: Array
    ability: Array
    loadings: Array
    level: Array
    scores: Array


class Factors(msgspec.Struct):
    """The posterior; D = 2 + rank.

    Attributes:
        loadings, loading_covariance: Of candidates (I, D) and (I, D, D).
        scores, score_covariance: Of workloads (J, D) and (J, D, D).
        residual: Residual variance of each candidate (I,).
        multiplier: Residual multiplier of each workload (J,).
        loading_precision: Prior precision of abilities and loadings (D,).
        level_precision: Prior precision of levels; that of scores is 1.
        mean: Prior mean of abilities.
        effects: Coefficients of the row-level side information (q,).
    """

    loadings: Array
    loading_covariance: Array
    scores: Array
    score_covariance: Array
    residual: Array
    multiplier: Array
    loading_precision: Array
    level_precision: float
    mean: float
    effects: Array


def _start(table: Table, rank: int) -> Factors:
    """Means of rows and columns, and the leading singular vectors of what they leave."""
    seen = np.isfinite(table.values)
    (n, m), size = seen.shape, 2 + rank
    values = np.where(seen, table.values, 0.0)
    level = values.sum(0) / np.maximum(seen.sum(0), 1)
    mean = float(values.sum() / max(seen.sum(), 1))
    ability = np.where(seen, values - level, 0.0).sum(1) / (seen.sum(1) + 2)
    rest = np.where(seen, values - level - ability[:, None], 0.0)
    left, strength, right = np.linalg.svd(rest, full_matrices=False)
    keep = min(rank, len(strength))
    loadings, scores = np.zeros((n, size)), np.zeros((m, size))
    loadings[:, ABILITY], loadings[:, LEVEL] = ability + mean, 1.0
    scores[:, ABILITY], scores[:, LEVEL] = 1.0, np.where(seen.any(0), level - mean, 0.0)
    spread = right[:keep].T.std(0) + 1e-9
    loadings[:, 2 : 2 + keep] = left[:, :keep] * strength[:keep] * spread
    scores[:, 2 : 2 + keep] = right[:keep].T / spread
    covariances = [np.tile(np.eye(size) * 0.05, (k, 1, 1)) for k in (n, m)]
    precision = 1 / (loadings.var(0) + 1e-3)
    return Factors(
        loadings,
        covariances[0],
        scores,
        covariances[1],
        np.full(n, 0.05),
        np.ones(m),
        precision,
        float(1 / (scores[:, LEVEL].var() + 1e-3)),
        mean,
        np.zeros(table.effects.shape[2]),
    )


def _conditional(precision: Array, values: Array, mean: float) -> tuple[Array, Array]:
    """Mean of each value given all others under a Gaussian prior, and its precision."""
    own = np.diag(precision)
    gap = values - mean
    return mean - (precision @ gap - own * gap) / own, own


class _Fit:
    """One fit: the table, the inverse prior correlations and the current posterior."""

    def __init__(self, table: Table, rank: int) -> None:
        self.table = table
        self.seen = np.isfinite(table.values)
        self.values = np.where(self.seen, table.values, 0.0)
        self.q = _start(table, rank)
        self.inverse = {
            name: np.linalg.inv(getattr(table, name))
            for name in ("ability", "loadings", "level", "scores")
        }

    def precision(self) -> Array:
        """Inverse variance of each value around its prediction; 0 where there is none."""
        variance = np.outer(self.q.residual, self.q.multiplier) + self.table.noise
        found: Array = np.where(self.seen, 1 / variance, 0.0)
        return found

    def target(self) -> Array:
        """Values less the effects of row-level side information."""
        found: Array = self.values - self.table.effects @ self.q.effects
        return found

    def update_loadings(self) -> None:
        """Posterior of candidates, given workloads."""
        q, size = self.q, self.q.scores.shape[1]
        weighted = self.precision() * self.table.weight
        second = np.einsum("ja,jb->jab", q.scores, q.scores) + q.score_covariance
        moment = (weighted @ second.reshape(len(second), -1)).reshape(-1, size, size)
        right = (weighted * self.target()) @ q.scores - moment[:, :, LEVEL]
        free = [ABILITY, *range(2, size)]
        prior = np.zeros((len(q.loadings), len(free)))
        strength = np.zeros_like(prior)
        for n, d in enumerate(free):
            name, mean = ("ability", q.mean) if d == ABILITY else ("loadings", 0.0)
            prior[:, n], own = _conditional(self.inverse[name], q.loadings[:, d], mean)
            strength[:, n] = own * q.loading_precision[d]
        q.loadings, q.loading_covariance = _posterior(
            q.loadings, moment, right, free, prior, strength
        )

    def update_scores(self) -> None:
        """Posterior of workloads, given candidates."""
        q, size = self.q, self.q.scores.shape[1]
        precision = self.precision()
        second = np.einsum("ia,ib->iab", q.loadings, q.loadings) + q.loading_covariance
        moment = (precision.T @ second.reshape(len(second), -1)).reshape(-1, size, size)
        right = (precision * self.target()).T @ q.loadings - moment[:, :, ABILITY]
        free = [LEVEL, *range(2, size)]
        prior = np.zeros((len(q.scores), len(free)))
        strength = np.zeros_like(prior)
        for n, d in enumerate(free):
            name, scale = ("level", q.level_precision) if d == LEVEL else ("scores", 1.0)
            prior[:, n], own = _conditional(self.inverse[name], q.scores[:, d], 0.0)
            strength[:, n] = own * scale
        q.scores, q.score_covariance = _posterior(q.scores, moment, right, free, prior, strength)

    def update_scales(self) -> None:
        """Prior precisions and the mean ability, by maximum likelihood."""
        q = self.q

        def precision(name: str, values: Array, variance: Array) -> float:
            inverse = self.inverse[name]
            return len(values) / float(values @ inverse @ values + np.diag(inverse) @ variance)

        level = q.scores[:, LEVEL]
        q.level_precision = precision("level", level, q.score_covariance[:, LEVEL, LEVEL])
        weights = self.inverse["ability"].sum(0)
        q.mean = float(weights @ q.loadings[:, ABILITY] / weights.sum())
        for d in (ABILITY, *range(2, q.loadings.shape[1])):
            name, mean = ("ability", q.mean) if d == ABILITY else ("loadings", 0.0)
            variance = q.loading_covariance[:, d, d]
            q.loading_precision[d] = precision(name, q.loadings[:, d] - mean, variance)

    def update_residuals(self) -> None:
        """Residual variances and multipliers, the known noise taken out, and effects."""
        q = self.q
        predicted = q.loadings @ q.scores.T
        loadings = np.einsum("ia,ib->iab", q.loadings, q.loadings) + q.loading_covariance
        scores = np.einsum("ja,jb->jab", q.scores, q.scores) + q.score_covariance
        size = predicted.shape
        doubt = loadings.reshape(size[0], -1) @ scores.reshape(size[1], -1).T - predicted**2
        squared = (self.target() - predicted) ** 2 + doubt
        model = np.outer(q.residual, q.multiplier)
        share = model / (model + self.table.noise)
        expected = np.where(self.seen, share**2 * squared + share * self.table.noise, 0.0)
        usual = float(np.median(q.residual))
        weight = self.seen * self.table.weight
        total = (expected / q.multiplier * self.table.weight).sum(1) + _RESIDUAL_ROWS * usual
        q.residual[:] = np.clip(total / (weight.sum(1) + _RESIDUAL_ROWS), 1e-3, 2.0)
        total = (expected / q.residual[:, None]).sum(0) + _MULTIPLIER_ROWS
        q.multiplier[:] = np.clip(total / (self.seen.sum(0) + _MULTIPLIER_ROWS), 0.1, 10.0)
        precision, x = self.precision(), self.table.effects[self.seen]
        own, gap = precision[self.seen], (self.values - predicted)[self.seen]
        gram = (x * own[:, None]).T @ x + np.eye(x.shape[1]) * _EFFECT_PRECISION
        q.effects[:] = np.linalg.solve(gram, (x * own[:, None]).T @ gap)


def _posterior(
    current: Array, moment: Array, right: Array, free: list[int], prior: Array, strength: Array
) -> tuple[Array, Array]:
    """Gaussian posterior of the free columns; the fixed one keeps its value without doubt."""
    size = len(free)
    precision = moment[:, free][:, :, free].copy()
    precision[:, range(size), range(size)] += strength
    inner = np.linalg.inv(precision)
    found, covariance = current.copy(), np.zeros_like(moment)
    found[:, free] = np.einsum("iab,ib->ia", inner, right[:, free] + strength * prior)
    covariance[np.ix_(range(len(current)), free, free)] = inner
    return 0.3 * current + 0.7 * found, covariance


def fit(table: Table, rank: int = RANK, iterations: int = ITERATIONS) -> Factors:
    """The posterior after a fixed number of sweeps, damped; the same table gives the same fit."""
    found = _Fit(table, rank)
    for _ in range(iterations):
        found.update_loadings()
        found.update_scores()
        found.update_scales()
        found.update_residuals()
    return found.q

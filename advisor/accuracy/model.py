"""The accuracy model: fit on known workloads, placement of a new one by a few measured probes.

A new workload's level and scores have a prior from its side information (Gaussian-process
regression on the fitted workloads) and a posterior from its probes; every other candidate follows,
with an interval that holds the doubt of the placement, of the candidate and what no factor
explains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import pandas as pd

from advisor.accuracy import similarity
from advisor.accuracy.factors import LEVEL, RANK, Factors, Table, fit
from advisor.accuracy.observations import Mask, Observations, Positions, workload_traits
from advisor.accuracy.records import Contamination, Estimates, Placement, Probe
from advisor.accuracy.scale import NORMAL_90, ONE_SIDED_90, Array, slope, to_accuracy, to_logit

OTHER_LANGUAGES = 0.01
"""Weight of workloads of other languages in a fit for one language; 0 leaves them out."""
NEW_RESIDUAL = 2.0
"""Residual variance on a new workload against a fitted one, whose scores follow all its rows."""
EXTRA = 0.02
"""Further residual variance on a new workload, whatever the candidate."""
NEW_SPREAD = 1.5
"""Prior variance of a new workload's scores against the regression's."""


class AccuracyModel(msgspec.Struct, frozen=True):
    """A fitted model.

    Attributes:
        candidates: Traits of the candidates it knows, indexed by name.
        workloads: Traits of the workloads it learned from, indexed by name.
        factors: The posterior.
        contamination: What training on the data set adds.
        multiplier: Mean residual multiplier of workloads of full weight.
        side_information: Whether traits are used.
        reach: Factor on the half-width of intervals by number of probes, from held-out data sets.
    """

    candidates: pd.DataFrame
    workloads: pd.DataFrame
    factors: Factors
    contamination: Contamination
    multiplier: float = 1.0
    side_information: bool = True
    reach: Mapping[int, float] = {}

    def positions(self, names: Sequence[str]) -> Positions:
        """Positions of candidates.

        Raises:
            KeyError: A candidate is unknown.
        """
        found = self.candidates.index.get_indexer(pd.Index(names))
        if (found < 0).any():
            unknown = sorted({name for name, at in zip(names, found, strict=True) if at < 0})
            raise KeyError(f"candidates without traits: {', '.join(unknown)}")
        return np.asarray(found, dtype=np.intp)

    def prior(self, workload: pd.DataFrame) -> Placement:
        """Placement of a workload nobody measured, from its traits (one row)."""
        q = self.factors
        size = q.scores.shape[1]
        mean, variance = np.zeros(size), np.zeros(size)
        mean[0] = 1.0
        for level in (True, False):
            weights = _workload_weights(level, self.side_information)
            among = similarity.workloads(self.workloads, self.workloads, weights)
            among += weights["own"] * np.eye(len(among))
            across = similarity.workloads(workload, self.workloads, weights)[0]
            unit, wider = (1 / q.level_precision, 1.0) if level else (1.0, NEW_SPREAD)
            for d in (LEVEL,) if level else range(2, size):
                doubt = np.diag(q.score_covariance[:, d, d])
                right = np.column_stack([q.scores[:, d], unit * across])
                solved = np.linalg.solve(unit * among + doubt, right)
                mean[d] = unit * across @ solved[:, 0]
                variance[d] = wider * unit * max(1 - float(across @ solved[:, 1]), 0.0)
        return Placement(mean, np.diag(variance))

    def known_placement(self, name: str) -> Placement | None:
        """Placement of a workload the model learned from; ``None`` of any other."""
        at = int(self.workloads.index.get_indexer(pd.Index([name]))[0])
        if at < 0:
            return None
        return Placement(self.factors.scores[at], self.factors.score_covariance[at])

    def place(self, workload: pd.DataFrame, probes: Sequence[Probe]) -> Placement:
        """Placement by traits and measured probes."""
        prior = self.prior(workload)
        return self.placed(prior, workload, probes) if probes else prior

    def placed(
        self, prior: Placement, workload: pd.DataFrame, probes: Sequence[Probe]
    ) -> Placement:
        """A placement corrected by probes; their noise counts as it is stated."""
        q, at = self.factors, self.positions([probe.candidate for probe in probes])
        accuracy = np.array([probe.accuracy for probe in probes])
        chance = 1 / workload["n_classes"].to_numpy(dtype=float)
        reported = np.array([probe.self_reported for probe in probes])
        offset = effects(self.candidates.iloc[at], workload, reported) @ q.effects
        noise = np.array([probe.variance for probe in probes]) * slope(accuracy, chance) ** 2
        loadings = q.loadings[at]
        found, centre = prior, prior.mean
        for _ in range(2):
            second = np.outer(centre, centre) + found.covariance
            own = self._own(at, second) + noise
            cross = prior.covariance @ loadings.T
            gain = np.linalg.solve(loadings @ cross + np.diag(own), cross.T).T
            gap = to_logit(accuracy, chance) - offset - loadings @ prior.mean
            centre = prior.mean + gain @ gap
            found = Placement(centre, prior.covariance - gain @ cross.T)
        return found

    def _own(self, at: Positions, second: Array) -> Array:
        """Variance of candidates beside the placement's: their loadings' and the residual."""
        q = self.factors
        doubt = np.einsum("iab,ab->i", q.loading_covariance[at], second)
        found: Array = doubt + NEW_RESIDUAL * q.residual[at] * self.multiplier + EXTRA
        return found

    def moments(
        self, at: Positions, workload: pd.DataFrame, placement: Placement, reported: Mask
    ) -> tuple[Array, Array]:
        """Means and variances of candidates on the model's scale."""
        q, loadings = self.factors, self.factors.loadings[at]
        offset = effects(self.candidates.iloc[at], workload, reported) @ q.effects
        second = np.outer(placement.mean, placement.mean) + placement.covariance
        shared = ((loadings @ placement.covariance) * loadings).sum(1)
        return loadings @ placement.mean + offset, shared + self._own(at, second)

    def predict(
        self,
        workload: pd.DataFrame,
        candidates: Sequence[str],
        probes: Sequence[Probe] = (),
        contaminated: Mask | None = None,
        self_reported: Mask | None = None,
        variance: Array | None = None,
        placement: Placement | None = None,
    ) -> Estimates:
        """Accuracies of candidates on a workload.

        Args:
            workload: Its traits, one row (`observations.workload_traits`).
            candidates: Names known to the model.
            probes: Accuracies measured on the workload.
            contaminated: Candidates that were trained on the data set; none by default.
            self_reported: Values to be predicted that are authors' own; none by default.
            variance: Noise variance of the accuracies to be predicted, to be part of the interval;
                0 by default.
            placement: Where the workload is placed; by its traits and `probes` by default.

        Returns:
            Medians with intervals, widened by `reach`.

        Raises:
            KeyError: A candidate is unknown.
        """
        none = np.zeros(len(candidates), dtype=bool)
        at = self.positions(candidates)
        placement = placement or self.place(workload, probes)
        reported = none if self_reported is None else self_reported
        mean, spread2 = self.moments(at, workload, placement, reported)
        trained, excess = none if contaminated is None else contaminated, self.contamination
        mean = mean + trained * (excess.intercept + excess.slope * mean)
        spread2 = spread2 + trained * excess.sd**2
        chance = 1 / workload["n_classes"].to_numpy(dtype=float)
        middle = to_accuracy(mean, chance)
        if variance is not None:
            spread2 = spread2 + variance * slope(middle, chance) ** 2
        spread = np.sqrt(spread2) * reach_of(self.reach, len(probes))
        low, high = (to_accuracy(mean + s * NORMAL_90 * spread, chance) for s in (-1, 1))
        bound = to_accuracy(mean - ONE_SIDED_90 * spread, chance)
        return Estimates([*candidates], middle, low, high, bound, mean, spread)

    def choose_probes(
        self, workload: pd.DataFrame, among: Sequence[str], targets: Sequence[str], k: int
    ) -> list[str]:
        """The k candidates whose measurement leaves least doubt about the targets, one by one.

        Args:
            workload: Traits of the new workload.
            among: Candidates that can be measured.
            targets: Candidates whose accuracies are wanted.
            k: Number of probes; fewer where `among` is shorter.
        """
        at, wanted = self.positions(among), self.positions(targets)
        placement, chosen = self.prior(workload), []
        reported = np.zeros(len(targets), dtype=bool)
        mean, _ = self.moments(wanted, workload, placement, reported)
        share = 1 / (1 + np.exp(-mean))
        loadings = self.factors.loadings[wanted]
        own = self._own(wanted, np.outer(placement.mean, placement.mean))
        noise = self._own(at, np.outer(placement.mean, placement.mean)) + 0.01
        covariance = placement.covariance
        for _ in range(min(k, len(at))):
            doubts = []
            for n in range(len(at)):
                after = covariance if n in chosen else self._after(covariance, at[n], noise[n])
                left = ((loadings @ after) * loadings).sum(1) + own
                doubt = float((np.sqrt(left) * share * (1 - share)).mean())
                doubts.append(np.inf if n in chosen else doubt)
            best = int(np.argmin(doubts))
            covariance = self._after(covariance, at[best], noise[best])
            chosen.append(best)
        return [among[n] for n in chosen]

    def _after(self, covariance: Array, at: int, noise: float) -> Array:
        """Covariance of a placement once one candidate is measured."""
        cross = covariance @ self.factors.loadings[at]
        found: Array = covariance - np.outer(cross, cross) / (
            self.factors.loadings[at] @ cross + noise
        )
        return found


def reach_of(reach: Mapping[int, float], k: int) -> float:
    """The factor for k probes: the next smaller number's that is known; 1 where none is."""
    known = [n for n in reach if n <= k]
    return reach[max(known)] if known else 1.0


def _workload_weights(level: bool, side: bool) -> similarity.Weights:
    """Weights of the workloads' similarity."""
    if not side:
        return similarity.ALONE
    return similarity.WORKLOAD_LEVEL if level else similarity.WORKLOAD_FACTORS


def effects(candidates: pd.DataFrame, workload: pd.DataFrame, self_reported: Mask) -> Array:
    """Row-level side information (n, 3) of candidates on one workload.

    Columns: the value is self-reported; the workload is not English and the candidate declares its
    language; it is not English and the candidate declares no languages at all.
    """
    language = workload["language"].iloc[0]
    code = str(workload["language_code"].iloc[0])
    declared, silent = np.zeros(len(candidates)), np.zeros(len(candidates))
    if language != "en":
        declared[:] = [bool(own) and code in own for own in candidates["languages"]]
        silent[:] = [not own for own in candidates["languages"]]
    return np.column_stack([self_reported.astype(float), declared, silent])


def _table(seen: Observations, weight: Array, side: bool, noisy: bool) -> Table:
    """The table of factors of all candidates by those workloads that have rows."""
    chance = seen.chance()[seen.workload]
    size = len(seen.candidates), len(seen.workloads)
    values, noise = np.full(size, np.nan), np.zeros(size)
    reported = np.zeros(size, dtype=bool)
    at = seen.candidate, seen.workload
    values[at] = to_logit(seen.accuracy, chance)
    noise[at] = seen.variance * slope(seen.accuracy, chance) ** 2 if noisy else 0.0
    reported[at] = seen.self_reported
    columns = [
        effects(seen.candidates, seen.workloads.iloc[[j]], reported[:, j]) for j in range(size[1])
    ]

    def correlation(kind: str, weights: similarity.Weights) -> Array:
        weights = weights if side else similarity.ALONE
        frame = seen.candidates if kind == "candidates" else seen.workloads
        same: Array = getattr(similarity, kind)(frame, frame, weights)
        return same + weights["own"] * np.eye(len(frame))

    return Table(
        values,
        noise,
        np.stack(columns, axis=1),
        weight,
        correlation("candidates", similarity.CANDIDATE_ABILITY),
        correlation("candidates", similarity.CANDIDATE_FACTORS),
        correlation("workloads", similarity.WORKLOAD_LEVEL),
        correlation("workloads", similarity.WORKLOAD_FACTORS),
    )


def _excess(model: AccuracyModel, rows: Observations, column: Mapping[int, int]) -> Contamination:
    """How far contaminated rows lie above the model's prediction, by least squares."""
    if len(rows.accuracy) < 20:
        return Contamination(sd=0.5)
    q = model.factors
    at = np.array([column[j] for j in rows.workload])
    predicted = np.einsum("id,id->i", q.loadings[rows.candidate], q.scores[at])
    chance = rows.chance()[rows.workload]
    gap = to_logit(rows.accuracy, chance) - predicted
    design = np.column_stack([np.ones(len(gap)), predicted])
    found, *_ = np.linalg.lstsq(design, gap, rcond=None)
    return Contamination(float(found[0]), float(found[1]), float(np.std(gap - design @ found)))


def learn(
    rows: Observations,
    language: str | None = None,
    *,
    others: float = OTHER_LANGUAGES,
    side_information: bool = True,
    noise_model: bool = True,
    rank: int = RANK,
) -> AccuracyModel:
    """Fits the model.

    Args:
        rows: Measured accuracies, with the traits of every candidate that is to be predicted.
        language: Language of the workloads that are to be predicted; all languages count alike by
            default.
        others: Weight of workloads of other languages, 0-1.
        side_information: Whether traits of candidates and workloads are used.
        noise_model: Whether the known noise of the rows is taken out.
        rank: Number of factors.

    Raises:
        ValueError: Fewer than two workloads are left.
    """
    clean = ~rows.contaminated
    weight = np.ones(len(rows.workloads))
    if language is not None:
        weight[(rows.workloads["language"] != language).to_numpy()] = others
    used = np.unique(rows.workload[clean & (weight[rows.workload] > 0)])
    if len(used) < 2:
        raise ValueError(f"{len(used)} workload(s) with accuracies; at least 2 are needed")
    column = {int(j): n for n, j in enumerate(used)}
    inside = np.isin(rows.workload, used)
    kept = rows.take(inside & clean)
    kept = msgspec.structs.replace(
        kept,
        workloads=workload_traits(rows.workloads.iloc[used]),
        workload=np.array([column[int(j)] for j in kept.workload], dtype=np.intp),
    )
    factors = fit(_table(kept, weight[used], side_information, noise_model), rank)
    model = AccuracyModel(
        rows.candidates,
        kept.workloads,
        factors,
        Contamination(),
        float(np.average(factors.multiplier, weights=weight[used])),
        side_information,
    )
    excess = _excess(model, rows.take(inside & rows.contaminated), column)
    return msgspec.structs.replace(model, contamination=excess)

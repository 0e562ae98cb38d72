"""Chains start where the posterior is, in coordinates that suit it, with few runs a family too."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag

import bayescale as bs
from bayescale.density import group_coordinates, group_precision
from bayescale.framing import frame
from bayescale.group_likelihood import group_terms, positive
from bayescale.population_prior import prior_moments
from bayescale.scatter_freedom import of_scatter, scatter_tilt
from bayescale.starts import find_starts, may_differ
from tests.simulate import FOUR_FAMILIES, ladder


def families(count: int, runs: int, floors: float = 0.0, scatter: float = 0.01) -> pd.DataFrame:
    """Runs of families that share a floor, or whose floors spread by `floors`."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(count):
        floor, height = 1.7 * np.exp(floors * rng.standard_normal()), np.exp(rng.normal(5, 0.3))
        C = np.geomspace(1e7, 1e9, runs)
        loss = (floor + height * C**-0.3) * np.exp(scatter * rng.standard_normal(runs))
        rows.append(pd.DataFrame({"family": f"family {k}", "C": C, "loss": loss}))
    return pd.concat(rows, ignore_index=True)


def starts(table: pd.DataFrame, noise: str | None = None):
    model = frame(bs.load_law("power_law"), table, noise=noise, discrepancy="none").model
    return model, find_starts(model, cheaply=True)


@pytest.mark.parametrize("noise", ["t", "normal"])
@pytest.mark.parametrize(("count", "floors"), [(3, 0.0), (10, 0.0), (20, 0.0), (200, 0.1)])
def test_as_many_runs_as_parameters_leave_scatter_at_the_mode(count, floors, noise):
    model, found = starts(families(count, 3, floors), noise)
    sigma = model.structure.names.index("sigma")
    place = model.structure.free.index(sigma)
    assert np.exp(found.modes[0].position.population[place]) > 0.002


@pytest.mark.parametrize("case", ["one law", "families", "crossed"])
def test_scatter_is_that_of_a_likelihood_integrated_over_everything_else(case):
    """Its gradient is half the fall of the log determinant of what the runs and priors tell."""
    varied = {"families": {"E": ["family"], "alpha": ["family"], "sigma": ["family"]}}
    varied["crossed"] = {"E": ["arch", "corpus"], "A": ["arch"]}
    table = ladder(families=FOUR_FAMILIES, seeds=2, sd_cell=0.02, sizes=(3e6, 3e7, 1e8))
    table[["arch", "corpus"]] = table["family"].str.split("-", expand=True)
    rest = {p: [] for p in ("E", "A", "alpha", "B", "beta")}
    pool = "complete" if case == "one law" else {**rest, **varied[case]}
    options = {"noise": "t+scale", "discrepancy": "none" if case == "families" else "bend"}
    model = frame(bs.load_law("chinchilla"), table, pool=pool, **options).model
    structure, terms = model.structure, group_terms(model)
    _, sd = prior_moments(model)
    free = list(structure.free)
    position = find_starts(model).modes[0].position
    scatter = of_scatter(model)
    assert {structure.names[i] for i in scatter} == {"sigma", "sigma_slope", "sd(cell)", "nu"}

    def log_determinant(at: np.ndarray) -> float:
        """Of the joint precision of population and effects, scatter held."""
        precision = positive(-terms(at)[2])
        precision[:, scatter, :] = precision[:, :, scatter] = 0.0
        design = [np.eye(structure.size)[:, free]] * len(at)
        told = [np.diag(sd[free] ** -2.0)]
        for f, factor in enumerate(structure.factors):
            own = group_precision(factor, position.log_sd[f], position.corr[f], np)
            for level in range(len(factor.levels)):
                here = np.eye(structure.size)[:, list(factor.varied)]
                belongs = model.arrays.levels[f] == level
                design = [np.hstack([d, here * b]) for d, b in zip(design, belongs, strict=True)]
                told.append(own)
        joint = block_diag(*told)
        joint += sum(d.T @ p @ d for d, p in zip(design, precision, strict=True))
        return float(np.linalg.slogdet(joint)[1])

    at = group_coordinates(structure, position, model.arrays.levels, np)
    tilt = scatter_tilt(model, terms, at, position, sd[free])
    rest_of = [i for i in range(structure.size) if i not in scatter]
    assert np.all(tilt[:, rest_of] == 0.0)
    for i in scatter:
        step = 0.01 * np.eye(structure.size)[i]
        fall = -(log_determinant(at + step) - log_determinant(at - step)) / 0.02
        assert tilt[:, i].sum() == pytest.approx(0.5 * fall, rel=0.03, abs=0.02)


def sampled(table: pd.DataFrame, **options):
    """A short fit, and its mean number of steps a draw."""
    short = {"draws": 300, "warmup": 300, "progress": False, "strict": False}
    fit = bs.fit(bs.load_law("power_law"), table, discrepancy="none", **short, **options)
    return fit, float(fit.data["sample_stats"].dataset["n_steps"].mean())


def test_three_runs_a_family_are_sampled_well():
    fit, steps = sampled(families(20, 3), noise="normal")
    assert bs.diagnose(fit).max_rhat < 1.05
    assert steps < 50  # the deepest trees, of 1023 steps, when starts had no scatter
    low, high = np.quantile(fit.data["posterior"].dataset["sigma"], [0.01, 0.99])
    assert low < 0.01 < high


def test_separate_families_are_sampled_as_one_alone_is():
    """Each floor trades against its own family's term, without a population between them."""
    fit, steps = sampled(families(3, 9, floors=0.2), pool="none")
    assert bs.diagnose(fit).min_ess_bulk > 300  # 100 where each floor stood in the log of its share
    assert steps < 15


@pytest.mark.parametrize(
    ("count", "runs", "floors", "differ"),
    [(12, 12, 0.0, False), (12, 12, 0.3, True), (12, 3, 0.3, False), (3, 12, 0.3, False)],
)
def test_the_cheaper_geometry_is_for_many_families_that_differ(count, runs, floors, differ):
    model, found = starts(families(count, runs, floors))
    assert found.distinct is differ
    assert ("apart" in found.geometry.inputs()) is not differ
    assert may_differ(model) is (count > 8 and runs > 6)
    again = find_starts(model)  # of many tables that share a program
    assert not again.distinct and "apart" in again.geometry.inputs()

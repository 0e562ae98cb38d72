"""A law that bends: its walk's covariance and weights, and predictions that widen with distance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bayescale as bs
from bayescale import bends, walks
from bayescale.density import log_posterior
from bayescale.errors import BayescaleError
from bayescale.gathered_cells import MOST
from bayescale.geometry import unwhiten
from bayescale.group_likelihood import group_terms
from bayescale.model_from_runs import build_model, default_discrepancy
from bayescale.quadratic import layout
from bayescale.starts import find_starts
from tests.simulate import ladder

pytestmark = pytest.mark.usefixtures("compiled_quickly")

places = st.lists(st.floats(-3.0, 3.0), min_size=2, max_size=8)


def walk_of_runs(seed: int = 0, runs: int = 30) -> tuple[walks.Walk, np.ndarray]:
    rng = np.random.default_rng(seed)
    columns = 10 ** np.column_stack([rng.uniform(6, 9, runs), rng.uniform(8, 10, runs)])
    return walks.Walk.of(columns), columns


def count(walk: walks.Walk) -> int:
    """Its weights."""
    return sum(stretch.loading.shape[1] for stretch in walk.stretches)


@given(places)
def test_covariances_are_covariances(decades):
    at = np.array(decades)[:, None]
    assert np.linalg.eigvalsh(walks.covariance(at, at)).min() > -1e-9


def test_covariance_is_that_of_a_twice_summed_walk():
    """Against slopes that gain independent normal steps, summed by brute force."""
    rng = np.random.default_rng(1)
    step = 0.01
    slopes = np.cumsum(np.sqrt(step) * rng.standard_normal((20_000, 200)), axis=1)
    paths = np.cumsum(step * slopes, axis=1)
    one, two = paths[:, 99], paths[:, 199]  # one decade from the middle, and two
    told = walks.covariance(np.array([[1.0], [2.0]]), np.array([[1.0], [2.0]]))
    assert np.cov(one, two) == pytest.approx(told, rel=0.04)
    assert walks.covariance(np.array([[-1.0]]), np.array([[1.0]]))[0, 0] == 0.0


def test_weights_give_back_the_covariance_among_the_runs():
    walk, columns = walk_of_runs()
    features = walk.features(columns)
    at = walk.places(columns)
    whole = walks.covariance(at, at)
    assert features @ features.T == pytest.approx(whole, abs=0.02 * np.max(whole))


def test_a_walk_goes_on_beyond_the_runs_and_widens():
    walk, _ = walk_of_runs()
    rng, ones = np.random.default_rng(2), np.ones((4000, 4))
    far = 10.0 ** (walk.middle + np.array([[0.0], [1.0], [2.0], [3.0]]))
    known = walk.paths(np.zeros((4000, count(walk))), ones, rng)(far).std(axis=0)
    never_seen = walk.paths(None, ones, rng)(far).std(axis=0)
    assert np.all(np.diff(known) > 0)
    assert known[0] == 0.0
    assert np.all(known < never_seen + 0.05)
    growth = np.log(never_seen[3] / never_seen[2]) / np.log(3.0 / 2.0)
    assert growth == pytest.approx(1.5, abs=0.1)


def test_paths_have_the_walk_s_covariance():
    walk, columns = walk_of_runs(seed=1, runs=6)
    far = np.concatenate([columns, 100.0 * columns[:2]])
    drawn = walk.paths(None, np.full((40_000, 4), 0.1), np.random.default_rng(3))(far)
    at = walk.places(far)
    told = 0.01 * walks.covariance(at, at)
    assert np.cov(drawn.T) == pytest.approx(told, abs=0.03 * np.max(told))


def test_a_path_given_its_weights_is_the_one_that_was_fitted():
    walk, columns = walk_of_runs()
    rng = np.random.default_rng(4)
    weights = rng.standard_normal((500, count(walk)))
    path = walk.paths(weights, np.ones((500, 4)), rng)
    left_out = path(columns) - weights @ walk.features(columns).T
    at = walk.places(columns)
    size = np.sqrt(np.diag(walks.covariance(at, at))).max()
    assert np.abs(left_out.mean(axis=0)).max() < 0.02 * size
    assert left_out.std(axis=0).max() < 0.1 * size


def test_a_path_is_one_function_of_the_columns():
    walk, columns = walk_of_runs()
    path = walk.paths(None, np.ones((50, 4)), np.random.default_rng(5))
    each = np.broadcast_to(columns, (50, *columns.shape))
    np.testing.assert_allclose(path(each), path(columns))
    np.testing.assert_allclose(path.take([3, 4])(columns), path(columns)[[3, 4]])
    near = columns[:1] * 10.0 ** np.linspace(-6.0, 14.0, 4001)[:, None]
    slopes = np.diff(path(near), axis=1) / 0.005
    assert np.abs(np.diff(slopes, axis=1)).max() < 0.2  # no jump, and no kink


def test_laws_of_one_variable_bend_more_and_do_not_drift(bent_runs):
    def bend(law: bs.Law) -> bends.Bend:
        return build_model(law, bent_runs.table, discrepancy="bend").structure.bend

    paired, alone = map(
        bend, (bs.load_law("chinchilla"), bs.load_law("power_law").with_columns(x="N"))
    )
    assert paired.drift == bends.DRIFT < 0.0 == alone.drift
    medians = [one.parameters[0].group_sd.quantile(0.5) for one in (paired, alone)]
    assert medians == pytest.approx([0.075, 0.15])


def test_paths_drift_beyond_the_largest_runs_and_nowhere_else():
    walk, columns = walk_of_runs()
    scale, rng = np.full((1, 4), 0.1), None
    plain, drifting = (walk.paths(None, scale, rng, drift) for drift in (0.0, -1.0))
    assert np.all(plain(columns) == 0.0)
    assert np.abs(drifting(columns)).max() < 1e-12
    largest, t = columns.max(axis=0), np.array([1.0, 2.0])
    along = drifting(np.column_stack([largest[0] * 10**t, np.full(2, 10 ** walk.middle[1])]))[0]
    from_knot = t + walks.STEP * np.ones(2)  # at most a step from the largest run
    for low, value, high in zip(t - walks.STEP, along, from_knot, strict=True):
        both = 1.0 + 2**-0.5  # of N itself, and of N*D
        assert -0.1 * both * high**2 / 2 < value < 0.0
        assert value < -0.1 * max(low, 0.0) ** 2 / 2
    smaller = columns.min(axis=0) / 100.0
    assert drifting(smaller[None])[0, 0] == 0.0
    assert walks.outward(1) == (True,)
    assert walks.outward(2) == (True, True, True, False)
    assert walks.direction_names(["N", "D"])[3] == "D per N"


def test_runs_at_one_compute_leave_its_scale_to_the_prior():
    """A bend along the ratio of tokens to parameters tells nothing of one along compute."""
    N = np.geomspace(1e7, 1e9, 16)
    loss = 2.5 * np.exp(0.02 * np.log10(N / 1e8) ** 2)
    table = bs.read_runs({"N": N, "D": 1e18 / N, "loss": loss}).table
    model = build_model(bs.load_law("chinchilla"), table, discrepancy="bend")
    names = model.structure.bend.scales
    assert names == ("sd(bend[N])", "sd(bend[D])", "sd(bend[N*D])", "sd(bend[D per N])")
    (factor,) = model.structure.factors
    assert factor.tied == (4, 4, 4, 4)
    assert [factor.members(k) for k in factor.leaders][2] == [8, 9, 10, 11]
    largest = np.abs(model.arrays.features).max(axis=(0, 1))
    assert np.all(largest[8:12] < 1e-6)
    assert largest[12] > 0.1


@pytest.fixture(scope="module")
def bent_runs():
    """A power law whose exponent falls with scale: no floor explains it."""
    rng = np.random.default_rng(5)
    size = np.geomspace(1e6, 1e9, 24)
    u = np.log10(size / 3e7)
    loss = 2.5 * np.exp(-0.25 * u + 0.03 * u**2) * np.exp(0.004 * rng.standard_normal(24))
    return bs.read_runs({"N": size, "D": 20 * size, "loss": loss, "run": range(24)})


@pytest.fixture(scope="module")
def fits(bent_runs):
    law = bs.load_law("power_law").with_columns(x="N")
    options = {"noise": "normal", "progress": False, "strict": False, "draws": 500, "warmup": 500}
    return {
        name: bs.fit(law, bent_runs, discrepancy=name, seed=3, **options)
        for name in ("none", "bend")
    }


@pytest.mark.slow
def test_a_saved_fit_keeps_the_prior_of_its_bend(fits, tmp_path):
    def shown(fit: bs.Fit) -> float:
        bs.save(fit, tmp_path / "fit.nc")
        return bs.prior_summary(bs.load(tmp_path / "fit.nc")).loc["sd(bend)", "prior_median"]

    fit = fits["bend"]
    former = build_model(
        fit.law, fit.runs.table, noise="normal", discrepancy="bend", bend_prior=bends.PRIOR
    )
    assert shown(fit) == pytest.approx(0.15)
    assert shown(replace(fit, model=former)) == pytest.approx(0.075)


@pytest.mark.slow
def test_intervals_widen_beyond_the_data_and_not_inside(fits):
    targets = {"N": [3e7, 1e10, 1e12]}
    widths = {}
    for name, fit in fits.items():
        table = bs.predict(fit, targets, kind="mean").table
        widths[name] = np.log(table["upper_95"] / table["lower_95"]).to_numpy()
    assert widths["bend"][0] < 0.02
    assert widths["bend"][2] > widths["bend"][1] > widths["bend"][0]
    assert widths["bend"][2] > 3.0 * widths["none"][2]
    assert "sd(bend)" in bs.summary(fits["bend"]).index
    assert not any(map(bends.is_weight, bs.summary(fits["bend"]).index))


@pytest.mark.slow
def test_a_saved_fit_bends_as_before(fits, tmp_path):
    fit = fits["bend"]
    again = bs.load(bs.save(fit, tmp_path / "fit.nc"))
    targets = {"N": [1e8, 1e11]}
    one, two = (bs.predict(f, targets, seed=4).draws.to_numpy() for f in (fit, again))
    np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_a_prediction_does_not_depend_on_what_else_is_asked(fits):
    options = {"kind": "mean", "seed": 4}
    alone = bs.predict(fits["bend"], {"N": [1e11]}, **options).draws.to_numpy()
    among = bs.predict(fits["bend"], {"N": [1e8, 1e11]}, **options).draws.to_numpy()
    np.testing.assert_array_equal(alone[:, 0], among[:, 1])


@pytest.mark.slow
def test_draws_of_a_bent_law_are_what_is_predicted(fits):
    from bayescale.drawn_laws import values
    from bayescale.predictive_draws import parameter_draws

    fit = fits["bend"]
    params = parameter_draws(fit, pd.DataFrame({"N": [1e9]}))
    told = bs.predict(fit, {"N": [1e8, 1e12]}, kind="mean").draws.to_numpy()
    columns = {"N": np.array([1e8, 1e12])}
    np.testing.assert_allclose(values(fit.law, params, columns), told)
    some = {name: drawn[[5, 7]] for name, drawn in params.items()}
    np.testing.assert_allclose(values(fit.law, some, columns), told[[5, 7]])


def test_what_can_not_bend_says_so(bent_runs):
    law = bs.load_law("power_law").with_columns(x="N")
    with pytest.raises(BayescaleError, match="discrepancy 'bent' is not known; choose one of"):
        bs.fit(law, bent_runs, discrepancy="bent", progress=False)


@pytest.mark.slow
def test_a_fit_bends_where_nobody_says_and_decides_by_the_straight_law(bent_by_default):
    table = ladder(sizes=(1e6, 1e7, 1e8), tokens=(1e8, 3e8, 1e9, 3e9), seed=9)
    fit = bs.fit(
        bs.load_law("chinchilla"), table, progress=False, strict=False, draws=300, warmup=300
    )
    assert "sd(bend[N*D])" in bs.summary(fit).index
    row = bs.predict(fit, {"N": 1e9, "D": 2e10}).table.iloc[0]
    shares = [row[f"share_{part}"] for part in ("law", "bend", "run")]
    assert sum(shares) == pytest.approx(1.0)
    assert shares[1] > 0.02
    assert fit.straight.model.structure.bend is None
    chosen = bs.allocate(fit, C=1e20)
    alone = bs.allocate(fit.straight, C=1e20)
    assert chosen.N == pytest.approx(alone.N)


def test_groups_of_two_columns_bend_alike(bent_runs):
    law = bs.load_law("power_law").with_columns(x="N").varying({"alpha": ["a", "b"]})
    table = bent_runs.table.assign(a=["x", "y"] * 12, b=["u"] * 12 + ["v"] * 12)
    model = build_model(law, table, discrepancy="bend")
    assert len(model.walks) == 1
    assert any("bends alike for every a and b" in note for note in model.notes)
    assert [f.name for f in model.structure.grouping] == ["a", "b"]


@given(
    st.floats(0.2, 5.0), st.floats(0.01, 0.99), st.floats(-3.0, 3.0), st.sampled_from(["own", None])
)
def test_a_bend_acts_on_what_stands_above_the_floor(loss, share, away, floor):
    told = None if floor is None else share
    line = walks.bent_line(np.log(loss), np.float64(away), told, np)
    bent = np.exp(line)
    stays = 0.0 if floor is None else share * loss
    assert bent - stays == pytest.approx((loss - stays) * np.exp(away), rel=1e-9)
    back, gain = walks.unbent(np.log(loss), line, told, np)
    if np.exp(away) > walks.LEAST_ABOVE:
        assert back == pytest.approx(away, abs=1e-6)
        slope = walks.bent_line(np.log(loss), away + 1e-6, told, np) - line
        assert slope / 1e-6 == pytest.approx(gain, rel=1e-3, abs=1e-8)


def test_what_is_bent_where_nobody_says(bent_by_default):
    bent = ("chinchilla", "power_law", "bottleneck", "overtraining", "hestness")
    straight = ("bnsl_1", "m4", "data_constrained", "kaplan", "step_law_loss", "multi_power")
    assert {default_discrepancy(bs.load_law(name)) for name in bent} == {"bend"}
    assert {default_discrepancy(bs.load_law(name)) for name in straight} == {"none"}
    text = bs.load_law("hestness").text
    assert "discrepancy" not in text
    told = text.replace("[response]", '[response]\ndiscrepancy = "none"')
    assert default_discrepancy(bs.Law.from_text(told)) == "none"


def test_where_bends_could_follow_every_run_the_mode_keeps_scatter():
    """Fourteen runs, five parameters and ten weights: at the joint mode nothing would be left."""
    rng = np.random.default_rng(8)
    N = 10 ** rng.uniform(7, 9, 14)
    D = N * 10 ** rng.uniform(0.7, 2.0, 14)
    loss = (1.8 + 400 / N**0.34 + 1000 / D**0.33) * np.exp(0.01 * rng.standard_normal(14))
    table = bs.read_runs({"N": N, "D": D, "loss": loss}).table
    model = build_model(bs.load_law("chinchilla"), table, discrepancy="bend", noise="normal")
    mode = find_starts(model, 0).modes[0]
    log_sigma = mode.position.population[
        model.structure.free.index(model.structure.names.index("sigma"))
    ]
    assert 0.004 < np.exp(log_sigma) < 0.03


@pytest.mark.parametrize("runs", [30, 400])
def test_weights_are_settled_by_what_the_law_leaves_over(runs):
    """At any parameters, weights of zero coordinates are those that fit best.

    Of many runs neighbours are taken together for that.
    """
    rng = np.random.default_rng(2)
    N = np.geomspace(1e7, 1e9, runs)
    loss = (1.8 + 300 / N**0.3) * np.exp(
        0.02 * np.sin(np.log10(N) * 3) + 0.002 * rng.standard_normal(runs)
    )
    law = bs.load_law("power_law").with_columns(x="N")
    table = bs.read_runs({"N": N, "D": 20 * N, "loss": loss}).table
    model = build_model(law, table, discrepancy="bend", noise="normal")
    quadratic = find_starts(model, 0).geometry.inputs()
    structure, inputs = model.structure, model.arrays.inputs()
    shape = layout(structure)
    assert quadratic["settle"]["weight"].shape[1] == min(model.arrays.mask.shape[1], MOST)
    flat = np.zeros(shape.size)
    flat[: shape.dense] = 0.7 * rng.standard_normal(shape.dense)
    flat[-1] = np.log(0.2)  # sd(bend)
    best, _ = unwhiten(structure, flat, quadratic, np)
    top = float(log_posterior(structure, best, inputs, np))
    for _ in range(20):
        moved = flat.copy()
        moved[shape.dense : shape.dense + shape.n_block] = rng.standard_normal(shape.n_block)
        away = float(np.sum(moved[shape.dense : shape.dense + shape.n_block] ** 2))
        other, _ = unwhiten(structure, moved, quadratic, np)
        lost = top - float(log_posterior(structure, other, inputs, np))
        assert lost == pytest.approx(0.5 * away, rel=0.15)


@pytest.mark.slow
def test_runs_of_one_family_are_drawn_and_reported(fits, tmp_path):
    """A bend has a factor without a name, which is no grouping column."""
    fit = fits["bend"]
    assert fit.combinations == [{}]
    plot = bs.plots.plot_fit(fit, targets={"N": 1e10})
    assert {"run", "target"} <= set(plot.data["what"])
    page = tmp_path / "report.html"
    bs.report(fit, to=page)
    assert "sd(bend)" in page.read_text(encoding="utf-8")


def test_bends_of_three_variables_are_compiled_without_kernels():
    """With them XLA 0.10.2 ends the process where two factors cross."""
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"N": 10 ** rng.uniform(7, 9, 40), "D": 10 ** rng.uniform(8, 10, 40)})
    table = table.assign(
        U=table["D"] / 2.0, family=np.tile(["a", "b"], 20), corpus=np.repeat(["x", "y"], 20)
    )
    law = bs.load_law("data_constrained")
    published = next(iter(law.published.values()))
    table["loss"] = law(published, **{n: table[n] for n in ("N", "D", "U")})
    law = law.varying({name: ["family", "corpus"] for name in law.parameters})
    model = build_model(law, bs.read_runs(table).table, discrepancy="bend")
    assert model.structure.bend.weights == (3,) * 9
    assert not model.structure.kernels
    value, gradient, _ = group_terms(model)(
        np.zeros((len(model.arrays.mask), model.structure.size))
    )
    assert np.isfinite(value).all() and np.isfinite(gradient).all()
    two = build_model(bs.load_law("chinchilla"), bs.read_runs(table).table, discrepancy="bend")
    assert two.structure.kernels


def test_a_family_of_few_runs_beside_one_of_many_counts_once():
    """Where cells of a larger family are taken together, those of smaller ones stay as they are."""
    rng = np.random.default_rng(4)
    parts = []
    for family, runs in (("few", 20), ("many", 300), ("some", 40)):
        N = np.geomspace(1e7, 1e9, runs)
        loss = (1.8 + 300 / N**0.3) * np.exp(0.002 * rng.standard_normal(runs))
        parts.append(pd.DataFrame({"family": family, "N": N, "D": 20 * N, "loss": loss}))
    law = bs.load_law("power_law").with_columns(x="N")
    table = bs.read_runs(pd.concat(parts)).table
    model = build_model(law, table, discrepancy="bend", noise="normal")
    told = find_starts(model, 0).geometry.inputs()["settle"]
    counted = (told["weight"] > 0).sum(axis=1)
    assert counted.tolist() == [20, MOST, 40]
    few, many, some = np.abs(told["precision"]).max(axis=(1, 2))
    assert max(few, some) < 1e-6 * many

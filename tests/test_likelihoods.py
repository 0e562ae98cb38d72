"""Links and likelihoods: against independent densities, and recovered from simulated runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import bayescale as bs
from bayescale.errors import BayescaleError, DataError, LawError
from bayescale.likelihoods import build_likelihood, log_ways
from bayescale.links import LINKS, RATES
from bayescale.model_from_runs import build_model
from bayescale.population_prior import sample_population_prior
from bayescale.precision import x64
from bayescale.responses import LIKELIHOODS, Response, read_response
from tests.simulate import rank_statistic

KINDS = {
    "t": Response("y", link="logit"),
    "normal": Response("y", link="loglog", likelihood="normal"),
    "beta": Response("y", link="cloglog", likelihood="beta"),
    "binomial": Response("y", link="loglog", likelihood="binomial", trials="n"),
    "beta-binomial": Response("y", link="logit", likelihood="beta-binomial", trials="n"),
    "negative-binomial": Response("y", likelihood="negative-binomial"),
}


def made(name: str):
    return build_likelihood(KINDS[name], repeated=False, measured=False)


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
@given(st.floats(-3.0, 2.0))
def test_a_link_leads_there_and_back(link, line):
    unit = 2.5
    value = link.value(np.array(line), unit, np)
    assert link.line(value, unit, np) == pytest.approx(line, abs=1e-8)
    ahead, behind = (link.value(np.array(line + d), unit, np) for d in (1e-5, -1e-5))
    assert link.gain(value, unit) == pytest.approx(abs(ahead - behind) / 2e-5, rel=1e-5)
    if value > 0:
        assert link.log_value(np.array(line), unit, np) == pytest.approx(np.log(value), abs=1e-9)


@pytest.mark.parametrize("link", RATES.values(), ids=RATES)
def test_rates_at_their_ends(link):
    import jax
    import jax.numpy as jnp

    with np.errstate(all="ignore"):
        line = link.line(np.array([0.0, 1.0, -0.1, 1.1]), 1.0, np)
    assert np.isfinite(line[:2]).all()
    assert np.isnan(line[2:]).all()
    near, far = np.array([-5.0, 2.0]), np.array([-60.0, 6.0])
    np.testing.assert_allclose(link.log_rest(near, np), np.log1p(-link.value(near, 1.0, np)))
    assert np.isfinite([link.log_rest(far, np), link.log_value(far, 1.0, np)]).all()
    with x64():  # slopes stay finite where a rate is as good as certain
        slopes = jax.vmap(jax.grad(lambda v: link.line(v, 1.0, jnp)))(np.array([0.0, 1e-12, 1.0]))
        assert np.isfinite(np.asarray(slopes)).all()


def density(name: str, response, line, sigma=0.2, trials=None) -> np.ndarray:
    """Log density of single rows, of the response itself or of its count."""
    likelihood = made(name)
    response = np.asarray(response, float)
    observed = likelihood.observe(response, trials, 1.0)
    rows = {}
    if KINDS[name].counted:
        rows["log_ways"] = log_ways(likelihood, observed, trials)[:, None]
    if trials is not None:
        rows["trials"] = trials[:, None]
    values = {p.name: np.full((1, 1), sigma) for p in likelihood.parameters}
    mask = np.ones((len(response), 1))
    out = likelihood.cell_log_density(
        values, np.broadcast_to(line, response.shape), observed[:, None], mask, rows, np
    )
    return (
        out
        if KINDS[name].counted
        else out + likelihood.log_measure(response, 1.0) - np.log(response)
    )


def shapes(name: str, line: float, sigma: float) -> tuple[float, float]:
    """A beta's shapes from its mean and its sd along the line, to first order."""
    link = made(name).link
    p = float(link.value(np.array(line), 1.0, np))
    size = p * (1 - p) / (sigma * float(link.gain(np.array(p), 1.0))) ** 2
    return p * size, (1 - p) * size


def test_densities_are_scipys():
    line, sigma = -0.4, 0.2
    y, n = np.array([0.1, 0.35, 0.8]), np.array([20.0, 60.0, 10.0])
    expected = stats.beta(*shapes("beta", line, sigma)).logpdf(y)
    np.testing.assert_allclose(density("beta", y, line), expected, rtol=1e-10)
    p = float(made("binomial").link.value(np.array(line), 1.0, np))
    expected = stats.binom(n, p).logpmf(np.round(y * n))
    np.testing.assert_allclose(density("binomial", y, line, trials=n), expected, rtol=1e-10)
    expected = stats.betabinom(n, *shapes("beta-binomial", line, sigma)).logpmf(np.round(y * n))
    np.testing.assert_allclose(density("beta-binomial", y, line, trials=n), expected, rtol=1e-8)
    counts, mean = np.array([0.0, 3.0, 41.0]), np.exp(1.3)
    size = sigma**-2
    expected = stats.nbinom(size, size / (size + mean)).logpmf(counts)
    np.testing.assert_allclose(density("negative-binomial", counts, 1.3), expected, rtol=1e-8)


@pytest.mark.parametrize("sigma", [1e-12, 1e-6, 1e-3])
def test_counts_that_hardly_differ_are_binomial_and_poisson(sigma):
    """No digits are lost where a run's own deviation is far below the chance of counting."""
    y, n, line = np.array([0.0, 0.35, 1.0]), np.array([20.0, 6000.0, 10.0]), -0.4
    likely = stats.binom(n, float(made("beta-binomial").link.value(np.array(line), 1.0, np)))
    got = density("beta-binomial", y, line, sigma, n)
    np.testing.assert_allclose(
        got, likely.logpmf(np.round(y * n)), rtol=1e-9, atol=1e5 * sigma**2 + 1e-9
    )
    counts = np.array([0.0, 3.0, 410.0])
    got = density("negative-binomial", counts, 5.3, sigma)
    expected = stats.poisson(np.exp(5.3)).logpmf(counts)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=2e5 * sigma**2 + 1e-9)


@given(st.floats(-20, 60), st.integers(0, 100_000))
def test_a_rise_is_the_sum_of_its_factors(log_x, k):
    from scipy.special import gammaln

    from bayescale.gammas import log_gamma, log_rise

    x = np.exp(log_x)
    expected = np.sum(np.log1p(np.arange(k) / x))
    assert float(log_gamma(x, np)) == pytest.approx(gammaln(x), rel=1e-10, abs=1e-10)
    assert float(log_rise(x, float(k), np)) == pytest.approx(
        expected, rel=1e-9, abs=1e-12 + 1e-15 * k
    )


@pytest.mark.parametrize("name", ["t", "normal", "beta"])
def test_densities_of_rates_integrate_to_one(name):
    """In the response itself, on whatever line runs scatter (log_measure's Jacobian)."""
    likelihood = made(name)
    y = (np.arange(20_000) + 0.5) / 20_000
    observed = likelihood.observe(y, None, 1.0)[:, None]
    values = {"sigma": np.full((1, 1), 0.3), "nu": np.full((1, 1), 6.0)}
    seen = likelihood.cell_log_density(
        values, np.full(len(y), 0.2), observed, np.ones((len(y), 1)), {}, np
    )
    seen = seen + likelihood.log_measure(y, 1.0) - np.log(y)
    assert np.mean(np.exp(seen)) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("name", KINDS)
def test_draws_are_of_the_density(name):
    """Moments of what new runs would show, and its log, against the density's own."""
    likelihood = made(name)
    rng = np.random.default_rng(0)
    line = np.full((200_000, 1), 0.3 if name != "negative-binomial" else 2.0)
    values = {"sigma": np.full((1, 1), 0.2), "nu": np.full((1, 1), 8.0)}
    rows = {"trials": np.array([40.0])}
    drawn = likelihood.draw(values, line, rows, 1.0, rng)
    positive = drawn.value > 0
    np.testing.assert_allclose(drawn.log[positive], np.log(drawn.value[positive]), atol=1e-9)
    mean = float(likelihood.link.value(np.array(line[0, 0]), 1.0, np))
    if name in ("t", "normal"):
        assert np.median(drawn.value) == pytest.approx(mean, rel=5e-3)
        return
    own = 0.0 if name == "negative-binomial" else 1 / (1 + sum(shapes(name, 0.3, 0.2)))
    spread = {
        "beta": mean * (1 - mean) * own,
        "binomial": mean * (1 - mean) / 40,
        "beta-binomial": mean * (1 - mean) / 40 * (1 + 39 * own),
        "negative-binomial": mean + mean**2 * 0.2**2,
    }[name]
    assert drawn.value.mean() == pytest.approx(mean, rel=5e-3)
    assert drawn.value.var() == pytest.approx(spread, rel=2e-2)


# --- what a card and a table may say ------------------------------------------------------------

CURVE = """
name = "curve"
title = "a rate that rises with compute"
formula = "sigmoid(a + b * log(x))"
cite = "made up"
unverified = "made up"

[response]
column = "y"
unit = "share"
{response}

[variables]
x = {{ column = "x" }}

[parameters]
a = {{ prior = "Normal(-0.5, 0.7)" }}
b = {{ prior = "Normal(0.5, 0.2)" }}
"""


def curve(response: str, formula: str = "sigmoid(a + b * log(x))") -> bs.Law:
    text = CURVE.format(response=response).replace("sigmoid(a + b * log(x))", formula)
    return bs.Law.from_text(text)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"likelihood": "poisson"}, "'poisson' is not known; choose one of t, normal"),
        ({"link": "probit"}, "'probit' is not known; choose one of log, identity"),
        ({"likelihood": "beta", "link": "log"}, "beta goes with the link logit or cloglog"),
        ({"likelihood": "binomial"}, "needs the column of the number of trials"),
        ({"trials": "n"}, "counts successes, whose link is logit"),
        ({"noise": "t", "likelihood": "t"}, "is the older name"),
    ],
)
def test_a_card_that_contradicts_itself(keys, said):
    with pytest.raises(LawError, match=said):
        read_response({"response": keys})


def test_another_likelihood_must_fit_the_link():
    for name in LIKELIHOODS:
        response = Response("loss")
        if name in ("t", "normal", "t+scale", "frontier", "negative-binomial"):
            assert response.scattering(name).likelihood == name
        else:
            with pytest.raises(LawError, match=f"noise='{name}': {name} goes with the link"):
                response.scattering(name)
    with pytest.raises(BayescaleError, match="noise 'x' is not known"):
        Response("loss").scattering("x")


def runs_of(y, **more) -> pd.DataFrame:
    return pd.DataFrame({"x": np.geomspace(1, 20, len(y)), "y": y, **more})


@pytest.mark.parametrize(
    ("response", "table", "said"),
    [
        ('link = "logit"', runs_of([0.1, 35.0, 0.4]), "row 2: y is 35; it must be between 0 and 1"),
        ('link = "logit"', runs_of([0.1, 0.0, 0.4]), "row 2: y is 0; t on the logit link has no"),
        ('link = "logit"', runs_of([0.1, np.nan, 0.4]), "row 2: y is empty or NaN"),
        ('likelihood = "binomial"\ntrials = "n"', runs_of([0.1, 0.2]), "no column n"),
        (
            'likelihood = "binomial"\ntrials = "n"',
            runs_of([0.1, 0.0, 0.4], n=[10.0, 2.5, 10.0]),
            "row 2: n is 2.5; a number of trials is whole",
        ),
        ('likelihood = "negative-binomial"', runs_of([0, 1.5]), "row 2: y is 1.5; a count is a"),
        ('likelihood = "negative-binomial"', runs_of([0, -1]), "row 2: y is -1; it must be 0 or"),
        ("", runs_of([0.1, 0.0]), "row 2: y is 0; it must be above 0"),
    ],
)
def test_responses_that_a_likelihood_cannot_have(response, table, said):
    with pytest.raises(DataError) as caught:
        bs.fit(curve(response), table, progress=False)
    assert said in str(caught.value)


def test_counts_of_none_are_runs_like_others():
    law = curve('likelihood = "binomial"\ntrials = "n"')
    table = runs_of([0.0, 0.0, 0.3, 0.9, 1.0], n=[30.0] * 5)
    model = build_model(law, table)
    arrays = model.arrays
    assert 0.0 < arrays.reference.smallest < arrays.reference.typical < 1.0
    np.testing.assert_array_equal(arrays.observed.ravel()[:5], [0, 0, 9, 27, 30])


# --- recovery -----------------------------------------------------------------------------------

SIMULATED = {
    "t": ('link = "identity"', "a + b * log(x) - 3"),
    "beta": ('link = "logit"', "sigmoid(a + b * log(x))"),
    "binomial": ('link = "loglog"\ntrials = "n"', "exp(-exp(a + 0.5 - b * log(x)))"),
    "beta-binomial": ('link = "logit"\ntrials = "n"', "sigmoid(a - 3 + 2 * b * log(x))"),
    "negative-binomial": ("", "exp(a + 2 + b * log(x))"),
}
PROBLEMS, ROWS, TRIALS = 40, 8, 50


@dataclass(frozen=True)
class Simulated:
    """Truths from the prior, the runs that they made, and what those runs say."""

    law: bs.Law
    truths: dict[str, np.ndarray]
    y: np.ndarray
    fits: bs.ManyFits
    scatter: tuple[str, ...]


@cache
def simulated(name: str) -> Simulated:
    """Forty data sets under the likelihood of that name, fitted at once."""
    law = curve(*SIMULATED[name])
    rng = np.random.default_rng(11)
    blank = runs_of(np.full(ROWS, 1.0 if name == "negative-binomial" else 0.5), n=TRIALS)
    model = build_model(law, blank, noise=name)
    likelihood = model.structure.likelihood
    _, truths = sample_population_prior(model, rng, PROBLEMS)
    at = {k: v[:, None] for k, v in truths.items()}
    mean = law.mean({p: at[p] for p in law.parameters}, {"x": blank["x"].to_numpy()}, np)
    unit = np.sqrt(np.mean(mean**2, axis=1, keepdims=True))
    line = likelihood.link.line(mean, unit, np)
    y = likelihood.draw(at, line, {"trials": np.full(ROWS, float(TRIALS))}, unit, rng).value
    tables = [blank.assign(y=row) for row in y]
    fits = bs.fit_many(law, tables, noise=name, discrepancy="none", progress=False, chains=2)
    return Simulated(law, truths, y, fits, tuple(p.name for p in likelihood.parameters))


@pytest.mark.slow
@pytest.mark.parametrize("name", SIMULATED)
def test_truths_are_recovered(name):
    """Ranks of 40 truths from the prior among their posteriors' draws are uniform."""
    made = simulated(name)
    assert made.fits.table["ok"].mean() > 0.9
    posteriors = [fit.data["posterior"].dataset for fit in made.fits]
    for parameter in (*made.law.parameters, *made.scatter):
        draws = [own[parameter].to_numpy().ravel()[::10] for own in posteriors]
        chi2, worst = rank_statistic(made.truths[parameter], draws)
        assert chi2 > 1e-3, (parameter, chi2)
        assert worst > 1e-3, (parameter, worst)


# --- variables that may be zero -----------------------------------------------------------------

REPEATS = """
name = "repeats"
title = "loss from epochs repeated, of which there may be none"
formula = "E + A * (1 + R)**-alpha + B * code**0.5"
cite = "made up"
unverified = "made up"

[variables]
R = { column = "R", from = 0 }
code = { column = "code", from = 0 }

[parameters]
E = { prior = "LogNormal(0, 0.3)" }
A = { prior = "LogNormal(0, 0.3)", share = "A * (1 + R)**-alpha", on = "value" }
alpha = { prior = "LogNormal(log(0.3), 0.3)" }
B = { prior = "LogNormal(log(0.2), 0.5)" }
"""


def test_a_variable_may_be_zero_where_its_card_says_so():
    import jax
    import jax.numpy as jnp

    from bayescale.density import cell_log_likelihood

    law = bs.Law.from_text(REPEATS)
    table = pd.DataFrame(
        {"R": [0.0, 1.0, 3.0, 7.0], "code": [0.0, 0.0, 0.5, 1.0], "loss": [2.0, 1.8, 1.7, 1.8]}
    )
    runs = bs.read_runs(table, law=law)
    model = build_model(law, runs.table)
    assert model.arrays.reference.columns == {"R": 2.75, "code": 0.375}
    eta, _ = sample_population_prior(model, np.random.default_rng(0), 20)
    inputs = model.arrays.inputs()
    with x64():
        slopes = jax.grad(
            lambda e: jnp.sum(cell_log_likelihood(model.structure, e, inputs, jnp)[..., :4])
        )(eta[:, None])
    assert np.isfinite(np.asarray(slopes)).all()
    with pytest.raises(DataError, match="row 2: R is -1; it must be 0 or more"):
        bs.read_runs(table.assign(R=[0.0, -1.0, 1.0, 2.0]), law=law)
    with pytest.raises(LawError, match="no positive variable along whose decades"):
        build_model(law, runs.table, discrepancy="bend")


def test_targets_may_be_zero_too():
    from types import SimpleNamespace

    from bayescale.targets import targets_frame

    fit = SimpleNamespace(law=bs.Law.from_text(REPEATS))
    assert targets_frame(fit, {"R": 0, "code": 0.2})["R"].tolist() == [0.0]
    with pytest.raises(DataError, match="R is -2; give a number from 0 on"):
        targets_frame(fit, {"R": -2, "code": 0.2})


# --- from a table of counts to answers ------------------------------------------------------------


@pytest.fixture(scope="module")
def counted():
    """The shares of which most are none, under another likelihood than the card's."""
    made = simulated("beta-binomial")
    none = np.where(made.fits.table["ok"], (made.y == 0).sum(axis=1), -1)
    assert none.max() >= 2
    return made.fits[int(np.argmax(none))]


def test_counts_are_predicted_as_shares_of_their_trials(counted):
    assert bs.diagnose(counted).ok
    near = bs.predict(counted, {"x": [1.0, 2000.0], "n": [10, 1000]})
    shares = near.draws.to_numpy()
    assert set(np.round(np.unique(shares[:, 0]) * 10, 9)) <= set(range(11))
    np.testing.assert_allclose(shares * [10, 1000], np.round(shares * [10, 1000]), atol=1e-6)
    assert np.isnan(near.table["mean_log"][0])  # some draws are none: no log
    assert np.isfinite(near.table["mean_log"][1])
    usual = bs.predict(counted, {"x": 1.0})
    assert f"{TRIALS} n, the runs' median" in str(usual)
    law = bs.predict(counted, {"x": 1.0}, kind="mean").table
    assert 0 < law["lower_95"][0] < law["upper_95"][0] < 0.3
    with pytest.raises(DataError, match=r"n is 1.5; give a whole number of trials"):
        bs.predict(counted, {"x": 1.0, "n": 1.5})


def scored(fit, noise: str) -> dict:
    """A backtest with the fit that there is."""
    from bayescale.backtesting import Verbs, backtest_with
    from bayescale.predictive_draws import log_predictive, loss_draws

    verbs = Verbs(lambda law, runs, **_: fit, loss_draws, log_predictive)
    return backtest_with(verbs, fit.law, fit.runs.table, cut="x > 5", noise=noise).metrics


def test_counts_of_none_are_scored_as_they_are(counted):
    from bayescale.predictive_draws import log_predictive

    told = scored(counted, "beta-binomial")
    assert told["scale"] == "response"
    assert told["rmsle"] is None
    assert 0 <= told["crps"] < 0.1
    assert told["log_score"] < 0
    table = counted.runs.table
    counts = [log_predictive(counted, table.assign(y=k / TRIALS)) for k in range(TRIALS + 1)]
    np.testing.assert_allclose(np.sum(np.exp(counts), axis=0), 1.0, rtol=1e-6)


def test_counts_are_saved_and_drawn(counted, tmp_path):
    again = bs.load(bs.save(counted, tmp_path / "fit.nc"))
    assert again.model.structure.likelihood == counted.model.structure.likelihood
    target = {"x": 300.0}
    assert bs.predict(again, target).table.equals(bs.predict(counted, target).table)
    residuals = bs.plots.plot_residuals(counted).data["residual"]
    assert np.isfinite(residuals).all()
    bs.plots.plot_fit(counted, targets=target)
    assert "beta-binomial" in bs.report(counted, to=tmp_path / "report.md").read_text()


def test_what_is_negative_is_predicted_and_scored_in_its_unit():
    from bayescale.predictive_draws import log_predictive

    made = simulated("t")
    negative = np.where(made.fits.table["ok"], (made.y < 0).sum(axis=1), -1)
    which = int(np.argmax(negative))
    assert negative[which] == ROWS
    fit = made.fits[which]
    told = bs.predict(fit, {"x": 2.0}, kind="mean", prob=0.999).table
    truth = {p: made.truths[p][which] for p in made.law.parameters}
    assert told["lower_99.9"][0] < float(made.law(truth, x=2.0)) < told["upper_99.9"][0] < 0
    assert np.isnan(told["mean_log"][0])
    scores = scored(fit, "t")
    assert scores["scale"] == "response"
    assert 0 < scores["width"]["0.95"] < 10
    step = np.linspace(-8, 4, 1201)
    density = log_predictive(fit, pd.DataFrame({"x": 2.0, "y": step}))
    assert np.exp(density).mean(axis=0).sum() * 0.01 == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"column": "accuracy", "link": "logit"}, "better the higher .if not, say better"),
        ({"column": "mmlu_score"}, "fit a law of what is missing, such as 1 - mmlu_score"),
        ({"column": "leverage", "better": "higher"}, "leverage of law 'x' is better the higher:"),
        ({"column": "lr", "better": "neither"}, "no measure of how good a run is"),
    ],
)
def test_decisions_refuse_what_is_not_better_the_lower(keys, said):
    with pytest.raises(LawError, match=said):
        read_response({"response": keys}).require_lower("x", "allocate")


@pytest.mark.parametrize("keys", [{}, {"column": "error"}, {"column": "score", "better": "lower"}])
def test_losses_are_better_the_lower(keys):
    read_response({"response": keys}).require_lower("x", "allocate")


def test_better_is_one_of_three():
    with pytest.raises(LawError, match=r"response\.better: 'more' is not one of lower, higher"):
        read_response({"response": {"better": "more"}})

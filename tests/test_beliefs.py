"""Priors that people can state: a belief is what the prior predicts, or an error says why."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayescale as bs
from bayescale.conditioned import normalised, sample_conditioned
from bayescale.coordinates import log_prior_population, to_natural
from bayescale.elicitation import prior_model
from bayescale.factors import Factor, log_factors
from bayescale.model import reference_inputs
from bayescale.population_prior import sample_population_prior
from bayescale.prior_check import prior_conflict
from tests.simulate import TWO_FAMILIES, ladder

AT = {"N": 1e9, "D": 2e10}


@pytest.fixture(scope="module")
def law() -> bs.Law:
    return bs.load_law("chinchilla")


@pytest.fixture(scope="module")
def runs() -> bs.Runs:
    return bs.read_runs(ladder(families=TWO_FAMILIES))


@pytest.fixture(scope="module")
def stated(law: bs.Law, runs: bs.Runs) -> bs.StatedPriors:
    far = {"N": 7e10, "D": 1.4e12}
    said = [
        bs.belief(**AT, loss=(2.2, 2.6)),
        bs.belief(**far, loss=(1.7, 2.1), prob=0.8),
        bs.belief(alpha=(0.25, 0.45)),
    ]
    return bs.elicit(law, said, runs)


def test_the_prior_predicts_what_was_stated(
    stated: bs.StatedPriors, law: bs.Law, runs: bs.Runs
) -> None:
    """By draws that the search never saw, through the prior that a fit would use."""
    _, values = sample_population_prior(
        prior_model(stated.law, runs), np.random.default_rng(5), 12_000
    )
    at = {p: values[p] for p in law.parameters}
    for belief, ends, prob in (
        (law(at, **AT), (2.2, 2.6), 0.9),
        (law(at, N=7e10, D=1.4e12), (1.7, 2.1), 0.8),
        (at["alpha"], (0.25, 0.45), 0.9),
    ):
        tail = 0.5 * (1 - prob)
        reached = np.log(np.quantile(belief, [tail, 1 - tail]))
        assert np.allclose(reached, np.log(ends), atol=0.15 * 0.5 * np.ptp(np.log(ends)))
    assert stated.table["stated_upper"].tolist() == [2.6, 2.1, 0.45]
    table = stated.table
    card = table["card_upper"] / table["card_lower"]
    assert (card > table["upper"] / table["lower"]).all()
    assert not stated.notes


def test_the_floor_stays_open_where_only_a_loss_is_believed(law: bs.Law, runs: bs.Runs) -> None:
    """A belief about a loss doesn't say what part of it is floor: terms become dependent."""
    said = bs.elicit(law, bs.belief(**AT, loss=(2.4, 2.42), prob=0.5), runs)
    floor = said.parameters.loc["E"]
    assert floor["upper"] / floor["lower"] > 1.7
    assert floor["upper"] < 2.43
    _, values = sample_population_prior(prior_model(said.law, runs), np.random.default_rng(6), 4000)
    rest = law({p: values[p] for p in law.parameters}, **AT) - values["E"]
    assert np.corrcoef(values["E"], rest)[0, 1] < -0.95


def test_beliefs_that_contradict_are_told(law: bs.Law, runs: bs.Runs) -> None:
    said = [
        bs.belief(**AT, loss=(2.2, 2.3)),
        bs.belief(N=7e10, D=1.4e12, loss=(2.5, 2.7)),  # larger, and worse
    ]
    with pytest.raises(bs.BayescaleError) as caught:
        bs.elicit(law, said, runs)
    text = str(caught.value)
    assert "loss at N=7e10, D=1.4e12: stated 2.5 to 2.7 with 90%, at best" in text
    assert "each could be met by itself: together they contradict one another" in text


def test_a_belief_wider_than_the_card_is_told(law: bs.Law, runs: bs.Runs) -> None:
    narrow = law.with_priors(alpha="LogNormal(log(0.3), 0.05)")
    with pytest.raises(bs.BayescaleError, match="where the card's prior is narrower, widen it"):
        bs.elicit(narrow, bs.belief(alpha=(0.2, 0.45)), runs)


def test_a_surprising_belief_is_noted(law: bs.Law, runs: bs.Runs) -> None:
    said = bs.elicit(law, bs.belief(**AT, loss=(24, 28)), runs)
    assert "sd from what the card's prior expects; look at units" in said.notes[0]
    assert abs(prior_conflict(prior_model(said.law, runs))) > 3  # and the runs disagree


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"loss": (2.4, 2.8)}, "a belief about loss says at which N, D"),
        ({"alfa": (0.2, 0.4)}, "no parameter 'alfa'. Did you mean 'alpha'"),
        ({"alpha": (0.2, 0.4), "N": 1e9}, "alpha is one number for all scales; leave N out"),
        ({"E": (-1.0, 2.0)}, "E is positive, and the belief begins at -1"),
        ({"loss": (2.8, 2.4), **AT}, "the lower end comes first"),
        ({"loss": (2.4, 2.8, 3.0), **AT}, "loss needs two ends"),
        ({"loss": 2.5, **AT}, "a belief has one interval"),
        ({"loss": (2.4, 2.8), "N": "1B", "D": 2e10}, "N is '1B'; give a number"),
        ({"loss": (2.4, 2.8), "N": -1e9, "D": 2e10}, "N is -1e\\+09; give a positive"),
        ({"loss": (2.4, float("nan")), **AT}, "loss is nan"),
        ({"loss": (2.4, 2.8), **AT, "prob": 1.5}, "between 0 and 1, not 1.5"),
    ],
)
def test_a_belief_that_says_nothing(said: dict, message: str, law: bs.Law, runs: bs.Runs) -> None:
    with pytest.raises(bs.BayescaleError, match=message):
        bs.elicit(law, bs.belief(**said), runs)


def test_no_belief_is_an_error(law: bs.Law, runs: bs.Runs) -> None:
    with pytest.raises(bs.BayescaleError, match="there is no belief"):
        bs.elicit(law, [], runs)


def test_a_factor_is_in_the_density_and_in_the_card(law: bs.Law, runs: bs.Runs) -> None:
    import jax.numpy as jnp

    from bayescale.precision import x64

    about = 'two "quoted" words'
    factors = (
        Factor("loss", 0.9, 0.05, tuple(AT.items()), about),
        Factor("alpha", np.log(0.3), 0.1),
    )
    believing = law.believing(factors)
    assert bs.Law.from_text(believing.text).beliefs == factors
    assert believing.varying("complete").beliefs == factors
    plain, told = prior_model(law, runs), prior_model(believing, runs)
    eta, _ = sample_population_prior(plain, np.random.default_rng(0), 20)
    reference = reference_inputs(plain.arrays.reference)
    values = to_natural(plain.structure, eta, reference, np)
    gain = log_prior_population(told.structure, eta, reference, np)
    gain -= log_prior_population(plain.structure, eta, reference, np)
    at = {p: values[p] for p in law.parameters}
    by_hand = -0.5 * ((np.log(law(at, **AT)) - 0.9) / 0.05) ** 2
    by_hand -= 0.5 * ((np.log(at["alpha"]) - np.log(0.3)) / 0.1) ** 2
    assert np.allclose(gain, by_hand, rtol=1e-9)
    assert np.allclose(log_factors(believing, values, np), by_hand)
    with x64():
        traced = log_prior_population(told.structure, jnp.asarray(eta), reference, jnp)
    assert np.allclose(traced, log_prior_population(told.structure, eta, reference, np))
    assert told.structure.key != plain.structure.key


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('quantity = "gamma"\nmean = 1\nsd = 1', "not one of loss, E, A"),
        ('quantity = "alpha"\nmean = 1', "beliefs 1 lacks sd"),
        ('quantity = "alpha"\nmean = 1\nsd = 0', "sd must be above 0"),
        ('quantity = "alpha"\nmean = "x"\nsd = 1', "must be a number"),
        ('quantity = "loss"\nmean = 1\nsd = 1', "loss is at N, D, not at none"),
        ('quantity = "alpha"\nat = {N = 1}\nmean = 1\nsd = 1', "alpha is at no scale"),
    ],
)
def test_a_bad_belief_of_a_card(entry: str, message: str, law: bs.Law) -> None:
    with pytest.raises(bs.LawError, match=message):
        bs.Law.from_text(f"{law.text}\n[[beliefs]]\n{entry}\n")


@given(st.floats(-3, 3), st.floats(0.01, 2))
@settings(max_examples=12)
def test_conditioned_draws_are_those_of_a_product_of_normals(mean: float, sd: float) -> None:
    rng = np.random.default_rng(0)
    first = rng.standard_normal((4000, 2))
    drawn = sample_conditioned(
        first,
        lambda z: -0.5 * np.sum(z**2, axis=1),
        lambda z: -0.5 * ((z[:, 0] - mean) / sd) ** 2,
        rng,
    )
    exact_sd = (1 + sd**-2) ** -0.5
    assert abs(drawn[:, 0].mean() - mean * exact_sd**2 / sd**2) < 0.12 * exact_sd
    assert abs(drawn[:, 0].std() / exact_sd - 1) < 0.08
    assert abs(drawn[:, 1].std() - 1) < 0.08


def test_a_fit_takes_beliefs(small_fit, tmp_path) -> None:
    """Sampled with a belief, or reweighted by it: the same posterior of the population."""
    law, at = small_fit.law, {"N": 1e10, "D": 2e11}

    def population(fit) -> tuple[dict[str, np.ndarray], np.ndarray]:
        posterior = fit.data["posterior"].dataset
        values = {p: posterior[p].to_numpy().ravel() for p in law.parameters}
        return values, np.log(law(values, **at))

    values, before = population(small_fit)
    middle = float(np.quantile(before, 0.8))
    factor = Factor("loss", middle, 0.5 * float(before.std()), tuple(at.items()))
    weights = normalised(log_factors(law.believing([factor]), values, np))
    expected = float(weights @ before)
    told = bs.StatedPriors(law, None, None, (), {}, (factor,))
    fit = bs.fit(law, small_fit.runs, prior=told, progress=False)
    _, after = population(fit)
    spread = float(np.sqrt(weights @ (before - expected) ** 2))
    assert abs(after.mean() - expected) < 0.25 * spread
    assert abs(after.mean() - before.mean()) > spread / 2
    assert any(note.startswith("the prior was told") for note in fit.notes)
    assert bs.load(bs.save(fit, tmp_path / "f.nc")).law.beliefs == (factor,)


# --- published constants ------------------------------------------------------------------------


def test_presets_are_listed_with_their_sources(law: bs.Law) -> None:
    listed = bs.presets(law)
    assert listed.loc["besiroglu", "B"] == 2085.43
    assert listed["source"].str.contains("arXiv").all()
    assert bs.presets(bs.load_law("bottleneck")).empty


def test_a_preset_is_centred_where_the_paper_is(law: bs.Law, runs: bs.Runs) -> None:
    told = bs.preset(law, "besiroglu", runs, width=0.2, widths={"beta": 0.05})
    reference = prior_model(law, runs).arrays.reference
    _, values = sample_population_prior(
        prior_model(told.law, runs), np.random.default_rng(1), 20_000
    )
    at = reference.columns
    published = law.published["besiroglu"]
    for name, term, width in (
        ("E", lambda v: v["E"], 0.2),
        ("A", lambda v: v["A"] / at["N"] ** v["alpha"], 0.2),
        ("alpha", lambda v: v["alpha"], 0.2),
        ("B", lambda v: v["B"] / at["D"] ** v["beta"], 0.2),
        ("beta", lambda v: v["beta"], 0.05),
    ):
        logs = np.log(term(values))
        assert abs(np.median(logs) - np.log(term(published))) < 0.05 * width, name
        assert abs(logs.std() / width - 1) < 0.05, name
    assert told.table.loc["beta", "width"] == 0.05
    assert told.notes[0].startswith("besiroglu: arXiv")


def test_a_preset_that_runs_contradict_says_so(law: bs.Law) -> None:
    bytes_ = bs.datasets.load("ladder")  # nats per byte, five decades below the paper's runs
    told = bs.preset(law, "besiroglu", bytes_, width=0.05)
    assert "sd from what these priors expect: look at the units" in told.notes[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"name": "besirogl"}, "no preset 'besirogl'. Did you mean 'besiroglu'"),
        ({"name": "besiroglu", "width": 0}, "the width of E must be above 0"),
        ({"name": "besiroglu", "widths": {"gamma": 1}}, "widths names 'gamma'"),
    ],
)
def test_a_preset_that_is_none(words: dict, message: str, law: bs.Law, runs: bs.Runs) -> None:
    with pytest.raises(bs.BayescaleError, match=message):
        bs.preset(law, runs=runs, **words)


@pytest.mark.parametrize("name", ["henighan_size", "observational", "joint_moe", "monkeys"])
def test_every_kind_of_support_gets_a_prior(name: str) -> None:
    from bayescale.model import Reference
    from bayescale.published_priors import _centred

    law = bs.load_law(name)
    reference = Reference({v.name: 1e3 for v in law.variables.values()}, 2.5, 2.0)
    for values in law.published.values():
        for parameter in law.parameters.values():
            text = _centred(parameter, values, reference, 0.3)
            if text is None:
                assert values[parameter.name] in parameter.prior.support
            else:
                changed = law.with_priors(**{parameter.name: {"prior": text, "on": parameter.on}})
                assert changed.parameters[parameter.name].prior.support == parameter.prior.support


# --- looking at priors --------------------------------------------------------------------------


def test_prior_figures(law: bs.Law, runs: bs.Runs, stated: bs.StatedPriors) -> None:
    plain = bs.plots.plot_prior(law, runs)
    told = bs.plots.plot_prior(law, runs, prior=stated)
    assert len(plain.data) == len(told.data) == len(runs)
    assert set(plain.data["group"]) == set(TWO_FAMILIES)
    spans = [np.log(p.data["upper"] / p.data["lower"]).mean() for p in (told, plain)]
    assert spans[0] < spans[1]
    assert (plain.data["lower"] < plain.data["prior_median"]).all()
    with pytest.raises(bs.BayescaleError, match="'size' is no column"):
        bs.plots.plot_prior(law, runs, x="size")
    drawn = bs.plots.plot_beliefs(stated)
    assert len(drawn.axes) == 3
    assert drawn.data["who"].tolist() == 3 * ["card", "stated", "elicited"]
    with pytest.raises(bs.BayescaleError, match="no beliefs"):
        bs.plots.plot_beliefs(bs.preset(law, "hoffmann", runs))
    assert "stated_lower" in repr(stated) and "<table>" in stated._repr_html_()


def test_sensitivity_of_parameters_and_predictions(small_fit) -> None:
    target = {"N": 1e13, "D": 1e14, "family": "dense"}
    table = bs.psense(small_fit, {**target, "N": [1e7, 1e13], "D": [1e8, 1e14]})
    assert list(table.columns) == ["prior", "likelihood", "diagnosis"]
    assert {"E", "alpha", "sigma", "target 1", "target 2"} <= set(table.index)
    assert (table[["prior", "likelihood"]] >= 0).all(axis=None)
    assert table.loc["target 1", "likelihood"] > 0.05  # the runs decide inside their range
    # The prior decides what the runs leave open, not what they show.
    assert table.loc["A", "prior"] > 3 * table.loc["target 1", "prior"]
    longer = bs.fit(small_fit.law, small_fit.runs, discrepancy="none", draws=4000, progress=False)
    far = bs.psense(longer, {**target, "N": [1e7, 1e13], "D": [1e8, 1e14]})
    assert far.loc["target 2", "prior"] > far.loc["target 1", "prior"]
    assert set(table["diagnosis"]) <= {
        "ok",
        "potential prior-data conflict",
        "potential strong prior / weak likelihood",
    }
    assert bs.psense(small_fit).index.tolist() == table.index.tolist()[:-2]

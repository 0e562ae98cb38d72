"""Every card of `models/`: complete, true to its sources, usable by a sampler."""

from __future__ import annotations

import numpy as np
import pytest

from bayescale.catalog import library, load_law
from bayescale.law import Law
from bayescale.precision import x64

NAMES = sorted(path.stem for path in library().glob("*.toml"))
# where each law is tried: about the centre of the runs that it was published for
REFERENCE = {"N": 3e8, "D": 1e10, "C": 2e19}
TYPICAL, SMALLEST = 2.9, 2.4


@pytest.fixture(scope="module", params=NAMES)
def law(request) -> Law:
    return load_law(request.param)


SHARED = ("bottleneck", "gamma")  # the one parameter that no card lets vary by family


def draws(law: Law, size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Prior draws in the card's units, shares undone at the reference."""
    rng = np.random.default_rng(seed)
    values = {name: p.prior.sample(rng, size) for name, p in law.parameters.items()}
    scale = {"typical": TYPICAL, "smallest": SMALLEST}
    result = {n: v for n, v in values.items() if law.parameters[n].on == "value"}
    for name, p in law.parameters.items():
        if p.on == "share":
            at_one = np.log(law.share(p, {**result, name: 1.0}, REFERENCE))
            slope = np.log(law.share(p, {**result, name: np.e}, REFERENCE)) - at_one
            result[name] = np.exp((np.log(values[name] * scale[p.of]) - at_one) / slope)
    return result


def test_the_cards_are_there():
    assert {"power_law", "chinchilla", "kaplan", "overtraining", "bottleneck"} <= set(NAMES)


def test_complete(law):
    assert law.title
    assert law.cite
    assert "arXiv" in law.cite
    assert law.decision
    assert law.identifiability
    for parameter in law.parameters.values():
        assert parameter.about, parameter.name
        assert parameter.why, parameter.name
        assert parameter.varies == ("family",) or (law.name, parameter.name) == SHARED
    for variable in law.variables.values():
        assert variable.unit
        assert variable.about
    for label in law.published:
        assert law.sources[label]
        assert law.units[label]
    assert "sigma" not in law.parameters


def test_card_is_short_and_ascii(law):
    assert law.text.isascii()
    assert max(map(len, law.text.splitlines())) < 260


def test_oracles_hold(law):
    table = law.check()
    assert len(table) >= 2 or law.unverified
    assert table["ok"].all(), table.to_string()
    assert set(law.published) == {check.set for check in law.checks}  # no set goes unchecked


def test_oracles_can_fail(law):
    """Every oracle notices when the constants of its set are a tenth off, one by one."""
    for check in law.checks:
        noticed = False
        for name, value in law.published[check.set].items():
            for factor in (0.9, 1.1):
                params = {**law.published[check.set], name: value * factor}
                got = check.got(lambda _p=params, **at: law(_p, **at))
                noticed |= not check.agrees(got)
        assert noticed, check.label


def test_prior_draws_give_sensible_losses(law):
    values = draws(law, 400)
    columns = {v.column: REFERENCE[v.column] for v in law.variables.values()}
    losses = law(values, **columns)
    assert np.all(np.isfinite(losses))
    assert np.mean((losses > 0.3 * TYPICAL) & (losses < 4 * TYPICAL)) > 0.9
    assert 0.5 * TYPICAL < np.median(losses) < 1.5 * TYPICAL


def test_loss_falls_in_every_variable(law):
    values = draws(law, 200)
    columns = {v.column: REFERENCE[v.column] for v in law.variables.values()}
    here = law(values, **columns)
    for column in columns:
        assert np.all(law(values, **{**columns, column: 10 * REFERENCE[column]}) <= here)


def test_published_constants_are_not_surprising(law):
    """At the reference each published share and exponent lies within 3 sd of its prior.

    Image losses have other scales: only exponents and the law's own kind of loss are compared.
    """
    for params in law.published.values():
        columns = {v.column: REFERENCE[v.column] for v in law.variables.values()}
        loss = float(law(params, **columns))
        for name, p in law.parameters.items():
            value = params[name]
            if p.on == "share":
                value = float(law.share(p, params, columns)) / loss
            low, high = p.prior.quantile([0.00135, 0.99865])
            assert low < value < high, name


def test_gradients_are_finite(law):
    import jax
    import jax.numpy as jnp

    values = draws(law, 50)
    columns = {v.column: REFERENCE[v.column] for v in law.variables.values()}
    with x64():
        gradient = jax.vmap(jax.grad(lambda p: law.mean(p, columns, jnp)))(
            {name: jnp.asarray(value) for name, value in values.items()}
        )
        finite = {name: bool(np.all(np.isfinite(np.asarray(g)))) for name, g in gradient.items()}
        moves = {name: bool(np.all(np.asarray(g) != 0)) for name, g in gradient.items()}
    assert all(finite.values()), finite
    assert all(moves.values()), moves


def test_latex_of_every_formula(law):
    latex = law.formula.latex()
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\left") == latex.count(r"\right")
    for name in law.parameters:
        assert name.split("_")[0] in latex


def test_overtraining_is_chinchilla_with_equal_exponents():
    over, chinchilla = load_law("overtraining"), load_law("chinchilla")
    for p in over.published.values():
        same = {"E": p["E"], "alpha": 2 * p["eta"], "beta": 2 * p["eta"]}
        same |= {"A": p["a"] / 6 ** p["eta"], "B": p["b"] / 6 ** p["eta"]}
        N, D = np.array([1e7, 1e9, 7e10]), np.array([1e9, 1e12, 2e11])
        np.testing.assert_allclose(over(p, N=N, D=D), chinchilla(same, N=N, D=D), rtol=1e-12)


def test_kaplan_has_its_two_limits():
    law = load_law("kaplan")
    p = law.published["kaplan"]
    assert float(law(p, N=1e9, D=1e40)) == pytest.approx((6.4e13 / 1e9) ** 0.076, rel=1e-6)
    assert float(law(p, N=1e60, D=1e10)) == pytest.approx((1.8e13 / 1e10) ** 0.103, rel=1e-6)


def test_chinchilla_optimum_is_muennighoffs_constant_ratio():
    """Equal exponents make the best D/N the same at every budget."""
    from bayescale.oracles import optimal_N

    law = load_law("chinchilla")
    p = law.published["muennighoff"]
    ratios = []
    for C in (1e20, 1e24):
        N = optimal_N(lambda N, D: law(p, N=N, D=D), C)
        ratios.append(C / 6 / N**2)
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-5)


def test_bottleneck_is_chinchilla_where_excesses_add_and_the_larger_excess_where_they_do_not():
    law, chinchilla = load_law("bottleneck"), load_law("chinchilla")
    known = chinchilla.published["besiroglu"]
    at = {"N": np.array([1e7, 1e9, 1e11]), "D": np.array([1e12, 1e9, 1e10])}
    np.testing.assert_allclose(law({**known, "gamma": 1.0}, **at), chinchilla(known, **at))
    larger = np.maximum(
        known["A"] / at["N"] ** known["alpha"], known["B"] / at["D"] ** known["beta"]
    )
    np.testing.assert_allclose(law({**known, "gamma": 0.01}, **at), known["E"] + larger, rtol=1e-3)


def test_bottleneck_without_a_floor_is_kaplan():
    law, kaplan = load_law("bottleneck"), load_law("kaplan")
    k = kaplan.published["kaplan"]
    joined = {"alpha": k["alpha_N"], "beta": k["alpha_D"], "gamma": k["alpha_D"], "E": 0.0}
    heights = {"A": k["N_c"] ** k["alpha_N"], "B": k["D_c"] ** k["alpha_D"]}
    at = {"N": np.array([1e6, 1e9]), "D": np.array([1e9, 2e10])}
    np.testing.assert_allclose(law(joined | heights, **at), kaplan(k, **at), rtol=1e-9)

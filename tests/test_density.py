"""The array density is the NumPyro model's, and does not depend on the reference."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer.util import potential_energy
from scipy import stats

import bayescale as bs
from bayescale import settling, spreads
from bayescale.cholesky import inverse_cholesky
from bayescale.coordinates import from_natural, to_natural
from bayescale.density import Position, group_coordinates, log_posterior
from bayescale.framing import adapted
from bayescale.geometry import unwhiten, whiten
from bayescale.kernels import as_it_is
from bayescale.model import Reference, reference_inputs
from bayescale.model_from_runs import build_model
from bayescale.numpyro_model import numpyro_model
from bayescale.potential import potential
from bayescale.precision import x64
from bayescale.quadratic import layout, placeholder, straighten
from bayescale.sampling import log_density
from tests.numpyro_sites import log_jacobian, sites
from tests.simulate import FOUR_FAMILIES, TRUTH, ladder

pytestmark = pytest.mark.usefixtures("compiled_quickly")

GROUPED = {p: ["family"] for p in TRUTH}
ALL_SHARED = {p: [] for p in TRUTH}
CASES = {
    "single": ("complete", 1, None, "t", None),
    "grouped": (GROUPED, 1, None, "normal", None),
    "correlated": ({**GROUPED, "sigma": ["family"]}, 1, None, "t", True),
    "replicated": (GROUPED, 2, 0.003, "t", None),
    "crossed": ({**ALL_SHARED, "E": ["arch", "corpus"], "alpha": ["arch"]}, 2, None, "t", None),
    "four by two": ({**ALL_SHARED, "E": ["family", "corpus"]}, 1, None, "t+scale", None),
    "separate": ("none", 1, None, "normal", None),
    "floor alone": ({**ALL_SHARED, "E": ["family"]}, 1, None, "t", None),
    "a term alone": ({**ALL_SHARED, "A": ["family"]}, 1, None, "normal", None),
    "not additive": ({p: ["family"] for p in ("E", "A", "beta")}, 1, None, "t", None),
    "no floor": ({"N_c": ["family"], "alpha_N": ["family"]}, 1, None, "normal", None),
    "groups that differ": (GROUPED, 1, None, "normal", None),
    "bent": (GROUPED, 1, None, "t", None),
    "bent, crossed": ({**ALL_SHARED, "E": ["arch", "corpus"]}, 1, None, "t", None),
    "bent, separate": ("none", 1, None, "t", None),
    "bent alone": ("complete", 1, None, "normal", None),
    "bent frontier": ("complete", 2, 0.003, "frontier", None),
}
LAWS = {"not additive": "bottleneck", "no floor": "kaplan"}


def build(case: str):
    pool, seeds, se, noise, correlate = CASES[case]
    table = ladder(families=FOUR_FAMILIES, seeds=seeds, se=se)
    parts = table["family"].str.split("-", expand=True)
    table["arch"], table["corpus"] = parts[0], parts[1]
    law, noise_pool = adapted(bs.load_law(LAWS.get(case, "chinchilla")), pool, None)
    bend = "bend" if case.startswith("bent") else None
    return build_model(
        law, table, noise=noise, noise_pool=noise_pool, correlate=correlate, discrepancy=bend
    )


def evaluate(model, position: Position) -> float:
    density = jax.jit(lambda at, rows: log_posterior(model.structure, at, rows, jnp))
    return float(density(position, model.arrays.inputs()))


def random_position(model, seed: int = 0) -> Position:
    rng = np.random.default_rng(seed)
    factors = model.structure.factors
    return Position(
        0.3 * rng.standard_normal(len(model.structure.free)) - 1.0,
        tuple(0.1 * rng.standard_normal((len(f.levels), len(f.varied))) for f in factors),
        tuple(-2.0 + 0.3 * rng.standard_normal(len(f.learned_index)) for f in factors),
        tuple(0.4 * rng.standard_normal(len(f.pairs)) for f in factors),
    )


@pytest.mark.parametrize("case", CASES)
def test_density_equals_the_numpyro_model(case):
    model = build(case)
    program = numpyro_model(model)
    inputs = model.arrays.inputs()
    values = []
    with x64():
        density = jax.jit(lambda at: log_posterior(model.structure, at, inputs, jnp))
        reference = jax.jit(lambda at: -potential_energy(program, (), {}, at))
        for seed in range(3):
            position = random_position(model, seed)
            ours = float(density(position))
            assert ours == pytest.approx(
                float(log_posterior(model.structure, position, inputs, np)), rel=1e-10
            )
            theirs = float(reference(sites(model, position)))
            values.append((ours, theirs + log_jacobian(model)))
    ours, theirs = np.array(values).T
    assert np.ptp(ours) > 1.0
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def whitened(case: str):
    """A model, a quadratic for it that is none's best, and a place in the sampler's coordinates."""
    model = build(case)
    structure = model.structure
    rng = np.random.default_rng(1)
    n, p = len(model.groups) or 1, structure.size
    root = rng.standard_normal((n, p, p))
    precision = 20 * np.einsum("gij,gkj->gik", root, root) + 10 * np.eye(p)
    center = group_coordinates(structure, random_position(model), model.arrays.levels, np)
    middle = random_position(model)
    prior = middle.population - 0.1, np.ones(len(structure.free))
    made = straighten(model, precision, np.zeros((n, p)), center, middle, *prior)
    learnt = spreads.learn(model, precision, np.zeros((n, p)), middle)
    settle = settling.learn(model, center)
    made = made.of_distinct if case == "groups that differ" else made
    quadratic = replace(made, spreads=learnt, settle=settle).inputs()
    flat = 0.5 * rng.standard_normal(layout(structure).size)
    flat[layout(structure).dense + layout(structure).n_block :] -= 2.0
    return model, quadratic, flat


@pytest.mark.parametrize("case", CASES)
def test_whitening_is_an_exact_change_of_variables(case):
    model, quadratic, flat = whitened(case)
    structure = model.structure
    with x64():

        def everything(z):
            traced, log_jacobian = unwhiten(structure, z, quadratic, jnp)
            parts = [*map(jnp.ravel, jax.tree.leaves(traced)), log_jacobian[None]]
            return jnp.concatenate(parts), (traced, log_jacobian)

        derivatives, (traced, log_jacobian) = jax.jit(jax.jacrev(everything, has_aux=True))(flat)
    jacobian, gradient = derivatives[:-1], derivatives[-1]
    position, in_numpy = unwhiten(structure, flat, quadratic, np)
    np.testing.assert_allclose(
        float(log_jacobian), np.linalg.slogdet(np.asarray(jacobian))[1], rtol=1e-9
    )
    np.testing.assert_allclose(float(in_numpy), float(log_jacobian), rtol=1e-9)
    np.testing.assert_allclose(np.asarray(traced.population), position.population, rtol=1e-8)
    np.testing.assert_allclose(whiten(structure, position, quadratic), flat, atol=1e-8)
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize(
    ("case", "shared"),
    [("grouped", True), ("bent", True), ("bent", False), ("bent, crossed", True)],
)
def test_the_potential_that_chains_move_in_has_the_gradient_of_the_density(case, shared):
    model, quadratic, flat = whitened(case)
    structure = model.structure
    data = {**model.arrays.inputs(), "quadratic": quadratic}
    rng = np.random.default_rng(2)
    lanes = flat + 0.1 * rng.standard_normal((2, len(flat)))
    moves = rng.standard_normal((2, len(flat)))
    told = data if shared else jax.tree.map(lambda a: np.stack([a, a]), data)
    with x64():
        at_lanes = jax.jit(potential(structure, told, shared, as_it_is))(lanes)
        value, gradient, terms = map(np.asarray, at_lanes)
    for k, (lane, move) in enumerate(zip(lanes, moves, strict=True)):
        prior, likelihood, log_jacobian = log_density(structure, lane, data, np)
        np.testing.assert_allclose(terms[k], [prior, likelihood], rtol=1e-9)
        assert float(value[k]) == pytest.approx(-(prior + likelihood + log_jacobian), rel=1e-9)
        step = 1e-5
        ends = [sum(log_density(structure, lane + s * move, data, np)) for s in (step, -step)]
        assert float(gradient[k] @ move) == pytest.approx(
            (ends[1] - ends[0]) / (2 * step), rel=1e-5
        )


@pytest.mark.parametrize("discrepancy", ["none", "bend"])
def test_no_array_grows_with_the_square_of_the_families(discrepancy):
    families = 61
    table = ladder(families={f"f{k}": {} for k in range(families)}, sizes=(1e7, 1e8))
    model = build_model(bs.load_law("chinchilla"), table, discrepancy=discrepancy)
    structure = model.structure
    data = {**model.arrays.inputs(), "quadratic": placeholder(model).inputs()}
    assert ("settle" in data["quadratic"]) == (discrepancy == "bend")

    def density(z):
        return sum(log_density(structure, z, data, jnp))

    with x64():
        program = str(jax.make_jaxpr(jax.grad(density))(np.zeros(layout(structure).size)))
    assert f"[{families},5]" in program
    assert f"{families},{families}" not in program


def test_priors_of_scatter_and_bends_are_those_stated():
    """The density moves by what scipy says of both priors at the parameters' values."""
    table = ladder(families=FOUR_FAMILIES)
    law = bs.load_law("chinchilla")
    stated = law.with_priors(
        **{
            "sigma": "HalfNormal(0.004)",
            "nu": "2 + Exponential(0.2)",
            "sd(bend)": "HalfNormal(0.1)",
        }
    )
    usual, other = (build_model(one, table, discrepancy="bend") for one in (law, stated))
    position = random_position(usual)
    values = usual.structure.names
    at = {
        values[i]: float(np.exp(position.population[k])) for k, i in enumerate(usual.structure.free)
    }
    sigma, beyond = at["sigma"], at["nu"]
    (bends,) = (np.exp(own[:4]) for own in position.log_sd)
    moved = (
        stats.halfnorm.logpdf(sigma, scale=0.004)
        - stats.lognorm.logpdf(sigma, 1.0, scale=0.01)
        + stats.expon.logpdf(beyond, scale=5.0)
        - stats.gamma.logpdf(beyond, 2.0, scale=10.0)
        + np.sum(stats.halfnorm.logpdf(bends, scale=0.1))
        - np.sum(stats.lognorm.logpdf(bends, 0.95, scale=0.075))
    )
    after, before = (
        float(log_posterior(one.structure, position, one.arrays.inputs(), np))
        for one in (other, usual)
    )
    assert after - before == pytest.approx(moved, rel=1e-9)


def test_priors_that_can_t_be_are_refused_and_those_without_use_noted():
    table, law = ladder(), bs.load_law("chinchilla")
    with pytest.raises(bs.LawError, match=r"sigma has them from 0 to inf"):
        build_model(law.with_priors(sigma="Normal(0, 1)"), table)
    with pytest.raises(bs.LawError, match=r"nu has them from 2 to inf"):
        build_model(law.with_priors(nu="Gamma(2, 0.1)"), table)
    with pytest.raises(bs.LawError, match=r"the prior 'Uniform\(0, 1\)' of sd\(bend\)"):
        build_model(law.with_priors(**{"sd(bend)": "Uniform(0, 1)"}), table, discrepancy="bend")
    notes = build_model(law.with_priors(nu="2 + Gamma(2, 1)"), table, noise="normal").notes
    assert "the prior of nu is not used: this fit has none" in notes


def test_log_posterior_does_not_depend_on_the_reference_for_absolute_priors():
    absolute = {
        "E": "LogNormal(log(1.7), 0.3)",
        "A": "LogNormal(log(10), 1.0)",
        "B": "LogNormal(log(40), 1.0)",
    }
    law, _ = adapted(bs.load_law("chinchilla"), "complete", absolute)
    table = ladder()
    standard = build_model(law, table)
    moved = build_model(
        law, table, reference=Reference({"N": 1e9, "D": 2e10}, typical=5.0, smallest=1.0)
    )
    values = {**TRUTH, "sigma": 0.004, "nu": 9.0}
    densities = []
    for shift in (0.0, 0.1):
        natural = {**values, "alpha": values["alpha"] + shift, "A": values["A"] * (1 + shift)}
        pair = []
        for model in (standard, moved):
            reference = reference_inputs(model.arrays.reference)
            eta = from_natural(model.structure, natural, reference)
            back = to_natural(model.structure, eta, reference, np)
            assert back["A"] == pytest.approx(natural["A"], rel=1e-10)
            with x64():
                value = evaluate(model, Position(eta, (), (), ()))
            # the coordinates differ by a shift that is linear in alpha: Jacobian 1
            pair.append(float(value))
        densities.append(pair)
    (a, b), (c, d) = densities
    assert a == pytest.approx(b, rel=1e-10)
    assert c == pytest.approx(d, rel=1e-10)
    assert a != pytest.approx(c, rel=1e-3)


def test_padding_and_order_of_rows_change_nothing():
    law, _ = adapted(bs.load_law("chinchilla"), GROUPED, None)
    table = ladder(families=FOUR_FAMILIES)
    ragged = table.drop(index=table.index[3:9])
    shuffled = ragged.sample(frac=1.0, random_state=3)
    results = []
    for rows in (ragged, shuffled):
        model = build_model(law, rows)
        levels = model.structure.factors[0].levels
        order = np.argsort(levels)
        position = random_position(model)
        effects = np.zeros_like(position.effects[0])
        effects[order] = position.effects[0]
        with x64():
            value = evaluate(model, position._replace(effects=(effects,)))
        results.append(float(value))
    assert results[0] == pytest.approx(results[1], rel=1e-12)


def test_reference_moves_shares_with_it():
    law, _ = adapted(bs.load_law("chinchilla"), "complete", None)
    model = build_model(law, ladder())
    moved = replace(model.arrays.reference, typical=2 * model.arrays.reference.typical)
    eta = np.zeros(model.structure.size)
    before = to_natural(model.structure, eta, reference_inputs(model.arrays.reference), np)
    after = to_natural(model.structure, eta, reference_inputs(moved), np)
    assert after["A"] == pytest.approx(2 * before["A"], rel=1e-12)
    assert after["E"] == pytest.approx(before["E"], rel=1e-12)


def test_a_matrix_without_a_factor_spoils_no_other():
    matrices = np.stack([np.eye(3), -np.eye(3), 4.0 * np.eye(3)])
    found = inverse_cholesky(matrices, np)
    assert found[0] == pytest.approx(np.eye(3)) and found[2] == pytest.approx(0.5 * np.eye(3))
    assert np.isnan(found[1]).all()


@pytest.mark.parametrize("size", [1, 7, 10, 11, 16, 23])
def test_traced_factors_are_those_of_numpy_without_calls_of_a_library(size):
    """Programs with LAPACK calls in two threads have waited for ever."""
    import jax

    half = np.random.default_rng(size).normal(size=(3, size, size))
    matrices = half @ np.swapaxes(half, -1, -2) + np.eye(size)
    with x64():
        traced = jax.jit(lambda m: inverse_cholesky(m, jax.numpy))
        lowered = traced.lower(matrices).as_text()
        found, told = np.asarray(traced(matrices)), np.asarray(traced(-matrices))
    assert "custom_call" not in lowered
    assert found == pytest.approx(inverse_cholesky(matrices, np), rel=1e-10, abs=1e-12)
    assert np.isnan(told).any(axis=(1, 2)).all()

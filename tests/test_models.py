"""Every card of `models/`: complete, true to its sources, usable by a sampler."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from bayescale.card import read_card
from bayescale.catalog import library, load_law
from bayescale.coordinates import from_natural, to_natural
from bayescale.errors import LawError
from bayescale.law import Law
from bayescale.model import reference_inputs
from bayescale.model_from_runs import build_model
from bayescale.precision import x64
from bayescale.schedule_columns import columns_at

NAMES = sorted(path.stem for path in library().glob("*.toml"))
# where each law is tried: about the centre of the runs that it was published for
PLACE = {
    **{"N": 3e8, "D": 1e10, "C": 2e19, "U": 2e9, "step": 1e4, "loss": 2.9, "k": 100.0},
    **{"P": 2.0, "V": 3e4, "width": 1024.0, "H": 4e10, "experts": 16.0, "G": 8.0, "p": 0.5},
    **{"activation": 0.05, "exponent_bits": 3.0, "mantissa_bits": 2.0, "block": 128.0},
    **{
        "N_mean": 3e8,
        "r_1": 0.2,
        "r_2": 0.2,
        "r_3": 0.2,
        "r_4": 0.2,
        "r_5": 0.2,
        "domain_weight": 0.05,
        "density": 0.5,
        "lr": 1.5e-3,
        "batch_tokens": 5e5,
        "N_encoder": 1e8,
        "N_decoder": 1e8,
        "dimension": 12.0,
        "environments": 16.0,
    },
}
OTHER_PLACES = {
    "hestness": {"D": 2.0**23},
    "robomonkey": {"k": 30.0},
    "fine_grained_moe": {"N": 4.3e9},
    "fp_quantisation": {"D": 3e10},
    "henighan_size": {"N": 1e8},
    "rl_post_training": {"C": 1e21},
    "observational": {"C": 5e23},
    "sloth": {"N": 7e9, "D": 2e12},
    "bnsl_1": {"D": 500.0},
    "qqt": {"D": 1.28e8, "U": 1.28e7},
    "kaplan_training": {"batch_tokens": 2e6},
}
# typical and smallest response there
RESPONSES = {
    **{"loss": (2.9, 2.4), "B_crit": (1.3e6, 1e6), "N_opt": (4e8, 1e8), "lr": (2e-3, 1e-3)},
    **{"batch_tokens": (3e5, 1e5), "leverage": (4.0, 2.0), "error": (0.5, 0.4)},
    **{"score": (0.3, 0.1), "coverage": (0.4, 0.2), "pass_rate": (0.01, 0.001)},
}
OTHER_RESPONSES = {
    "hestness": (0.5, 0.42),
    "farseer": (0.57, 0.5),
    "vocabulary": (-4.7, -5.3),
    "robomonkey": (0.1, 0.06),
}
# where more of a variable need not lower the response
MAY_RISE = {
    "bnsl_1": ("D",),
    "bnsl_2": ("D",),
    "bnsl_3": ("D",),
    "broken_power_law": ("D",),
    "error_from_loss": ("loss",),
    "farseer": ("N",),  # its data term may grow with size
    "fp_quantisation": ("D", "block"),
    "henighan_optimum": ("C",),
    "joint_moe": ("experts", "N", "D"),  # priors of signed changes of slope
    "moe_sparsity": ("density",),
    "multilingual_lm": ("p",),
    "moe_leverage": ("G", "C", "activation"),  # where the exponent changes sign
    "bahri_resolution": ("dimension",),
    "monkeys": ("k",),
    "passuntil": ("N",),
    "multilingual_nmt": ("p",),  # a weight ten times 0.5 is none
    **dict.fromkeys(("routed", "routed_floor"), ("experts", "N")),  # of a large model they stop
    **dict.fromkeys(("optimal_mixtures", "joint_mixtures"), tuple(f"r_{i}" for i in range(1, 6))),
    "data_mixing": ("r_1", "r_2", "r_3", "r_4", "r_5"),
    "step_law_lr": ("N", "D"),
    "step_law_loss": ("N", "D", "lr", "batch_tokens"),  # rates too high, batches too large
    "observational": ("C",),
    "sloth": ("N", "D"),
    "step_law_batch": ("D",),
    "vocabulary": ("V",),
}
UNIDENTIFIED = {("moe_leverage", "A_max")}  # published as 5e16: any number above 1 will do
ILLUSTRATIONS = {"figure_1"}  # drawn to show a form, over 27 decades


@pytest.fixture(scope="module", params=NAMES)
def law(request) -> Law:
    return load_law(request.param)


def place(law: Law) -> dict[str, float]:
    """The columns, in base units."""
    known = PLACE | OTHER_PLACES.get(law.name, {})
    along = [v.column for v in law.variables.values() if v.kind == "schedule"]
    if along:  # half way down a cosine
        stages = "linear to 3e-4 over 2160; cosine to 3e-5 over 21840"
        known |= dict(zip(along, columns_at(stages, 18000, along), strict=True))
    return {v.column: float(known[v.column]) for v in law.variables.values()}


def scales(law: Law) -> dict[str, float]:
    typical, smallest = OTHER_RESPONSES.get(law.name, RESPONSES[law.response.column])
    return {"typical": typical, "smallest": smallest, "one": 1.0}


def named(law: Law) -> dict[str, float]:
    """The same by the law's own names, as shares have them."""
    columns = place(law)
    return {v.name: columns[v.column] for v in law.variables.values()} | columns


def draws(law: Law, size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Prior draws in the card's units, shares undone at the reference."""
    rng = np.random.default_rng(seed)
    values = {name: p.prior.sample(rng, size) for name, p in law.parameters.items()}
    result = {n: v for n, v in values.items() if law.parameters[n].on == "value"}
    at, scale = named(law), scales(law)
    for name, p in law.parameters.items():
        if p.on == "share":
            at_one = np.log(law.share(p, {**result, name: 1.0}, at))
            slope = np.log(law.share(p, {**result, name: np.e}, at)) - at_one
            result[name] = np.exp((np.log(values[name] * scale[p.of]) - at_one) / slope)
    return result


def test_the_cards_are_there():
    assert {"power_law", "chinchilla", "kaplan", "overtraining", "bottleneck"} <= set(NAMES)
    assert len(NAMES) >= 32


def test_complete(law):
    assert law.title
    assert law.cite
    assert "arXiv" in law.cite
    assert law.decision
    assert law.identifiability
    assert law.varies  # something is pooled in every law
    for parameter in law.parameters.values():
        assert parameter.about, parameter.name
        assert parameter.why, parameter.name
    for variable in law.variables.values():
        assert variable.unit
        assert variable.about
    for label in law.published:
        assert law.sources[label]
        assert law.units[label]
    assert "sigma" not in law.parameters


def test_card_is_short_and_ascii(law):
    assert law.text.isascii()
    assert max(map(len, law.text.splitlines())) < 340


def test_oracles_hold(law):
    table = law.check()
    assert len(table) >= 2 or law.unverified
    assert table["ok"].dropna().all(), table.to_string()
    sets = read_card(law.text).get("published", {})
    excused = {label for label, entry in sets.items() if entry.get("unverified")}
    checked = {s for c in law.checks for s in (c.set, c.against) if s}
    if not law.unverified:  # no set goes unchecked in silence
        assert set(law.published) == checked | excused
        assert not excused & checked
    else:
        assert table.empty


def test_oracles_can_fail(law):
    """Every oracle notices when the constants of its set are a tenth off, one by one."""
    for check in law.checks:
        if check.absent:
            continue
        noticed = False
        for name, value in law.published[check.set].items():
            for factor in (0.9, 1.1):
                changed = {check.set: {**law.published[check.set], name: value * factor}}
                noticed = noticed or not holds(law, check, {**law.published, **changed})
        assert noticed, check.label


def holds(law: Law, check, published) -> bool:
    try:
        got = check.got(lambda label: lambda **at: law(published[label], **at))
    except LawError:  # the optimum has left the range searched
        return False
    return check.agrees(got)


def test_prior_draws_give_sensible_losses(law):
    values = draws(law, 400)
    losses = law(values, **place(law))
    typical = scales(law)["typical"]
    assert np.all(np.isfinite(losses))
    ratio = losses / typical
    if law.response.column == "loss":
        assert np.mean((ratio > 0.3) & (ratio < 4)) > 0.9
        assert 0.5 < np.median(ratio) < 1.5
    else:
        assert np.mean((ratio > 0) & (ratio < 30)) > 0.9
        assert 0.3 < np.median(ratio) < 3


def test_loss_falls_in_every_variable(law):
    values = draws(law, 200)
    columns = place(law)
    here = law(values, **columns)
    along = {v.column for v in law.variables.values() if v.kind == "schedule"} - {"S1", "S2"}
    for column in columns:
        if column not in MAY_RISE.get(law.name, ()) and column not in along:
            there = law(values, **{**columns, column: 10 * columns[column]})
            assert np.all(there <= here * (1 + 1e-12)), column


def test_published_constants_are_not_surprising(law):
    """Each published share and exponent lies within 3 sd of its prior.

    The shares are taken at the law's place and of the law's own loss there.
    """
    columns, at = place(law), named(law)
    for label, params in law.published.items():
        if label in ILLUSTRATIONS:
            continue
        loss = float(law(params, **columns))
        for name, p in law.parameters.items():
            value = params[name]
            if p.on == "share":
                value = float(law.share(p, params, at)) / (1.0 if p.of == "one" else loss)
            if value == 0 or (law.name, name) in UNIDENTIFIED:
                continue  # a floor left out, or nothing that data know of
            low, high = p.prior.quantile([0.00135, 0.99865])
            assert low < value < high, (label, name, value)


def test_coordinates_and_back(law):
    """On runs about its place a law's parameters are its coordinates' and no others."""
    rng = np.random.default_rng(0)
    runs = pd.DataFrame({c: v * np.exp(rng.normal(0, 0.1, 12)) for c, v in place(law).items()})
    runs[law.response.column] = scales(law)["typical"]
    if law.response.counts_of:
        runs[law.response.counts_of] = 1000.0
    for group in law.varies:
        runs[group] = ["a", "b", "c"] * 4
    model = build_model(law, runs)
    values = draws(law, 20)
    for p in model.structure.parameters[len(law.parameters) :]:
        values[p.name] = np.asarray(p.prior.quantile(np.full(20, 0.5)))
    reference = reference_inputs(model.arrays.reference)
    eta = from_natural(model.structure, values, reference)
    assert np.all(np.isfinite(eta))
    back = to_natural(model.structure, eta, reference, np)
    for name in law.parameters:
        np.testing.assert_allclose(back[name], values[name], rtol=1e-7, err_msg=name)


def test_gradients_are_finite(law):
    import jax
    import jax.numpy as jnp

    values = draws(law, 50)
    columns = place(law)
    with x64():
        gradient = jax.vmap(jax.grad(lambda p: law.mean(p, columns, jnp)))(
            {name: jnp.asarray(value) for name, value in values.items()}
        )
        finite = {name: bool(np.all(np.isfinite(np.asarray(g)))) for name, g in gradient.items()}
        moves = {name: np.mean(np.asarray(g) != 0) > 0.5 for name, g in gradient.items()}
    assert all(finite.values()), finite
    assert all(moves.values()), moves


def test_latex_of_every_formula(law):
    latex = law.latex()
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


def test_readme_counts_and_names_the_cards():
    """The library's README says how many cards are verified, and has a row for each."""
    text = (library() / "README.md").read_text(encoding="utf-8")
    said = re.search(r"(\d+) cards: (\d+) verified, (\d+) unverified", text)
    assert said is not None
    laws = [load_law(name) for name in NAMES]
    verified = sum(law.verified for law in laws)
    assert tuple(map(int, said.groups())) == (len(laws), verified, len(laws) - verified)
    for law in laws:
        assert f"`{law.name}`" in text, law.name
        assert law.verified == (not law.unverified), law.name


def test_acceptance_values_that_no_paper_prints():
    """Numbers that follow from published constants, worked out apart from the cards."""
    ling = load_law("moe_leverage")
    got = ling(ling.published["ling"], activation=0.031, G=12, C=1e22)
    assert float(got) == pytest.approx(7.24, abs=0.01)
    best = next(check for check in ling.checks if check.what == "argmax")
    found = best.got(lambda label: lambda **at: ling(ling.published[label], **at))
    assert found == pytest.approx(11.3, abs=0.05)
    farseer = load_law("farseer")
    at = {"N": [1e9, 6.4e9, 25.1e9], "D": [1e11, 1.3e11, 1.42e11]}
    surface = farseer(farseer.published["printed"], **at)
    np.testing.assert_allclose(surface, [0.49857, 0.44140, 0.41381], atol=1e-5)


def test_chinchilla_optima_at_gophers_budget():
    """The four sets' best size and tokens per parameter at 5.76e23 FLOPs, by closed form."""
    from bayescale.oracles import optimal_N

    law = load_law("chinchilla")
    expected = {
        "hoffmann": (3.22e10, 92.6),
        "hoffmann_tex": (4.04e10, 58.9),
        "besiroglu": (7.22e10, 18.4),
        "muennighoff": (7.00e10, 19.61),
    }
    for label, (size, ratio) in expected.items():
        params = law.published[label]
        N = optimal_N(lambda N, D, p=params: law(p, N=N, D=D), 5.76e23)
        assert pytest.approx(size, rel=0.003) == N
        assert 5.76e23 / 6 / N**2 == pytest.approx(ratio, rel=0.005)


FIRST = ("bottleneck", "chinchilla", "kaplan", "overtraining", "power_law")


@pytest.mark.parametrize("name", FIRST)
def test_the_first_cards_stand_as_they_did(name):
    """Every parameter pooled by family, gamma apart; every set checked, and every check holds."""
    law = load_law(name)
    for parameter in law.parameters.values():
        assert parameter.varies == ("family",) or (name, parameter.name) == ("bottleneck", "gamma")
    assert max(map(len, law.text.splitlines())) < 260
    assert (name == "bottleneck") != law.verified
    if law.verified:
        assert law.check()["ok"].all()
        assert set(law.published) == {check.set for check in law.checks}

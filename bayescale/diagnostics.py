"""Can a fit be believed: convergence gates, and summaries in the user's units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayescale.bends import is_weight
from bayescale.errors import BayescaleError
from bayescale.law import Law
from bayescale.model import FEW_LEVELS
from bayescale.nuts import MOST_DOUBLINGS
from bayescale.symptoms import funnel, separate_modes, too_few_runs, untold_floor

if TYPE_CHECKING:
    import xarray as xr

    from bayescale.fitting import Fit

MAX_RHAT = 1.01
MIN_ESS = 400.0
MAX_DIVERGENT = 0.001
MIN_BFMI = 0.3
MAX_DEEP = 0.01
PRIOR_CONFLICT = 3.0


@dataclass(frozen=True)
class Diagnosis:
    """What the diagnostics say of a fit.

    Attributes
    ----------
    ok : bool
        No problem refuses the fit's answers.
    problems : list of str
        What refuses it, each with its remedy.
    warnings : list of str
        What to know, without refusing.
    divergences : int
    max_rhat, min_ess_bulk, min_ess_tail : float
        Over population parameters, group sds and every group's parameters.
    min_bfmi : float
    """

    ok: bool
    problems: list[str]
    warnings: list[str]
    divergences: int
    max_rhat: float
    min_ess_bulk: float
    min_ess_tail: float
    min_bfmi: float

    def _repr_html_(self) -> str:
        from bayescale.display import answer_html

        head = "Diagnostics ok" if self.ok else "Diagnostics refuse this fit"
        return answer_html(head, self.problems, notes=self.warnings)

    def __str__(self) -> str:
        head = "diagnostics ok" if self.ok else "diagnostics refuse this fit"
        return "\n".join([head, *(f"  - {t}" for t in (*self.problems, *self.warnings))])


def flat_draws(posterior: xr.Dataset) -> tuple[list[str], np.ndarray]:
    """Names as printed and draws (chain, draw, parameter) of every posterior variable."""
    names: list[str] = []
    columns: list[np.ndarray] = []
    for name, variable in posterior.data_vars.items():
        values = variable.transpose("chain", "draw", ...).to_numpy()
        labels = variable.dims[2:]
        if not labels:
            names.append(str(name))
            columns.append(values[..., None])
            continue
        base = str(name).removesuffix(f"_by_{labels[0]}")
        names += [f"{base}[{label}]" for label in variable.coords[labels[0]].to_numpy()]
        columns.append(values)
    return names, np.concatenate(columns, axis=-1)


def convergence(draws: np.ndarray) -> pd.DataFrame:
    """Rank-normalised R-hat and bulk and tail ESS of draws (chain, draw, parameter)."""
    from arviz_stats.base import array_stats

    options = {"chain_axis": 0, "draw_axis": 1}
    return pd.DataFrame(
        {
            "ess_bulk": np.atleast_1d(array_stats.ess(draws, method="bulk", **options)),
            "ess_tail": np.atleast_1d(
                array_stats.ess(draws, method="tail", prob=(0.05, 0.95), **options)
            ),
            "r_hat": np.atleast_1d(array_stats.rhat(draws, method="rank", **options)),
        }
    )


def summary(fit: Fit, ci_prob: float | None = None, ci_kind: str | None = None) -> pd.DataFrame:
    """Every parameter with its interval and convergence.

    Parameters
    ----------
    fit : Fit
    ci_prob : float, optional
        Probability of the interval; ArviZ's ``stats.ci_prob`` where None.
    ci_kind : {"eti", "hdi"}, optional
        Equal-tailed or of highest density; ArviZ's ``stats.ci_kind`` where None.

    Returns
    -------
    pandas.DataFrame
        Indexed by name: ``alpha`` (population), ``alpha[dense]`` (a family's own),
        ``sd(alpha|family)``; columns mean, sd, median, lower, upper, ess_bulk, ess_tail, r_hat.
        ``attrs["ci_prob"]`` and ``attrs["ci_kind"]`` say which interval.

    Examples
    --------
    >>> import bayescale as bs
    >>> runs = bs.datasets.load("ladder").where("family == 'transformer-prose'")
    >>> fit = bs.fit(bs.load_law("chinchilla"), runs, progress=False)
    >>> "alpha" in bs.summary(fit).index
    True
    """
    prob, kind = interval_probability(ci_prob), interval_kind(ci_kind)
    names, draws = flat_draws(fit.data["posterior"].dataset)
    flat = draws.reshape(-1, draws.shape[-1])
    lower, upper = _interval(flat, prob, kind)
    table = pd.DataFrame(
        {
            "mean": flat.mean(axis=0),
            "sd": flat.std(axis=0, ddof=1),
            "median": np.median(flat, axis=0),
            "lower": lower,
            "upper": upper,
        }
    )
    table = pd.concat([table, convergence(draws)], axis=1)
    table.index = pd.Index(names, name="parameter")
    table.attrs |= {"ci_prob": prob, "ci_kind": kind}
    return table


def _interval(flat: np.ndarray, prob: float, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the interval of every column of draws (sample, parameter)."""
    if kind == "hdi":
        from arviz_stats.base import array_stats

        ends = array_stats.hdi(flat, prob=prob, axis=0)
        return ends[..., 0], ends[..., 1]
    tail = (1.0 - prob) / 2.0
    lower, upper = np.quantile(flat, [tail, 1.0 - tail], axis=0)
    return lower, upper


def interval_kind(kind: str | None = None) -> str:
    """The kind of interval asked for, or ArviZ's own default."""
    if kind is None:
        from arviz_base import rcParams

        kind = str(rcParams["stats.ci_kind"])
    if kind not in ("eti", "hdi"):
        raise BayescaleError(f"ci_kind is 'eti' or 'hdi', not {kind!r}")
    return kind


def interval_probability(prob: float | None = None) -> float:
    """The probability asked for, or ArviZ's own default."""
    if prob is None:
        from arviz_base import rcParams

        prob = float(rcParams["stats.ci_prob"])
    if not 0.0 < prob < 1.0:
        raise BayescaleError(f"an interval's probability lies between 0 and 1, not {prob}")
    return prob


def too_many_divergences(diverging: int, total: int) -> bool:
    """More than 0.1% of the draws, and more than a stray few."""
    return diverging > max(MAX_DIVERGENT * total, 4)


def diagnose(fit: Fit) -> Diagnosis:
    """Say whether a fit may be used, and what to do where not.

    Refuses on rank R-hat above 1.01, bulk or tail ESS below 400 of any law parameter, group sd or
    group's parameter, more than 0.1% divergent draws, E-BFMI below 0.3 (Vehtari et al. 2021;
    Betancourt 2016), or priors in conflict with the data. Warns of scattered divergences, deep
    trees, other modes, a floor that the data don't tell, and of group sds that few groups can't.
    Says of a refused fit where groups have fewer runs than parameters of their own.

    Returns
    -------
    Diagnosis
    """
    from arviz_stats.base import array_stats

    names, draws = flat_draws(fit.data["posterior"].dataset)
    table = convergence(draws)
    stats = fit.data["sample_stats"].dataset
    diverging = int(stats["diverging"].sum())
    total = int(stats["diverging"].size)
    bfmi = np.atleast_1d(array_stats.bfmi(stats["energy"].transpose("chain", "draw").to_numpy()))
    problems: list[str] = []
    warnings: list[str] = []

    def worst(column: str, sign: float) -> str:
        index = np.argsort(sign * table[column].to_numpy(), kind="stable")[-3:][::-1]
        return ", ".join(f"{names[i]} {table[column][i]:.4g}" for i in index)

    rhat, ess_bulk, ess_tail = (
        float(table["r_hat"].max()),
        float(table["ess_bulk"].min()),
        float(table["ess_tail"].min()),
    )
    more = "run longer (draws=, warmup= doubled) or add prior information on the worst parameters"
    if not rhat <= MAX_RHAT:
        modes = separate_modes(names, draws)
        if modes is not None and not too_many_divergences(diverging, total):
            problems.append(modes)  # chains that diverge are stuck, and at rest nowhere
        problems.append(f"chains disagree: R-hat above {MAX_RHAT} ({worst('r_hat', 1)}); {more}")
    if not ess_bulk >= MIN_ESS:
        problems.append(
            f"too few effective draws: bulk ESS below {MIN_ESS:.0f}"
            f" ({worst('ess_bulk', -1)}); {more}"
        )
    if not ess_tail >= MIN_ESS:
        problems.append(
            f"interval ends are not settled: tail ESS below {MIN_ESS:.0f}"
            f" ({worst('ess_tail', -1)}); {more}"
        )
    if too_many_divergences(diverging, total):
        problems.append(
            f"{diverging} of {total} draws diverged: part of the posterior was not reached;"
            f" raise target_accept to 0.99 or give tighter priors"
        )
        if gathered := funnel(names, draws, stats["diverging"].to_numpy().astype(bool)):
            problems.append(gathered)
    elif diverging:
        warnings.append(f"{diverging} scattered divergences in {total} draws")
    if float(np.min(bfmi)) < MIN_BFMI:
        problems.append(
            f"E-BFMI {float(np.min(bfmi)):.2f} is below {MIN_BFMI}: the tails were not explored;"
            f" run a longer warm-up or pool less"
        )
    if problems and (crowded := too_few_runs(fit)):
        problems.append(crowded)
    deep = float((stats["n_steps"] >= 2**MOST_DOUBLINGS - 1).mean())
    if deep > MAX_DEEP:
        warnings.append(f"{deep:.1%} of the draws hit the tree depth limit: the fit is slow")
    problems += _prior_conflict(fit)
    warnings += _prior_warnings(fit)
    warnings += list(fit.mode_notes)
    return Diagnosis(
        not problems,
        problems,
        warnings,
        diverging,
        rhat,
        ess_bulk,
        ess_tail,
        float(np.min(bfmi)),
    )


def _prior_conflict(fit: Fit) -> list[str]:
    z = fit.prior_z
    if not abs(z) > PRIOR_CONFLICT:
        return []
    column = fit.law.response.column
    what = fit.model.structure.likelihood.link.words(column)
    units = "N, D and loss" if column == "loss" else f"its columns and {column}"
    return [
        f"prior and data conflict: the mean observed {what} lies {z:+.1f} prior predictive sd"
        f" from the prior's mean; look at prior_summary and at the units of {units}"
    ]


def _prior_warnings(fit: Fit) -> list[str]:
    floor = untold_floor(fit)
    out = [] if floor is None else [floor]
    for factor in fit.model.structure.grouping:
        if 2 < len(factor.levels) < FEW_LEVELS and factor.learned_index:
            out.append(
                f"only {len(factor.levels)} levels of {factor.name}: its group sds are mostly prior"
                f" (see prior_summary)"
            )
    return out


def prior_summary(law_or_fit: Law | Fit) -> pd.DataFrame:
    """Priors as written, in words, and for a fit in the user's units beside the posterior.

    Returns
    -------
    pandas.DataFrame
        Indexed by parameter: prior, on (what the prior is of), prior_lower, prior_median,
        prior_upper (95%, in the card's units at the data's reference; a share for a bare law),
        why; for a fit also posterior_lower, posterior_median, posterior_upper.
    """
    if isinstance(law_or_fit, Law):
        return _law_priors(law_or_fit)
    return _fit_priors(law_or_fit)


def _of(parameter: Any) -> str:
    share = getattr(parameter, "share", None)
    if share is None or getattr(parameter, "on", "value") == "value":
        return "value"
    if parameter.of == "one":
        return f"{share.text} at the reference"
    loss = "smallest loss" if parameter.of == "smallest" else "typical loss"
    return f"{share.text} / {loss} at the reference"


def _law_priors(law: Law) -> pd.DataFrame:
    rows = []
    for p in law.parameters.values():
        low, middle, high = p.prior.quantile([0.025, 0.5, 0.975])
        rows.append((p.name, p.prior.text, _of(p), low, middle, high, p.why))
        for group in p.varies:
            low, middle, high = p.group_sd.quantile([0.025, 0.5, 0.975])
            name = f"sd({p.name}|{group})"
            rows.append((name, p.group_sd.text, "relative change", low, middle, high, ""))
        for slope in p.slopes:
            low, middle, high = slope.prior.quantile([0.025, 0.5, 0.975])
            rows.append((slope.name, slope.prior.text, "value", low, middle, high, slope.about))
    columns = ["parameter", "prior", "on", "prior_lower", "prior_median", "prior_upper", "why"]
    return pd.DataFrame(rows, columns=columns).set_index("parameter")


def _fit_priors(fit: Fit) -> pd.DataFrame:
    from bayescale.population_prior import sample_population_prior

    rng = np.random.default_rng(20)
    _, values = sample_population_prior(fit.model, rng, 20_000)
    posterior = fit.data["posterior"].dataset
    rows = []
    for i, p in enumerate(fit.model.structure.parameters):
        if i not in fit.model.structure.free or is_weight(p.name):
            continue
        prior = np.quantile(values[p.name], [0.025, 0.5, 0.975])
        after = np.quantile(posterior[p.name].to_numpy(), [0.025, 0.5, 0.975])
        why = getattr(p, "why", "") or p.about
        rows.append((p.name, p.prior.text, _of(p), *prior, *after, why))
    for factor in fit.model.structure.factors:
        for k in factor.learned_index:
            p = fit.model.structure.parameters[factor.varied[k]]
            name = fit.model.structure.sd_name(factor, k)
            prior = p.group_sd.quantile([0.025, 0.5, 0.975])
            after = np.quantile(posterior[name].to_numpy(), [0.025, 0.5, 0.975])
            on, why = ("value", p.about) if is_weight(p.name) else ("relative change", "")
            rows.append((name, p.group_sd.text, on, *prior, *after, why))
    names = ["prior", "on", "prior_lower", "prior_median", "prior_upper"]
    names += ["posterior_lower", "posterior_median", "posterior_upper", "why"]
    return pd.DataFrame(rows, columns=["parameter", *names]).set_index("parameter")

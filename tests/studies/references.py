"""The same hierarchical posterior by other programs, to hold ours against.

    python tests/studies/references.py pymc [--draws N]   (wants PyMC and nutpie, not bayescale)
    python tests/studies/references.py stan [--draws N]   (wants pystan and arviz-stats)
    python tests/studies/references.py compare            (bayescale beside what the others left)

Four simulated families of the law `chinchilla` with its own priors and Student-t scatter:
population, spreads between families, every family's parameters. Both models are written out here
by hand, from the card and not from our code. `results/references.csv` has mean, sd and quantiles
of every parameter with their Monte Carlo errors; `compare` fits the same rows and needs neither
program. Agreement (rulings 13): means within 4 Monte Carlo standard errors, sds within 10%, 2.5 and
97.5% quantiles within 4 of theirs. The families' floors and heights are centred, which twelve runs
tell well, their exponents not, whose spreads are near 0.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from tests.simulate import FOUR_FAMILIES, ladder  # noqa: E402

FOUND = HERE / "results" / "references.csv"
COMPARED = HERE / "results" / "references_compared.csv"
CHAINS, WARMUP = 4, 2000
TERMS = ("E", "A", "B")
EXPONENTS = ("alpha", "beta")


def rows() -> pd.DataFrame:
    """What is fitted: 4 families of 12 runs."""
    return ladder(
        families=FOUR_FAMILIES, sizes=(1e6, 1e7, 1e8, 1e9), tokens=(1e8, 1e9, 1e10), seed=11
    )


def data() -> dict:
    """The rows as both models take them; priors hold at geometric means."""
    table = rows()
    families = list(dict.fromkeys(table["family"]))
    log_n, log_d = np.log(table["N"].to_numpy()), np.log(table["D"].to_numpy())
    log_loss = np.log(table["loss"].to_numpy())
    return {
        "families": families,
        "family": table["family"].map({f: i for i, f in enumerate(families)}).to_numpy(),
        "n": log_n - log_n.mean(),
        "d": log_d - log_d.mean(),
        "y": log_loss,
        "log_n": log_n.mean(),
        "log_d": log_d.mean(),
        "typical": log_loss.mean(),
        "smallest": log_loss.min(),
    }


def in_units(draws: dict[str, np.ndarray], given: dict) -> dict[str, np.ndarray]:
    """Draws (chain, draw) of everything by our names, from log shares and log exponents.

    `draws` has E, A, B (log contributions at the reference), alpha, beta (logs), each as
    "E" (population) and "E[family]", the spreads as "sd(E)", and sigma, nu.
    """
    found: dict[str, np.ndarray] = {"sigma": draws["sigma"], "nu": draws["nu"]}
    for suffix in ("", *(f"[{f}]" for f in given["families"])):
        alpha, beta = np.exp(draws[f"alpha{suffix}"]), np.exp(draws[f"beta{suffix}"])
        found[f"alpha{suffix}"], found[f"beta{suffix}"] = alpha, beta
        found[f"E{suffix}"] = np.exp(draws[f"E{suffix}"])
        found[f"log A{suffix}"] = draws[f"A{suffix}"] + alpha * given["log_n"]
        found[f"log B{suffix}"] = draws[f"B{suffix}"] + beta * given["log_d"]
    for name in (*TERMS, *EXPONENTS):
        found[f"sd({name}|family)"] = draws[f"sd({name})"]
    return found


def summarised(draws: dict[str, np.ndarray], rhat, ess, mcse_mean, mcse_quantile) -> pd.DataFrame:
    """A row a parameter; the functions take arrays (chain, draw)."""
    told = []
    for name, values in draws.items():
        told.append(
            {
                "parameter": name,
                "mean": values.mean(),
                "sd": values.std(ddof=1),
                "q2.5": np.quantile(values, 0.025),
                "q97.5": np.quantile(values, 0.975),
                "mcse_mean": mcse_mean(values),
                "mcse_q2.5": mcse_quantile(values, 0.025),
                "mcse_q97.5": mcse_quantile(values, 0.975),
                "ess": ess(values),
                "r_hat": rhat(values),
            }
        )
    return pd.DataFrame(told)


def keep(program: str, table: pd.DataFrame, packages: tuple[str, ...], seed: int) -> None:
    versions = ", ".join(
        [f"python {platform.python_version()}", *(f"{p} {version(p)}" for p in packages)]
    )
    table = table.assign(
        program=program,
        seed=seed,
        versions=versions,
        command=shlex.join(["python", "tests/studies/references.py", *sys.argv[1:]]),
    )
    known = pd.read_csv(FOUND) if FOUND.exists() else pd.DataFrame()
    known = known[known["program"] != program] if len(known) else known
    draft = FOUND.with_name(f".{FOUND.name}.{os.getpid()}")
    pd.concat([known, table]).to_csv(draft, index=False, float_format="%.8g", lineterminator="\n")
    os.replace(draft, FOUND)
    print(table[["parameter", "mean", "sd", "ess", "r_hat"]].to_string())


def with_pymc(seed: int, count: int) -> None:
    """Terms centred and exponents not; nutpie's NUTS with a mass matrix of low rank."""
    import arviz as az
    import nutpie
    import pymc as pm

    given = data()
    families = len(given["families"])
    with pm.Model() as model:
        centre = {
            "E": pm.Normal("E", np.log(0.6) + given["smallest"], 0.4),
            "A": pm.Normal("A", np.log(0.15) + given["typical"], 1.0),
            "B": pm.Normal("B", np.log(0.15) + given["typical"], 1.0),
            "alpha": pm.Normal("alpha", np.log(0.35), 0.4),
            "beta": pm.Normal("beta", np.log(0.35), 0.4),
        }
        own = {}
        for name, middle in centre.items():
            spread = pm.HalfNormal(f"sd({name})", 0.15 if name in EXPONENTS else 0.3)
            if name in TERMS:
                own[name] = pm.Normal(f"own {name}", middle, spread, shape=families)
            else:
                z = pm.Normal(f"z {name}", 0.0, 1.0, shape=families)
                own[name] = pm.Deterministic(f"own {name}", middle + spread * z)
        at = given["family"]
        loss = (
            pm.math.exp(own["E"][at])
            + pm.math.exp(own["A"][at] - pm.math.exp(own["alpha"][at]) * given["n"])
            + pm.math.exp(own["B"][at] - pm.math.exp(own["beta"][at]) * given["d"])
        )
        sigma = pm.LogNormal("sigma", np.log(0.01), 1.0)
        nu = pm.Deterministic("nu", 2.0 + pm.Gamma("nu - 2", 2.0, 0.1))
        pm.StudentT("y", nu=nu, mu=pm.math.log(loss), sigma=sigma, observed=given["y"])
    trace = nutpie.sample(
        nutpie.compile_pymc_model(model),
        draws=count,
        tune=WARMUP,
        chains=CHAINS,
        cores=len(os.sched_getaffinity(0)),
        seed=seed,
        target_accept=0.98,
        low_rank_modified_mass_matrix=True,
        progress_bar=False,
    )
    posterior = trace["posterior"]
    draws = {name: posterior[name].to_numpy() for name in (*centre, "sigma", "nu")}
    for name in centre:
        draws[f"sd({name})"] = posterior[f"sd({name})"].to_numpy()
        for i, family in enumerate(given["families"]):
            draws[f"{name}[{family}]"] = posterior[f"own {name}"].to_numpy()[..., i]
    keep("pymc", _by_arviz(in_units(draws, given), az), ("pymc", "nutpie", "numpy"), seed)


def _by_arviz(draws: dict[str, np.ndarray], az) -> pd.DataFrame:
    try:
        from arviz_stats.base import array_stats as stats

        axes = {"chain_axis": 0, "draw_axis": 1}
        return summarised(
            draws,
            lambda v: float(stats.rhat(v, method="rank", **axes)),
            lambda v: float(stats.ess(v, method="bulk", **axes)),
            lambda v: float(stats.mcse(v, method="mean", **axes)),
            lambda v, p: float(stats.mcse(v, method="quantile", prob=p, **axes)),
        )
    except ImportError:
        return summarised(
            draws,
            lambda v: float(az.rhat(v)),
            lambda v: float(az.ess(v)),
            lambda v: float(az.mcse(v)),
            lambda v, p: float(az.mcse(v, method="quantile", prob=p)),
        )


STAN = """
data {
  int R; int F;
  array[R] int family;
  vector[R] n; vector[R] d; vector[R] y;
  real typical; real smallest;
}
parameters {
  vector[5] centre;
  vector<lower=0>[5] spread;
  matrix[3, F] term;
  matrix[2, F] z;
  real<lower=0> sigma;
  real<lower=2> nu;
}
transformed parameters {
  matrix[5, F] own;
  own[1:3] = term;
  own[4:5] = rep_matrix(centre[4:5], F) + diag_pre_multiply(spread[4:5], z);
}
model {
  centre[1] ~ normal(log(0.6) + smallest, 0.4);
  centre[2] ~ normal(log(0.15) + typical, 1);
  centre[3] ~ normal(log(0.15) + typical, 1);
  centre[4] ~ normal(log(0.35), 0.4);
  centre[5] ~ normal(log(0.35), 0.4);
  spread[1:3] ~ normal(0, 0.3);
  spread[4:5] ~ normal(0, 0.15);
  for (k in 1:3) term[k] ~ normal(centre[k], spread[k]);
  to_vector(z) ~ std_normal();
  sigma ~ lognormal(log(0.01), 1);
  nu - 2 ~ gamma(2, 0.1);
  for (r in 1:R) {
    int f = family[r];
    y[r] ~ student_t(nu, log_sum_exp({own[1, f], own[2, f] - exp(own[4, f]) * n[r],
                                      own[3, f] - exp(own[5, f]) * d[r]}), sigma);
  }
}
"""


def with_stan(seed: int, count: int) -> None:
    """The same in Stan, through pystan."""
    import stan

    given = data()
    names = (*TERMS, *EXPONENTS)
    told = {k: given[k].tolist() for k in ("n", "d", "y")}
    told |= {"R": len(given["y"]), "F": len(given["families"])}
    told |= {"family": (given["family"] + 1).tolist()}
    told |= {k: float(given[k]) for k in ("typical", "smallest")}
    fitted = stan.build(STAN, data=told, random_seed=seed).sample(
        num_chains=CHAINS, num_samples=count, num_warmup=WARMUP, delta=0.98
    )

    def by_chain(values: np.ndarray) -> np.ndarray:
        return values.reshape(count, CHAINS).T

    draws = {"sigma": by_chain(fitted["sigma"][0]), "nu": by_chain(fitted["nu"][0])}
    for k, name in enumerate(names):
        draws[name] = by_chain(fitted["centre"][k])
        draws[f"sd({name})"] = by_chain(fitted["spread"][k])
        for i, family in enumerate(given["families"]):
            draws[f"{name}[{family}]"] = by_chain(fitted["own"][k, i])
    keep("stan", _by_arviz(in_units(draws, given), None), ("pystan", "httpstan", "numpy"), seed)


def ours(seed: int = 0, draws: int = 2000):
    """Our fit of the same rows, and its summary by the same names."""
    from arviz_stats.base import array_stats as stats

    import bayescale as bs
    from bayescale.diagnostics import flat_draws

    fit = bs.fit(
        bs.load_law("chinchilla"),
        rows(),
        discrepancy="none",
        seed=seed,
        draws=draws,
        progress=False,
    )
    names, values = flat_draws(fit.data["posterior"].dataset)
    found = {}
    for name, column in zip(names, np.moveaxis(values, -1, 0), strict=True):
        if name.partition("[")[0] in ("A", "B"):
            found[f"log {name}"] = np.log(column)
        else:
            found[name] = column
    return fit, _by_arviz(found, stats)


def compared(mine: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Differences in Monte Carlo standard errors, and the ratio of sds, for every parameter."""
    both = theirs.set_index("parameter").join(mine.set_index("parameter").add_suffix("_ours"))
    told = pd.DataFrame({"sd_ratio": both["sd_ours"] / both["sd"]})
    for what in ("mean", "q2.5", "q97.5"):
        error = np.hypot(both[f"mcse_{what}"], both[f"mcse_{what}_ours"])
        told[f"z_{what}"] = (both[f"{what}_ours"] - both[what]) / error
    return told


def compare() -> None:
    from record import provenance, write

    _, mine = ours()
    theirs = pd.read_csv(FOUND)
    tables = []
    for program, part in theirs.groupby("program"):
        table = compared(mine, part)
        worst = table.filter(like="z_").abs().max().max()
        ratio = table["sd_ratio"]
        print(
            f"{program}: {len(table)} parameters, largest difference {worst:.1f} standard errors,"
        )
        print(f"    sds {ratio.min():.3f} to {ratio.max():.3f} of theirs")
        tables.append(table.reset_index().assign(program=program, **provenance(0)))
    write(COMPARED, pd.concat(tables))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["pymc", "stan", "compare"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--draws", type=int, default=10_000)
    given = parser.parse_args()
    if given.what == "compare":
        compare()
    else:
        {"pymc": with_pymc, "stan": with_stan}[given.what](given.seed, given.draws)


if __name__ == "__main__":
    main()

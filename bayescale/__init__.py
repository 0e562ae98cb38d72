"""Hierarchical Bayesian scaling laws: from training runs to intervals, plans and choices.

Read runs, take a law, fit a posterior; then predict a target, allocate compute or compare
recipes. Every name below is loaded when it is first used, so `import bayescale` itself
brings in neither JAX nor matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same table as `_HOME`, for editors and type checkers
    from bayescale import costs as costs
    from bayescale import datasets as datasets
    from bayescale import goals as goals
    from bayescale import plots as plots
    from bayescale.allocation import Allocation as Allocation
    from bayescale.allocation import allocate as allocate
    from bayescale.averages import Average as Average
    from bayescale.averages import average as average
    from bayescale.backtesting import Backtest as Backtest
    from bayescale.backtesting import backtest as backtest
    from bayescale.baseline_forecasts import baselines as baselines
    from bayescale.beliefs import Belief as Belief
    from bayescale.beliefs import StatedPriors as StatedPriors
    from bayescale.beliefs import belief as belief
    from bayescale.catalog import laws as laws
    from bayescale.catalog import load_law as load_law
    from bayescale.choosing_runs import next_runs as next_runs
    from bayescale.configuration import configure as configure
    from bayescale.diagnostics import diagnose as diagnose
    from bayescale.diagnostics import prior_summary as prior_summary
    from bayescale.diagnostics import summary as summary
    from bayescale.effects import conditional_effects as conditional_effects
    from bayescale.elicitation import elicit as elicit
    from bayescale.elpd_tables import loo_compare as loo_compare
    from bayescale.errors import BayescaleError as BayescaleError
    from bayescale.errors import ConvergenceError as ConvergenceError
    from bayescale.errors import DataError as DataError
    from bayescale.errors import FormulaError as FormulaError
    from bayescale.errors import LawError as LawError
    from bayescale.errors import UnsettledError as UnsettledError
    from bayescale.fitting import Fit as Fit
    from bayescale.fitting import fit as fit
    from bayescale.formula_laws import law_from_formula as law_from_formula
    from bayescale.hypotheses import hypothesis as hypothesis
    from bayescale.knowing import value_of_knowing as value_of_knowing
    from bayescale.ladder_plans import plan_ladder as plan_ladder
    from bayescale.law import Law as Law
    from bayescale.law_weights import backtest_average as backtest_average
    from bayescale.law_weights import compare_laws as compare_laws
    from bayescale.leave_out import LeftOut as LeftOut
    from bayescale.leave_out import kfold as kfold
    from bayescale.leave_out import lfo as lfo
    from bayescale.leave_out import loo as loo
    from bayescale.machine import Machine as Machine
    from bayescale.machine import doctor as doctor
    from bayescale.many_fits import ManyFits as ManyFits
    from bayescale.many_fits import fit_many as fit_many
    from bayescale.plots.predictive import pp_check as pp_check
    from bayescale.prediction import Prediction as Prediction
    from bayescale.prediction import predict as predict
    from bayescale.prior_check import prior_predictive as prior_predictive
    from bayescale.published_priors import preset as preset
    from bayescale.published_priors import presets as presets
    from bayescale.recipe_metrics import compare_metrics as compare_metrics
    from bayescale.recipes import RecipeComparison as RecipeComparison
    from bayescale.recipes import compare_recipes as compare_recipes
    from bayescale.replicates import posterior_predictive as posterior_predictive
    from bayescale.reporting import report as report
    from bayescale.runs import Runs as Runs
    from bayescale.runs import read_runs as read_runs
    from bayescale.schedule_columns import with_schedules as with_schedules
    from bayescale.schedules import Schedule as Schedule
    from bayescale.sensitivity import power_sensitivity as power_sensitivity
    from bayescale.sensitivity import psense as psense
    from bayescale.storage import load as load
    from bayescale.storage import save as save
    from bayescale.sweeps import least_compute as least_compute
    from bayescale.sweeps import sweep_budgets as sweep_budgets
    from bayescale.tuning import optimise as optimise

__version__ = "0.1.0"

_CONTENTS = {  # module: the public names that live there
    "allocation": ("Allocation", "allocate"),
    "averages": ("Average", "average"),
    "backtesting": ("Backtest", "backtest"),
    "baseline_forecasts": ("baselines",),
    "beliefs": ("Belief", "StatedPriors", "belief"),
    "catalog": ("laws", "load_law"),
    "choosing_runs": ("next_runs",),
    "configuration": ("configure",),
    "diagnostics": ("diagnose", "prior_summary", "summary"),
    "effects": ("conditional_effects",),
    "elicitation": ("elicit",),
    "elpd_tables": ("loo_compare",),
    "errors": (
        "BayescaleError",
        "ConvergenceError",
        "DataError",
        "FormulaError",
        "LawError",
        "UnsettledError",
    ),
    "fitting": ("Fit", "fit"),
    "formula_laws": ("law_from_formula",),
    "hypotheses": ("hypothesis",),
    "knowing": ("value_of_knowing",),
    "ladder_plans": ("plan_ladder",),
    "law": ("Law",),
    "law_weights": ("backtest_average", "compare_laws"),
    "leave_out": ("LeftOut", "kfold", "lfo", "loo"),
    "machine": ("Machine", "doctor"),
    "many_fits": ("ManyFits", "fit_many"),
    "plots.predictive": ("pp_check",),
    "prediction": ("Prediction", "predict"),
    "published_priors": ("preset", "presets"),
    "prior_check": ("prior_predictive",),
    "recipe_metrics": ("compare_metrics",),
    "recipes": ("RecipeComparison", "compare_recipes"),
    "replicates": ("posterior_predictive",),
    "reporting": ("report",),
    "runs": ("Runs", "read_runs"),
    "schedule_columns": ("with_schedules",),
    "schedules": ("Schedule",),
    "sensitivity": ("power_sensitivity", "psense"),
    "storage": ("load", "save"),
    "sweeps": ("least_compute", "sweep_budgets"),
    "tuning": ("optimise",),
}
_SUBMODULES = ("costs", "datasets", "goals", "plots")
_HOME = {name: module for module, names in _CONTENTS.items() for name in names}

__all__ = sorted([*_HOME, *_SUBMODULES])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Load a public name at its first use (PEP 562)."""
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name in _HOME:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names beside what is already loaded."""
    return sorted({*globals(), *__all__})

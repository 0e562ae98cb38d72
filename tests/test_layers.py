"""Modules import downwards only, and never in a circle."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "bayescale"

# Each module may import from its own line and from the lines above it.
LAYERS = """
errors interruptions precision progress display files
configuration functions roots
grammar
latex formula priors prior_table conditions
columns cells tables responses schedules
products sources
links covariates card elements indices indexed_names indexed_parameters indexed_checks indexed_card
optimum schedule_columns oracle_tables oracles costs compute law_text card_changes factors law
walks bends drawn_laws
catalog formula_laws optimum_many frontiers surfaces budgets regressions information criteria
supports group_columns
runs identifiability simplexes rows
upstream dataset_collections dataset_tables dataset_files
dataset_cards datasets templates
places kernels gammas tails noise likelihoods
model model_from_runs coordinates ridge density cholesky
spreads gathered_cells settling quadratic elimination geometry
conditioned
population_prior group_likelihood candidates scatter_freedom hierarchical_mode starts
prior_check beliefs elicitation published_priors
adaptation nuts potential sampling effort quick_convergence lanes numpyro_model posterior_tree
symptoms framing fitting averages diagnostics storage shelf many_fits machine
measured targets predictive_draws other_texts prediction_words prediction sensitivity what_changes
floor_priors
scoring splits pointfits baseline_forecasts backtesting
mixture_weights refitting held_out scale_blocks leave_out law_misses law_weights elpd_tables
hypotheses replicates effects
allocation arms sweeps tuning recipe_questions recipe_curves recipe_metrics recipes
goals misfit evidence knowing choosing_runs ladder_plans
plots
reporting
demo cli
__main__
"""
RANK = {module: rank for rank, line in enumerate(LAYERS.split("\n")) for module in line.split()}


@cache
def modules() -> dict[str, list[Path]]:
    """Every module of the package with its files; a folder counts as one module."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path != PACKAGE / "__init__.py":  # the table of contents names them all
            name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
            found.setdefault(name, []).append(path)
    return found


def imported(paths: list[Path], own: str) -> set[str]:
    """The package's modules that files import anywhere, but for annotations alone."""
    names: set[str] = set()
    for path in paths:
        for node in running_nodes(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path.name}: write imports from bayescale in full"
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in names]
    return {p[1] for p in parts if p[0] == "bayescale" and len(p) > 1 and p[1] in modules()} - {own}


def running_nodes(node: ast.AST):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
            continue
        yield child
        yield from running_nodes(child)


@pytest.mark.parametrize("name", modules())
def test_imports_only_from_its_own_line_and_above(name):
    assert name in RANK, f"{name} has no place yet: write it into LAYERS"
    upwards = sorted(m for m in imported(modules()[name], name) if RANK.get(m, -1) > RANK[name])
    assert not upwards, f"bayescale.{name} imports from layers above it: {upwards}"


def test_no_circle():
    graph = {name: imported(paths, name) for name, paths in modules().items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"modules import each other in a circle: {' <- '.join(error.args[1])}")


def test_the_reader_of_imports_sees_them():
    tree = (
        "import os\nif TYPE_CHECKING:\n    from bayescale import plots\ndef f():\n    import json\n"
    )
    seen = [n.names[0].name for n in running_nodes(ast.parse(tree)) if isinstance(n, ast.Import)]
    assert seen == ["os", "json"]
    assert "errors" in imported(modules()["formula"], "formula")

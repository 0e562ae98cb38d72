"""The table of contents: light to import, complete, and each name what it claims to be."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import bayescale as bs
from bayescale.errors import BayescaleError


def in_a_new_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_is_light():
    heavy = "{'jax', 'jaxlib', 'numpyro', 'matplotlib', 'arviz_stats', 'scipy', 'pandas'}"
    code = f"import sys, bayescale; dir(bayescale); print(sorted({heavy} & set(sys.modules)))"
    assert in_a_new_process(code) == "[]"


def test_reading_a_law_and_runs_needs_no_jax():
    code = (
        "import sys, bayescale as bs; law = bs.load_law('chinchilla'); bs.laws(); bs.read_runs;"
        "law({'E': 1.7, 'A': 400.0, 'alpha': 0.3, 'B': 400.0, 'beta': 0.3}, N=1e9, D=1e10);"
        "print(sorted({'jax', 'numpyro', 'matplotlib'} & set(sys.modules)))"
    )
    assert in_a_new_process(code) == "[]"


def test_importing_leaves_jax_as_it_was():
    code = (
        "import jax; before = dict(jax.config.values); import bayescale, pkgutil, importlib\n"
        "for m in pkgutil.iter_modules(bayescale.__path__):\n"
        "    if m.name != '__main__': importlib.import_module('bayescale.' + m.name)\n"
        "after = dict(jax.config.values)\n"
        "print(sorted(k for k in before if before[k] != after[k]))"
    )
    assert in_a_new_process(code) == "[]"


@pytest.fixture(scope="module")
def every_module_loaded() -> None:
    for module in pkgutil.iter_modules(bs.__path__):
        if module.name != "__main__":
            importlib.import_module(f"bayescale.{module.name}")


@pytest.mark.parametrize("name", bs.__all__)
def test_a_public_name_is_there_and_no_module_hides_it(name, every_module_loaded):
    value = getattr(bs, name)
    assert isinstance(value, ModuleType) == (name in {"costs", "datasets", "goals", "plots"})
    assert inspect.getdoc(value), f"bayescale.{name} has no docstring"
    assert name in dir(bs)
    if inspect.isclass(value):
        for method, member in vars(value).items():
            if inspect.isfunction(member) and not method.startswith("_"):
                assert inspect.getdoc(member), f"bayescale.{name}.{method} has no docstring"


def test_the_lists_for_people_and_for_editors_agree(checkout):
    text = (checkout / "bayescale" / "__init__.py").read_text(encoding="utf-8")
    for module, names in bs._CONTENTS.items():
        for name in names:
            assert f"    from bayescale.{module} import {name} as {name}\n" in text
    assert text.count(" as ") - text.count("import bayescale as") == len(bs.__all__) + 1


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        _ = bs.fitt


def test_errors_are_of_one_kind():
    kinds = [bs.FormulaError, bs.LawError, bs.DataError, bs.ConvergenceError]
    assert all(issubclass(kind, BayescaleError) and issubclass(kind, ValueError) for kind in kinds)


def test_configure_sets_what_it_is_asked_and_only_in_its_process(tmp_path):
    code = (
        "import bayescale as bs, jax, jax.numpy as jnp;"
        f"bs.configure(cache_dir={str(tmp_path / 'cache')!r}, devices=2, x64=True);"
        "print(jax.config.jax_compilation_cache_dir, jax.device_count('cpu'), jnp.ones(1).dtype)"
    )
    assert in_a_new_process(code) == f"{tmp_path / 'cache'} 2 float64"
    assert (tmp_path / "cache").is_dir()


def test_configure_says_what_cannot_be():
    with pytest.raises(BayescaleError, match="devices is 0"):
        bs.configure(devices=0)
    code = (
        "import jax.numpy as jnp, bayescale as bs; jnp.ones(1)\n"
        "try: bs.configure(devices=3)\n"
        "except bs.BayescaleError as error: print(error)"
    )
    assert "already started" in in_a_new_process(code)


def test_a_cache_folder_that_is_a_file_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        bs.configure(cache_dir=tmp_path / "file")


def test_x64_is_entered_by_each_thread_and_leaves_nothing_behind():
    code = (
        "import threading, jax, jax.numpy as jnp\n"
        "from bayescale.precision import x64\n"
        "seen = []\n"
        "@x64()\n"
        "def work(): seen.append(str(jnp.ones(1).dtype))\n"
        "threads = [threading.Thread(target=work) for _ in range(2)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "with x64(): work(); seen.append(str(jnp.ones(1).dtype))\n"
        "seen.append(str(jnp.ones(1).dtype)); print(*seen, jax.config.jax_enable_x64)"
    )
    assert in_a_new_process(code) == "float64 float64 float64 float64 float32 False"

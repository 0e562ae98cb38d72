"""Compiling small programs for a processor: whole functions as single kernels, on one core.

XLA runs a program on a CPU as a list of small kernels, each of which costs more to start than our
arrays cost to work through. It can make one kernel of a called function instead, which is three to
five times faster here. Chains run side by side, so no kernel is spread over cores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Array = Any
Wrap = Callable[[Callable], Callable]

_OPTIONS: tuple[dict[str, str | bool], ...] = (
    # libraries for large products, which one kernel can't call
    {"xla_cpu_multi_thread_eigen": False, "xla_cpu_experimental_ynn_fusion_type": ""},
    {"xla_cpu_multi_thread_eigen": False},
    {},
)
# Levels of LLVM's passes. Those above 1 take longer and make these programs no faster; the program
# of a start, run a few hundred times, is done at level 0 before level 1 has compiled it.
_LASTING, _BRIEF = "1", "0"


def one_kernel(function: Callable) -> Callable:
    """Have XLA compile `function`, wherever it is called in a program, as one kernel.

    The attributes that ask for it are read on a CPU only. Functions that call into libraries
    (LAPACK), sort or scatter can't be compiled so.
    """
    import jax
    from jax.experimental.xla_metadata import set_xla_metadata

    @jax.jit
    def plain(*arguments: Any) -> Any:
        with set_xla_metadata(inlineable=None, xla_cpu_small_call=None):  # not what it calls
            return function(*arguments)

    def called(*arguments: Any) -> Any:
        with set_xla_metadata(inlineable="false", xla_cpu_small_call="true"):
            return plain(*arguments)

    return called


def as_it_is(function: Callable) -> Callable:
    """`function` itself, in the place of `one_kernel`."""
    return function


def _level(brief: bool) -> dict[str, str | bool]:
    import jax

    if jax.config.read("jax_disable_most_optimizations"):
        return {}
    return {"xla_backend_optimization_level": _BRIEF if brief else _LASTING}


def compile_small(
    build: Callable[[Wrap], Callable], *arguments: Any, kernels: bool = True, brief: bool = False
) -> Any:
    """Compile ``build(wrap)`` for these arguments; `wrap` makes one kernel of a function, or not.

    Parameters
    ----------
    build : callable
        Gives the function to compile; parts that it wraps become single kernels where XLA can.
    *arguments
        Trees of arrays of the shapes to compile for.
    kernels : bool
        Whether `wrap` makes kernels at all.
    brief : bool
        Whether it will run for less time than it takes to optimise.
    """
    import jax

    if jax.default_backend() != "cpu":
        return jax.jit(build(as_it_is)).lower(*arguments).compile()
    for wrap in (one_kernel, as_it_is) if kernels else (as_it_is,):
        lowered = jax.jit(build(wrap)).lower(*arguments)
        for options in _OPTIONS:
            try:
                return lowered.compile(compiler_options={**options, **_level(brief)} or None)
            except jax.errors.JaxRuntimeError:  # an option or a kernel that this XLA has not
                continue
    raise RuntimeError("XLA compiles this program with no options")

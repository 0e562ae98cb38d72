"""Training FLOPs of architectures in which not every parameter works once for every token."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bayescale.costs.base import SIX_ND, Cost, Floats, fraction_field, in_flops, positive_fields
from bayescale.errors import DataError

_PARAMETERS_A_LAYER = 12.0  # times d_model squared: attention 4, feed-forward of four widths 8


@dataclass(frozen=True)
class Transformer:
    """Counted FLOPs of a decoder: weights, attention over the context, and the output head.

    N counts no embeddings. The shape follows from it: 12 layers d_model^2 = N at a fixed ratio of
    width to depth.

    Parameters
    ----------
    context
        Tokens of a sequence.
    vocabulary
        Entries of the output head; 0 leaves the head out.
    aspect
        d_model / layers.

    References
    ----------
    Kaplan et al. (2020), arXiv:2001.08361, table 1: forward 2 N + 2 layers context d_model a
    token, and the head 2 d_model vocabulary; training is three times the forward pass.

    Examples
    --------
    >>> cost = Transformer(context=2048, vocabulary=50257)
    >>> round(float(cost.flops(1e9, 1e9) / 6e18), 3)      # over 6 N D
    1.186
    """

    context: float
    vocabulary: float = 0.0
    aspect: float = 100.0

    def __post_init__(self) -> None:
        """Refuse sizes that are no sizes."""
        positive_fields(self, "context", "aspect")
        if not (np.isfinite(self.vocabulary) and self.vocabulary >= 0):
            raise DataError(f"Transformer: vocabulary is {self.vocabulary!r}: give 0 or more")

    def flops(self, N: ArrayLike, D: ArrayLike) -> Floats:
        """Total FLOPs."""
        return self._per_token(N) * np.asarray(D, dtype=float)

    def tokens(self, N: ArrayLike, C: ArrayLike) -> Floats:
        """Tokens that C FLOPs pay for."""
        return np.asarray(C, dtype=float) / self._per_token(N)

    def _per_token(self, N: ArrayLike) -> Floats:
        N = np.asarray(N, dtype=float)
        layers = np.cbrt(N / (_PARAMETERS_A_LAYER * self.aspect**2))
        width = self.aspect * layers
        return 6.0 * (N + layers * self.context * width + self.vocabulary * width)


@dataclass(frozen=True)
class MixtureOfExperts:
    """N counts all experts; a token meets a fraction of them.

    Parameters
    ----------
    active
        Active parameters over all parameters.
    base
        Cost of the active part as if it were dense.

    Examples
    --------
    >>> float(MixtureOfExperts(0.25).flops(4e9, 1e10))
    6e+19
    """

    active: float
    base: Cost = SIX_ND

    def __post_init__(self) -> None:
        """Refuse what is no fraction."""
        fraction_field(self, "active")
        in_flops(self, self.base)

    def flops(self, N: ArrayLike, D: ArrayLike) -> Floats:
        """Total FLOPs."""
        return self.base.flops(self.active * np.asarray(N, dtype=float), D)

    def tokens(self, N: ArrayLike, C: ArrayLike) -> Floats:
        """Tokens that C FLOPs pay for."""
        return self.base.tokens(self.active * np.asarray(N, dtype=float), C)


@dataclass(frozen=True)
class Looped:
    """A part of the parameters is used several times for each token (depth by recurrence).

    Parameters
    ----------
    loops
        Times that the looped part is applied.
    share
        Parameters in the looped part over all parameters.
    base
        Cost of the unrolled network.

    Examples
    --------
    >>> float(Looped(4, share=0.5).flops(1e9, 1e10) / 6e19)
    2.5
    """

    loops: float
    share: float = 1.0
    base: Cost = SIX_ND

    def __post_init__(self) -> None:
        """Refuse what is no number of times and no fraction."""
        positive_fields(self, "loops")
        fraction_field(self, "share")
        in_flops(self, self.base)

    def flops(self, N: ArrayLike, D: ArrayLike) -> Floats:
        """Total FLOPs."""
        return self.base.flops(self._unrolled(N), D)

    def tokens(self, N: ArrayLike, C: ArrayLike) -> Floats:
        """Tokens that C FLOPs pay for."""
        return self.base.tokens(self._unrolled(N), C)

    def _unrolled(self, N: ArrayLike) -> Floats:
        return np.asarray(N, dtype=float) * (1.0 + self.share * (self.loops - 1.0))


@dataclass(frozen=True)
class ParallelStreams:
    """Each token passes the network in several streams at once, which are then joined.

    Parameters
    ----------
    streams
        Number of streams P.
    overhead
        Further parameters that each stream adds, over N.
    base
        Cost of one stream.

    References
    ----------
    Chen et al. (2025), Parallel Scaling Law for Language Models, arXiv:2505.10475: compute grows
    with P, parameters by about 0.2% a stream.

    Examples
    --------
    >>> float(ParallelStreams(8, overhead=0.0).flops(1e9, 1e10) / 6e19)
    8.0
    """

    streams: float
    overhead: float = 0.002
    base: Cost = SIX_ND

    def __post_init__(self) -> None:
        """Refuse what is no number of streams."""
        positive_fields(self, "streams")
        in_flops(self, self.base)
        if not (np.isfinite(self.overhead) and self.overhead >= 0):
            raise DataError(f"ParallelStreams: overhead is {self.overhead!r}: give 0 or more")

    def flops(self, N: ArrayLike, D: ArrayLike) -> Floats:
        """Total FLOPs."""
        return self.base.flops(self._all(N), D)

    def tokens(self, N: ArrayLike, C: ArrayLike) -> Floats:
        """Tokens that C FLOPs pay for."""
        return self.base.tokens(self._all(N), C)

    def _all(self, N: ArrayLike) -> Floats:
        own = np.asarray(N, dtype=float) * (1.0 + self.overhead * self.streams)
        return self.streams * own


@dataclass(frozen=True)
class RepeatedData:
    """Only so many unique tokens exist; beyond them, epochs repeat them at the same FLOPs.

    Tells a law of U how many of the D tokens are unique, min(U, D), and stops at `max_epochs`.

    Parameters
    ----------
    unique_tokens
        U, the tokens there are.
    max_epochs
        Passes over them that are allowed.
    base
        What a token costs.

    Examples
    --------
    >>> cost = RepeatedData(1e9, max_epochs=4)
    >>> float(cost.tokens(1e8, 1e30)), float(cost.columns(1e8, 3e9)["U"])
    (4000000000.0, 1000000000.0)
    """

    unique_tokens: float
    max_epochs: float = np.inf
    base: Cost = SIX_ND

    def __post_init__(self) -> None:
        """Refuse no tokens and no epochs."""
        positive_fields(self, "unique_tokens")
        in_flops(self, self.base)
        if not self.max_epochs > 0:
            raise DataError(f"RepeatedData: max_epochs is {self.max_epochs!r}: give 1 or more")

    def flops(self, N: ArrayLike, D: ArrayLike) -> Floats:
        """Total FLOPs."""
        return self.base.flops(N, D)

    def tokens(self, N: ArrayLike, C: ArrayLike) -> Floats:
        """Tokens that C FLOPs pay for, repeats counted; no more than the epochs allow."""
        return np.minimum(self.base.tokens(N, C), self.unique_tokens * self.max_epochs)

    def columns(self, N: ArrayLike, D: ArrayLike) -> dict[str, Floats]:
        """Unique tokens U among D."""
        _, D = np.broadcast_arrays(np.asarray(N, dtype=float), np.asarray(D, dtype=float))
        return {"U": np.minimum(D, self.unique_tokens)}

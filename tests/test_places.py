"""Fixed places of an axis, for numpy and jax arrays."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bayescale.places import parts, pick, replace, spread


@pytest.mark.parametrize("xp", [np, jnp])
def test_spread_and_pick_undo_each_other(xp):
    values = xp.asarray(np.arange(6.0).reshape(2, 3))
    wide = spread(values, (3, 0, 4), 5)
    assert np.asarray(wide).tolist() == [[1, 0, 0, 0, 2], [4, 0, 0, 3, 5]]
    assert np.array_equal(pick(wide, (3, 0, 4)), values)
    assert spread(values, (0, 1, 2), 3) is values


@pytest.mark.parametrize("xp", [np, jnp])
def test_parts_are_the_places_one_by_one(xp):
    values = xp.asarray(np.arange(6.0).reshape(2, 3))
    assert np.stack(parts(values, xp)).tolist() == [[0, 3], [1, 4], [2, 5]]
    slopes = jax.grad(lambda v: jnp.sum(parts(v, jnp)[1] ** 2))(values)
    assert np.asarray(slopes).tolist() == [[0, 2, 0], [0, 8, 0]]


@pytest.mark.parametrize("xp", [np, jnp])
def test_replace_writes_one_place(xp):
    values = xp.asarray(np.arange(6.0).reshape(2, 3))
    new = replace(values, 1, xp.asarray([7.0, 8.0]), xp)
    assert np.asarray(new).tolist() == [[0, 7, 2], [3, 8, 5]]
    assert np.asarray(values)[0, 1] == 1

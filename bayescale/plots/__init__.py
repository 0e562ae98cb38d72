"""Matplotlib figures of the nouns; each function returns its axes with the data it drew.

No pyplot and no display: a figure is an object to show in a notebook, to save, or to draw into
by ``ax=``.
"""

from bayescale.plots.allocation import plot_allocation as plot_allocation
from bayescale.plots.canvas import Plot as Plot
from bayescale.plots.effects import plot_effects as plot_effects
from bayescale.plots.exponents import plot_exponents as plot_exponents
from bayescale.plots.fit import plot_fit as plot_fit
from bayescale.plots.forest import plot_forest as plot_forest
from bayescale.plots.isoflop import plot_isoflop as plot_isoflop
from bayescale.plots.predictive import pp_check as pp_check
from bayescale.plots.prior import plot_beliefs as plot_beliefs
from bayescale.plots.prior import plot_prior as plot_prior
from bayescale.plots.recipes import plot_recipes as plot_recipes
from bayescale.plots.residuals import plot_residuals as plot_residuals
from bayescale.plots.scale import plot_over_scale as plot_over_scale

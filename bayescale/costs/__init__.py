"""What a budget buys: costs of a model and its tokens, to be put together like bricks.

A cost is any object with `flops(N, D)` and the inverse of what it spends, `tokens(N, budget)`. The
ones here wrap one another: ``Money(base=Looped(4, base=SixND()))``.
"""

from bayescale.costs.base import Cost as Cost
from bayescale.costs.base import SixND as SixND
from bayescale.costs.base import further_columns as further_columns
from bayescale.costs.base import spent as spent
from bayescale.costs.base import training_flops as training_flops
from bayescale.costs.base import unit_of as unit_of
from bayescale.costs.limits import Limits as Limits
from bayescale.costs.limits import memory_limit as memory_limit
from bayescale.costs.measured import Measured as Measured
from bayescale.costs.measured import from_rows as from_rows
from bayescale.costs.money import Money as Money
from bayescale.costs.serving import Demand as Demand
from bayescale.costs.serving import TrainingPlusInference as TrainingPlusInference
from bayescale.costs.training import Looped as Looped
from bayescale.costs.training import MixtureOfExperts as MixtureOfExperts
from bayescale.costs.training import ParallelStreams as ParallelStreams
from bayescale.costs.training import RepeatedData as RepeatedData
from bayescale.costs.training import Transformer as Transformer

"""Array types shared by the simulator's modules."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Dates = NDArray[np.datetime64]
# One array a field, all of one block of loans. Categories are positions in their tuple of levels
# (-1 where they do not apply); numbers and dates that do not apply are NaN and NaT.
Columns = dict[str, NDArray[Any]]

"""What an evaluation found, whatever the kind of data."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Evaluated:
  """Figures, and what the model takes over from them.

  Attributes:
    figures: what metrics.json holds.
    z: [2], the model's position by default.
    threshold: its onset threshold.
    latent: a training song each, posterior means [frames, 2] where its bass sounds; none for the artificial sets.
  """

  figures: dict[str, Any]
  z: np.ndarray
  threshold: float
  latent: tuple[np.ndarray, ...] = ()

"""How stable z is in time, and how much of it is used, on trajectories of known variance."""

import numpy as np
import pytest

from bassnet_jax.evaluation import trajectories

FRAMES = 1024


def test_stability_ratio():
  rng = np.random.default_rng(0)
  constant = [np.broadcast_to(rng.normal(size=2), (FRAMES, 2)) for _ in range(20)]
  assert trajectories.stability_ratio(constant) == pytest.approx(0, abs=1e-12)
  noise = [rng.normal(size=(FRAMES, 2)) for _ in range(20)]
  assert trajectories.stability_ratio(noise) == pytest.approx(1, abs=0.01)
  # Variance 1 in a song and 4 between songs, whatever the scale.
  both = [7 * (2 * place + rng.normal(size=(FRAMES, 2))) for place in rng.normal(size=(400, 2))]
  assert trajectories.stability_ratio(both) == pytest.approx(1 / 5, abs=0.02)


def test_stability_interval():
  rng = np.random.default_rng(0)
  both = [2 * place + rng.normal(size=(200, 2)) for place in rng.normal(size=(100, 2))]
  low, high = trajectories.stability_interval(both)
  assert low < trajectories.stability_ratio(both) < high and high - low < 0.1


def test_a_dimension_that_is_not_used_carries_nothing():
  frames = np.arange(100)
  mu = np.stack([np.zeros(100), np.where(frames % 2, 2.0, -2.0)], axis=1)
  sigma = np.stack([np.ones(100), np.full(100, 0.5)], axis=1)
  found = trajectories.latent_use([(mu[:50], sigma[:50]), (mu[50:], sigma[50:])])
  assert found['kl'][0] == 0 and found['mu_std'] == [0.0, 2.0]
  assert found['kl'][1] == pytest.approx(0.5 * (4 + 0.25 - 1) + np.log(2))

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


def test_stability_ratio_of_songs_of_different_lengths():
  rng = np.random.default_rng(1)
  songs = [place + rng.normal(size=(frames, 2)) for frames, place in zip((400, 3000, 20_000, 60), (0.0, 5.0, -2.0, 30.0), strict=True)]
  everything = np.concatenate(songs)
  around = np.concatenate([mu - mu.mean(axis=0) for mu in songs])
  assert trajectories.stability_ratio(songs) == pytest.approx(around.var(axis=0).sum() / everything.var(axis=0).sum(), rel=1e-9)


def test_stability_ratio_of_a_small_variance_far_from_zero():
  """In float32, as the network gives it."""
  mu = [np.full((500, 2), 1, np.float32) + np.where(np.arange(500) % 2, 1e-4, -1e-4).astype(np.float32)[:, None] for _ in range(10)]
  assert trajectories.stability_ratio(mu) == pytest.approx(1, abs=1e-6)
  assert trajectories.stability_interval(mu) == pytest.approx([1, 1], abs=1e-6)
  assert trajectories.stability_ratio([np.ones((5, 2), np.float32)] * 3) == 0


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

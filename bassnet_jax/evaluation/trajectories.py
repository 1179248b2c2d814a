"""What trajectories of q(z | mix, bass) say over songs: how stable they are in time, and how much each dimension is used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def stability_ratio(trajectories: Sequence[np.ndarray]) -> float:
  """Variance of mu within songs over its total variance: 0 is constant in a song, 1 is as varied in a song as anywhere.

  Args:
    trajectories: mu [frames, 2] of every song.
  """
  everything = np.concatenate(trajectories)
  within = np.mean([np.square(mu - mu.mean(axis=0)).sum(axis=1).mean() for mu in trajectories])
  return float(within / np.square(everything - everything.mean(axis=0)).sum(axis=1).mean())


def stability_interval(trajectories: Sequence[np.ndarray], resamples: int = 2000, seed: int = 0) -> list[float]:
  """95 % interval of `stability_ratio` by the bootstrap over songs."""
  within = np.array([np.square(mu - mu.mean(axis=0)).sum(axis=1).mean() for mu in trajectories])
  frames = np.array([len(mu) for mu in trajectories], dtype=np.float64)
  sums = np.stack([mu.sum(axis=0) for mu in trajectories])
  squares = np.array([np.square(mu).sum() for mu in trajectories])
  drawn = np.random.default_rng(seed).integers(0, len(trajectories), (resamples, len(trajectories)))
  count = frames[drawn].sum(axis=1)
  total = squares[drawn].sum(axis=1) / count - np.square(sums[drawn].sum(axis=1) / count[:, None]).sum(axis=1)
  ratios = within[drawn].mean(axis=1) / np.maximum(total, 1e-12)
  return [float(value) for value in np.quantile(ratios, [0.025, 0.975])]


def latent_use(posteriors: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, list[float]]:
  """How much each dimension of z is used.

  Args:
    posteriors: a song each, mean and standard deviation [frames, 2] of q(z | mix, bass).

  Returns:
    `kl`: KL(q || N(0, I)) of each dimension, nats, mean over frames; `mu_std`: standard deviation of mu over all frames.
  """
  mu, sigma = (np.concatenate(values).astype(np.float64) for values in zip(*posteriors, strict=True))
  kl = 0.5 * (mu**2 + sigma**2 - 1) - np.log(sigma)
  return {'kl': kl.mean(axis=0).tolist(), 'mu_std': mu.std(axis=0).tolist()}

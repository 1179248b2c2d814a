"""What trajectories of q(z | mix, bass) say over songs: how stable they are in time, and how much each dimension is used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def stability_ratio(trajectories: Sequence[np.ndarray]) -> float:
  """Variance of mu within songs over its total variance: 0 is constant in a song, 1 is as varied in a song as anywhere.
  Every frame counts alike, however long its song is.

  Args:
    trajectories: mu [frames, 2] of every song.
  """
  return float(_ratio(*_moments(trajectories)))


def stability_interval(trajectories: Sequence[np.ndarray], resamples: int = 2000, seed: int = 0) -> list[float]:
  """95 % interval of `stability_ratio` by the bootstrap over songs."""
  drawn = np.random.default_rng(seed).integers(0, len(trajectories), (resamples, len(trajectories)))
  ratios = _ratio(*(moment[drawn] for moment in _moments(trajectories)))
  return [float(value) for value in np.quantile(ratios, [0.025, 0.975])]


def _moments(trajectories: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Of every song: frames, sum of mu less the mean over all songs [songs, 2], and squares around the song's own mean."""
  middle = np.concatenate(trajectories).mean(axis=0, dtype=np.float64)
  moved = [np.asarray(mu, np.float64) - middle for mu in trajectories]
  frames = np.array([len(mu) for mu in moved], np.float64)
  squares = np.array([np.square(mu - mu.mean(axis=0)).sum() for mu in moved])
  return frames, np.stack([mu.sum(axis=0) for mu in moved]), squares


def _ratio(frames: np.ndarray, sums: np.ndarray, squares: np.ndarray) -> np.ndarray:
  """Squares around songs' means over squares around the mean of all, over the songs in the last place: [..., songs] -> [...]."""
  within = squares.sum(axis=-1)
  between = (np.square(sums).sum(axis=-1) / frames).sum(axis=-1) - np.square(sums.sum(axis=-2)).sum(axis=-1) / frames.sum(axis=-1)
  return within / np.maximum(within + between, 1e-30)


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

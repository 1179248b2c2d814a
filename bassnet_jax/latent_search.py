"""The beginning of a training: z is searched for, and the encoder learns what was found.

While the decoder makes nothing of z, nothing tells the encoder what z could say, and while z says nothing, the decoder does best
to ignore it. Exchange alone leaves this saddle for harmony, which the network reads by construction, but not for timbre (set a2):
the decoder sounds the lines of both instruments at once for as long as one likes. Here a group of windows gets one z, constant over
all: of several drawn from the prior and by the encoder, that under which the decoder explains the group best. Differences that are
nothing in a frame add up over a group, so the decoder soon divides the plane among the patterns, and the encoder learns by
regression where each lies. A group must hold notes enough (`data.group_size`): where it holds two or three, many a rule explains
them as well as the song's own. It is expectation-maximisation with a hard choice (Neal and Hinton 1998); the encoder is taught as in
reweighted wake-sleep (Bornschein and Bengio 2015).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from bassnet_jax import losses
from bassnet_jax import model as networks
from bassnet_jax.batch import Batch, Statistics
from bassnet_jax.config import Experiment

_OWN_SHARE = 3
"""One candidate of so many is a guess of the encoder: the more it knows, the nearer the search looks to where the answer is."""


def search_steps(experiment: Experiment, steps: int) -> int:
  """How many of `steps` search."""
  return round(experiment.loss.search_share * steps) if experiment.loss.search_candidates else 0


def searching(experiment: Experiment, steps: int, step: jax.Array) -> jax.Array | None:
  """Whether a step of a run of `steps` searches; None where none does, so that nothing is compiled for it."""
  searched = search_steps(experiment, steps)
  return step < searched if searched else None


def candidates(key: jax.Array, groups: int, count: int, size: int) -> jax.Array:
  """Draws of N(0, I), [groups, count, size]. In two dimensions those of a group lie in directions evenly apart: they miss no side."""
  if size != 2:
    return jax.random.normal(key, (groups, count, size))
  turn_key, radius_key = jax.random.split(key)
  turn = (jnp.arange(count) + jax.random.uniform(turn_key, (groups, 1))) / count
  radius = jnp.sqrt(-2 * jnp.log(jax.random.uniform(radius_key, (groups, count), minval=1e-7, maxval=1)))
  return radius[..., None] * jnp.stack([jnp.cos(2 * jnp.pi * turn), jnp.sin(2 * jnp.pi * turn)], axis=-1)


def guesses(key: jax.Array, posterior: networks.Posterior, group_size: int, count: int) -> jax.Array:
  """Draws of the encoder's own, [groups, count, size], each constant over a group: around the mean of mu, as far as q is wide."""
  means = lambda x: x.reshape(-1, group_size, *x.shape[1:]).mean(axis=(1, 2))[:, None]  # noqa: E731
  mean, deviation = means(posterior.mu), means(jnp.exp(posterior.logvar / 2))
  return mean + deviation * jax.random.normal(key, (mean.shape[0], count, mean.shape[-1]))


def loss(params, batch: Batch, key: jax.Array, experiment: Experiment, statistics: Statistics) -> tuple[jax.Array, losses.Terms]:
  """The loss of a batch, each group decoded with the best of its candidates; arguments and results as of `losses.loss`.

  KL and smoothness are reported but have no part: where mu says nothing yet, a scale-free term has a gradient without bounds.
  """
  cfg, size, net = experiment.loss, experiment.data.group_size, networks.BassNet(experiment.model)
  augment_key, draw_key = jax.random.split(key)
  windows = losses.prepare(batch, augment_key, experiment, statistics)
  code = net.apply(params, windows.mix, method='encode_mix')
  posterior = losses.posterior(net, params, code, windows)
  frames = windows.frames + 2 * networks.decoder_reach(experiment.model)
  code = networks.crop_code(code, frames)

  def decode(params, code: networks.MixCode, z: jax.Array) -> networks.Outputs:
    """z: [groups, 2], for every frame of all windows."""
    every = jnp.broadcast_to(jnp.repeat(z, size, axis=0)[:, None], (size * z.shape[0], frames, z.shape[-1]))
    return net.apply(params, code, every, method='decode')

  fixed, guess = jax.lax.stop_gradient(((params, code), posterior))
  own = cfg.search_candidates // _OWN_SHARE
  prior_key, own_key = jax.random.split(draw_key)
  drawn = jnp.concatenate(
    [
      candidates(prior_key, batch.pitch.shape[0], cfg.search_candidates - own, experiment.model.latent_size),
      guesses(own_key, guess, size, own),
    ],
    axis=1,
  )

  # Not lax.scan: side by side, what doesn't depend on z is computed once for all candidates.
  costs = jnp.stack([losses.group_cost(decode(*fixed, drawn[:, i]), windows, cfg, size) for i in range(drawn.shape[1])])
  best = drawn[jnp.arange(drawn.shape[0]), costs.argmin(axis=0)]

  terms = losses.reconstruction(decode(params, code, best), windows, cfg) | losses.latent_terms(posterior, windows, experiment)
  aim = jnp.repeat(best, size, axis=0)[:, None]
  # -log q(best), less its constant.
  miss = 0.5 * (jnp.square(aim - posterior.mu) * jnp.exp(-posterior.logvar) + posterior.logvar).sum(axis=-1)
  terms['search'] = losses.mean(miss, windows.valid)
  total = terms['search'] + sum(getattr(cfg, name) * terms[name] for name in losses.RECONSTRUCTION)
  return total, losses.Terms(total=total, **terms)

"""The PyTorch twin of the benchmark computes what the network computes."""

import jax
import numpy as np
import pytest
import tiny

from bassnet_jax import losses
from bassnet_jax import model as networks

torch = pytest.importorskip('torch', reason='torch is not installed: the twin of the benchmark is not compared (pip install torch)')

WINDOW = 32


def twin_of(experiment, params, statistics):
  from bassnet_jax import benchmark_torch

  return benchmark_torch.TorchBassNet(params, experiment, statistics)


def make(loss=None, dtype='float32', **changes):
  """(experiment, parameters, statistics, batch with frames beyond a song's end and frames without label)."""
  import dataclasses

  model = {'decoder_dilations': (1, 2), 'hidden': 24, 'dtype': dtype}
  experiment = tiny.experiment(data={'window': WINDOW, 'batch_size': 8} | changes, loss=loss, model=model)
  params = jax.jit(networks.init_params, static_argnums=(0, 1))(experiment.model, WINDOW, 3)
  rng = np.random.default_rng(5)
  params = jax.tree.map(lambda x: np.asarray(x + 0.05 * rng.normal(size=x.shape), np.float32), params)  # no bias is zero
  statistics = dataclasses.replace(
    tiny.statistics(), mix_mean=rng.uniform(0, 1, 192).astype(np.float32), bass_std=rng.uniform(0.5, 2, 144).astype(np.float32)
  )
  batch = tiny.batch(4, WINDOW, networks.context_frames(experiment.model))
  batch.valid[0, 1, 20:] = False
  batch.pitch[1, 0, 3:7] = 255
  batch.pitch[2, :, 8:12] = 45
  return experiment, params, statistics, batch


def draws_of(key, experiment):
  """The numbers that `losses.loss` draws from a key."""
  from bassnet_jax import benchmark_torch

  data = experiment.data
  pairs = data.batch_size // 2
  augment_key, noise_key, roll_key = jax.random.split(key, 3)
  shift_key, gain_key, equaliser_key = jax.random.split(augment_key, 3)
  shape = (pairs, 2) if data.independent_transposition else (pairs, 1)
  shift = np.broadcast_to(jax.random.randint(shift_key, shape, -data.transposition, data.transposition + 1), (pairs, 2))
  decibels = jax.random.uniform(gain_key, (pairs, 2, 1), minval=-data.gain_db, maxval=data.gain_db)[..., 0]
  found = {
    'shift': shift.astype(np.int64),
    'decibels': decibels,
    'curves': jax.random.normal(equaliser_key, (pairs, 2, 1, 4))[:, :, 0],
    'noise': jax.random.normal(noise_key, (2 * pairs, WINDOW, 2)),
    'start': np.asarray(jax.random.randint(roll_key, (2 * pairs,), 0, WINDOW)).astype(np.int64),
  }
  return benchmark_torch.Draws(**{name: torch.from_numpy(np.array(value)) for name, value in found.items()})


def test_outputs_are_the_same():
  experiment, params, statistics, batch = make()
  twin = twin_of(experiment, params, statistics)
  net = networks.BassNet(experiment.model)
  mix, bass = statistics.standardise_mix(batch.mix[:, 0]), statistics.standardise_bass(batch.bass[:, 0])
  frames = mix.shape[1] - 2 * networks.mix_reach(experiment.model)
  z = np.random.default_rng(0).normal(size=(4, frames, 2)).astype(np.float32)

  @jax.jit
  def everything(params, mix, bass, z):
    code = net.apply(params, mix, method='encode_mix')
    return code, net.apply(params, code, bass, method='encode'), net.apply(params, code, z, method='decode')

  code, posterior, outputs = everything(params, mix, bass, z)
  with torch.no_grad():
    twin_code = twin.encode_mix(torch.from_numpy(mix))
    mu, logvar = twin.encode(twin_code, torch.from_numpy(bass))
    found = twin.decode(twin_code, torch.from_numpy(z))
  for name, one, other in (
    ('pitch code', code.pitch, twin_code[0]),
    ('frame code', code.frame, twin_code[1]),
    ('mu', posterior.mu, mu),
    ('logvar', posterior.logvar, logvar),
    *((name, getattr(outputs, name), found[i]) for i, name in enumerate(('cqt', 'pitch', 'onset', 'level'))),
  ):
    assert one.shape == tuple(other.shape) and np.asarray(one).std() > 1e-3, name
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(('independent', 'free_bits'), [(True, 0.0), (False, 1.0)])
def test_loss_and_gradients_are_the_same(independent, free_bits):
  """Augmentation, noise and rolling included: the twin is given the very numbers that the key gives."""
  from bassnet_jax import benchmark_torch

  experiment, params, statistics, batch = make(independent_transposition=independent, loss={'free_bits': free_bits})
  twin = twin_of(experiment, params, statistics)
  key = jax.random.key(7)
  (total, _), gradients = jax.jit(
    jax.value_and_grad(lambda p: losses.loss(p, batch, key, experiment, statistics), has_aux=True)
  )(params)  # fmt: skip
  found = twin(*benchmark_torch.tensors(batch), draws_of(key, experiment))
  found.backward()
  assert float(found) == pytest.approx(float(total), rel=1e-4)
  for name, layer in twin.linear.items():
    node = gradients['params']
    for part in name.split('/'):
      node = node[part]
    scale = float(np.abs(node['kernel']).max())
    np.testing.assert_allclose(layer.weight.grad.numpy().T, node['kernel'], atol=1e-3 * scale + 1e-7, err_msg=name)


def test_a_step_lowers_the_loss_and_other_networks_are_refused():
  import dataclasses

  from bassnet_jax import benchmark_torch

  experiment, params, statistics, batch = make()
  step = benchmark_torch.make_step(params, experiment, statistics, batch, compiled=False, threads=1)
  first = np.mean([float(step()) for _ in range(3)])
  for _ in range(20):
    last = step()
  assert float(last) < 0.9 * first
  with pytest.raises(ValueError, match='default network only'):
    twin_of(dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, gating='concatenation')), params, statistics)


def test_bfloat16_is_computed_as_jax_computes_it():
  """Close to JAX's in bfloat16, not float32's number, and parameters and gradients stay float32."""
  from bassnet_jax import benchmark_torch

  key, found = jax.random.key(7), {}
  for dtype in ('float32', 'bfloat16'):
    experiment, params, statistics, batch = make(dtype=dtype)
    twin = twin_of(experiment, params, statistics)
    total, _ = jax.jit(lambda p, e=experiment, b=batch, s=statistics: losses.loss(p, b, key, e, s))(params)
    mine = twin(*benchmark_torch.tensors(batch), draws_of(key, experiment))
    mine.backward()
    assert mine.dtype == torch.float32 and {p.grad.dtype for p in twin.parameters()} == {torch.float32}
    assert float(mine.detach()) == pytest.approx(float(total), rel=1e-4 if dtype == 'float32' else 1e-2)
    with torch.autocast('cpu', torch.bfloat16, enabled=dtype == 'bfloat16'), torch.no_grad():
      code = twin.encode_mix(torch.from_numpy(statistics.standardise_mix(batch.mix[:, 0])))
    assert {x.dtype for x in code} == {getattr(torch, dtype)}
    found[dtype] = float(mine.detach())
  assert found['bfloat16'] != found['float32']


def test_a_step_moves_everything_to_its_device(monkeypatch):
  """On PyTorch's device without memory, which refuses a tensor of another: parameters, batch, random numbers, what is made on the way."""
  from bassnet_jax import benchmark_torch

  experiment, params, statistics, batch = make()
  generator = torch.Generator
  monkeypatch.setattr(torch, 'Generator', lambda device: generator())  # that device has none
  step = benchmark_torch.make_step(params, experiment, statistics, batch, compiled=False, threads=1, device='meta')
  assert step().device.type == 'meta'


def test_the_twin_runs_where_jax_runs_or_not_at_all(monkeypatch):
  from bassnet_jax import benchmark_torch

  assert benchmark_torch.device_of('cpu').type == 'cpu'
  monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
  for backend in ('gpu', 'tpu'):
    with pytest.raises(benchmark_torch.UnavailableError, match=f'JAX runs on {backend}, where PyTorch .* finds no device'):
      benchmark_torch.device_of(backend)
  monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
  monkeypatch.setattr(torch.cuda, 'current_device', lambda: 0)
  assert benchmark_torch.device_of('gpu') == torch.device('cuda', 0)
  waited = []
  monkeypatch.setattr(torch.cuda, 'synchronize', waited.append)
  benchmark_torch.wait(torch.device('cpu'))
  benchmark_torch.wait(torch.device('cuda', 0))
  assert waited == [torch.device('cuda', 0)]

"""Training needs no tensorflow, no tensorflow_datasets and no librosa, nor does anything that is imported for it."""

import os
import subprocess
import sys
import textwrap

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BLOCKER = """
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
  def find_spec(self, name, path=None, target=None):
    if name.split('.')[0] in ('tensorflow', 'tensorflow_datasets', 'librosa'):
      raise ModuleNotFoundError(f'{name} is blocked by this test', name=name)
sys.meta_path.insert(0, Blocker())
"""


def run_blocked(program: str, *arguments: str) -> str:
  environment = os.environ | {'PYTHONPATH': os.pathsep.join([ROOT, os.path.join(ROOT, 'tests')]), 'XLA_FLAGS': ''}
  command = [sys.executable, '-c', BLOCKER + textwrap.dedent(program), *arguments]
  done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
  assert done.returncode == 0, done.stderr[-3000:]
  return done.stdout


def test_the_package_imports_without_tensorflow_and_librosa():
  program = """
    try:
      import tensorflow
    except ModuleNotFoundError:
      pass
    else:
      raise SystemExit('the blocker does not block')
    import bassnet_jax, bassnet_jax.main, bassnet_jax.train, bassnet_jax.generate, bassnet_jax.trained, experiments
    import data_pipeline.build, bassnet_jax.inputs.resident
    print(sorted(name for name in sys.modules if name.split('.')[0] in ('tensorflow', 'tensorflow_datasets', 'librosa')))
  """
  assert run_blocked(program).strip() == '[]'


def test_resident_training_runs_without_them(data_dir, tmp_path):
  program = """
    import tiny
    from bassnet_jax import checkpoints, train
    from bassnet_jax.inputs import corpus
    experiment = tiny.experiment(data={'backend': 'resident', 'batch_size': 4}, train={'steps': 1})
    opened = corpus.open_corpus(experiment.data, sys.argv[1])
    print(train.train(experiment, opened, sys.argv[2], 0), checkpoints.load_params(sys.argv[2])[2])
  """
  assert run_blocked(program, data_dir, str(tmp_path)).splitlines()[-1] == '1 1'

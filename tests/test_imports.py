"""Training needs no tensorflow, no tensorflow_datasets and no librosa, nor does anything that is imported for it."""

import os
import subprocess
import sys
import textwrap

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BLOCKER = """
import importlib.machinery, sys
# As if they were not installed: also who only asks whether they are (etils, jax) is told so.
find = importlib.machinery.PathFinder.find_spec
blocked = ('tensorflow', 'tensorflow_datasets', 'librosa')
importlib.machinery.PathFinder.find_spec = lambda name, *rest: None if name.split('.')[0] in blocked else find(name, *rest)
"""


def run_blocked(program: str, *arguments: str) -> str:
  environment = os.environ | {
    'PYTHONPATH': os.pathsep.join([ROOT, os.path.join(ROOT, 'tests')]),
    'XLA_FLAGS': '--xla_backend_optimization_level=0',
  }
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


def test_commands_do_not_take_each_other_s_flags():
  """`main` imports the building of datasets: a flag that both define stops the command before it has begun."""
  modules = ('main', 'generate', 'generate_benchmark', 'musicians_check', 'sweep', 'train_seeds', 'evaluate', 'examples', 'robustness')
  modules += ('packaged', 'latent_density', 'plane_maps')
  commands = [*(f'bassnet_jax.{module}' for module in modules), 'data_pipeline.build']
  # Each in a process that begins with the imports of the others, which take seconds: they are made once.
  program = f"""
    import os, runpy, sys
    import data_pipeline.build, bassnet_jax.inputs.corpus, bassnet_jax.generate, bassnet_jax.evaluation.report
    for command in {commands!r}:
      print('COMMAND', command, flush=True)
      child = os.fork()
      if not child:
        sys.argv = [command, '--help']
        runpy.run_module(command, run_name='__main__', alter_sys=True)
        sys.exit()
      print('ENDED', os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
  """
  done = subprocess.run(
    [sys.executable, '-W', 'ignore', '-c', textwrap.dedent(program)], env=os.environ | {'PYTHONPATH': ROOT}, capture_output=True, text=True
  )
  assert 'Traceback' not in done.stderr and done.returncode == 0, done.stderr[-2000:]
  parts = done.stdout.split('COMMAND ')[1:]
  assert [part.split()[0] for part in parts] == commands
  for part in parts:
    assert part.split()[-1] in ('0', '1') and '--' in part, part


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

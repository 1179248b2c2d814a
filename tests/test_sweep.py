"""The sweep: what is missing is made, what failed is recorded, what is there is left alone."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from bassnet_jax import checkpoints, scalar_log, side_by_side, sweep
from bassnet_jax.evaluation import results
from bassnet_jax.evaluation.planes import FILE as PLANE_FILE

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NAMES = ['a1_window64', 'a1_window64_nostability', 'pr_window64']


@pytest.fixture
def plan(tmp_path):
  return sweep.Plan(str(tmp_path / 'runs'), str(tmp_path / 'data'), str(tmp_path / 'results'))


class Runs:
  """Stands for the processes of runs: records their commands, leaves a report unless told to fail."""

  def __init__(self, monkeypatch, fails=()):
    self.commands, self.fails = [], fails
    monkeypatch.setattr(side_by_side.Processes, 'run', lambda _, arguments, name: self(arguments))

  def __call__(self, arguments):
    self.commands.append(arguments)
    given = dict(word[2:].split('=', 1) for word in arguments if word.startswith('--') and '=' in word)
    if arguments[1] == 'bassnet_jax.train_seeds':
      return 0, ''
    if (given['experiment'], int(given['seed'])) in self.fails:
      return 2, f'error: {given["data_dir"]}/features is full'
    report = os.path.join(given['workdir'], 'report')
    os.makedirs(report)
    with open(os.path.join(report, 'metrics.json'), 'w') as file:
      json.dump({'run': {'experiment': given['experiment'], 'seed': int(given['seed']), 'steps': 5}}, file)
    with open(os.path.join(report, PLANE_FILE), 'wb') as file:
      file.write(b'a plane')
    return 0, ''

  def made(self):
    found = [dict(word[2:].split('=', 1) for word in command if word.startswith('--') and '=' in word) for command in self.commands]
    return [(given['experiment'], int(given['seed'])) for given in found if 'seed' in given]


def test_patterns():
  assert sweep.select(['a?_window64*'], NAMES) == NAMES[:2]
  assert sweep.select(['pr*', 'a1_window64', 'pr_window64'], NAMES) == ['pr_window64', 'a1_window64']
  with pytest.raises(ValueError, match=r"'b\*' matches no experiment\. .*--list names all"):
    sweep.select(['a1*', 'b*'], NAMES)
  with pytest.raises(ValueError, match='--experiments is missing: give --experiments=NAME or a pattern'):
    sweep.select([], NAMES)


def test_makes_what_is_missing_seed_by_seed_and_leaves_the_rest(plan, monkeypatch, capsys):
  there = plan.result_folder('a1_window64', 1)
  os.makedirs(there)
  with open(os.path.join(there, 'metrics.json'), 'w') as file:
    file.write('{"run": {"experiment": "a1_window64", "seed": 1, "steps": 7}}')
  runs = Runs(monkeypatch)
  assert sweep.sweep(plan, NAMES[:2], range(2)) == []
  assert runs.made() == [('a1_window64', 0), ('a1_window64_nostability', 0), ('a1_window64_nostability', 1)]
  output = capsys.readouterr().out
  assert 'sweep: 4 runs (2 experiments, 2 seeds), 1 have their result' in output
  assert 'sweep: run 3 of 3: a1_window64_nostability, seed 1; 0 failed' in output and 'so far, about 0:' in output
  found, _ = results.read(plan.results)
  assert {(result.experiment, result.seed): result.run('steps') for result in found} == {
    ('a1_window64', 0): 5,
    ('a1_window64', 1): 7,
    ('a1_window64_nostability', 0): 5,
    ('a1_window64_nostability', 1): 5,
  }
  assert os.listdir(there) == ['metrics.json']
  assert sorted(os.listdir(plan.result_folder('a1_window64', 0))) == ['metrics.json', PLANE_FILE]
  runs.commands.clear()
  assert sweep.sweep(plan, NAMES[:2], range(2)) == [] and not runs.commands


def test_what_is_recorded_of_a_run(tmp_path, monkeypatch):
  plan = sweep.Plan(*(str(tmp_path / name) for name in ('runs', 'data', 'results')), None, 'laptop', ('loss.kl=0.1', 'train.steps=5'))
  Runs(monkeypatch)
  sweep.sweep(plan, NAMES[:1], range(1))
  (result,), _ = results.read(plan.results)
  command = 'python -m bassnet_jax.main --experiment=a1_window64 --preset=laptop --set loss.kl=0.1 --set train.steps=5 --seed=0'
  assert result.run('command') == command
  assert results.conditions(result) == results.Conditions(5, 'laptop', 'loss.kl=0.1 train.steps=5')


def test_a_result_made_otherwise_is_skipped_aloud(plan, tmp_path, monkeypatch, capsys):
  runs = Runs(monkeypatch)
  sweep.sweep(plan, NAMES[:1], range(1))
  other = sweep.Plan(plan.workdir, plan.data_dir, plan.results, preset='laptop')
  runs.commands.clear()
  sweep.sweep(other, NAMES[:1], range(1))
  assert not runs.commands
  assert 'a1_window64, seed 0 is skipped: its result is of preset full with settings []' in capsys.readouterr().out


def test_a_failure_is_recorded_without_folders_and_the_sweep_goes_on(plan, monkeypatch, capsys):
  runs = Runs(monkeypatch, fails={('a1_window64', 0)})
  assert sweep.sweep(plan, NAMES[:2], range(2)) == [('a1_window64', 0)]
  assert len(runs.made()) == 4
  assert 'a1_window64, seed 0 failed: exit code 2: error: ' + plan.data_dir in capsys.readouterr().err
  found, (failure,) = results.read(plan.results)
  assert len(found) == 3
  assert failure == results.Failure('a1_window64', 0, 'exit code 2: error: DATA_DIR/features is full')
  runs.fails = ()
  assert sweep.sweep(plan, NAMES[:2], range(2)) == []
  found, failures = results.read(plan.results)
  assert len(found) == 4 and not failures


def test_several_seeds_at_once_are_trained_together_and_evaluated_apart(tmp_path, monkeypatch):
  folders = [str(tmp_path / name) for name in ('runs', 'data', 'results')]
  plan = sweep.Plan(*folders, settings=('data.backend=resident',), seeds_at_once=2)
  runs = Runs(monkeypatch)
  assert sweep.sweep(plan, NAMES[:1], range(3)) == []
  modules = [(command[1], [word for word in command if word.startswith('--seed')]) for command in runs.commands]
  assert modules == [
    ('bassnet_jax.train_seeds', ['--seeds=0,1']),
    ('bassnet_jax.main', ['--seed=0']),
    ('bassnet_jax.main', ['--seed=1']),
    ('bassnet_jax.main', ['--seed=2']),
  ]
  workdir = os.path.join(plan.workdir, 'a1_window64')
  assert f'--workdir={workdir}' in runs.commands[0] and f'--workdir={workdir}{os.sep}1' in runs.commands[2]


def test_a_seed_that_diverged_is_not_trained_again(tmp_path, monkeypatch):
  folders = [str(tmp_path / name) for name in ('runs', 'data', 'results')]
  plan = sweep.Plan(*folders, settings=('data.backend=resident',), seeds_at_once=2)
  runs = Runs(monkeypatch)

  def process(_, arguments, name):
    if arguments[1] == 'bassnet_jax.main':
      return runs(arguments)
    os.makedirs(plan.run_folder('a1_window64', 1))
    with open(os.path.join(plan.run_folder('a1_window64', 1), 'diverged.txt'), 'w') as file:
      file.write('step 8: not finite')
    return 1, 'error: seeds 1 diverged'

  monkeypatch.setattr(side_by_side.Processes, 'run', process)
  assert sweep.sweep(plan, NAMES[:1], range(2)) == [('a1_window64', 1)]
  assert runs.made() == [('a1_window64', 0)]
  assert results.read(plan.results)[1] == [results.Failure('a1_window64', 1, 'step 8: not finite')]


def test_mistakes_are_found_before_anything_is_trained(plan, monkeypatch):
  runs = Runs(monkeypatch)
  for changes, words in (
    ({'settings': ('loss.kll=1',)}, 'Did you mean loss.kl'),
    ({'preset': 'tablet'}, 'there are: full, laptop'),
    ({'seeds_at_once': 2}, 'add --set data.backend=resident'),
  ):
    wrong = sweep.Plan(plan.workdir, plan.data_dir, plan.results, **changes)
    with pytest.raises(ValueError, match=words):
      sweep.sweep(wrong, NAMES[:1], range(2))
  assert not runs.commands


def test_several_jobs_make_every_run_once(plan, monkeypatch):
  runs = Runs(monkeypatch)
  assert sweep.sweep(plan, NAMES, range(2), jobs=2) == []
  assert sorted(runs.made()) == [(name, seed) for name in NAMES for seed in range(2)]


SMALL = (
  *('model.pitch_channels=4', 'model.hidden=16', 'model.pitch_dilations=1', 'model.trunk_dilations=1,2', 'model.decoder_dilations=1'),
  *('model.latent_dilations=1', 'data.backend=resident', 'data.batch_size=16', 'train.steps=4', 'train.log_every=2'),
)


@pytest.mark.slow
def test_from_nothing_to_the_page(data_dir, tmp_path):
  """Real processes: one experiment, two seeds trained together, evaluated, and the page; a second call makes nothing; a failure is 1."""
  common = [f'--data_dir={data_dir}', f'--workdir={tmp_path / "runs"}', f'--results={tmp_path / "results"}', '--experiments=a1_window64']
  common += [word for setting in SMALL for word in ('--set', setting)]

  def call(*arguments):
    command = [sys.executable, '-m', 'bassnet_jax.sweep', *common, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)

  first = call('--seeds=2', '--seeds_at_once=2')
  assert first.returncode == 0, first.stderr[-2000:]
  text = (tmp_path / 'RESULTS.md').read_text()
  assert text.count('python -m bassnet_jax.main --experiment=a1_window64 --set model.pitch_channels=4') == 2
  assert {len(os.listdir(tmp_path / 'results' / 'a1_window64' / str(seed))) for seed in (0, 1)} == {2}
  for folder, _, files in os.walk(tmp_path / 'results' / 'a1_window64'):
    assert all(os.path.getsize(os.path.join(folder, name)) < 30_000 for name in files)
  assert 'results' in call('--seeds=2').stdout and 'running' not in call('--seeds=2').stdout
  broken = call('--seeds=3', '--set', 'data.batch_size=12')
  assert broken.returncode == 1 and '1 runs failed: a1_window64 seed 2' in broken.stderr
  assert '## Runs that failed' in (tmp_path / 'RESULTS.md').read_text()


@pytest.mark.slow
def test_stopped_in_the_middle_of_a_run_it_goes_on_from_there(data_dir, tmp_path):
  """Real processes: SIGTERM to the sweep while a run trains; the same command takes it up at the step where it was saved."""
  settings = [word for setting in (*SMALL, 'train.steps=400', 'train.log_every=5') for word in ('--set', setting)]
  places = [f'--data_dir={data_dir}', f'--workdir={tmp_path / "runs"}', f'--results={tmp_path / "results"}']
  command = [sys.executable, '-m', 'bassnet_jax.sweep', *places, '--experiments=a1_window64', '--seeds=1', *settings]
  workdir = tmp_path / 'runs' / 'a1_window64' / '0'
  log = str(workdir / 'metrics.jsonl')
  running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
  try:
    deadline = time.monotonic() + 300
    while max((row['step'] for row in scalar_log.read_rows(log)), default=0) < 20:
      assert running.poll() is None and time.monotonic() < deadline
      time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    assert running.wait(120) == 143
  finally:
    running.kill()
  step = checkpoints.load_params(str(workdir))[2]
  assert 20 <= step < 400 and not os.path.exists(tmp_path / 'results' / 'a1_window64' / '0' / 'metrics.json')
  again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
  assert again.returncode == 0 and f'going on from step {step} of 400' in again.stdout + again.stderr
  (made,) = results.read(str(tmp_path / 'results'))[0]
  assert made.run('steps') == 400
  rows = [row['step'] for row in scalar_log.read_rows(log)]
  assert rows == list(range(5, 401, 5)), 'every report once'


def test_a_page_of_no_results_is_a_mistake(tmp_path):
  command = [sys.executable, '-m', 'bassnet_jax.sweep', '--report_only', f'--results={tmp_path}/results']
  done = subprocess.run(command, env=os.environ | {'PYTHONPATH': ROOT}, cwd=tmp_path, capture_output=True, text=True)
  assert done.returncode == 2 and f'error: --results={tmp_path}/results holds no result' in done.stderr
  assert not os.listdir(tmp_path)

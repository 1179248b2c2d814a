"""Processes side by side: their cores, their words, and the signals that are passed on to them."""

import os
import signal
import subprocess
import sys
import time

import pytest

from bassnet_jax import side_by_side

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SAYS = 'import sys; print("out"); print("error: why", file=sys.stderr); sys.exit(3)'


def test_the_last_words_of_a_process():
  text = 'training: 3/8\r\x1b[Ktraining: 4/8\nerror: the disk\nis full\n(BASSNET_JAX_TRACEBACK=1 shows where it was raised)\n'
  assert side_by_side.last_words(text) == 'error: the disk is full'
  assert side_by_side.last_words('Traceback ...\nKeyError: 3\n') == 'KeyError: 3'
  assert side_by_side.last_words('') == 'it said nothing'


def test_output_and_exit_code_of_a_real_process(capfd):
  with side_by_side.Processes(1, '') as processes:
    code, words = processes.run(['-c', SAYS], 'one')
  assert (code, words) == (3, 'error: why')
  output = capfd.readouterr()
  assert output.out == 'out\n' and output.err == 'error: why\n'


def test_with_several_jobs_every_line_has_a_name(capfd):
  with side_by_side.Processes(2, '') as processes:
    code, words = processes.run(['-c', SAYS], 'a1_window64 0')
  assert (code, words) == (3, 'error: why')
  assert capfd.readouterr().err == 'a1_window64 0: error: why\n'


@pytest.mark.parametrize(
  'cores, jobs, expected', [([0, 1], 2, [[0], [1]]), ([0, 1, 2, 5], 3, [[0, 5], [1], [2]]), ([3], 2, [[3], [3]]), ([0, 1], 1, [[0, 1]])]
)
def test_shares_of_the_cores(cores, jobs, expected):
  assert side_by_side.shares(cores, jobs) == expected


@pytest.mark.skipif(not hasattr(os, 'sched_setaffinity'), reason='this system does not tie processes to cores')
def test_every_process_works_on_its_share(tmp_path):
  """Two at a time, of which each waits for the other."""
  program = (
    'import os, sys, time\n'
    f'open(os.path.join({str(tmp_path)!r}, sys.argv[1]), "w").write(str(sorted(os.sched_getaffinity(0))))\n'
    f'while len(os.listdir({str(tmp_path)!r})) < 2: time.sleep(0.01)\n'
  )
  with side_by_side.Processes(2, '') as processes:
    processes.work_through(lambda name: processes.run(['-c', program, name], name), ['a', 'b'])
  found = sorted((tmp_path / name).read_text() for name in 'ab')
  assert found == sorted(str(sorted(share)) for share in side_by_side.shares(sorted(os.sched_getaffinity(0)), 2))


def test_an_error_of_the_work_ends_it():
  def work(item):
    if item == 1:
      raise ValueError('one')

  with side_by_side.Processes(2, '') as processes, pytest.raises(ValueError, match='one'):
    processes.work_through(work, range(4))


@pytest.mark.parametrize('jobs', [1, 2])
def test_a_signal_reaches_each_run_once_and_ends_the_work(tmp_path, jobs):
  """As Ctrl-C in a terminal does it, which goes to the whole group of processes."""
  run = (
    'import os, signal, sys, time\n'
    f'def end(*_):\n  open(os.path.join({str(tmp_path)!r}, "asked" + sys.argv[1]), "a").write("asked "); time.sleep(0.5); sys.exit(143)\n'
    'signal.signal(signal.SIGTERM, end); signal.signal(signal.SIGINT, end)\n'
    f'open(os.path.join({str(tmp_path)!r}, "begun" + sys.argv[1]), "w").close(); time.sleep(60)\n'
  )
  program = (
    'from bassnet_jax import side_by_side\n'
    f'try:\n  with side_by_side.Processes({jobs}, "stopped") as processes:\n'
    f'    processes.work_through(lambda name: processes.run(["-c", {run!r}, name], name), "abc")\n'
    'except side_by_side.Stopped as error:\n  print(error)\n'
  )
  process = subprocess.Popen(
    [sys.executable, '-c', program], stdout=subprocess.PIPE, env=os.environ | {'PYTHONPATH': ROOT}, start_new_session=True
  )
  names = 'abc'[:jobs]
  while not all((tmp_path / f'begun{name}').exists() for name in names):
    assert process.poll() is None
    time.sleep(0.02)
  os.killpg(process.pid, signal.SIGINT)
  assert process.communicate(timeout=120)[0] == b'stopped\n'
  assert {path.name: path.read_text() for path in tmp_path.glob('asked*')} == {f'asked{name}': 'asked ' for name in names}
  assert not (tmp_path / 'begunc').exists()

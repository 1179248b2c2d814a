"""The notebook: nothing but itself in its file, and every cell runs; progress in a notebook is one line that is replaced."""

import os

import nbformat
import numpy as np
import pytest
import soundfile
import zmq
from jupyter_client import AsyncKernelClient, AsyncKernelManager
from jupyter_client.channels import AsyncZMQSocketChannel
from nbclient import NotebookClient

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NOTEBOOK = os.path.join(ROOT, 'launch', 'colab.ipynb')

# What Colab has: a page that asks for a file and answers with its name and content.
COLAB = """
import types
colab = types.ModuleType('google.colab')
downloaded = []
colab.files = types.SimpleNamespace(upload=lambda: {{{upload!r}: b''}}, download=downloaded.append)
sys.modules['google.colab'] = colab
ON_COLAB, TRACK = True, ''
"""
MOVE = """
first = dot.result
dot.children[1].value = 2.5 if dot.children[1].value < 0 else -2.5
assert dot.result is not first, 'nothing was played at the new position'
dot.children[3].value = 0.95
assert len(dot.result) < len(first), (len(dot.result), len(first))
dot.children[0].value = 'trained above'
"""


class Channel(AsyncZMQSocketChannel):
  """Looks for what has arrived after it has sent.

  While nbclient waits for a cell's reply, it sends what the cell's widgets show, over the same socket. zmq tells of an arrival once, and
  a send past whoever waits takes that from it: a reply that comes in this moment lies there unread, and the kernel is idle
  (jupyter/nbclient#312).
  """

  def send(self, msg: dict) -> None:
    super().send(msg)
    self.socket.get(zmq.EVENTS)  # of an asyncio socket: wakes whoever waits for what is there


class Client(AsyncKernelClient):
  shell_channel_class = Channel


class Manager(AsyncKernelManager):
  client_factory = Client


def read() -> nbformat.NotebookNode:
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  nbformat.validate(notebook)
  return notebook


def execute(notebook: nbformat.NotebookNode, folder, monkeypatch, **settings: str) -> None:
  """Runs all cells in a fresh kernel on one simulated device; a cell's error is the test's."""
  for name, value in settings.items():
    monkeypatch.setenv(f'BASSNET_JAX_NOTEBOOK_{name}', value)
  monkeypatch.setenv('PYTHONPATH', ROOT, prepend=os.pathsep)
  monkeypatch.setenv('XLA_FLAGS', '--xla_backend_optimization_level=0')
  where = {'metadata': {'path': str(folder)}}
  NotebookClient(notebook, timeout=600, kernel_name='python3', kernel_manager_class=Manager, resources=where).execute()


def code(source: str) -> nbformat.NotebookNode:
  return nbformat.v4.new_code_cell(source)


def texts(cell: nbformat.NotebookNode, kind: str = 'text/plain') -> list[str]:
  """Everything of one kind that a cell shows; 'stream' is what it prints."""
  if kind == 'stream':
    return [output.text for output in cell.outputs if output.output_type == 'stream']
  return [output.data[kind] for output in cell.outputs if 'data' in output and kind in output.data]


def test_the_file_holds_no_results():
  for cell in read().cells:
    if cell.cell_type == 'code':
      assert cell.outputs == [] and cell.execution_count is None
      compile(cell.source, 'cell', 'exec')
    assert set(cell.metadata) == set()


@pytest.mark.slow
def test_every_cell_runs_from_top_to_bottom(tmp_path, monkeypatch):
  notebook = read()
  marks = {
    'train': 'main.run(', 'plane': 'latent_test.png', 'track': 'if not TRACK and ON_COLAB', 'bass': 'generate(model',
    'download': 'files.download',
  }  # fmt: skip
  cell = {name: next(i for i, c in enumerate(notebook.cells) if c.cell_type == 'code' and mark in c.source) for name, mark in marks.items()}
  soundfile.write(tmp_path / 'uploaded.wav', np.zeros(100), 16_000)
  again = {name: notebook.cells[cell[name]].source for name in ('track', 'download')}
  extra = (COLAB.format(upload='uploaded.wav'), again['track'], MOVE, again['download'])
  notebook.cells += [code(source) for source in (*extra, 'print(TRACK, [os.path.basename(path) for path in downloaded])')]
  small = 'model.pitch_channels=4 model.hidden=16 model.trunk_dilations=1,2 data.batch_size=8 evaluation.max_songs=3'
  execute(notebook, tmp_path, monkeypatch, FOLDER=str(tmp_path / 'made'), SONGS='3', STEPS='20', CHANGES=small)

  trained = notebook.cells[cell['train']]
  assert 'training: 20 steps in' in '\n'.join(texts(trained)), 'progress ends with what was done'
  assert len(texts(trained, 'image/png')) == 1, 'a picture that is missing fails no cell'
  assert not any('\r' in text or '\x1b' in text for text in texts(trained, 'stream') + texts(trained))
  assert len(texts(notebook.cells[cell['plane']], 'image/png')) == 2
  assert 'by chance 0.33' in texts(notebook.cells[cell['plane']], 'stream')[0]
  assert len(texts(notebook.cells[cell['bass']], 'image/png')) == 1
  assert '<audio' in texts(notebook.cells[cell['bass']], 'text/html')[0]
  assert texts(notebook.cells[-1], 'stream') == ["uploaded.wav ['bass.zip']\n"]
  for name in ('bass.mid', 'bass.wav', 'mix_with_bass.wav', 'settings.json'):
    assert (tmp_path / 'made' / 'bass' / name).stat().st_size > 0


def test_progress_in_a_notebook_is_one_line_that_is_replaced(tmp_path, monkeypatch):
  """Also where the work is given sys.stderr by name, as training is."""
  source = """
import sys, time
from data_pipeline.progress import Progress
with Progress(3, 'work', 'pieces', stream=sys.stderr) as progress:
  for _ in range(3):
    progress.update(note='so far so good')
    time.sleep(0.6)
  progress.message('a remark')
"""
  notebook = nbformat.v4.new_notebook(cells=[code(source)])
  execute(notebook, tmp_path, monkeypatch)
  assert texts(notebook.cells[0]) == ['work: 3 pieces in 0:02']
  assert texts(notebook.cells[0], 'stream') == ['a remark\n']


def test_progress_that_goes_to_a_file_stays_there_in_a_notebook(tmp_path, monkeypatch):
  source = """
import time
from data_pipeline import progress
with open('log.txt', 'w') as log, progress.Progress(1, 'work', 'pieces', stream=log) as shown:
  shown.update()
"""
  notebook = nbformat.v4.new_notebook(cells=[code(source)])
  execute(notebook, tmp_path, monkeypatch)
  assert notebook.cells[0].outputs == []
  assert (tmp_path / 'log.txt').read_text() == 'work: 1 pieces in 0:00\n'

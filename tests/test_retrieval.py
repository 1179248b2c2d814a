"""Retrieval finds the passage that was heard, in any key and tempo, and never looks at the answer."""

import dataclasses

import numpy as np
import pytest

from bassnet_jax.evaluation import metrics, retrieval
from data_pipeline import features as ft
from data_pipeline.notes import DRUMS, Notes

BEATS = 64


def song(name: str, seed: int, transposed: int = 0, beat: float = 0.5, known_beats: bool = True) -> ft.Features:
  """Random triads, a chord every two beats; a bass on the root in a random rhythm that the kick shares; its mix as lines in the CQT."""
  rng = np.random.default_rng(seed)
  frames = round(BEATS * beat * ft.FRAME_RATE)
  chords = np.repeat(rng.integers(0, 12, BEATS // 2), 2)
  mix, bass = [], []
  for i, root in enumerate(chords):
    start = i * beat
    mix += [(start, start + beat, 60 + (root + step) % 12 + transposed, 90, 0) for step in (0, 4, 7)]
    for sixteenth in np.flatnonzero(rng.random(4) < 0.4):
      onset = start + sixteenth * beat / 4
      mix.append((onset, onset + 0.05, 36, 100, DRUMS))
      bass.append((onset, onset + beat / 4, 28 + (root + transposed - 28) % 12, 90, 33))
  cqt = np.zeros((frames, ft.MIX_BINS), np.float16)
  for onset, offset, pitch, _, program in mix:
    first, last = round(onset * ft.FRAME_RATE), round(offset * ft.FRAME_RATE)
    if program == DRUMS:
      cqt[first : first + 4, 20:40] = 3
    else:
      cqt[first : last - 2, 2 * (pitch - ft.LOWEST_BIN_PITCH)] = 2
  notes = Notes.from_rows(bass)
  pitch, onset = ft.frame_targets(notes, frames)
  return ft.Features(
    id=name,
    split='train',
    licence='CC0-1.0',
    credit='',
    mix=cqt,
    bass=np.zeros((frames, ft.BASS_BINS), np.float16),
    pitch=pitch,
    onset=onset,
    level=np.zeros(frames, np.float16),
    gain=1.0,
    tuning=0.0,
    notes=notes,
    mix_notes=Notes.from_rows(mix),
    beats=np.arange(BEATS) * beat if known_beats else None,
  )


TRAINING = [song(f'train{i}', i) for i in range(5)]


@pytest.mark.parametrize(('transposed', 'beat'), [(0, 0.5), (3, 0.5), (-4, 0.5), (2, 0.4)])
def test_a_training_song_in_another_key_and_tempo_is_found(transposed, beat):
  asked = song('asked', 2, transposed, beat)
  line = retrieval.retrieve([asked], TRAINING)[0]
  assert metrics.note_pc_f1(line, asked.notes) > 0.95
  assert metrics.pitch_class_accuracy(line, asked.notes, asked.frames) > 0.95


def test_a_song_that_is_not_there_is_not_found():
  asked = song('asked', 99)
  assert metrics.note_pc_f1(retrieval.retrieve([asked], TRAINING)[0], asked.notes) < 0.7


def test_the_answer_is_not_looked_at():
  asked = song('asked', 99)
  changed = dataclasses.replace(asked, notes=Notes.empty(), bass=asked.bass + 1, mix_notes=None)
  first, second = retrieval.retrieve([asked, changed], TRAINING)
  assert len(first) and np.array_equal(first.rows(), second.rows())


def test_a_song_that_is_searched_is_refused():
  with pytest.raises(ValueError, match='train1'):
    retrieval.retrieve([TRAINING[1]], TRAINING)
  with pytest.raises(ValueError, match='training split is empty'):
    retrieval.retrieve([song('asked', 9)], [])


def test_lines_are_one_note_at_a_time_inside_the_piece_and_the_range():
  asked = song('asked', 99, beat=0.43)
  line = retrieval.retrieve([asked], TRAINING)[0]
  assert line.onset[0] >= 0 and line.offset.max() <= asked.seconds + 2e-3
  assert (line.offset[:-1] <= line.onset[1:] + 1e-9).all()
  assert line.pitch.min() >= retrieval.LOWEST and line.pitch.max() <= retrieval.HIGHEST_FOLLOWED


def test_the_beat_grid_covers_the_song():
  known = retrieval.beat_grid(dataclasses.replace(TRAINING[0], beats=np.array([2.0, 2.5, 3.0])))
  np.testing.assert_allclose(np.diff(known), 0.5)
  assert 0 <= known[0] < 0.5 and known[-1] >= TRAINING[0].seconds + 3
  tracked = retrieval.beat_grid(song('x', 3, known_beats=False))
  assert tracked[-1] > BEATS * 0.5 and (np.diff(tracked) > 0).all()
  silent = dataclasses.replace(TRAINING[0], beats=None, mix=np.zeros_like(TRAINING[0].mix))
  np.testing.assert_allclose(np.diff(retrieval.beat_grid(silent)), 0.5)


def test_a_silent_mix_gets_some_line_without_a_fault():
  silent = dataclasses.replace(song('silent', 1), mix=np.zeros((800, ft.MIX_BINS), np.float16))
  assert (retrieval.retrieve([silent], TRAINING)[0].onset < 10).all()

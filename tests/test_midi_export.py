"""MIDI files: notes keep their seconds under any tempo map, read back by mido and by pretty_midi."""

import warnings

import mido
import numpy as np
import pretty_midi
import pytest

from bassnet_jax import midi_export
from data_pipeline.notes import DRUMS, Notes


def drifting_beats(seconds: float = 300.0, bpm: float = 120.0, drift: float = 0.2, first: float = 0.4) -> np.ndarray:
  """Beats whose tempo swings by +-20 % in half a minute."""
  beats = [first]
  while beats[-1] < seconds:
    beats.append(beats[-1] + 60 / (bpm * (1 + drift * np.sin(2 * np.pi * beats[-1] / 30))))
  return np.array(beats)


def random_line(seconds: float = 300.0, seed: int = 0) -> Notes:
  random = np.random.default_rng(seed)
  onset = np.cumsum(random.uniform(0.06, 0.6, 2000))
  onset = onset[onset < seconds]
  length = random.uniform(0.03, 1.0, len(onset)) * np.append(np.diff(onset), 0.5)
  rows = zip(
    onset, onset + length, random.integers(23, 68, len(onset)), random.integers(1, 128, len(onset)), [33] * len(onset), strict=True
  )
  return Notes.from_rows(rows)


def read_by_pretty_midi(path) -> Notes:
  with warnings.catch_warnings():
    warnings.simplefilter('error')  # it warns of tempo events outside the first track, and ignores them
    file = pretty_midi.PrettyMIDI(str(path))
  (instrument,) = file.instruments
  return Notes.from_rows((note.start, note.end, note.pitch, note.velocity, instrument.program) for note in instrument.notes)


TEMPOS = {
  'drifting': {'beats': drifting_beats()},
  'slow': {'beats': drifting_beats(bpm=45, first=1.2)},
  'from zero': {'beats': drifting_beats(first=0.0)},
  'first beat soon': {'beats': drifting_beats(first=0.03)},
  'first beat late': {'beats': drifting_beats(first=21.3)},
  'pauses': {'beats': np.array([1.0, 1.5, 2.0, 40.0, 40.5, 41.0])},
  'typed': {'bpm': 97.3},
  'none': {},
}


@pytest.mark.parametrize('tempo', TEMPOS)
@pytest.mark.parametrize('read', [midi_export.read_notes, read_by_pretty_midi], ids=['mido', 'pretty_midi'])
def test_seconds_are_kept(tmp_path, tempo, read):
  path = tmp_path / 'bass.mid'
  line = random_line()
  midi_export.write(str(path), line, **TEMPOS[tempo])
  found = read(path)
  assert len(found) == len(line)
  limit = 0.02 if tempo == 'pauses' else 0.005  # a tick of a 19-second beat is long
  assert np.abs(found.onset - line.onset).max() < limit
  assert np.abs(found.offset - line.offset).max() < 2 * limit
  for column in ('pitch', 'velocity', 'program'):
    np.testing.assert_array_equal(getattr(found, column), getattr(line, column))


def test_beats_of_the_file_are_the_beats_of_the_music(tmp_path):
  path = tmp_path / 'bass.mid'
  beats = drifting_beats(first=1.3)
  midi_export.write(str(path), random_line(), beats=beats)
  file_beats = pretty_midi.PrettyMIDI(str(path)).get_beats()
  for beat in beats[beats < 290]:
    assert np.abs(file_beats - beat).min() < 1e-4


def test_layout(tmp_path):
  path = tmp_path / 'bass.mid'
  midi_export.write(str(path), random_line(), bpm=93.0, track_name='Bass ♪')
  file = mido.MidiFile(str(path))
  assert file.type == 1 and len(file.tracks) == 2 and file.ticks_per_beat >= 480
  tempos = [message for message in file.tracks[0] if message.type == 'set_tempo']
  assert len(tempos) == 1 and abs(mido.tempo2bpm(tempos[0].tempo) - 93) < 1e-3
  assert file.tracks[1].name == 'Bass ?'
  assert not list(tmp_path.glob('*.tmp'))


def test_repeated_and_empty_and_drum_notes(tmp_path):
  path = str(tmp_path / 'bass.mid')
  repeated = Notes.from_rows(
    [(0.5, 1.0, 40, 90, 33), (1.0, 1.5, 40, 91, 33), (1.5, 1.5001, 40, 92, 33), (1.6, 2.2, 40, 93, 33), (2.0, 3.0, 40, 94, 33)]
  )
  midi_export.write(path, repeated)
  found = midi_export.read_notes(path)
  assert found.velocity.tolist() == [90, 91, 92, 93, 94]
  np.testing.assert_allclose(found.offset, [1.0, 1.5, 1.5, 2.0, 3.0], atol=0.002)
  midi_export.write(path, Notes.empty(), beats=drifting_beats())
  assert len(midi_export.read_notes(path)) == 0
  band = Notes.from_rows([(0.0, 0.1, 36, 100, DRUMS), (0.0, 1.0, 40, 80, 33), (0.0, 1.0, 60, 70, 0)])
  midi_export.write(path, band)
  np.testing.assert_allclose(midi_export.read_notes(path).rows(), band.rows(), atol=0.002)


def test_wrong_arguments_say_so(tmp_path):
  for options, says in (
    ({'bpm': 0.0}, 'expected 4 to 1000'),
    ({'bpm': float('nan')}, 'expected 4 to 1000'),
    ({'beats': np.array([1.0, 0.5])}, 'rise'),
    ({'beats': np.array([1.0, np.nan])}, 'finite'),
  ):
    with pytest.raises(ValueError, match=says):
      midi_export.write(str(tmp_path / 'bass.mid'), random_line(), **options)
  assert not list(tmp_path.iterdir())
  (tmp_path / 'text.mid').write_text('no music')
  with pytest.raises(ValueError, match='not a readable MIDI file'):
    midi_export.read_notes(str(tmp_path / 'text.mid'))

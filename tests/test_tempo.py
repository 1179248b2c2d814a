"""Tempo maps: from beats, a tempo, a MIDI file; and the whole way from a song that drifts to a MIDI file that goes with its audio."""

import warnings

import mido
import numpy as np
import pretty_midi
import pytest
import soundfile

from bassnet_jax import beats as beat_tracking
from bassnet_jax import decoding, generate, midi_export, tempo
from bassnet_jax.decoding import Prediction
from data_pipeline import features

SECONDS = 60.0
RATE = 16_000


def drifting_beats(first: float = 0.43, slow: float = 100.0, drift: float = 0.2) -> np.ndarray:
  """Beats of a minute whose tempo rises evenly by 20 %."""
  beats = [first]
  while beats[-1] < SECONDS - 1:
    beats.append(beats[-1] + 60 / (slow * (1 + drift * beats[-1] / SECONDS)))
  return np.array(beats)


class PlaysWhatIsStruck:
  """A stand-in for a trained model: a note of 0.2 s wherever something begins in the mix."""

  onset_threshold = 0.3
  default_z = (0.0, 0.0)
  describe = {'experiment': 'struck'}

  def predict(self, mix, z):
    envelope = beat_tracking.onset_envelope(mix)
    onset = np.clip(envelope / np.quantile(envelope, 0.99), 0, 1).astype(np.float32)
    logits = np.zeros((len(mix), features.PITCHES + 1), dtype=np.float32)
    logits[:, features.NO_PITCH] = 6.0
    for peak in decoding.onset_peaks(onset, 0.3):
      logits[peak : peak + 16, 40 - features.LOWEST_PITCH] = 8.0
    return Prediction(np.ones((len(mix), features.BASS_BINS), np.float32), logits, onset, np.full(len(mix), 0.8, np.float32))


@pytest.fixture(scope='module')
def song(tmp_path_factory):
  """A song of struck chords, a MIDI file with its tempo map, and its beats."""
  folder = tmp_path_factory.mktemp('drifting')
  beats = drifting_beats()
  clock = np.arange(int(SECONDS * RATE)) / RATE
  since = clock - beats[np.maximum(np.searchsorted(beats, clock, side='right') - 1, 0)]
  chord = sum(np.sin(2 * np.pi * hertz * clock) for hertz in (220.0, 277.18, 329.63)) * np.exp(-6 * since) * (clock >= beats[0])
  noise = np.random.default_rng(0).normal(0, 0.5, len(clock)) * np.exp(-60 * np.abs(since)) * (clock >= beats[0])
  soundfile.write(folder / 'song.wav', 0.1 * (chord + noise), RATE)
  return folder, beats


def tempo_file(path, beats, resolution=96) -> str:
  """A MIDI file as a sequencer would write it: coarse ticks, a tempo on every beat, a time signature, and one note on each beat."""
  file = mido.MidiFile(ticks_per_beat=resolution)
  track = mido.MidiTrack([mido.MetaMessage('time_signature', numerator=3, denominator=4)])
  for i, length in enumerate(np.diff(np.concatenate([[0.0], beats]))):
    track.append(mido.MetaMessage('set_tempo', tempo=round(length * 1e6), time=0 if i == 0 else resolution))
  file.tracks += [track, mido.MidiTrack([mido.Message('note_on', note=60, time=5), mido.Message('note_off', note=60, time=50)])]
  file.save(path)
  return str(path)


def audio_onsets(path) -> np.ndarray:
  """Seconds at which sound follows silence in a WAV file."""
  audio, rate = soundfile.read(path)
  loud = np.flatnonzero(np.abs(audio) > 1e-3 * np.abs(audio).max())
  return loud[np.concatenate([[True], np.diff(loud) > 0.02 * rate])] / rate


def pretty_onsets(path) -> np.ndarray:
  with warnings.catch_warnings():
    warnings.simplefilter('error')  # it warns of tempo events outside the first track, and ignores them
    (instrument,) = pretty_midi.PrettyMIDI(path).instruments
  return np.array([note.start for note in instrument.notes])


@pytest.mark.parametrize('how', ['tracked', 'typed', 'file'])
@pytest.mark.parametrize('quantize', [None, '1/16'])
def test_midi_goes_with_the_audio_of_a_drifting_song(song, tmp_path, how, quantize):
  """Notes' seconds, read back by pretty_midi and by mido, are the audio's onsets within 5 ms, from the first bar to the last."""
  folder, beats = song
  options = {'tracked': {}, 'typed': {'bpm': 110.0}, 'file': {'tempo_map': tempo_file(tmp_path / 'song.mid', beats)}}[how]
  made = generate.generate(PlaysWhatIsStruck(), str(folder / 'song.wav'), output=str(tmp_path / 'out'), quantize=quantize, **options)
  heard = audio_onsets(made.files['bass.wav'])
  assert len(heard) == len(made.notes) > 90
  for read in (pretty_onsets(made.files['bass.mid']), midi_export.read_notes(made.files['bass.mid']).onset):
    assert np.abs(read - heard).max() < 0.005
  if quantize is None:
    nearest = np.abs(heard[:, None] - beats).min(axis=1)
    assert nearest.max() < 0.02, 'the song itself was not followed'
  if how != 'typed':
    grid = pretty_midi.PrettyMIDI(made.files['bass.mid']).get_beats()
    off = [np.abs(grid - beat).min() for beat in beats[2:-4]]
    assert max(off) < (0.001 if how == 'file' else 0.03), 'beat lines are not on the beats'
    if quantize is not None:
      ticks = made.tempo_map.ticks_of(midi_export.read_notes(made.files['bass.mid']).onset) / made.tempo_map.ticks_per_beat * 4
      assert np.abs(ticks - np.round(ticks)).max() < 0.01
  if how == 'file':
    signatures = [message for message in mido.MidiFile(made.files['bass.mid']).tracks[0] if message.type == 'time_signature']
    assert [(message.numerator, message.denominator) for message in signatures] == [(3, 4)]


def test_seconds_and_ticks_are_inverse():
  tempo_map = tempo.from_beats(drifting_beats())
  moments = np.random.default_rng(0).uniform(0, 100, 1000)
  np.testing.assert_allclose(tempo_map.seconds_of(tempo_map.ticks_of(moments)), moments, atol=1e-9)
  np.testing.assert_allclose(tempo_map.beats(SECONDS)[1:90], drifting_beats()[:89], atol=1e-5)
  assert tempo.constant(97.0).bpm(10.0) == pytest.approx(97.0, abs=1e-3)
  assert tempo.from_beats(np.array([3.0])).bpm(10.0) == 120


def test_a_file_without_tempo_is_120(tmp_path):
  mido.MidiFile(ticks_per_beat=480).save(tmp_path / 'plain.mid')
  found = tempo.read(tmp_path / 'plain.mid')
  assert found.bpm(10.0) == 120 and found.signatures == () and found.ticks_per_beat == 480


def test_unusable_files_are_named(tmp_path):
  (tmp_path / 'text.mid').write_text('no music')
  (tmp_path / 'short.mid').write_bytes(b'MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\1\0')
  mido.MidiFile(type=2, ticks_per_beat=480).save(tmp_path / 'patterns.mid')
  film = mido.MidiFile(ticks_per_beat=480)
  film.tracks.append(mido.MidiTrack([mido.Message('note_on', note=60)]))
  film.save(tmp_path / 'film.mid')
  content = (tmp_path / 'film.mid').read_bytes()
  (tmp_path / 'film.mid').write_bytes(content[:12] + b'\xe7\x28' + content[14:])
  fast = mido.MidiFile(ticks_per_beat=480)
  fast.tracks.append(mido.MidiTrack([mido.MetaMessage('set_tempo', tempo=10)]))
  fast.save(tmp_path / 'fast.mid')
  for name, says in (
    ('missing.mid', 'No such file'),
    ('text.mid', 'not a readable MIDI file'),
    ('short.mid', 'not a readable MIDI file'),
    ('patterns.mid', 'type 2'),
    ('film.mid', 'SMPTE'),
    ('fast.mid', 'beats a minute'),
    ('.', 'a folder'),
  ):
    with pytest.raises(tempo.TempoError, match=says) as caught:
      tempo.read(tmp_path / name)
    assert name in str(caught.value) or name == '.'

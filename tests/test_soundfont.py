"""A bass line on an instrument of a SoundFont: pitch, tuning, onsets, silence, and files that can't be used."""

import itertools
import sys

import numpy as np
import pytest

from bassnet_jax import soundfont
from data_pipeline import rendering
from data_pipeline.notes import Notes

pytest.importorskip('tinysoundfont')
FONT = rendering.default_soundfont()
LINE = Notes.from_rows([(0.5, 1.0, 40, 100, 33), (1.0, 1.5, 40, 100, 33), (2.5, 3.5, 45, 60, 33)])


def rendered(rate: int = 22_050, seconds: float = 4.0, pieces: int = 1, tuning: float = 0.0, program: int = 33) -> np.ndarray:
  samples = int(rate * seconds)
  voice = soundfont.SoundFontVoice(LINE, soundfont.find(FONT, program), samples, rate, tuning)
  edges = np.linspace(0, samples, pieces + 1).astype(int)
  return np.concatenate([voice.render(int(a), int(b)) for a, b in itertools.pairwise(edges)])


def test_notes_sound_where_they_are():
  audio, rate = rendered(), 22_050
  assert np.abs(audio[: int(0.5 * rate)]).max() == 0
  assert np.abs(audio[int(0.5 * rate) : int(0.52 * rate)]).max() > 0.005
  assert np.abs(audio[int(2.2 * rate) : int(2.5 * rate)]).max() < 0.1 * np.abs(audio).max()
  assert abs(audio[-1]) < 1e-3 * np.abs(audio).max()


def test_pieces_make_the_whole():
  whole = rendered()
  # Not bit by bit: the synthesizer moves its envelopes every 64 samples, counted from where a piece begins.
  assert np.abs(rendered(pieces=7) - whole).max() < 0.05 * np.abs(whole).max()


@pytest.mark.parametrize('tuning', [0.0, 35.0, -50.0])
@pytest.mark.parametrize('rate', [16_000, 44_100])
def test_pitch_follows_the_tuning_of_the_mix(tuning, rate):
  audio = rendered(rate, tuning=tuning)[int(2.6 * rate) : int(3.4 * rate)]
  spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 1 << 20))
  hertz = 110 * 2 ** (tuning / 1200)
  near = np.abs(np.fft.rfftfreq(1 << 20, 1 / rate) / hertz - 1) < 0.06
  found = np.fft.rfftfreq(1 << 20, 1 / rate)[near][np.argmax(spectrum[near])]
  assert abs(1200 * np.log2(found / hertz)) < 6


def test_instruments_differ():
  assert np.abs(rendered(program=33) - rendered(program=38)).max() > 0.01
  assert soundfont.find(FONT).program == 33


def test_parts_out_of_order_are_refused():
  voice = soundfont.SoundFontVoice(LINE, soundfont.find(FONT), 1000, 16_000)
  with pytest.raises(ValueError, match='in order'):
    voice.render(500, 600)


def test_unusable_files_and_programs(tmp_path, monkeypatch):
  (tmp_path / 'text.sf2').write_text('no instrument')
  with open(FONT, 'rb') as file:
    (tmp_path / 'cut.sf2').write_bytes(file.read(100_000))
  for path, program, says in (
    (tmp_path / 'missing.sf2', None, 'no such file'),
    (tmp_path, None, 'a folder'),
    (tmp_path / 'text.sf2', None, 'not a SoundFont'),
    (tmp_path / 'cut.sf2', None, 'damaged'),
    (FONT, 200, r'no program 200.*33 '),
  ):
    with pytest.raises(soundfont.SoundFontError, match=says):
      soundfont.find(path, program)
  monkeypatch.setitem(sys.modules, 'tinysoundfont', None)
  with pytest.raises(soundfont.SoundFontError, match='pip install --no-deps tinysoundfont'):
    soundfont.find(FONT)

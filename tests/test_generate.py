"""The command `python -m bassnet_jax.generate`, with a model that plays eighth notes where z says."""

import functools
import io
import json
import os
import signal
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest
import soundfile

from bassnet_jax import export, generate, midi_export
from bassnet_jax.decoding import Prediction
from data_pipeline import features, front_end, parallel
from data_pipeline.notes import Notes

CHECKPOINT = 'model'


class EighthNotes:
  """A stand-in for a trained model: even eighths at 120 beats a minute; the pitch is 40 plus z's x."""

  onset_threshold = 0.25
  default_z = (0.0, 0.0)
  describe = {'experiment': 'eighth_notes', 'checkpoint_id': 'abc123', 'licences': ['CC0-1.0']}

  def warm_up(self): ...

  def encode_mix(self, mix):
    assert mix.ndim == 2 and mix.shape[1] == features.MIX_BINS
    return len(mix)

  def decode(self, mix_code, z):
    frames = mix_code
    z = np.broadcast_to(z, (frames, 2))
    onsets = np.arange(0, frames - 4, 20)
    pitch = np.clip(np.round(40 + z[onsets, 0]).astype(int), features.LOWEST_PITCH, features.HIGHEST_PITCH)
    rows = [(t / 80, (t + 16) / 80, p, 100, 33) for t, p in zip(onsets, pitch, strict=True)]
    classes, onset = features.frame_targets(Notes.from_rows(rows), frames)
    logits = np.zeros((frames, features.PITCHES + 1), dtype=np.float32)
    logits[np.arange(frames), classes] = 5.0
    bass = np.random.default_rng(0).random((frames, features.BASS_BINS), dtype=np.float32)
    return Prediction(bass, logits, 0.9 * onset.astype(np.float32), np.full(frames, 0.7, dtype=np.float32))

  def predict(self, mix, z):
    return self.decode(self.encode_mix(mix), z)

  def posterior(self, mix, bass):
    return np.full((len(mix), 2), 3.0), np.ones((len(mix), 2))


@pytest.fixture(scope='module')
def helper():
  """The process that helps every command of this module: each would load librosa anew."""
  shared = parallel.Helper(front_end.prepare)
  close, shared.close = shared.close, lambda: None
  yield shared
  close()


@pytest.fixture
def folder(tmp_path, monkeypatch, helper):
  """A folder with a song and the means to load the model; the test runs inside it."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(generate, '_read_model', lambda path: EighthNotes())
  monkeypatch.setattr(parallel, 'Helper', lambda prepare: helper)
  save('song.wav', chords(3.0, 44_100), 44_100)
  return tmp_path


def chords(seconds: float, rate: int, channels: int = 2) -> np.ndarray:
  """Three sines, struck every half second: [samples, channels]."""
  time = np.arange(round(seconds * rate)) / rate
  tone = sum(np.sin(2 * np.pi * frequency * time) for frequency in (220.0, 277.18, 329.63)) * np.exp(-4 * (time % 0.5)) * 0.1
  return np.stack([tone * (1 - 0.3 * channel) for channel in range(channels)], axis=1).astype(np.float32)


def save(path, audio, rate, **options):
  soundfile.write(path, audio, rate, **options)


def run(capsys, *arguments, output='out', source='song.wav', checkpoint=CHECKPOINT):
  flags = [f'--checkpoint={checkpoint}', f'--input={source}', f'--output={output}', *arguments]
  code = generate.main(['generate', *flags])
  said = capsys.readouterr()
  return code, said.out, said.err


def test_whole_command(folder, capsys):
  code, out, err = run(capsys, '--z=2,0.5')
  assert (code, err) == (0, '')
  assert sorted(os.listdir('out')) == sorted(export.FILES)
  for word in ('analysed', 'decoded', 'wrote', 'times real time', '12 notes', os.path.join('out', 'bass.mid')):
    assert word in out
  bass, mix, song = (soundfile.read(path) for path in ('out/bass.wav', 'out/mix_with_bass.wav', 'song.wav'))
  assert bass[1] == mix[1] == song[1] == 44_100
  assert bass[0].shape == (len(song[0]),) and mix[0].shape == song[0].shape
  assert 0.001 < np.abs(bass[0]).max() < 1 and np.abs(mix[0]).max() < 1
  notes = midi_export.read_notes('out/bass.mid')
  assert set(notes.pitch.tolist()) == {42}
  np.testing.assert_allclose(notes.onset, np.arange(12) * 0.25, atol=0.005)
  with open('out/pianoroll.png', 'rb') as file:
    assert file.read(8) == b'\x89PNG\r\n\x1a\n'
  with open('out/settings.json') as file:
    settings = json.load(file)
  assert settings['z'] == [{'time': 0.0, 'x': 2.0, 'y': 0.5}]
  assert settings['onset_threshold'] == 0.25
  assert settings['model']['checkpoint_id'] == 'abc123'
  assert settings['inputs'][0]['path'] == str(folder / 'song.wav')
  assert settings['measured']['notes'] == 12 and settings['measured']['samples'] == len(song[0])


def test_the_same_settings_give_the_same_files(folder, capsys):
  assert run(capsys, output='a')[0] == run(capsys, output='b')[0] == 0
  for name in export.FILES:
    assert (folder / 'a' / name).read_bytes() == (folder / 'b' / name).read_bytes(), name


def test_results_are_not_overwritten_unasked(folder, capsys):
  assert run(capsys)[0] == 0
  before = (folder / 'out' / 'bass.mid').read_bytes()
  code, _, err = run(capsys, '--z=7,0')
  assert code == 2 and '--overwrite' in err and err.count('\n') == 2
  assert (folder / 'out' / 'bass.mid').read_bytes() == before
  assert run(capsys, '--z=7,0', '--overwrite')[0] == 0
  assert set(midi_export.read_notes('out/bass.mid').pitch.tolist()) == {47}


def full(*arguments, **options):
  """At the top level, so that the helper finds it."""
  raise OSError(28, 'No space left on device')


def test_a_failed_write_leaves_the_old_results(folder, capsys, monkeypatch):
  assert run(capsys)[0] == 0
  before = {name: (folder / 'out' / name).read_bytes() for name in export.FILES}
  monkeypatch.setattr('bassnet_jax.piano_roll.draw', full)
  code, _, err = run(capsys, '--z=7,0', '--overwrite')
  assert code == 2 and 'No space left' in err and 'make room' in err and err.count('\n') == 3
  assert {name: (folder / 'out' / name).read_bytes() for name in os.listdir('out')} == before


def test_ctrl_c_stops_the_command_and_its_helper(folder):
  save('long.wav', chords(60.0, 44_100), 44_100)
  command = [sys.executable, '-u', '-m', 'bassnet_jax.generate', '--input=long.wav', '--output=out']
  environment = os.environ | {'PYTHONPATH': os.pathsep.join(sys.path)}
  hear = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it
  with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=hear) as process:
    assert process.stdout.readline().startswith('read long.wav')
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
  assert (process.returncode, said) == (130, 'generate: stopped.\n')
  assert not os.path.exists('out')


def test_several_inputs_are_mixed(folder):
  save('low.flac', 0.1 * chords(4.0, 22_050, channels=1), 22_050)
  result = generate.generate(EighthNotes(), ['song.wav', 'low.flac'])
  assert result.sample_rate == 44_100
  assert result.mix_audio.shape == (4 * 44_100, 2) and result.bass_audio.shape == (4 * 44_100,)
  assert result.files == {}
  without_bass = generate.generate(EighthNotes(), ['song.wav', 'low.flac'], bass_level=0.0).mix_audio
  assert np.abs(without_bass[: 3 * 44_100] - chords(3.0, 44_100)).max() < 0.05
  assert np.abs(without_bass[int(3.1 * 44_100) :]).max() > 0.005


@pytest.mark.parametrize(('samples', 'rate', 'channels'), [(8_001, 8_000, 1), (48_013, 48_000, 2), (22_222, 11_025, 3)])
def test_length_rate_and_channels_are_the_inputs(folder, samples, rate, channels):
  save('other.wav', chords(samples / rate, rate, channels), rate)
  result = generate.generate(EighthNotes(), 'other.wav', (1, 0), output='out')
  assert len(result.bass_audio) == samples
  assert soundfile.info('out/bass.wav').frames == samples and soundfile.info('out/bass.wav').samplerate == rate
  assert soundfile.info('out/mix_with_bass.wav').frames == samples and soundfile.info('out/mix_with_bass.wav').channels == channels


def test_trajectory_strings_and_bpm(folder, capsys):
  (folder / 'path.csv').write_text('time,x,y\n1.4,0,0\n1.6,-9,0\n')
  code, _, err = run(capsys, '--trajectory=path.csv', '--bpm=90')
  assert (code, err) == (0, '')
  pitch = midi_export.read_notes('out/bass.mid').pitch
  assert pitch[0] == 40 and pitch[-1] == 31
  found = generate.generate(EighthNotes(), 'song.wav', (-10, 0), strings='4-string').notes
  assert found.pitch.min() == 30
  np.testing.assert_array_equal(
    generate.generate(EighthNotes(), 'song.wav', (2, 0)).z, generate.generate(EighthNotes(), 'song.wav', '2,0').z
  )


def test_seconds_are_the_same_part_of_the_whole(folder, capsys):
  """Outputs begin and end with the input; in the range the notes are those of the whole song, outside there is silence."""
  whole = generate.generate(EighthNotes(), 'song.wav', (2, 0))
  code, _, err = run(capsys, '--z=2,0', '--seconds=0:01-2')
  assert (code, err) == (0, '')
  bass, rate = soundfile.read('out/bass.wav')
  assert bass.shape == (3 * 44_100,)
  expected = whole.notes.where((whole.notes.onset >= 1.0) & (whole.notes.onset < 2.0))
  np.testing.assert_allclose(midi_export.read_notes('out/bass.mid').onset, expected.onset, atol=0.002)
  assert len(expected) == 4
  assert np.abs(bass[: int(0.99 * rate)]).max() == 0 and np.abs(bass[int(2.04 * rate) :]).max() == 0
  middle = slice(int(1.1 * rate), int(1.9 * rate))
  assert np.abs(bass[middle] - whole.bass_audio[middle]).max() < 1e-3 and np.abs(bass[middle]).max() > 0.01
  to_the_end = generate.generate(EighthNotes(), 'song.wav', seconds=(2.5, np.inf), audio=False)
  assert to_the_end.notes.onset.tolist() == [2.5, 2.75] and to_the_end.bass_audio is None


def test_quantisation_can_be_undone(folder, capsys):
  clear = generate.generate(EighthNotes(), 'song.wav')
  code, _, err = run(capsys, '--bpm=70', '--quantize=1/8')
  assert (code, err) == (0, '')
  assert sorted(os.listdir('out')) == sorted([*export.FILES, export.PLAYED_MIDI])
  played, moved = (midi_export.read_notes(f'out/{name}') for name in (export.PLAYED_MIDI, export.MIDI))
  np.testing.assert_allclose(played.onset, clear.notes.onset, atol=0.002)
  eighth = 60 / 70 / 2
  np.testing.assert_allclose(moved.onset, np.round(moved.onset / eighth) * eighth, atol=0.002)
  assert np.abs(moved.onset - np.round(moved.onset / 0.25) * 0.25).max() > 0.05
  with open('out/notes.json') as file:
    kept = json.load(file)
  np.testing.assert_allclose([note['onset'] for note in kept['notes']], clear.notes.onset, atol=1e-5)
  assert len(kept['quantized']) == len(moved) < len(kept['notes']) and kept['notes'][0]['name'] == 'E2'
  assert run(capsys, '--overwrite')[0] == 0
  assert sorted(os.listdir('out')) == sorted(export.FILES), 'the unquantised copy of an earlier run is left'
  with open('out/notes.json') as file:
    assert json.load(file)['quantized'] is None


def test_octaves_come_before_the_range(folder):
  assert set(generate.generate(EighthNotes(), 'song.wav', octaves=-1).notes.pitch.tolist()) == {28}
  assert set(generate.generate(EighthNotes(), 'song.wav', octaves=1, strings='4-string').notes.pitch.tolist()) == {52}
  assert set(generate.generate(EighthNotes(), 'song.wav', octaves=-2, strings='4-string').notes.pitch.tolist()) == {28}


def test_a_soundfont_plays_at_the_predicted_level(folder, capsys):
  pytest.importorskip('tinysoundfont')
  from data_pipeline import rendering

  plain = generate.generate(EighthNotes(), 'song.wav')
  code, _, err = run(capsys, f'--soundfont={rendering.default_soundfont()}', '--program=38')
  assert (code, err) == (0, '')
  bass, rate = soundfile.read('out/bass.wav')
  assert bass.shape == plain.bass_audio.shape and rate == 44_100
  assert abs(20 * np.log10(np.sqrt(np.mean(bass**2)) / np.sqrt(np.mean(plain.bass_audio**2)))) < 1.0
  assert set(midi_export.read_notes('out/bass.mid').program.tolist()) == {38}
  with open('out/settings.json') as file:
    assert json.load(file)['soundfont']['program'] == 38


def test_a_notebook_gets_audio_notes_and_a_picture(folder):
  made = generate.generate(EighthNotes(), 'song.wav', (1, 0))
  assert made.bass_audio.shape == (3 * 44_100,) and made.mix_audio.shape == (3 * 44_100, 2) and made.files == {}
  assert made.notes.pitch.tolist() == [41] * 12 and len(made.prediction.onset) == len(made.z) == 241
  assert made._repr_png_() == made.picture()
  picture = matplotlib.image.imread(io.BytesIO(made.picture()))
  assert picture.shape[1] == 1500 and picture.std() > 0.05
  assert made.picture(longest=1.0) != made.picture()


def test_the_picture_shows_the_part_in_which_the_bass_plays(folder):
  """Not the first two minutes of a long song, where it is silent."""

  def notes_drawn(seconds) -> int:
    made = generate.generate(EighthNotes(), 'song.wav', seconds=seconds, audio=False)
    red, green, blue = np.moveaxis(matplotlib.image.imread(io.BytesIO(made.picture(longest=0.5)))[..., :3], -1, 0)
    return int(((red > 0.6) & (red > green + 0.2) & (green > blue + 0.1)).sum())

  assert notes_drawn((2.0, np.inf)) > 1000
  assert notes_drawn((2.0, 2.01)) < 1000


def test_style_of_another_song(folder, capsys):
  save('style_mix.wav', chords(2.0, 16_000), 16_000)
  save('style_bass.wav', chords(2.0, 16_000), 16_000)
  code, _, err = run(capsys, '--style_mix=style_mix.wav', '--style_bass=style_bass.wav')
  assert (code, err) == (0, '')
  assert set(midi_export.read_notes('out/bass.mid').pitch.tolist()) == {43}


def test_no_notes_is_a_result(folder, capsys):
  code, out, err = run(capsys, '--onset_threshold=1')
  assert (code, err) == (0, '') and 'lower --onset_threshold' in out
  assert len(midi_export.read_notes('out/bass.mid')) == 0
  assert np.abs(soundfile.read('out/bass.wav')[0]).max() == 0


def bad_inputs(folder):
  """Writes every kind of unusable input; the file's name is its kind."""
  (folder / 'text.wav').write_text('this is no audio\n' * 100)
  (folder / 'empty.wav').write_bytes(b'')
  save('silence.wav', np.zeros(44_100), 44_100)
  save('short.wav', chords(0.3, 44_100), 44_100)
  save('millisecond.wav', chords(0.001, 44_100), 44_100)
  broken = chords(1.0, 44_100)
  broken[1_000] = np.nan
  save('nan.wav', broken, 44_100, subtype='FLOAT')


@pytest.mark.parametrize(
  ('source', 'says'),
  [
    ('missing.wav', 'missing.wav'),
    ('text.wav', 'text.wav'),
    ('empty.wav', 'empty.wav'),
    ('silence.wav', 'silence'),
    ('short.wav', '300 ms'),
    ('millisecond.wav', '998 us|0.9977 ms|1 ms'),
    ('nan.wav', 'nan.wav'),
    ('.', 'folder'),
  ],
)
def test_bad_inputs(folder, capsys, source, says):
  bad_inputs(folder)
  refused(run(capsys, source=source), says)
  assert not os.path.exists('out')


@pytest.mark.parametrize(
  ('arguments', 'says'),
  [
    (['--z=1'], 'two numbers'),
    (['--z=1,nan'], 'expected a number'),
    (['--z=a,b'], 'expected a number'),
    (['--z=1,1', '--trajectory=path.csv'], 'Give one: --z'),
    (['--trajectory=missing.csv'], 'no such trajectory file'),
    (['--trajectory=song.wav'], 'not a text file'),
    (['--style_mix=song.wav'], '--style_bass'),
    (['--style_mix=song.wav', '--style_bass=missing.wav'], 'missing.wav'),
    (['--onset_threshold=1.5'], 'onset threshold is 1.5'),
    (['--articulation=-1'], 'articulation is -1'),
    (['--timbre=nan'], 'timbre is nan'),
    (['--bass_level=3'], 'bass level is 3'),
    (['--strings=7-string'], '4-string, 5-string, full'),
    (['--bpm=0'], 'beats a minute'),
    (['--bpm=90', '--tempo_map=song.mid'], 'Give one of them: --bpm'),
    (['--tempo_map=missing.mid'], 'missing.mid'),
    (['--tempo_map=song.wav'], 'not a readable MIDI file'),
    (['--seconds=5-4'], 'from 5 to 4'),
    (['--seconds=now'], 'expected start-end'),
    (['--seconds=nan-4'], 'expected start-end'),
    (['--seconds=1:10-'], 'the input ends at 0:03'),
    (['--quantize=1/5'], '1/16t'),
    (['--octave=7'], 'octave shift is 7'),
    (['--program=3'], '--soundfont'),
    (['--soundfont=missing.sf2'], 'missing.sf2'),
    (['--soundfont=song.wav'], 'not a SoundFont'),
    (['--timbre=dull'], 'timbre'),
    (['--unknown=1'], 'unknown'),
    (['another.wav'], 'not a flag'),
  ],
)
def test_bad_settings(folder, capsys, arguments, says):
  refused(run(capsys, *arguments), says)
  assert not os.path.exists('out')


def test_bad_outputs(folder, capsys):
  (folder / 'file').write_text('in the way')
  refused(run(capsys, output='file'), 'is a file')
  refused(run(capsys, output='file/out'), 'cannot be written')
  os.mkdir('here')
  save('here/bass.wav', chords(1.0, 16_000), 16_000)
  refused(run(capsys, '--overwrite', source='here/bass.wav', output='here'), 'would be replaced')


def test_missing_checkpoint(folder, capsys, monkeypatch):
  monkeypatch.undo()
  monkeypatch.chdir(folder)
  refused(run(capsys, checkpoint='missing'), 'no such checkpoint')


@pytest.mark.parametrize('missing', ['input', 'output'])
def test_missing_flags(capsys, missing):
  given = [f'--{name}=x' for name in ('input', 'output') if name != missing]
  code = generate.main(['generate', *given])
  refused((code, *capsys.readouterr()), f'--{missing} is missing')


def test_help(capsys):
  assert generate.main(['generate', '--help']) == 0
  assert '--trajectory' in capsys.readouterr().out


def refused(outcome, says: str) -> None:
  code, _, err = outcome
  assert code == 2
  assert err.startswith('error: ') and 'Traceback' not in err
  assert any(part in err for part in says.split('|')), err

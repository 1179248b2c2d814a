"""Generates a bass track for a mix: `python -m bassnet_jax.generate --input=song.wav --z=0.5,-1 --output=out`.

Writes out/bass.mid, bass.wav, mix_with_bass.wav, pianoroll.png and settings.json. `generate` is the same as a Python call.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
from absl import flags

import bassnet_jax
from bassnet_jax import beats as beat_tracking
from bassnet_jax import decoding, export, packaged, sonification, trajectory
from bassnet_jax.decoding import Prediction
from bassnet_jax.piano_roll import clock, pitch_name
from bassnet_jax.trajectory import Trajectory
from data_pipeline import features
from data_pipeline.notes import Notes

SHORTEST_SECONDS = 0.5
LONGEST_SECONDS = 60 * 60.0  # an hour of 44.1 kHz in stereo takes 4.5 GB of memory
LARGEST_STYLE_GAP = 1.0  # seconds by which a style's mix and bass may differ in length
AUDIBLE = 0.1  # level (-54 dB) above which a frame of a style's bass counts


class GenerateError(ValueError):
  """Nothing can be generated from these inputs or settings; the message says why in plain words."""


@dataclasses.dataclass(frozen=True)
class Generated:
  """A bass track and how it was made.

  Attributes:
    notes: the bass line.
    bass_audio: [samples] float32, the bass alone at the mix's own scale, of the mix's length.
    mix_audio: [samples, channels] float32, the mix with the bass, scaled as a whole if it would clip.
    sample_rate: Hz, of both; the first input's.
    prediction: what the network said.
    z: [frames, 2] float32, the latent position of every frame.
    beats: [beats] seconds.
    settings: everything that settings.json says.
    files: file name to path; empty without an output folder.
  """

  notes: Notes
  bass_audio: np.ndarray
  mix_audio: np.ndarray
  sample_rate: int
  prediction: Prediction
  z: np.ndarray
  beats: np.ndarray
  settings: dict
  files: dict[str, str]


def generate(
  checkpoint,
  inputs: str | Sequence[str],
  z=None,
  *,
  trajectory_file: str | None = None,
  style: tuple[str, str] | None = None,
  output: str | None = None,
  onset_threshold: float | None = None,
  articulation: float = 0.5,
  timbre: float = 0.5,
  bass_level: float = sonification.NATURAL_BASS_LEVEL,
  strings: str = 'full',
  bpm: float | None = None,
  overwrite: bool = False,
  report: Callable[[str], None] | None = None,
) -> Generated:
  """Generates a bass track.

  Args:
    checkpoint: path of a trained model, or one that `trained.load` gave.
    inputs: path or paths of audio files; several are mixed.
    z: latent position (x, y), or a `Trajectory`; default: the model's own.
    trajectory_file: file of positions over time, instead of `z`.
    style: paths of another song's mix and bass, instead of `z`: the position that describes how that bass goes with that mix.
    output: folder for the files; None writes nothing.
    onset_threshold: 0..1, low plays more, high plays less; default: the model's calibrated one.
    articulation: 0 staccato, 0.5 as predicted, 1 legato.
    timbre: 0 dull, 0.5 as predicted, 1 bright.
    bass_level: of the preview mix; 0 none, 0.7 the predicted balance, 1 three dB more.
    strings: '4-string', '5-string' or 'full'.
    bpm: constant tempo of the MIDI file; default: a tempo map by beat tracking.
    overwrite: whether results in the output folder may be replaced.
    report: is given a line of text at each step.

  Raises:
    GenerateError: an input, a setting or the output can't be used.
    OSError: the results can't be written.
  """
  started = time.perf_counter()
  report = report or (lambda line: None)
  paths = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
  paths = [os.fspath(path) for path in paths]
  _check_settings(paths, z, trajectory_file, style, onset_threshold, articulation, timbre, bass_level, strings, bpm)
  try:
    path_of_z = _explicit_position(z, trajectory_file)
    if output is not None:
      export.check(output, [*paths, *(style or ())], overwrite)
  except (trajectory.TrajectoryError, export.OutputError) as error:
    raise GenerateError(str(error)) from error

  mono, native, rate = _read(paths)
  samples, channels = native.shape
  seconds = samples / rate
  report(f'read {", ".join(map(os.path.basename, paths))}: {clock(seconds)}, {_format(rate, channels)}')
  # Before the analysis: the model says which part of the mix it listens to.
  model = load_model(checkpoint) if isinstance(checkpoint, str | os.PathLike) else checkpoint
  step = time.perf_counter()
  analysis = _analyse(_heard(model, mono), None, ', '.join(paths))
  tracked = beat_tracking.track(analysis.mix)
  report(f'analysed the mix: {_speed(seconds, step)}; tuning {analysis.tuning:+.0f} cents, {tracked.bpm:.1f} beats a minute')
  threshold = model.onset_threshold if onset_threshold is None else onset_threshold

  step = time.perf_counter()
  position = path_of_z or (_style_position(model, style) if style else trajectory.constant(model.default_z))
  z_frames = position.at(len(analysis.mix))
  prediction = model.decode(model.encode_mix(analysis.mix), z_frames)
  if not all(np.isfinite(part).all() for part in (prediction.bass, prediction.pitch_logits, prediction.onset, prediction.level)):
    raise GenerateError(
      'The model predicts values that are no numbers: the checkpoint is damaged, or its training diverged. Give another --checkpoint.'
    )
  lowest, highest = decoding.RANGES[strings]
  notes = decoding.notes_from_prediction(prediction, threshold, articulation, lowest, highest)
  report(f'decoded {len(notes)} notes: {_speed(seconds, step)}')

  step = time.perf_counter()
  bass = sonification.synthesise(notes, prediction, samples, rate, gain=analysis.gain, tuning=analysis.tuning, timbre=timbre)
  preview, preview_scale = sonification.preview_mix(native, bass, bass_level)
  del native  # as large as everything that follows
  bass, bass_scale = sonification.within_full_scale(bass)
  report(f'synthesised the bass: {_speed(seconds, step)}')

  settings = {
    'inputs': [{'path': os.path.abspath(path), 'sha256': _digest(path)} for path in paths],
    'checkpoint': os.path.abspath(checkpoint) if isinstance(checkpoint, str | os.PathLike) else None,
    'model': dict(model.describe),
    'z': position.rows(),
    'style': None if style is None else dict(zip(('mix', 'bass'), map(os.path.abspath, style), strict=True)),
    'trajectory': None if trajectory_file is None else os.path.abspath(trajectory_file),
    'onset_threshold': float(threshold),
    'articulation': float(articulation),
    'timbre': float(timbre),
    'bass_level': float(bass_level),
    'strings': strings,
    'bpm': None if bpm is None else float(bpm),
    'measured': {
      'seconds': seconds,
      'sample_rate': rate,
      'samples': samples,
      'channels': channels,
      'gain': float(analysis.gain),
      'tuning_cents': float(analysis.tuning),
      'bpm': tracked.bpm,
      'notes': len(notes),
      'bass_scale': bass_scale,
      'preview_scale': preview_scale,
    },
    'versions': _versions(),
  }
  files: dict[str, str] = {}
  if output is not None:
    step = time.perf_counter()
    files = _write(
      output,
      notes=notes,
      bass=bass,
      preview=preview,
      sample_rate=rate,
      mix_features=analysis.mix,
      beats=tracked.seconds,
      bpm=bpm,
      title=_title(paths, position),
      settings=settings,
    )
    report(f'wrote {len(files)} files: {_speed(seconds, step)}')
  _summarise(report, notes, files, seconds, bass_scale, preview_scale, started)
  return Generated(notes, bass, preview, rate, prediction, z_frames, tracked.seconds, settings, files)


def load_model(path: str):
  """A trained model from a checkpoint.

  Raises:
    GenerateError: there is none, or it can't be used.
  """
  path = os.fspath(path)
  if '://' not in path and not os.path.exists(path):
    raise GenerateError(f'{path}: there is no such checkpoint. Give the --workdir of a training run.')
  from bassnet_jax import trained

  try:
    model = trained.load(path)
    model.warm_up()
  except trained.CheckpointError as error:
    raise GenerateError(str(error) if path in str(error) else f'{path}: {error}') from error
  return model


def _check_settings(paths, z, trajectory_file, style, onset_threshold, articulation, timbre, bass_level, strings, bpm) -> None:
  """Every setting that can be wrong is looked at before anything slow begins."""
  if not paths:
    raise GenerateError('There is no input; give at least one audio file with --input.')
  if sum(given is not None for given in (z, trajectory_file, style)) > 1:
    raise GenerateError('Give one of z, a trajectory and a style, not several: each of them says where in the plane to play.')
  if style is not None and len([path for path in style if path]) != 2:
    raise GenerateError('A style is two files of one song, its mix without bass and its bass (--style_mix and --style_bass).')
  unit = {'onset threshold': onset_threshold, 'articulation': articulation, 'timbre': timbre, 'bass level': bass_level}
  for name, value in unit.items():
    if value is not None and not 0 <= value <= 1:
      raise GenerateError(f'The {name} is {value:g}; expected 0 to 1.')
  if strings not in decoding.RANGES:
    raise GenerateError(f"The strings are '{strings}'; expected one of {', '.join(decoding.RANGES)}.")
  if bpm is not None and not 4 <= bpm <= 1000:
    raise GenerateError(f'The tempo is {bpm:g} beats a minute; expected 4 to 1000.')


def _explicit_position(z, trajectory_file: str | None) -> Trajectory | None:
  if trajectory_file is not None:
    return trajectory.read(trajectory_file)
  if z is None or isinstance(z, Trajectory):
    return z
  return trajectory.parse_position(z) if isinstance(z, str) else trajectory.constant(z)


def _read(paths: Sequence[str]) -> tuple[np.ndarray, np.ndarray, int]:
  """Reads and mixes the inputs; shorter ones are filled with silence at the end.

  Returns:
    mono: [samples] float32 at 16 kHz, for the features.
    native: [samples, channels] float32 at the first input's rate; inputs of other rates are resampled to it.
    rate: Hz, of `native`.
  """
  mono = _sum([_load(path)[:, None] for path in paths])[:, 0]
  _check_usable(mono, ', '.join(paths))
  natives, rate = [], None
  for path in paths:
    native, own_rate = _load_native(path)
    rate = rate or own_rate
    natives.append(native if own_rate == rate else _resample(native, own_rate, rate))
  return mono, _sum(natives), rate


def _sum(parts: list[np.ndarray]) -> np.ndarray:
  """[samples, channels] of the longest part; mono goes to every channel, other channel counts that differ are folded to mono."""
  if len(parts) == 1:
    return parts[0]
  counts = {part.shape[1] for part in parts} - {1}
  if len(counts) > 1:
    parts = [part.mean(axis=1, keepdims=True) for part in parts]
    counts = set()
  total = np.zeros((max(map(len, parts)), max(counts, default=1)), dtype=np.float32)
  for part in parts:
    total[: len(part)] += part
  return total


def _resample(audio: np.ndarray, rate: int, wanted: int) -> np.ndarray:
  import soxr

  return soxr.resample(audio, rate, wanted)


def _load(path: str) -> np.ndarray:
  from data_pipeline import audio

  try:
    return audio.load(path, features.SAMPLE_RATE, longest=LONGEST_SECONDS)
  except audio.AudioError as error:
    raise GenerateError(str(error)) from error


def _load_native(path: str) -> tuple[np.ndarray, int]:
  from data_pipeline import audio

  try:
    return audio.load_native(path, longest=LONGEST_SECONDS)
  except audio.AudioError as error:
    raise GenerateError(str(error)) from error


def _check_usable(mono: np.ndarray, name: str) -> None:
  from data_pipeline import audio

  try:
    audio.check_usable(mono, name, shortest=SHORTEST_SECONDS)
  except audio.AudioError as error:
    raise GenerateError(str(error)) from error


def _analyse(mix: np.ndarray, bass: np.ndarray | None, name: str):
  from data_pipeline import front_end

  try:
    return front_end.analyse(mix, bass)
  except front_end.SilentMixError as error:
    raise GenerateError(f'{name}: {error}.') from error


def _heard(model, mix: np.ndarray) -> np.ndarray:
  """What a model listens to: the mix itself, or the harmonic or percussive part of it where it was trained on that alone."""
  from data_pipeline import separation

  part = separation.part_of(model.describe.get('datasets', ()))
  return mix if part is None else separation.separate(mix, part)


def _write(folder: str, **results) -> dict[str, str]:
  from data_pipeline import audio

  try:
    return export.write(folder, **results)
  except audio.AudioError as error:
    raise GenerateError(str(error)) from error


def _style_position(model, style: tuple[str, str]) -> Trajectory:
  """The mean posterior of another song's mix and bass, over the frames in which that bass sounds."""
  mix, bass = _load(style[0]), _load(style[1])
  gap = abs(len(mix) - len(bass)) / features.SAMPLE_RATE
  if gap > LARGEST_STYLE_GAP:
    raise GenerateError(
      f'The style mix {style[0]} and the style bass {style[1]} differ in length by {gap:.1f} s; '
      f'at most {LARGEST_STYLE_GAP:g} s are allowed. Give the mix without bass and the bass of one song.'
    )
  samples = min(len(mix), len(bass))
  _check_usable(mix[:samples], style[0])
  _check_usable(bass[:samples], style[1])
  analysis = _analyse(_heard(model, mix[:samples]), bass[:samples], style[0])
  mean, _ = model.posterior(analysis.mix, analysis.bass)
  sounds = features.level_of(bass[:samples] * analysis.gain, len(analysis.mix)) > AUDIBLE
  if not sounds.any():
    raise GenerateError(
      f'{style[1]}: the style bass is silent beside its mix. Give the bass and the mix as they were in the song, at one gain.'
    )
  return trajectory.constant(np.clip(np.mean(mean[sounds], axis=0, dtype=np.float64), -trajectory.LARGEST, trajectory.LARGEST))


def _format(rate: int, channels: int) -> str:
  return f'{rate / 1000:g} kHz, {({1: "mono", 2: "stereo"}).get(channels, f"{channels} channels")}'


def _speed(seconds: float, started: float) -> str:
  spent = max(time.perf_counter() - started, 1e-6)
  return f'{spent:.1f} s, {seconds / spent:.0f} times real time'


def _title(paths: Sequence[str], position: Trajectory) -> str:
  names = ' + '.join(map(os.path.basename, paths))
  x, y = position.position[0]
  where = f'z = ({x:.2f}, {y:.2f})' if len(position.time) == 1 else f'z moves over {len(position.time)} points'
  return f'Bass for {names if len(names) < 60 else names[:57] + "..."},  {where}'


def _summarise(
  report, notes: Notes, files: dict[str, str], seconds: float, bass_scale: float, preview_scale: float, started: float
) -> None:
  span = f', {pitch_name(int(notes.pitch.min()))} to {pitch_name(int(notes.pitch.max()))}' if len(notes) else ''
  report(f'{len(notes)} notes{span}; all together {_speed(seconds, started)}')
  if not len(notes):
    report('no note is above the onset threshold: lower --onset_threshold or move z')
  for name, scale in ((export.BASS, bass_scale), (export.PREVIEW, preview_scale)):
    if scale < 1:
      report(f'{name} is {-20 * np.log10(scale):.1f} dB quieter as a whole, so that nothing clips')
  for path in files.values():
    report(f'  {path}')


def _digest(path: str) -> str:
  with open(path, 'rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _versions() -> dict[str, str]:
  """Versions that decide the result; of packages that aren't imported there is nothing to say."""
  loaded = {name: sys.modules.get(name) for name in ('numpy', 'scipy', 'librosa', 'soxr', 'jax', 'flax')}
  found = {name: str(getattr(module, '__version__', 'unknown')) for name, module in loaded.items() if module is not None}
  return {'bassnet_jax': bassnet_jax.__version__, 'python': platform.python_version(), 'features': features.VERSION, **found}


def _define_flags() -> flags.FlagValues:
  """The command's flags, in a set of their own: other commands of this package use the same names in one process."""
  defined = flags.FlagValues()

  def define(kind, name, default, text):
    kind(name, default, text, flag_values=defined)

  define(flags.DEFINE_string, 'checkpoint', None, 'workdir of a training run (default: the model that comes with the package)')
  define(flags.DEFINE_multi_string, 'input', [], 'audio file of the mix without bass; repeat it to mix several')
  define(flags.DEFINE_string, 'z', None, "latent position 'x,y', mostly -3 to 3 (default: the model's)")
  define(flags.DEFINE_string, 'trajectory', None, 'file of positions over time: CSV (time,x,y) or JSON')
  define(flags.DEFINE_string, 'style_mix', None, 'mix without bass of another song whose bass style is taken over')
  define(flags.DEFINE_string, 'style_bass', None, 'bass of that song')
  define(flags.DEFINE_string, 'output', None, 'folder for the results')
  define(flags.DEFINE_float, 'onset_threshold', None, "0 plays more, 1 plays less (default: the model's)")
  define(flags.DEFINE_float, 'articulation', 0.5, '0 staccato, 1 legato')
  define(flags.DEFINE_float, 'timbre', 0.5, '0 dull, 1 bright')
  define(flags.DEFINE_float, 'bass_level', sonification.NATURAL_BASS_LEVEL, 'bass in the preview mix, 0 to 1; 0.7 is the predicted balance')
  define(flags.DEFINE_string, 'strings', 'full', f'range: {", ".join(decoding.RANGES)}; notes outside move by octaves')
  define(flags.DEFINE_float, 'bpm', None, 'constant tempo of the MIDI file (default: a tempo map by beat tracking)')
  define(flags.DEFINE_bool, 'overwrite', False, 'replace results in the output folder')
  define(flags.DEFINE_bool, 'help', False, 'show this text')
  return defined


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command.

  Args:
    arguments: program name and flags; default: the process's own.

  Returns:
    Exit code: 0, or 2 for a user's mistake (one line on stderr), 130 when stopped by Ctrl-C.
  """
  defined = _define_flags()
  try:
    rest = defined(list(sys.argv if arguments is None else arguments))[1:]
    if defined.help:
      print(f'{__doc__}\n{defined.get_help()}')
      return 0
    if rest:
      raise GenerateError(f"'{rest[0]}' is not a flag; write --input={rest[0]} for an input.")
    for name in ('input', 'output'):
      if not defined[name].value:
        raise GenerateError(f'--{name} is missing.')
    style = (defined.style_mix, defined.style_bass) if defined.style_mix or defined.style_bass else None
    generate(
      defined.checkpoint or packaged.path(),
      defined.input,
      defined.z,
      trajectory_file=defined.trajectory,
      style=style,
      output=defined.output,
      onset_threshold=defined.onset_threshold,
      articulation=defined.articulation,
      timbre=defined.timbre,
      bass_level=defined.bass_level,
      strings=defined.strings,
      bpm=defined.bpm,
      overwrite=defined.overwrite,
      report=lambda line: print(line, flush=True),
    )
  except (GenerateError, flags.Error, OSError, MemoryError) as error:
    text = ' '.join(str(error).split()) or type(error).__name__
    print(f'generate: {text}', file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print('generate: stopped.', file=sys.stderr)
    return 130
  return 0


if __name__ == '__main__':
  sys.exit(main())

"""Generates a bass track for a mix: `python -m bassnet_jax.generate --input=song.wav --z=0.5,-1 --output=out`.

Writes out/bass.mid, bass.wav, mix_with_bass.wav, pianoroll.png, notes.json and settings.json. `generate` is the same as a Python call.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent import futures

import numpy as np
from absl import flags

from bassnet_jax import (
  decoding,
  export,
  generate_settings,
  generated,
  hearing,
  packaged,
  piano_roll,
  quantise,
  song_input,
  sonification,
  tempo,
  trajectory,
)
from bassnet_jax.bounce import Bounce
from bassnet_jax.decoding import Prediction
from bassnet_jax.generate_settings import EVERYTHING, GenerateError, Settings
from bassnet_jax.generated import Generated
from bassnet_jax.piano_roll import clock
from bassnet_jax.soundfont import SoundFontVoice
from bassnet_jax.tempo import TempoMap
from data_pipeline import commands, front_end, parallel, storage
from data_pipeline.notes import Notes


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
  octaves: int = 0,
  bpm: float | None = None,
  tempo_map: str | None = None,
  seconds: str | tuple[float, float] | None = None,
  quantize: str | None = None,
  soundfont: str | None = None,
  program: int | None = None,
  overwrite: bool = False,
  audio: bool = True,
  report: Callable[[str], None] | None = None,
  helper: parallel.Helper | None = None,
) -> Generated:
  """Generates a bass track.

  Args:
    checkpoint: path of a trained model, the name of one that comes with the package, or what `load_model` gave; None: 'short'.
    inputs: path or paths of audio files; several are mixed.
    z: latent position (x, y), or a `Trajectory`; default: the model's own.
    trajectory_file: file of positions over time, instead of `z`.
    style: paths of another song's mix and bass, instead of `z`: the position that describes how that bass goes with that mix.
    output: folder for the files; None writes nothing.
    onset_threshold: 0..1, low plays more, high plays less; default: the model's calibrated one.
    articulation: 0 staccato, 0.5 as predicted, 1 legato.
    timbre: 0 dull, 0.5 as predicted, 1 bright; of the additive synthesizer.
    bass_level: of the preview mix; 0 none, 0.7 the predicted balance, 1 three dB more.
    strings: '4-string', '5-string' or 'full'.
    octaves: by which the line is moved, before the range of the strings counts.
    bpm: constant tempo of the MIDI file; default: a tempo map by beat tracking.
    tempo_map: MIDI file whose tempo changes and time signatures the MIDI file gets, instead; it begins where the audio begins.
    seconds: (start, end) or 'start-end': the bass plays in this part only. Every result still begins and ends with the input.
    quantize: grid of the tempo map that notes are moved to: '1/8', '1/16', '1/16t' (triplets), ...; None leaves them where they are.
    soundfont: file (.sf2, .sf3) whose instrument plays the bass, at the predicted level, instead of the additive synthesizer.
    program: which of its instruments, counted from 0; default: 33, the finger bass, or the only one there is.
    overwrite: whether results in the output folder may be replaced.
    audio: whether the result holds the audio; that of an hour in stereo at 44.1 kHz takes 2 GB.
    report: is given a line of text at each step.
    helper: another process that analyses the mix and draws the picture while this one compiles and synthesises.

  Raises:
    GenerateError: an input, a setting or the output can't be used.
    OSError: the results can't be written.
  """
  started = time.perf_counter()
  report = report or (lambda line: None)
  paths = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
  paths = [os.fspath(path) for path in paths]
  tempo_map, soundfont = (None if path is None else os.fspath(path) for path in (tempo_map, soundfont))
  chosen = generate_settings.check(
    paths, z, trajectory_file, style, onset_threshold, articulation, timbre, bass_level, strings, octaves, bpm, tempo_map, seconds,
    quantize, soundfont, program,
  )  # fmt: skip
  if output is not None:
    try:
      export.check(output, [path for path in (*paths, *(style or ()), trajectory_file, tempo_map, soundfont) if path], overwrite)
    except export.OutputError as error:
      raise GenerateError(str(error)) from error

  with hearing.in_plain_words():
    mono, mix = song_input.read(paths)
  hearing.check_usable(mono, ', '.join(paths))
  if chosen.span[0] >= mix.seconds:
    raise GenerateError(
      f'The range of seconds begins at {clock(chosen.span[0])}; the input ends at {clock(mix.seconds)}. Begin before that.'
    )
  report(f'read {", ".join(map(os.path.basename, paths))}: {clock(mix.seconds)}, {generated.format_of(mix)}')
  # Before the analysis: the model says which part of the mix it listens to.
  if checkpoint is None or isinstance(checkpoint, str):
    checkpoint = packaged.resolve(checkpoint)
  step = time.perf_counter()
  if isinstance(checkpoint, str | os.PathLike):
    model, compiled = _read_model(checkpoint), False
  else:
    model, compiled = checkpoint, True
  submit = _beside if helper is None else helper.submit
  analysed = submit(hearing.listen, mono, hearing.part_heard(model), ', '.join(paths), chosen.tempo_map is None)
  if not compiled:
    _warm_up(model, checkpoint)
  analysis, beats = analysed.result()
  del mono, analysed
  tempos = chosen.tempo_map or tempo.from_beats(beats)
  if beats is None:
    beats = tempos.beats(mix.seconds)
  measured_bpm = tempos.bpm(mix.seconds)
  report(f'analysed the mix: {generated.speed(mix.seconds, step)}; tuning {analysis.tuning:+.0f} cents, {measured_bpm:.1f} beats a minute')
  threshold = model.onset_threshold if onset_threshold is None else onset_threshold

  step = time.perf_counter()
  position = chosen.position or (hearing.style_position(model, style) if style else trajectory.constant(model.default_z))
  z_frames = position.at(len(analysis.mix))
  prediction = model.predict(analysis.mix, z_frames)
  if not all(np.isfinite(part).all() for part in (prediction.bass, prediction.pitch_logits, prediction.onset, prediction.level)):
    raise GenerateError(
      'The model predicts values that are no numbers: the checkpoint is damaged, or its training diverged. Give another --checkpoint.'
    )
  line = _line(prediction, threshold, chosen, tempos, mix.seconds)
  report(f'decoded {len(line.notes)} notes: {generated.speed(mix.seconds, step)}')

  title = generated.title(paths, position)
  picture = None
  if output is not None:
    drawn = analysis.mix[: piano_roll.frames_drawn(chosen.span)]
    picture = submit(piano_roll.draw, line.notes, drawn, beats=beats, title=title, span=chosen.span)
  row = chosen.rows() | {
    'inputs': [{'path': os.path.abspath(path), 'sha256': generated.digest(path)} for path in paths],
    'checkpoint': storage.absolute(checkpoint) if isinstance(checkpoint, str | os.PathLike) else None,
    'model': dict(model.describe),
    'z': position.rows(),
    'onset_threshold': float(threshold),
    'versions': generated.versions(),
  }
  step = time.perf_counter()
  voice = sonification.voice(
    line.notes, prediction, mix.samples, mix.rate, gain=analysis.gain, tuning=analysis.tuning, timbre=timbre, moved=line.moved
  )
  energy = None
  if chosen.instrument is not None:
    energy = voice.energy()
    voice = SoundFontVoice(line.notes, chosen.instrument, mix.samples, mix.rate, analysis.tuning)
  scratch = None if output is None else export.existing_parent(output)
  with hearing.in_plain_words(), Bounce(voice, mix, bass_level, energy, scratch) as bounce:
    report(f'synthesised the bass: {generated.speed(mix.seconds, step)}')
    row['measured'] = {
      'seconds': mix.seconds,
      'sample_rate': mix.rate,
      'samples': mix.samples,
      'channels': mix.channels,
      'gain': float(analysis.gain),
      'tuning_cents': float(analysis.tuning),
      'bpm': measured_bpm,
      'notes': len(line.notes),
      'bass_scale': bounce.bass_scale,
      'preview_scale': bounce.preview_scale,
    }
    if chosen.grid is not None:
      row['measured']['notes_left_out_by_quantization'] = line.left_out
    made = Generated(
      notes=line.notes,
      played=line.played,
      bass_audio=np.concatenate(list(bounce.bass())) if audio else None,
      mix_audio=np.concatenate(list(bounce.preview())) if audio else None,
      sample_rate=mix.rate,
      prediction=prediction,
      z=z_frames,
      mix_features=analysis.mix,
      beats=beats,
      tempo_map=tempos,
      span=chosen.span,
      title=title,
      settings=row,
      files={},
    )
    if output is not None:
      step = time.perf_counter()
      files = export.write(
        output,
        notes=made.notes,
        played=None if chosen.grid is None else made.played,
        bass=bounce.bass(),
        preview=bounce.preview(),
        sample_rate=mix.rate,
        channels=mix.channels,
        tempo_map=tempos,
        picture=picture.result,
        settings=row,
      )
      made = dataclasses.replace(made, files=files)
      report(f'wrote {len(files)} files: {generated.speed(mix.seconds, step)}')
  generated.summarise(report, made, started)
  return made


def _beside(work: Callable, *arguments, **named) -> futures.Future:
  """Starts work in a thread of its own."""
  executor = futures.ThreadPoolExecutor(1)
  started = executor.submit(work, *arguments, **named)
  executor.shutdown(wait=False)
  return started


@dataclasses.dataclass(frozen=True)
class _Line:
  """A bass line as it sounds, as it was played, how far each note was moved (seconds), and how many notes gave way."""

  notes: Notes
  played: Notes
  moved: np.ndarray
  left_out: int


def _line(prediction: Prediction, threshold: float, chosen: Settings, tempos: TempoMap, seconds: float) -> _Line:
  """The notes of a prediction under the settings."""
  lowest, highest = decoding.RANGES[chosen.strings]
  played = decoding.notes_from_prediction(prediction, threshold, chosen.articulation, lowest, highest, octaves=chosen.octaves)
  if chosen.span != EVERYTHING:
    played = played.between(*chosen.span)
  if chosen.instrument is not None:
    played = dataclasses.replace(played, program=np.full(len(played), chosen.instrument.program, dtype=np.int64))
  if chosen.grid is None:
    return _Line(played, played, np.zeros(len(played)), 0)
  found = quantise.quantise(played, tempos, chosen.grid, min(seconds, chosen.span[1]))
  return _Line(found.notes, played, found.moved, found.left_out)


def load_model(path: str):
  """A trained model from a checkpoint.

  Raises:
    GenerateError: there is none, or it can't be used.
  """
  model = _read_model(path)
  _warm_up(model, path)
  return model


def _read_model(path: str | os.PathLike):
  """The model of a checkpoint; nothing is compiled yet."""
  path = packaged.resolve(os.fspath(path))
  if '://' not in path and not os.path.exists(path):
    raise GenerateError(f'{path}: there is no such checkpoint. {packaged.what_to_give()}')
  from bassnet_jax import trained

  try:
    storage.check(path)
    return trained.load(path)
  except (trained.CheckpointError, storage.StorageError) as error:
    raise _of_checkpoint(path, error) from error


def _warm_up(model, path: str | os.PathLike) -> None:
  """Compiles what generation needs."""
  from bassnet_jax import trained

  try:
    model.warm_up()
  except trained.CheckpointError as error:
    raise _of_checkpoint(os.fspath(path), error) from error


def _of_checkpoint(path: str, error: Exception) -> GenerateError:
  return GenerateError(str(error) if path in str(error) else f'{path}: {error}')


def _define_flags(define: commands.Define) -> None:
  define(
    flags.DEFINE_string,
    'checkpoint',
    None,
    'workdir of a training run, or the name of a model of the package (default: short)',
  )
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
  define(flags.DEFINE_integer, 'octave', 0, 'octaves by which the line is moved up (or down, if negative)')
  define(flags.DEFINE_float, 'bpm', None, 'constant tempo of the MIDI file (default: a tempo map by beat tracking)')
  define(flags.DEFINE_string, 'tempo_map', None, 'MIDI file whose tempo changes and time signatures are taken instead')
  define(flags.DEFINE_string, 'seconds', None, 'start-end, for example 30-60, 1:30-2:00 or 30-: the bass plays in this part only')
  define(flags.DEFINE_string, 'quantize', None, f'move notes to a grid: {", ".join(quantise.GRIDS)} (t: triplets)')
  define(flags.DEFINE_string, 'soundfont', None, 'file (.sf2, .sf3) whose instrument plays the bass')
  define(flags.DEFINE_integer, 'program', None, 'which of its instruments, counted from 0 (default: 33, finger bass)')
  define(flags.DEFINE_bool, 'overwrite', False, 'replace results in the output folder')


@commands.with_flags(_define_flags, MemoryError, bare='input')
def main(defined: flags.FlagValues) -> int:
  """Writes the bass track into the output folder; 130 when stopped by Ctrl-C."""
  for name, example in {'input': 'mix.wav, the mix without bass', 'output': 'out, the folder for the results'}.items():
    if not defined[name].value:
      raise GenerateError(f'--{name} is missing: give for example --{name}={example}.')
  helper = parallel.Helper(front_end.prepare)
  try:
    style = (defined.style_mix, defined.style_bass) if defined.style_mix or defined.style_bass else None
    generate(
      defined.checkpoint,
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
      octaves=defined.octave,
      bpm=defined.bpm,
      tempo_map=defined.tempo_map,
      seconds=defined.seconds,
      quantize=defined.quantize,
      soundfont=defined.soundfont,
      program=defined.program,
      overwrite=defined.overwrite,
      audio=False,
      report=lambda line: print(line, flush=True),
      helper=helper,
    )
  except KeyboardInterrupt:
    print('generate: stopped.', file=sys.stderr)
    return 130
  finally:
    helper.close()
  return 0


if __name__ == '__main__':
  commands.leave(main())

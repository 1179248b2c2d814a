"""Reads audio files in bounded memory, with errors in plain words; writes WAV files whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import struct
import tempfile
from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
import soundfile
import soxr

SAMPLE_RATE = 16_000
_BLOCK = 1 << 18
"""Samples a channel that are read at a time: 6 s at 44.1 kHz, 2 MB in stereo."""
_LONGEST_SECONDS = 4 * 3600.0
_RATES = (1_000, 768_000)
_EXPECTED = 'a WAV, FLAC, OGG, Opus, MP3 or AIFF file is expected'
_KNOWS_ITS_LENGTH = ('WAV', 'WAVEX', 'RF64', 'W64', 'AIFF', 'FLAC', 'CAF')
"""Formats whose header gives the number of samples exactly; elsewhere it may be an estimate."""
_ESTIMATE = 0.95
"""Elsewhere a file with less than this share of the promised length is cut short."""
_MISSING_BYTES = 1024
"""Careless programs write sizes that are off by a few bytes; what lacks more is cut short."""
_LONGEST_OGG_PAGE = 65_307
SILENCE = 1e-4
"""Peak (-80 dB full scale) below which audio is silence."""


class AudioError(ValueError):
  """An audio file can't be used; the message names it and says what was found, what is expected and what to do."""


@dataclasses.dataclass(frozen=True)
class AudioInfo:
  """What the header of an audio file says.

  Attributes:
    rate: samples a second.
    channels: 1 is mono, 2 stereo.
    seconds: length; an estimate in some MP3 files.
  """

  rate: int
  channels: int
  seconds: float


@dataclasses.dataclass(frozen=True)
class AudioShape:
  """What an audio file holds, counted while it was read.

  Attributes:
    rate: samples a second.
    channels: 1 is mono, 2 stereo.
    samples: a channel.
  """

  rate: int
  channels: int
  samples: int


def info(path: str | os.PathLike) -> AudioInfo:
  """Reads the header alone. Raises AudioError as `load` does."""
  with _opened(path) as file:
    return AudioInfo(file.samplerate, file.channels, file.frames / file.samplerate)


def load(path: str | os.PathLike, sample_rate: int = SAMPLE_RATE, longest: float = _LONGEST_SECONDS) -> np.ndarray:
  """Reads an audio file as mono (the mean of its channels) at a given rate, block by block.

  An hour of 44.1 kHz stereo needs little more memory than its result (230 MB at 16 kHz).

  Args:
    path: whatever libsndfile reads.
    sample_rate: of the result.
    longest: seconds; a longer file is an error, found before it's read.

  Returns:
    [samples] float32; the length is the file's, to the nearest sample. Silence is no error: see `check_usable`.

  Raises:
    AudioError: missing, a folder, empty, not audio, cut short, too long, or with samples that are no numbers.
  """
  return load_with_shape(path, sample_rate, longest)[0]


def load_with_shape(
  path: str | os.PathLike, sample_rate: int = SAMPLE_RATE, longest: float = _LONGEST_SECONDS
) -> tuple[np.ndarray, AudioShape]:
  """`load`, and what the file turned out to be."""
  with _opened(path) as file:
    rate = file.samplerate
    shape = AudioShape(rate, file.channels, 0)
    expected = max(min(file.frames, int(longest * rate)), 0)
    result = np.zeros(math.ceil(expected * sample_rate / rate) + _BLOCK, dtype=np.float32)
    stream = soxr.ResampleStream(rate, sample_rate, 1, dtype='float32') if rate != sample_rate else None
    read = written = 0
    held = np.zeros(0, dtype=np.float32)  # The last block must be marked as such, so each waits for the next.
    for block in _blocks(file, path, longest):
      chunk = stream.resample_chunk(held) if stream else held
      result = _put(result, written, chunk)
      written += len(chunk)
      held = block.mean(axis=1) if block.shape[1] > 1 else block[:, 0]
      read += len(block)
    chunk = stream.resample_chunk(held, last=True) if stream else held
    result = _put(result, written, chunk)
    written += len(chunk)
  length = max(round(read * sample_rate / rate), 1)
  result = _put(result, written, np.zeros(max(length - written, 0), dtype=np.float32))
  return result[:length], dataclasses.replace(shape, samples=read)


def load_native(path: str | os.PathLike, longest: float = _LONGEST_SECONDS) -> tuple[np.ndarray, int]:
  """Reads an audio file as it is.

  Returns:
    audio: [samples, channels] float32.
    rate: samples a second.

  Raises:
    AudioError: as `load`.
  """
  with _opened(path) as file:
    return np.concatenate(list(_blocks(file, path, longest))), file.samplerate


def blocks(path: str | os.PathLike, longest: float = _LONGEST_SECONDS) -> Iterator[np.ndarray]:
  """An audio file as it is, [samples, channels] float32, some seconds a time. Raises AudioError as `load`."""
  with _opened(path) as file:
    yield from _blocks(file, path, longest)


def check_usable(audio: np.ndarray, path: str | os.PathLike, shortest: float = 1.0, sample_rate: int = SAMPLE_RATE) -> None:
  """Reports audio from which nothing can be made.

  Args:
    audio: [samples] or [samples, channels].
    path: named in the message.
    shortest: seconds.
    sample_rate: of `audio`.

  Raises:
    AudioError: shorter than `shortest`, samples that are no numbers, or silence (no sample above -80 dB full scale).
  """
  check_long_enough(audio, path, shortest, sample_rate)
  peak = float(np.abs(audio).max()) if len(audio) else 0.0
  if not math.isfinite(peak):
    raise AudioError(f'{path}: samples that are no numbers (NaN or infinite). Export the audio anew.')
  if peak < SILENCE:
    raise AudioError(f'{path}: silence; its loudest sample is {peak:.1g} of full scale. Was the track muted when it was exported?')


def check_long_enough(audio: np.ndarray, path: str | os.PathLike, shortest: float, sample_rate: int = SAMPLE_RATE) -> None:
  """Raises AudioError: audio [samples, ...] shorter than `shortest` seconds."""
  seconds = len(audio) / sample_rate
  if seconds < shortest:
    raise AudioError(f'{path}: {_duration(seconds)} of audio; at least {_duration(shortest)} are needed. Give a longer recording.')


def save_wav_blocks(path: str | os.PathLike, parts: Iterable[np.ndarray], rate: int, channels: int) -> None:
  """Writes a 16-bit WAV file from its parts, as `save_wav` does, whole or not at all, without holding it.

  Args:
    path: where to.
    parts: [samples] or [samples, channels] each, full scale 1; what is louder is clipped.
    rate: samples a second.
    channels: of every part.

  Raises:
    AudioError: as `save_wav`, and whatever making the parts raises.
  """
  with _renamed(path) as temporary, soundfile.SoundFile(temporary, 'w', rate, channels, subtype='PCM_16', format='WAV') as file:
    for part in parts:
      if not np.isfinite(part).all():
        raise AudioError(f'{path}: not written, samples are no numbers (NaN or infinite)')
      file.write(np.clip(part, -1, 1))


def save_wav(path: str | os.PathLike, audio: np.ndarray, rate: int, subtype: Literal['PCM_16', 'FLOAT'] = 'PCM_16') -> None:
  """Writes a WAV file under a temporary name, then renames it: `path` is whole, or what it was before.

  Args:
    path: where to.
    audio: [samples] or [samples, channels], full scale 1; with 16 bits what is louder is clipped.
    rate: samples a second.
    subtype: 16-bit integers or 32-bit floats.

  Raises:
    AudioError: samples that are no numbers, or the file can't be written.
  """
  audio = np.asarray(audio, dtype=np.float32)
  if not np.isfinite(audio).all():
    raise AudioError(f'{path}: not written, {int((~np.isfinite(audio)).sum())} samples are no numbers (NaN or infinite)')
  with _renamed(path) as temporary:
    soundfile.write(temporary, np.clip(audio, -1, 1) if subtype == 'PCM_16' else audio, rate, subtype=subtype, format='WAV')


@contextlib.contextmanager
def _renamed(path: str | os.PathLike) -> Iterator[str]:
  """A temporary name beside `path`, which is renamed to it at the end, or removed. Raises AudioError: it can't be written."""
  temporary = None
  try:
    handle, temporary = tempfile.mkstemp(prefix='.', suffix='.wav.tmp', dir=os.path.dirname(os.path.abspath(path)))
    os.close(handle)
    yield temporary
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
  except (OSError, soundfile.LibsndfileError, AssertionError) as error:  # soundfile asserts that all was written: a full disk.
    raise AudioError(
      f"{path}: can't be written ({str(error) or 'the disk may be full'}). Is there such a folder, and room in it?"
    ) from error
  finally:
    if temporary is not None:
      with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)


class _ForwardOnly(soundfile.SoundFile):
  """A file that is read from beginning to end without a seek.

  SoundFile seeks to where it already is after every read; in an MP3 that resets the decoder, and the next 0.1 s are garbled.
  """

  def seekable(self) -> bool:
    return False


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[soundfile.SoundFile]:
  """Opens an audio file, and puts every fault that shows before its samples into words."""
  path = os.fspath(path)
  if os.path.isdir(path):
    raise AudioError(f'{path}: a folder; {_EXPECTED}. Give the path of one file.')
  if not os.path.exists(path):
    raise AudioError(f'{path}: no such file; {_EXPECTED}. Check the path.')
  if not os.path.isfile(path):
    raise AudioError(f'{path}: neither a file nor a folder; {_EXPECTED}. Give the path of one file.')
  if os.path.getsize(path) == 0:
    raise AudioError(f'{path}: an empty file (0 bytes); {_EXPECTED}. Copy or export it again.')
  try:
    with open(path, 'rb') as file:
      head = file.read(16)
  except OSError as error:
    raise AudioError(f"{path}: can't be read ({error.strerror or error}); {_EXPECTED}. Check its permissions.") from error
  try:
    audio = _ForwardOnly(path)
  except (soundfile.LibsndfileError, RuntimeError, OSError, TypeError) as error:
    reason = getattr(error, 'error_string', str(error)).rstrip('. ')
    if 'does not exist' in reason:  # So libsndfile puts it when an .mp3 holds something else.
      reason = 'format not recognised'
    raise AudioError(
      f'{path}: not audio that can be read ({reason}; it begins with {head[:8]!r}); {_EXPECTED}. '
      'Open it in an audio editor and export it as WAV.'
    ) from error
  with audio:
    if not (_RATES[0] <= audio.samplerate <= _RATES[1] and audio.channels > 0):
      raise AudioError(
        f'{path}: its header claims {audio.samplerate} samples a second in {audio.channels} channels; '
        f'{_RATES[0]} to {_RATES[1]} are expected. The file is damaged: export it again.'
      )
    if head[:4] == b'RIFF':
      _check_riff(path)
    elif head[:4] == b'OggS':
      _check_ogg(path)
    yield audio


def _check_riff(path: str) -> None:
  """Finds WAV files that are cut short: libsndfile takes what is left for the whole."""
  size = os.path.getsize(path)
  with open(path, 'rb') as file:
    position = 12
    while position + 8 <= size:
      file.seek(position)
      name, length = struct.unpack('<4sI', file.read(8))
      if name == b'data':
        left = size - position - 8
        # A recorder that doesn't know the length yet writes 0 or the largest number.
        if length < 0xFFFFFF00 and length > left + _MISSING_BYTES:
          raise AudioError(f'{path}: cut short; its header promises {length} bytes of audio, {left} are there. Copy or export it again.')
        return
      position += 8 + length + length % 2


def _check_ogg(path: str) -> None:
  """Finds Ogg files (Vorbis, Opus) that are cut short: their last page isn't marked as the last; libsndfile doesn't mind."""
  with open(path, 'rb') as file:
    file.seek(max(os.path.getsize(path) - _LONGEST_OGG_PAGE, 0))
    tail = file.read()
  page = tail[tail.rfind(b'OggS') :] if b'OggS' in tail else b''
  last = len(page) >= 27 and page[5] & 4
  if not last:
    raise AudioError(f'{path}: cut short; its last page is missing. Copy or export it again.')


def _blocks(file: soundfile.SoundFile, path: str | os.PathLike, longest: float) -> Iterator[np.ndarray]:
  """All samples as [samples, channels] float32 blocks; at least one of at least one sample, all finite."""
  rate = file.samplerate
  exact = file.format in _KNOWS_ITS_LENGTH
  promised = file.frames if file.frames < 2**40 else None
  if exact and promised is not None and promised > longest * rate:
    raise AudioError(f'{path}: {_duration(promised / rate)} long; at most {_duration(longest)} are taken. Cut it into pieces.')
  read = 0
  while True:
    try:
      block = file.read(_BLOCK, dtype='float32', always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
      reason = getattr(error, 'error_string', str(error)).rstrip('. ')
      raise AudioError(f'{path}: damaged after {_duration(read / rate)} ({reason}). Copy or export it again.') from error
    if not len(block):
      break
    finite = np.isfinite(block)
    if not finite.all():
      at = (read + int(np.argmin(finite.all(axis=1)))) / rate
      raise AudioError(f'{path}: samples that are no numbers (NaN or infinite), the first at {_duration(at)}. Export the audio anew.')
    read += len(block)
    if read > longest * rate:
      raise AudioError(f'{path}: more than {_duration(longest)} long, which is the most that is taken. Cut it into pieces.')
    yield block
  if promised is not None and read < promised * (1 if exact else _ESTIMATE):
    raise AudioError(f'{path}: cut short; {_duration(read / rate)} of {_duration(promised / rate)} are there. Copy or export it again.')
  if not read:
    raise AudioError(f'{path}: a header without a single sample; {_EXPECTED}. Copy or export it again.')


def _put(result: np.ndarray, start: int, chunk: np.ndarray) -> np.ndarray:
  """Writes a chunk into `result` from `start` on; returns it, or a longer copy where it doesn't fit."""
  if start + len(chunk) > len(result):
    result = np.concatenate([result[:start], np.zeros(max(len(chunk), start // 2), dtype=np.float32)])
  result[start : start + len(chunk)] = chunk
  return result


def _duration(seconds: float) -> str:
  if seconds < 1:
    return f'{1000 * seconds:.4g} ms'
  return f'{seconds:.4g} s' if seconds < 120 else f'{seconds / 60:.1f} min'

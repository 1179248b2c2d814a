"""The tf.data input: windows are true frames, order is a function of the seed, and the position can be saved."""

import numpy as np
import pytest
import tiny

from data_pipeline import build
from data_pipeline import features as ft

WINDOW, CONTEXT = 64, 6


@pytest.fixture(scope='module')
def make(coordinates_dir):
  """Makes an iterator; keywords change the settings."""
  from data_pipeline import tf_windows

  def iterator(**changes) -> tf_windows.CheckpointableIterator:
    settings = {
      'directories': [build.tfds_folder(tiny.DATASET, coordinates_dir)],
      'window': WINDOW,
      'context': CONTEXT,
      'groups_per_batch': 4,
      'group_size': 2,
      'pair_distance': 128,
      'groups_per_excerpt': 4,
      'excerpts_in_memory': 4,
      'seed': 0,
    }
    return tf_windows.CheckpointableIterator(tf_windows.groups(**settings | changes))

  return iterator


def take(iterator, batches: int) -> list[dict[str, np.ndarray]]:
  return [next(iterator) for _ in range(batches)]


def assert_same(a: list[dict], b: list[dict]) -> None:
  for one, other in zip(a, b, strict=True):
    assert one.keys() == other.keys()
    for name in one:
      np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_every_window_is_the_song_s_own_frames(make):
  found = []
  for batch in take(make(), 24):
    found += tiny.check_coordinate_windows(batch, WINDOW, CONTEXT)
  assert {name for name, _ in found} == set(tiny.LENGTHS), 'some songs never come'
  assert {start % 2 for _, start in found} == {0}, 'windows must begin on even frames'
  assert len({start for _, start in found}) > 60, 'starts hardly vary'


def test_long_windows_with_the_longest_context(make):
  """Reaches over a whole excerpt and all stored context; songs shorter than a window are filled up and masked."""
  found = []
  for batch in take(make(window=512, context=ft.CONTEXT_FRAMES), 12):
    found += tiny.check_coordinate_windows(batch, 512, ft.CONTEXT_FRAMES)
  assert 'shorter' in {name for name, _ in found}


def test_shapes_and_types(make):
  batch = next(make())
  outer, inner = (4, 2, WINDOW + 2 * CONTEXT), (4, 2, WINDOW)
  assert {name: (value.shape, str(value.dtype)) for name, value in batch.items()} == {
    'mix': ((*outer, 192), 'float16'),
    'bass': ((*outer, 144), 'float16'),
    'pitch': (inner, 'uint8'),
    'onset': (inner, 'uint8'),
    'level': (inner, 'float16'),
    'valid': (inner, 'bool'),
  }


@pytest.mark.parametrize('size', [2, 4])
def test_the_windows_of_a_group_are_near_and_of_one_song(make, size):
  distances = []
  for batch in take(make(group_size=size), 24):
    found = tiny.check_coordinate_windows(batch, WINDOW, CONTEXT)
    assert len(found) == 4 * size
    for i in range(1, size):
      for (first, a), (second, b) in zip(found[::size], found[i::size], strict=True):
        assert first == second
        distances.append(abs(a - b))
  assert max(distances) <= 128
  assert max(distances) > 64, 'the windows of a group hardly differ'


def test_valid_marks_what_lies_beyond_the_song(make):
  seen = 0
  for batch in take(make(window=128), 12):
    for (name, start), valid in zip(tiny.check_coordinate_windows(batch, 128, CONTEXT), batch['valid'].reshape(-1, 128), strict=True):
      if name == 'shorter':
        assert start == 0 and valid.sum() == tiny.LENGTHS['shorter']
        seen += 1
      elif tiny.LENGTHS[name] % ft.EXCERPT_FRAMES > 128:
        assert valid.all()
  assert seen


def test_every_excerpt_gives_equally_many_windows(make):
  """Four excerpts with four pairs each are four batches."""
  group = [window for batch in take(make(), 4) for window in tiny.check_coordinate_windows(batch, WINDOW, CONTEXT)[::2]]
  counts: dict[tuple[str, int], int] = {}
  for name, start in group:
    counts[name, start // ft.EXCERPT_FRAMES] = counts.get((name, start // ft.EXCERPT_FRAMES), 0) + 1
  assert list(counts.values()) == [4, 4, 4, 4]


def test_two_runs_are_identical_and_seeds_differ(make):
  first = take(make(), 20)
  assert_same(first, take(make(), 20))
  with pytest.raises(AssertionError):
    assert_same(first, take(make(seed=1), 20))


def test_the_same_excerpts_are_cut_anew(make):
  """The seven excerpts come back with the next shuffle; their windows must not."""
  iterator = make(excerpts_in_memory=7, groups_per_batch=28)
  first, second = (tiny.check_coordinate_windows(batch, WINDOW, CONTEXT) for batch in take(iterator, 2))
  assert {name for name, _ in first} == {name for name, _ in second}
  assert first != second


@pytest.mark.parametrize('consumed', [1, 4, 6, 11])
def test_a_saved_position_goes_on_exactly(make, tmp_path, consumed):
  path = str(tmp_path / 'iterator')
  iterator = make()
  take(iterator, consumed)
  iterator.write(path)
  expected = take(iterator, 10)
  resumed = make()
  resumed.read(path)
  assert_same(expected, take(resumed, 10))


def test_processes_read_parts_of_their_own(make):
  seen = []
  for process in range(2):
    excerpts = set()
    for batch in take(make(process_index=process, process_count=2, excerpts_in_memory=3), 24):
      excerpts |= {(name, start // ft.EXCERPT_FRAMES) for name, start in tiny.check_coordinate_windows(batch, WINDOW, CONTEXT)}
    seen.append(excerpts)
  assert not seen[0] & seen[1]
  assert len(seen[0] | seen[1]) == 7, 'an excerpt is read by nobody'


def test_max_songs_takes_the_first_of_the_sorted_ids(make):
  found = {name for batch in take(make(max_songs=2), 12) for name, _ in tiny.check_coordinate_windows(batch, WINDOW, CONTEXT)}
  assert found == set(sorted(tiny.LENGTHS)[:2])


def test_several_datasets_are_mixed(make, coordinates_dir, data_dir):
  directories = [build.tfds_folder(tiny.DATASET, root) for root in (coordinates_dir, data_dir)]
  whole = [float(value) for batch in take(make(directories=directories), 24) for value in batch['mix'][:, 0, CONTEXT, 0]]
  coordinates = sum(value in range(1, len(tiny.LENGTHS) + 1) for value in whole)
  assert 0 < coordinates < len(whole)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'window': 63}, 'must be even'),
    ({'context': 7}, 'must be even'),
    ({'window': 1026}, 'at most 1024'),
    ({'context': 258}, 'at most 1024 and 256'),
    ({'groups_per_batch': 5}, 'do not divide into batches of 5'),
  ],
)
def test_sizes_that_do_not_fit_are_refused(make, changes, message):
  with pytest.raises(ValueError, match=message):
    make(**changes)

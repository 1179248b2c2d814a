"""RESULTS.md: what may share a row, intervals, and a page from whatever exists."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
from test_plots import looks_drawn

from bassnet_jax import source_commit
from bassnet_jax.evaluation import planes, results, results_page

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATTERNS = ('root', 'third', 'fifth')


def add(root, experiment, seed, svm=0.9, steps=100, plane=True, **run):
  """One finished run."""
  folder = root / experiment / str(seed)
  folder.mkdir(parents=True)
  control = {'note_f1': svm - 0.1, 'note_f1_ci95': [svm - 0.2, svm], 'pattern': svm, 'pattern_ci95': [svm - 0.1, svm + 0.1], 'frame': 0.7}
  control |= {'matrix': np.eye(3).tolist(), 'switch_seconds': None if seed == 1 else 0.25}
  metrics = {
    'latent': {'svm': svm, 'knn': svm, 'mix_only': 0.3, 'chance': 1 / 3, 'stability_ratio': 0.1},
    'control': control,
    'control_blind': {'note_f1': 0.3, 'pattern': 1 / 3},
    'test_timbre.control': {'pattern': svm - 0.05, 'note_f1': 0.5, 'frame': 0.5},
    'run': {'experiment': experiment, 'seed': seed, 'steps': steps, 'commit': 'abcdef0123456789', 'seconds': 60.0}
    | {
      'windows_per_second': 50.0,
      'data_wait': 0.0,
      'preset': 'laptop',
      'settings': [],
      'hardware': 'a processor',
      'command': 'python -m x',
    }
    | run,
  }
  (folder / 'metrics.json').write_text(json.dumps(metrics))
  if plane:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 300)
    centres = np.array([[1, 0], [-1, 1], [0, -2.0]]) @ np.linalg.qr(rng.normal(size=(2, 2)))[0] * rng.uniform(0.2, 5)
    planes.save(planes.sample(centres[labels] + rng.normal(0, 0.02, (300, 2)), labels, PATTERNS), str(folder / planes.FILE))
  return folder


def page(root) -> str:
  with open(results_page.write(str(root), {'a1_window64': 'The default.'})) as file:
    return file.read()


def row_of(text: str, *beginnings: str) -> list[list[str]]:
  """Cells of the table lines that begin with these cells."""
  lines = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line.startswith('| ')]
  return [cells for cells in lines if tuple(cells[: len(beginnings)]) == beginnings]


def test_the_interval_is_student_s():
  """Of 1, 2, 3: mean 2, standard error 1/sqrt(3), t(0.975, 2) = 4.30265."""
  assert results.t_interval([1, 2, 3]) == pytest.approx((2 - 4.30265 / 3**0.5, 2 + 4.30265 / 3**0.5), abs=1e-4)
  with pytest.raises(ValueError, match='needs two at least'):
    results.t_interval([1.0])


def test_it_holds_the_true_mean_in_95_of_100_sweeps():
  rng = np.random.default_rng(0)
  held = [low < 0.5 < high for low, high in (results.t_interval(rng.normal(0.5, 0.1, 3)) for _ in range(4000))]
  assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_means_over_seeds_and_the_interval_within_a_single_run(tmp_path):
  for seed, svm in enumerate((0.8, 0.9, 1.0)):
    add(tmp_path, 'a1_window64', seed, svm)
  add(tmp_path, 'a2_window64', 0, 0.8)
  three, one = results.rows(results.read(str(tmp_path))[0])
  low, high = results.t_interval([0.8, 0.9, 1.0])
  assert str(results.estimate(three, 'control.pattern')) == f'0.900 [{low:.3f}, {high:.3f}]'
  assert str(results.estimate(one, 'control.pattern')) == '0.800 [0.700, 0.900] within run'
  assert str(results.estimate(one, 'latent.svm')) == '0.800'
  assert str(results.estimate(one, 'test_timbre.control.pattern')) == '0.750'
  assert str(results.estimate(three, 'control.switch_seconds')) == '0.250 [0.250, 0.250]; never in 1 of 3'
  alone = results.Row('a', three.conditions, (dataclasses.replace(three.results[0], metrics={'x': 1.0, 'x_ci95': [0.5, None]}),))
  assert str(results.estimate(alone, 'x')) == '1.000 [0.500, never] within run', 'some songs never switch'
  assert str(results.estimate(three, 'music.z_fixed.note_pc_f1')) == ''


def test_what_was_trained_otherwise_never_shares_a_row(tmp_path):
  add(tmp_path, 'a1_window64', 0, 0.5)
  add(tmp_path, 'a1_window64', 1, 0.7)
  add(tmp_path, 'a1_window64', 2, 0.9, steps=6000, preset='full')
  add(tmp_path, 'a1_window64', 3, 0.9, settings=['loss.kl=0.1'])
  add(tmp_path, 'a1_window64_nostability', 0, 0.4, steps=6000, preset='full')
  rows = results.rows(results.read(str(tmp_path))[0])
  assert [(row.experiment, row.conditions.steps, row.conditions.settings, row.seeds) for row in rows] == [
    ('a1_window64', 100, '', (0, 1)),
    ('a1_window64', 100, 'loss.kl=0.1', (3,)),
    ('a1_window64', 6000, '', (2,)),
    ('a1_window64_nostability', 6000, '', (0,)),
  ]
  with pytest.raises(ValueError, match='were not trained alike'):
    results.difference(rows[0], rows[3], 'latent.svm')
  text = page(tmp_path)
  assert [cells[2:5] for cells in row_of(text, 'a1: harmony', '64')[:3]] == [
    ['100', 'laptop', '2'],
    ['100', 'laptop, `loss.kl=0.1`', '1'],
    ['6,000', 'full', '1'],
  ]
  assert 'a1, harmony; window 64; 6,000 steps, preset full' in text and 'a1, harmony; window 64; 100 steps' not in text
  assert 'Rows without a counterpart trained alike: `a1_window64` (100 steps, preset laptop); `a1_window64` (100 steps, preset lap' in text


@pytest.mark.parametrize(
  ('default', 'without', 'expected'),
  [
    ((0.9, 0.92, 0.91), (0.5, 0.51, 0.49), 'supported'),
    ((0.5, 0.51, 0.49), (0.9, 0.92, 0.91), 'contradicted'),
    ((0.5, 0.9, 0.7), (0.6, 0.7, 0.8), 'not decided'),
    ((1.0, 1.0), (1.0, 1.0), 'not decided'),
    ((0.9,), (0.1,), 'one seed'),
  ],
)
def test_the_ablation_is_paired_by_seed_and_named(tmp_path, default, without, expected):
  root = tmp_path / 'results'
  for name, values in (('a3_window64', default), ('a3_window64_nostability', without)):
    for seed, svm in enumerate(values):
      add(root, name, seed, svm, plane=False)
  glance, cells = row_of(page(root), 'nostability')
  assert glance[2].startswith(f'{np.mean(without):.3f}, ') and glance[2].endswith(f'({len(without)})')
  assert cells[7].startswith(f'{np.mean(default) - np.mean(without):+.3f}') and cells[8] == expected


def test_the_first_table_holds_the_constraint_and_its_lack_trained_alike(tmp_path):
  root = tmp_path / 'results'
  for seed in range(2):
    add(root, 'a3_window64', seed, 0.95, plane=False)
    add(root, 'a3_window64_nostability', seed, 0.4, plane=False)
  add(root, 'a3_window64', 2, 0.99, steps=6000, plane=False)  # of which no counterpart is there
  add(root, 'a3_window64_nogate', 0, 0.7, plane=False)
  add(root, 'a3_window128', 0, 0.8, plane=False)
  first = page(root).split('How to read it')[0]
  lines = row_of(first, 'a3: rhythm')
  assert [cells[1:4] for cells in lines] == [['search, exchange and smoothness (the default)', '100', '2'], ['none', '100', '2']]
  assert [cells[4][:5] for cells in lines] == ['0.950', '0.400'] and [cells[-1] for cells in lines] == ['0.333', '0.333']
  assert 'In short' not in page(tmp_path / 'others')


def test_all_variants_stand_side_by_side_each_set_under_its_own_conditions(tmp_path):
  root = tmp_path / 'results'
  for name, svm in (('a1_window64', 0.9), ('a1_window64_nostability', 0.5), ('a1_window64_nogate', 0.8), ('a3_window64_nogate', 0.7)):
    add(root, name, 0, svm, plane=False)
  add(root, 'a2_window64', 0, 0.6, steps=6000, plane=False)
  add(root, 'a2_window128', 0, 0.2, plane=False)
  table = page(root).partition('at a glance')[2].partition('###')[0]
  header, *_ = row_of(table)
  assert header[2:] == ['a1, 100 steps', 'a2, 6,000 steps', 'a3, 100 steps']
  starts = {cells[0]: [cell[:5] for cell in cells[2:]] for cells in row_of(table)}
  assert starts['default'] == ['0.900', '0.600', ''] and starts['nogate'] == ['0.800', '', '0.700']
  assert starts['nostability'] == ['0.500', '', ''] and 'l2' not in starts


def test_other_variants_are_no_evidence_on_stability(tmp_path):
  root = tmp_path / 'results'
  add(root, 'a1_window64', 0)
  add(root, 'a1_window64_nogate', 0)
  text = page(root)
  before, after = text.split('## Further ablations')
  assert 'No figures yet: it needs rows with the constraint' in before and not row_of(before, 'nogate') and row_of(after, 'nogate')


def test_planes_of_three_seeds_are_aligned_and_drawn(tmp_path):
  root = tmp_path / 'results'
  for seed in range(3):
    add(root, 'a1_window64', seed)
    add(root, 'a1_window64_nostability', seed)
  text = page(root)
  (cells,) = [cells for cells in row_of(text, 'a1_window64', '100', 'laptop') if len(cells) == 7]
  assert cells[3] in '012' and cells[4] == '2' and cells[5].startswith('0.000') and cells[6].startswith('1.000')
  pictures = [line.partition('](')[2].rstrip(')') for line in text.splitlines() if line.startswith('![')]
  assert len(pictures) == 2 and all(looks_drawn(tmp_path / name) for name in pictures)


def test_pictures_of_an_earlier_page_go(tmp_path):
  root = tmp_path / 'results'
  add(root, 'a1_window64', 0)
  page(root)
  assert len(os.listdir(root / 'figures')) == 2
  shutil.rmtree(root / 'a1_window64')
  add(root, 'a1_window64', 0, steps=200)
  page(root)
  assert sorted(name.rpartition('_')[0] for name in os.listdir(root / 'figures')) == [
    f'{kind}_a1_window64_200_steps' for kind in ('control', 'planes')
  ]


def test_maps_of_music_stand_under_their_claims(tmp_path):
  root = tmp_path / 'results'
  axis = np.linspace(-3, 3, 9)
  for seed in range(2):
    folder = root / 'pr_window64' / str(seed)
    folder.mkdir(parents=True)
    slope = np.add.outer(axis, 0 * axis)
    maps = {'diatonic': 0.6 + 0.1 * slope, 'diatonic_mismatched': 0.5 + 0 * slope, 'onset_density': 3 - slope, 'register': 35 + slope}
    listed = {name: values.round(4).tolist() for name, values in maps.items()}
    listed['register'][0][0] = None
    plane = {'axis': axis.tolist(), 'maps': listed, 'truth': {'diatonic': 0.85, 'diatonic_ci95': [0.8, 0.9]}, 'permutation': {'p': 0.002}}
    music = {rung: {'note_pc_f1': 0.4, 'diatonic_rate': 0.8} for rung in ('z_fixed', 'truth')}
    run = {'experiment': 'pr_window64', 'seed': seed, 'steps': 10}
    (folder / 'metrics.json').write_text(json.dumps({'plane': plane, 'music': music, 'run': run}))
  text = page(root)
  diatonic, positions = text.split('## (c)')[1].split('## (d)')
  (cells,) = row_of(diatonic, 'pr_window64')
  assert cells[4].startswith('0.300') and cells[5].startswith('0.900') and cells[8:] == ['0.0020', 'supported (p < 0.01)']
  (cells,) = row_of(positions.split('## (e)')[0], 'pr_window64')
  assert cells[9] == '0.00 to 6.00'
  assert looks_drawn(root / 'figures' / 'maps_pr_window64_10_steps_not_recorded.png')
  shutil.rmtree(root / 'pr_window64' / '1')
  (cells,) = row_of(page(root).split('## (c)')[1].split('## (d)')[0], 'pr_window64')
  assert cells[8:] == ['0.0020', 'one seed'], 'with one seed nothing is called anything'


def test_planes_on_further_songs_stand_under_their_claims(tmp_path):
  root = tmp_path / 'results'
  axis = np.linspace(-3, 3, 3)
  folder = root / 'pr_window64' / '0'
  measured = folder / 'open_test'
  measured.mkdir(parents=True)
  drawn = {'diatonic': [[0.2, 0.5, 0.6], [0.5, 0.9, 0.6], [0.5, 0.5, 0.7]], 'diatonic_mismatched': np.eye(3).tolist()}
  drawn['onset_density'] = [[0.5, 0.5, 2], [2, 2, 2], [2, 2, 1]]
  plane = {'axis': axis.tolist(), 'maps': drawn, 'truth': {}}
  (folder / 'metrics.json').write_text(json.dumps({'plane': plane, 'run': {'experiment': 'pr_window64', 'seed': 0, 'steps': 10}}))
  assert 'Tied:' not in page(root)
  above, below = np.eye(3, dtype=int).tolist(), np.zeros((3, 3), int).tolist()
  test = {'songs': 12, 'lowest': 0.8, 'highest': 0.93, 'above': above, 'below': below, 'p': 0.0005}
  location = {'diatonic': test, 'diatonic_tied': test, 'diatonic_mismatched': test | {'p': 0.3}, 'level': None, 'register': test}
  rings = {'register': {'songs': 12, 'near': 31, 'far': 30, 'difference': -1, 'ci95': [-1.5, -0.5]}, 'diatonic': None}
  run = {'dataset': 'bassnet_pop_rock/open', 'split': 'test', 'full': True}
  maps = {'run': run, 'plane': plane | {'location': location, 'rings': rings}}
  (measured / 'maps.json').write_text(json.dumps(maps))
  (measured / 'maps.png').write_bytes(b'')
  diatonic, positions = page(root).split('## (c)')[1].split('## (e)')[0].split('## (d)')
  cells = next(cells for cells in row_of(diatonic, 'pr_window64') if 'open' in cells[2])
  assert cells[2:7] == ['bassnet_pop_rock/open, test, whole', '3 x 3', '12', '0.800 to 0.930', '0.500 to 0.900']
  assert cells[8:] == ['0', '3', '0', '2', '0.3000', '0.0005', 'shown'], 'one of the three places above hardly sounds'
  assert '(results/pr_window64/0/open_test/maps.png)' in diatonic
  found = {cells[5]: cells for cells in row_of(positions, 'pr_window64') if 'open' in cells[2]}
  assert set(found) == {'diatonic share', 'register, MIDI pitch'}
  assert found['register, MIDI pitch'][-4:] == ['31.00', '30.00', '-1.00 [-1.50, -0.50]', 'lower']
  assert found['diatonic share'][-4:] == ['', '', '', '']
  assert (
    '- register, MIDI pitch: the place decides (p < 0.01) in 1 of 1 measurements, of 1 trained models; far from the origin lower in 1\n'
    in positions
  )
  own = plane | {'location': location | {'diatonic_tied': test | {'p': 0.007}}}
  (folder / 'metrics.json').write_text(json.dumps({'plane': own, 'run': {'experiment': 'pr_window64', 'seed': 0, 'steps': 10}}))
  text = page(root)
  calls = {cells[2]: cells[-1] for cells in row_of(text.split('## (c)')[1].split('## (d)')[0], 'pr_window64', '0')}
  assert calls == {'its own report': 'by itself, not after the correction', 'bassnet_pop_rock/open, test, whole': 'shown'}
  assert 'Tests in this table: 2. *Shown*: p is below 0.0050' in text and 'in 2 of 2 measurements, of 1 trained models' in text
  location['diatonic_tied'] = test | {'p': 0.02}
  (measured / 'maps.json').write_text(json.dumps(maps))
  assert 'not shown' in page(root)
  for damaged, said in ((test | {'p': 'x'}, 'diatonic_tied is no table with songs'), (test | {'above': [[1]]}, 'lacks a square')):
    location['diatonic_tied'] = damaged
    (measured / 'maps.json').write_text(json.dumps(maps))
    with pytest.raises(results.ResultError, match=said):
      page(root)


def test_the_ladder_has_a_line_a_rung_and_a_column_a_model(tmp_path):
  root = tmp_path / 'results'
  for name, f1 in (('pr_window64', 0.4), ('pr_window512', 0.5)):
    folder = root / name / '0'
    folder.mkdir(parents=True)
    figures = {'note_pc_f1': f1, 'note_pc_f1_ci95': [f1 - 0.1, f1 + 0.1], 'diatonic_rate': 0.8}
    music = {'z_fixed': figures | {'adherence_rhythm': 0.7}, 'control_shifted': figures, 'silence': {'note_pc_f1': 0.0}}
    (folder / 'metrics.json').write_text(json.dumps({'music': music, 'run': {'experiment': name, 'seed': 0, 'steps': 10}}))
  section = page(root).split('## Music')[1].split('## Every run')[0]
  assert section.count('| line | what it is |') == 3  # no adherence of the harmony, no table
  (line,) = (cells for cells in row_of(section, '`z_fixed`') if cells[2].startswith('0.4'))
  assert line[2:] == ['0.400 [0.300, 0.500] within run', '0.500 [0.400, 0.600] within run']
  assert [len(row_of(section, f'`{rung}`')) for rung in ('silence', 'control_shifted', 'z_fixed', 'truth')] == [1, 2, 3, 0]
  assert 'paired by piece' not in section


def of_pieces(root, name: str, seed: int, fixed: list[float | None], seen: list[float], ids=('a', 'b', 'c')) -> None:
  """A run on music whose figures are kept piece by piece."""
  folder = root / name / str(seed)
  folder.mkdir(parents=True)
  tables = {
    rung: {figure: values for figure in ('note_pc_f1', 'pitch_class_accuracy', 'onset_f1')}
    for rung, values in (('z_fixed', fixed), ('z_posterior', seen))
  }
  music = {'z_fixed': {'note_pc_f1': float(np.mean([value for value in fixed if value is not None]))}}
  music['z_posterior'] = {'note_pc_f1': float(np.mean(seen))}
  run = {'experiment': name, 'seed': seed, 'steps': 10}
  (folder / 'metrics.json').write_text(json.dumps({'music': music, 'pieces': {'ids': list(ids), 'per_piece': tables}, 'run': run}))


def test_models_are_compared_piece_by_piece(tmp_path):
  root = tmp_path / 'results'
  of_pieces(root, 'pr_window64', 0, [0.2, 0.5, 0.8], [0.4, 0.7, 1.0])
  of_pieces(root, 'pr_window64', 1, [0.4, 0.7, 1.0], [0.4, 0.7, 1.0])
  of_pieces(root, 'pr_window64_nostability', 0, [0.1, 0.4, None], [0.3, 0.8, 1.0])
  of_pieces(root, 'pr_window512', 0, [0.1, 0.2, 0.3], [0.1, 0.2, 0.3], ids=('a', 'b', 'd'))
  text = page(root)
  (line,) = row_of(text.split('paired by piece (means')[1], 'pr_window64, 10 steps')
  assert line[1:4] == ['pr_window64_nostability, 10 steps', '1', '+0.100 [+0.100, +0.100]'], 'the seed in common, pieces that both have'
  stability = text.split('### On music')[1].split('## (c)')[0]
  gaps = {cells[0]: cells[7] for cells in row_of(stability) if cells[0].startswith('pr_')}
  assert gaps['pr_window64'].startswith('0.100 [') and 'within run' not in gaps['pr_window64'], 'over seeds'
  assert gaps['pr_window64_nostability'] == '0.300 [0.200, 0.400] within run', 'paired by piece'


def test_the_constraint_on_music_has_a_table_of_rows_trained_alike(tmp_path):
  root = tmp_path / 'results'
  for name, fixed, seen in (('pr_window64', 0.4, 0.45), ('pr_window64_nostability', 0.2, 0.8), ('pr_window64_nogate', 0.3, 0.3)):
    folder = root / name / '0'
    folder.mkdir(parents=True)
    music = {'z_fixed': {'note_pc_f1': fixed}, 'z_zero': {'note_pc_f1': 0.1}, 'z_posterior': {'note_pc_f1': seen}}
    maps = {
      'diatonic': [[1, 1], [1, 1]],
      'diatonic_mismatched': [[0, 0], [0, 0]],
      'onset_density': [[0, 1], [2, 5]],
      'register': [[30, 31], [32, None]],
    }
    plane = {'axis': [-3, 3], 'maps': maps, 'truth': {}}
    metrics = {'music': music, 'plane': plane, 'latent': {'stability_ratio': 0.3}, 'run': {'experiment': name, 'seed': 0, 'steps': 10}}
    (folder / 'metrics.json').write_text(json.dumps(metrics))
  section = page(root).split('### On music')[1].split('## (c)')[0]
  default, without = row_of(section, 'pr_window64') + row_of(section, 'pr_window64_nostability')
  assert default[1:] == [
    'exchange and smoothness (the default on music)',
    '1',
    '0.300',
    '0.400',
    '0.100',
    '0.450',
    '0.050',
    '0.00 to 5.00',
    '30.00 to 32.00',
  ]
  assert without[1] == 'none' and without[7] == '0.600' and 'nogate' not in section
  shutil.rmtree(root / 'pr_window64_nostability')
  assert '### On music' not in page(root)


def test_the_fragments_stand_with_what_failed(tmp_path):
  folder = tmp_path / 'docs' / 'examples'
  (folder / 'piece').mkdir(parents=True)
  (folder / 'index.html').write_text('')
  assert '[Listen](docs/examples/index.html)' in page(tmp_path / 'results')
  line = {'notes': 45, 'note_pc_f1': 0.25, 'onset_f1': 0.4, 'onset_f1_chance': 0.1, 'diatonic': 0.9, 'wrong': ['too dense', 'too low']}
  silent = dict.fromkeys(('notes', 'note_pc_f1', 'onset_f1', 'onset_f1_chance', 'diatonic'), 0.0) | {'wrong': []}
  found = {'model': {'experiment': 'pr_window64', 'steps': 5000, 'commit': 'abc'}, 'command': 'python -m bassnet_jax.examples'}
  found['fragments'] = [{'piece': 'piece', 'renditions': {'upper_left': line, 'origin': silent}}]
  (folder / 'examples.json').write_text(json.dumps(found))
  (folder / 'piece' / 'path.png').write_bytes(b'')
  text = page(tmp_path / 'results')
  _, full, empty = row_of(text, 'piece')
  assert full == ['piece', 'upper left', '45', '0.250', '0.400 (chance 0.100)', '0.900', 'too dense; too low']
  assert empty[5:] == ['', ''] and '(docs/examples/piece/path.png)' in text


def test_rows_that_nobody_trained_yet_are_named(tmp_path):
  root = tmp_path / 'results'
  for variant in ('', '_nostability'):
    add(root, f'a1_window64{variant}', 0)
  (line,) = (line for line in page(root).splitlines() if line.startswith('Not trained alike yet: '))
  assert line.startswith('Not trained alike yet: a1 exchange, nosearch, ') and 'nostability' not in line and 'nogate' in line


def test_what_is_like_the_default_and_what_carries_over_is_said(tmp_path):
  root = tmp_path / 'results'
  for name, seed, svm in (('', 0, 0.9), ('', 1, 0.5), ('_exchange', 0, 0.86), ('_nostability', 0, 0.6)):
    add(root, f'a1_window64{name}', seed, svm)
  text = page(root)
  assert '- a1: exchange (1); less: nostability (1).' in text, 'against the seed in common'
  assert (
    'training heard: none. Not carried over (mean with new instruments, less that with known ones): a1, window 64 (note F1 -0.100).' in text
  )
  assert 'Windows without a run of the default: a1 128, 256, 512; a2 64, 128, 256, 512;' in text


def test_what_no_training_changes_has_its_interval_over_songs(tmp_path):
  root = tmp_path / 'results'
  for seed in range(3):
    path = add(root, 'a1_window64', seed) / 'metrics.json'
    metrics = json.loads(path.read_text())
    metrics['latent']['mix_only_ci95'] = [0.2, 0.4]
    path.write_text(json.dumps(metrics))
  (line,) = row_of(page(root).split('## (a)')[1].split('with new instruments')[0], 'a1: harmony')
  assert line[7] == '0.300 [0.200, 0.400] within run'


def test_an_empty_folder_says_so_under_every_claim(tmp_path):
  text = page(tmp_path / 'results')
  for claim in 'abcde':
    assert text.count(f'## ({claim})') == 1
  assert 'No run yet of a1 (harmony), a2 (timbre), a3 (rhythm), a4 (harmony, timbre and rhythm together).' in text
  assert text.count('No figures yet') == 5 and 'No examples page yet.' in text


def test_the_committed_results_can_be_read(tmp_path):
  shutil.copytree(os.path.join(ROOT, 'results'), tmp_path / 'results')
  found, _ = results.read(str(tmp_path / 'results'))
  text = page(tmp_path / 'results')
  assert len(row_of(text.split('## Every run')[1], 'experiment')) == 1
  for result in found:
    (cells,) = row_of(text.split('## Every run')[1], result.experiment, str(result.seed))
    assert cells[2] == f'{result.run("steps"):,}' and cells[4] == f'`{source_commit.short(result.run("commit"))}`'
    if result.run('hardware') is None:
      assert cells[5] == results.NOT_RECORDED


def test_failures_are_listed(tmp_path):
  folder = tmp_path / 'results' / 'a1_window64' / '4'
  folder.mkdir(parents=True)
  (folder / 'failure.json').write_text(json.dumps({'message': 'exit code 2: error: a | b'}))
  assert row_of(page(tmp_path / 'results').split('## Runs that failed')[1], 'a1_window64', '4')


def test_a_result_in_the_wrong_folder_or_damaged_is_named(tmp_path):
  folder = add(tmp_path, 'a1_window64', 0, plane=False)
  shutil.copytree(folder, tmp_path / 'a1_window64' / '1')
  with pytest.raises(ValueError, match=r'is of a1_window64, seed 0\. Move it'):
    results.read(str(tmp_path))
  (tmp_path / 'a1_window64' / '1' / 'metrics.json').write_text('{"run":')
  with pytest.raises(ValueError, match=r'is not JSON .*Remove the file, and the sweep makes it again'):
    results.read(str(tmp_path))


def test_names_of_experiments():
  assert results.family('a1_window64_nostability') == ('a1', 64, 'nostability')
  assert results.family('pr_harm_window512') == ('pr_harm', 512, 'default')
  assert results.family('mine') == ('mine', 0, 'default')

"""Who comes first when several pages want the network: the dot, moves together, and lines not never."""

import asyncio
import threading
import time

import pytest

from bassnet_jax.studio.network import CROWD, TOGETHER, Network


@pytest.fixture
def network():
  made = Network()
  yield made
  made.close()


def result_of(result, item):
  """What finishes a move here."""
  return result


def test_moves_come_first_and_together(network):
  order = []
  hold = threading.Event()

  def decode(model, items):
    order.append(items)
    return [10 * item for item in items]

  async def main():
    network.group('model', lambda: None)
    await network.analyse(lambda: None)  # comes after it
    first = asyncio.create_task(network.run(hold.wait))
    await asyncio.sleep(0.01)
    chunk = asyncio.create_task(network.run(order.append, 'chunk'))
    cell = asyncio.create_task(network._call(2, lambda: order.append('cell')))
    moves = [asyncio.create_task(network.near('model', decode, lambda i=i: i, result_of)) for i in range(TOGETHER + 1)]
    await asyncio.sleep(0.01)
    hold.set()
    results = await asyncio.gather(*moves)
    await asyncio.gather(first, chunk, cell)
    return results

  assert asyncio.run(main()) == [10 * i for i in range(TOGETHER + 1)]
  assert order == [list(range(TOGETHER)), [TOGETHER], 'chunk', 'cell']


def test_a_crowd_goes_together(network):
  """More at a time where many wait; the rest as ever."""
  sizes = []

  def decode(model, items):
    sizes.append(len(items))
    return items

  async def main():
    network.group('model', lambda: None)
    await network.analyse(lambda: None)
    hold = threading.Event()
    first = asyncio.create_task(network.run(hold.wait))
    await asyncio.sleep(0.01)
    moves = [asyncio.create_task(network.near('model', decode, lambda i=i: i, result_of)) for i in range(CROWD + TOGETHER + 1)]
    await asyncio.sleep(0.01)
    hold.set()
    await first
    return await asyncio.gather(*moves)

  assert asyncio.run(main()) == list(range(CROWD + TOGETHER + 1)) and sizes == [CROWD, TOGETHER, 1]


def test_what_waits_may_still_change(network):
  """While more is decoded than is finished, nothing is decoded; then with what is wanted by that time."""
  hold = threading.Event()
  wanted = ['old']

  def finish(result, item):
    hold.wait()
    return result, item

  async def main():
    network.group('model', lambda: None)
    await network.analyse(lambda: None)
    decode = lambda model, items: [item.upper() for item in items]  # noqa: E731
    before = [asyncio.create_task(network.near('model', decode, lambda: 'first', finish)) for _ in range(CROWD)]
    await asyncio.sleep(0.05)
    later = asyncio.create_task(network.near('model', decode, lambda: wanted[-1], finish))
    left = asyncio.create_task(network.near('model', decode, lambda: 'left', finish))
    await asyncio.sleep(0.05)
    line = await network.run(lambda: 'line')  # the network itself is free
    wanted.append('new')
    left.cancel()
    hold.set()
    return line, await later, await asyncio.gather(*before)

  line, later, before = asyncio.run(main())
  assert line == 'line' and later == ('NEW', 'new') and set(before) == {('FIRST', 'first')}


def test_moves_go_one_by_one_until_the_call_for_several_is_compiled(network):
  sizes = []

  def decode(model, items):
    sizes.append(len(items))
    return items

  async def main():
    hold = threading.Event()
    first = asyncio.create_task(network.run(hold.wait))
    network.group('other', lambda: None)
    await asyncio.sleep(0.01)
    moves = [asyncio.create_task(network.near('model', decode, lambda i=i: i, result_of)) for i in range(3)]
    await asyncio.sleep(0.01)
    hold.set()
    await first
    return await asyncio.gather(*moves)

  assert asyncio.run(main()) == [0, 1, 2] and sizes == [1, 1, 1]


def test_moves_without_end_leave_room_for_a_line(network):
  async def main():
    done = asyncio.Event()

    async def mover():
      while not done.is_set():
        await network.near('model', lambda model, items: time.sleep(0.001) or items, lambda: 0, result_of)

    movers = [asyncio.create_task(mover()) for _ in range(3 * TOGETHER)]
    await asyncio.sleep(0.02)
    for _ in range(5):
      await asyncio.wait_for(network.run(time.sleep, 0.001), 2)
    done.set()
    await asyncio.gather(*movers)

  asyncio.run(main())


def test_errors_and_cancelled_moves_concern_themselves_alone(network):
  def decode(model, items):
    if model == 'broken':
      raise RuntimeError('no')
    return items

  async def main():
    hold = threading.Event()
    first = asyncio.create_task(network.run(hold.wait))
    await asyncio.sleep(0.01)
    broken = [asyncio.create_task(network.near('broken', decode, lambda i=i: i, result_of)) for i in range(2)]
    good = [asyncio.create_task(network.near('good', decode, lambda i=i: i, result_of)) for i in range(3)]
    await asyncio.sleep(0.01)
    good[1].cancel()
    hold.set()
    await first
    return await asyncio.gather(*broken, *good, return_exceptions=True)

  found = asyncio.run(main())
  assert [type(result) for result in found] == [RuntimeError, RuntimeError, int, asyncio.CancelledError, int]

"""Who comes first when several pages want the network: the dot, moves together, and lines not never."""

import asyncio
import threading
import time

import pytest

from bassnet_jax.studio.network import TOGETHER, Network


@pytest.fixture
def network():
  made = Network()
  yield made
  made.close()


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
    moves = [asyncio.create_task(network.near('model', decode, i)) for i in range(TOGETHER + 1)]
    await asyncio.sleep(0.01)
    hold.set()
    results = await asyncio.gather(*moves)
    await asyncio.gather(first, chunk, cell)
    return results

  assert asyncio.run(main()) == [10 * i for i in range(TOGETHER + 1)]
  assert order == [list(range(TOGETHER)), [TOGETHER], 'chunk', 'cell']


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
    moves = [asyncio.create_task(network.near('model', decode, i)) for i in range(3)]
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
        await network.near('model', lambda model, items: time.sleep(0.001) or items, 0)

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
    broken = [asyncio.create_task(network.near('broken', decode, i)) for i in range(2)]
    good = [asyncio.create_task(network.near('good', decode, i)) for i in range(3)]
    await asyncio.sleep(0.01)
    good[1].cancel()
    hold.set()
    await first
    return await asyncio.gather(*broken, *good, return_exceptions=True)

  found = asyncio.run(main())
  assert [type(result) for result in found] == [RuntimeError, RuntimeError, int, asyncio.CancelledError, int]

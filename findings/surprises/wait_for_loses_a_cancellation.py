"""Python 3.11's asyncio.wait_for loses a cancellation that comes at the moment at which the work ends.

The task that was to end goes on, so closing the Kafka sink waited for as long as Kafka confirmed nothing
(commit c55d54f). ingestd waits with `within` in ingestd/kafka/producer.py.
"""

import asyncio
import sys


async def main() -> None:
    work: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def waits() -> str:
        return await asyncio.wait_for(work, timeout=60)

    task = asyncio.ensure_future(waits())
    await asyncio.sleep(0)
    work.set_result("done")
    task.cancel()
    await asyncio.wait([task])
    print(sys.version.split()[0], "- cancelled" if task.cancelled() else "- the cancellation is lost")


asyncio.run(main())

"""What the driver tells a central scheduler beside Luigi's own messages. Only the disk knows what is done."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import luigi.configuration
import luigi.interface
from luigi.rpc import RemoteScheduler, RPCError

from pipeline.session import session
from pipeline.stage_task import StageTask

SECONDS_BETWEEN_LOOKS = 3


class NoScheduler(RuntimeError):
    """No central scheduler answers; the message says where, and what to do."""


def declared(core: luigi.interface.core, capacity: Mapping[str, int]) -> dict[str, int]:
    """The resources that the scheduler shares out: as its own config says; what that is silent of is the runner's `capacity`."""
    config = luigi.configuration.get_config()
    if core.local_scheduler:
        known = config.getintdict("resources")
        for name, amount in capacity.items():
            config.set("resources", name, str(known.setdefault(name, amount)))
        return known
    scheduler = _connect(core)
    known = {resource["name"]: resource["num_total"] for resource in scheduler.resource_list()}
    for name in capacity.keys() - known.keys():
        known[name] = capacity[name]
        scheduler.update_resource(name, known[name])
    return known


@contextmanager
def kept_informed(core: luigi.interface.core, tasks: Mapping[str, StageTask]) -> Iterator[None]:
    """While the block runs, tell the central scheduler what it can't know; nothing to do with a local one. `tasks`: by id.

    It remembers for a day that a task failed: a new run is a new attempt. And it takes no word of a task that is
    running, as it thinks, on a driver that has died, so that a stage which that driver finished would be waited for
    for ever: once it has given the driver up, it is told.
    """
    if core.local_scheduler:
        yield
        return
    scheduler = _connect(core)
    for task_id in tasks.keys() & scheduler.task_list("DISABLED", "").keys():
        scheduler.re_enable_task(task_id)
    stop = threading.Event()
    thread = threading.Thread(target=_report_done, args=(scheduler, tasks, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _connect(core: luigi.interface.core) -> RemoteScheduler:
    url = core.scheduler_url or f"http://{core.scheduler_host}:{core.scheduler_port}/"
    try:
        urllib.request.urlopen(url, timeout=10).close()
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise NoScheduler(f"no scheduler answers at {url} ({error}): start one with gpatlas scheduler, or add --local-scheduler") from error
    return RemoteScheduler(url)


def _report_done(scheduler: RemoteScheduler, tasks: Mapping[str, StageTask], stop: threading.Event) -> None:
    while not stop.wait(SECONDS_BETWEEN_LOOKS):
        with suppress(RPCError):  # Luigi itself reports a scheduler that is gone
            for task_id in tasks.keys() & scheduler.task_list("PENDING", "").keys():
                if tasks[task_id].complete():
                    scheduler.add_task(worker=f"{session()}-disk", task_id=task_id, status="DONE", runnable=False)

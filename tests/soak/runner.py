"""The soak itself: workflows in parallel, faults beside them, and checks all the time."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg

from k8s_bridge.errors import ClusterError
from tests.faults.invariants import violations as invariant_violations
from tests.soak import checks, plan
from tests.soak.client import Broken, Client, Counts
from tests.soak.course import Course
from tests.soak.faults import Injector
from tests.soak.material import make_templates
from tests.soak.records import samples
from tests.soak.stage import Stage
from tests.stack import PASSWORD

TICK_SECONDS = 1.0
INVARIANT_SECONDS = 5.0
PROGRESS_SECONDS = 30.0
# How long an invariant may be violated without a break: rows are right at every moment, the cluster follows them.
ROW_SECONDS, OBJECT_SECONDS = 20.0, checks.GONE_SECONDS
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 6.0  # between two faults
DRAIN_SECONDS = 420.0
QUIET_SECONDS = 3.0  # after its last object went, an instance is judged


@dataclass
class Tally:
    """What happened, for the report."""

    seed: str
    began_at: float
    seconds: float = 0.0
    courses: Counter[str] = field(default_factory=Counter)
    nodes: int = 0
    runs: int = 0
    violations: list[str] = field(default_factory=list)
    samples: list[checks.Sample] = field(default_factory=list)


class Runner:
    """One soak. `say` gets a line now and then."""

    def __init__(self, stage: Stage, *, seed: str, parallel: int, keep_going: bool, say: Callable[[str], None]) -> None:
        self._stage = stage
        self._seed = seed
        self._parallel = parallel
        self._keep_going = keep_going
        self._say = say
        self._events = stage.stack.folder / "soak.log"
        self._lock = threading.Lock()
        self._stop = threading.Event()  # nothing new begins
        self._calm = threading.Event()  # no more faults
        self._next = 0
        self._running: list[Course] = []
        self._finished: list[Course] = []
        self._lasting = checks.Lasting()
        self._statuses: dict[int, str] = {}
        self._invariants_at = self._said_at = 0.0
        self._templates: dict[str, str] = {}
        self.counts = Counts()
        self.tally = Tally(seed, time.time())
        self.injector = Injector(stage.stack, stage.cluster, stage.proxies, redis_url=stage.redis_url, stop=self._calm)

    def run(self, minutes: float) -> None:
        """Goes on for so long, then lets everything end without faults. Ctrl-C ends it early."""
        self._templates = make_templates(self._client(), self._stage.project)
        threads = [threading.Thread(target=self._work, name=f"soak-{n}", daemon=True) for n in range(self._parallel)]
        disturber = threading.Thread(target=self._disturb, name="soak-faults", daemon=True)
        for thread in (*threads, disturber):
            thread.start()
        end = time.monotonic() + minutes * 60
        try:
            while time.monotonic() < end and not self._stop.is_set():
                self._tick()
                time.sleep(TICK_SECONDS)
            self._stop.set()
            self._calm.set()
            disturber.join(90)
            self._say("no more faults; what runs may end")
            self._drain(threads)
        except KeyboardInterrupt:
            self._say("ended early")
        finally:
            self._stop.set()
            self._calm.set()
            self._conclude()

    def _client(self) -> Client:
        return Client(self._stage.stack.port, PASSWORD, self.counts)

    def _drain(self, threads: list[threading.Thread]) -> None:
        end = time.monotonic() + DRAIN_SECONDS
        while any(thread.is_alive() for thread in threads) or self._finished:
            self._tick()
            if time.monotonic() > end:
                left = [thread.name for thread in threads if thread.is_alive()]
                self._violation(f"{len(left)} workflows did not end within {DRAIN_SECONDS:g} s")
                return
            time.sleep(TICK_SECONDS)
        # The cluster is empty of it now, and so must the records be.
        end = time.monotonic() + OBJECT_SECONDS
        while found := self._look_at_invariants():
            if time.monotonic() > end:
                for line in found:
                    self._violation(f"at the end: {line}")
                return
            time.sleep(TICK_SECONDS)

    def _conclude(self) -> None:
        self.tally.seconds = time.time() - self.tally.began_at
        for line in checks.growth(self.tally.samples):
            self._violation(line)

    def _violation(self, line: str) -> None:
        with self._lock:
            if line in self.tally.violations:
                return
            self.tally.violations.append(line)
        self._say(f"VIOLATION at {time.time() - self.tally.began_at:.0f} s: {line}")
        self._note(f"VIOLATION {line}")
        if not self._keep_going:
            self._stop.set()

    def _note(self, line: str) -> None:
        """Adds a line to the course of events, which is kept beside the logs of the processes."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._lock, self._events.open("a") as file:
            file.write(f"{at} {line}\n")

    def _work(self) -> None:
        """Takes one workflow after the other."""
        client = self._client()
        while not self._stop.is_set():
            with self._lock:
                number, self._next = self._next, self._next + 1
            course = Course(
                plan=plan.workflow(self._seed, number),
                client=client,
                project=self._stage.project,
                templates=self._templates,
                key=f"w{number}",
                touched=lambda instance_id: instance_id in self.injector.touched,
            )
            with self._lock:
                self._running.append(course)
            self._drive(course)

    def _drive(self, course: Course) -> None:
        where = f"workflow {course.plan.number} ({course.plan.course})"
        try:
            course.run()
        except Broken as err:
            self._violation(f"{where}: {err}")
            try:
                course.delete()
            except Broken as again:
                self._violation(f"{where}: {again}")
        except Exception:  # noqa: BLE001
            # A fault of the soak: it must be seen, and must not pass for a good end.
            self._violation(f"{where}: {traceback.format_exc()}")
        with self._lock:
            self._running.remove(course)
            self._finished.append(course)
            self.tally.courses[course.plan.course] += 1
            self.tally.nodes += len(course.plan.nodes) * max(course.runs, 1)
            self.tally.runs += course.runs

    def _disturb(self) -> None:
        for fault in plan.faults(self._seed, shortest=SHORTEST_PAUSE, longest=LONGEST_PAUSE):
            if self._calm.wait(fault.pause):
                return
            self._note(f"{fault.kind} {fault.target} for {fault.seconds:g} s begins")
            try:
                self.injector.carry_out(fault)
                self._note(f"{fault.kind} {fault.target} is over")
            except Exception:  # noqa: BLE001
                self._violation(f"fault {fault} could not be carried out: {traceback.format_exc()}")
                return

    def _tick(self) -> None:
        """One round of checks."""
        now = time.time()
        with self._lock:
            emptied = {key: at for one in (*self._running, *self._finished) for key, at in one.emptied.items()}
            finished = list(self._finished)
        objects = self._stage.cluster.objects()
        for line in checks.leftovers(objects, emptied, now=now):
            self._violation(line.partition(" is still there")[0] + f" is there {checks.GONE_SECONDS:g} s after its end")
        for course in finished:
            self._judge_if_gone(course, now)
        after = self._stage.database.statuses()
        for line in checks.moved_after_end(self._statuses, after):
            self._violation(line)
        self._statuses = after
        for line in self.injector.violations:
            self._violation(line)
        if now - self._invariants_at >= INVARIANT_SECONDS:
            self._invariants_at = now
            self._lasting.take(self._look_at_invariants(), now=now)
            for line in self._lasting.late(now=now, limit=_patience):
                self._violation(line)
            self.tally.samples += samples(self._stage.stack)
        if now - self._said_at >= PROGRESS_SECONDS:
            self._said_at = now
            self._say(self._progress())

    def _judge_if_gone(self, course: Course, now: float) -> None:
        """Once nothing of a deleted instance is left, or it is too late, its whole history is judged."""
        at = course.emptied.get(course.instance_id, now - 2 * checks.GONE_SECONDS)
        objects = self._stage.cluster.of(course.instance_id) if course.instance_id else []
        if now - at < QUIET_SECONDS or (any(one.gone_at is None for one in objects) and now - at < checks.GONE_SECONDS):
            return
        touched = self.injector.touched
        entries = self._stage.database.journal(course.instance_id)
        edges = course.edges()
        found = checks.doubles(objects, touched=touched)
        found += checks.repeated_pods(objects, course.nodes_without_retries(), touched=touched)
        found += checks.early_objects(objects, entries, edges)
        keys = course.keys_of_jobs()
        found += checks.mistaken_identities(objects, keys)
        if course.instance_id not in touched:
            found += checks.false_successes(objects, entries, keys)
        found += checks.journal(course.instance_id, entries, edges)
        for line in found:
            self._violation(f"workflow {course.plan.number} ({course.plan.course}): {line}")
        self._stage.cluster.forget(course.instance_id)
        with self._lock:
            self._finished.remove(course)

    def _look_at_invariants(self) -> list[str]:
        client = self._stage.cluster.gateway.client
        try:
            return invariant_violations(self._stage.database_url, client, self._stage.installation)
        except (psycopg.OperationalError, ClusterError) as err:
            return [f"records or cluster cannot be read: {err}"]

    def _progress(self) -> str:
        done, failed = sum(self.tally.courses.values()), sum(self.counts.failed.values())
        return (
            f"{time.time() - self.tally.began_at:5.0f} s: {done} workflows done, {len(self._running)} on their way, "
            f"{len(self.injector.done)} faults, {self.counts.requests} requests ({failed} failed), "
            f"{len(self.tally.violations)} violations"
        )


def _patience(line: str) -> float:
    return OBJECT_SECONDS if "wanted by nobody" in line else ROW_SECONDS

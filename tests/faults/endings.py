"""Ends processes that read a run, each in one of many ways, and says how they ended.

Started as a process with the names of ways, it forks one process for each of them (eight at a time), which reads a little
and then ends at the top of this file, as a user's script does: its names stay where they are until the interpreter goes. It
prints one JSON line for each, {"way", "code", "said"}; `code` is None for one that had to be killed.

Arguments: root, run, address of a service or "", a folder for temporary files, modules to import first, ways.
"""

import atexit
import importlib
import itertools
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

AT_ONCE, LONGEST_LIFE_S = 8, 60

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts the tests in the background has it ignored
root, run, service, folder, modules, *ways = sys.argv[1:]
import mixer  # noqa: E402
import streamer  # noqa: E402

for module in filter(None, modules.split(",")):
    importlib.import_module(module)


def watch(pids):
    """(id, exit code) of a process that has ended; None in place of the code when it had to be killed."""
    deadline_s = time.monotonic() + LONGEST_LIFE_S
    while time.monotonic() < deadline_s:
        for pid in pids:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                return pid, os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pids[0], signal.SIGKILL)
    os.waitpid(pids[0], 0)
    return pids[0], None


def fork_each():
    """The number of a way, in a process of its own; None in this one, once all have ended."""
    waiting, running = list(range(len(ways))), {}
    while waiting or running:
        if waiting and len(running) < AT_ONCE:
            number = waiting.pop(0)
            pid = os.fork()
            if pid == 0:
                for descriptor in (1, 2):
                    os.dup2(os.open(f"{folder}/{number}.{descriptor}", os.O_WRONLY | os.O_CREAT), descriptor)
                return number
            running[pid] = number
            continue
        pid, code = watch(list(running))
        number = running.pop(pid)
        said = Path(f"{folder}/{number}.2").read_text()
        print(json.dumps({"way": ways[number], "code": code, "said": said}), flush=True)
    return None


def batches(workers=0):
    if workers or "training" in sys.modules:
        import training

        return iter(training.MixedLoader(root, run, num_workers=workers, service=service or None))
    reader = mixer.RunReader(root, run, service=service or None)
    return (reader.read(step) for step in itertools.count())


def read_within():
    """As people write it: a reader that is closed by a `with` when the generator ends."""
    with mixer.RunReader(root, run, service=service or None) as reader:
        for step in itertools.count():
            yield reader.read(step)


def read_on(found, count=1 << 30):
    for _ in itertools.islice(found, count):
        pass


number = fork_each()
if number is None:
    sys.exit()
kind, _, workers = ways[number].partition("/")
found = batches(int(workers or 0))
next(found)
match kind:
    case "look":
        pass
    case "some":
        read_on(found, 20)
    case "raise":
        raise RuntimeError("the model met something")
    case "exit":
        sys.exit(3)
    case "at once":
        os._exit(5)
    case "interrupt":
        threading.Timer(0.01 * (number % 7), os.kill, (os.getpid(), signal.SIGINT)).start()
        read_on(found)
    case "interrupt, then read on":
        is_armed, interrupted = False, 0

        def interrupt(*_):
            global is_armed
            if is_armed:
                is_armed = False
                raise KeyboardInterrupt

        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0013)
        while interrupted < 20:
            try:
                reader = mixer.RunReader(root, run)
                for step in itertools.count():
                    is_armed = True
                    reader.read(step)
            except KeyboardInterrupt:
                interrupted += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        read_on((reader.read(step) for step in itertools.count()), 40)
    case "within":
        generator = read_within()
        next(generator)
    case "within, then raise":
        generator = read_within()
        next(generator)
        raise RuntimeError("the model met something")
    case "child":  # a child that reads on, and ends by itself
        pid = os.fork()
        if pid == 0:
            read_on(found, 20)
            sys.exit(4)
        read_on(found, 20)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4
    case "daemon":  # a notebook's, or a prefetching, thread that reads on while the interpreter goes
        threading.Thread(target=read_on, args=(batches(),), daemon=True).start()
        read_on(found, 5)
    case "thread":  # the program's own thread reads on after the main one has ended
        threading.Thread(target=read_on, args=(found, 200)).start()
    case "at exit":
        atexit.register(read_on, found, 20)
    case "snapshot":
        rows = iter(streamer.SnapshotLoader(root, "raw/*"))
        next(rows)
    case "close":
        reader = mixer.RunReader(root, run)
        reader.read(0)
        atexit.register(reader.close)
    case other:
        raise AssertionError(other)

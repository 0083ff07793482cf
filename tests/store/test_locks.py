"""One at a time, however a process ends."""

import multiprocessing
import os
import signal

from unlearnax.store.locks import locked


def _hold(path, held, release):
    with locked(path):
        held.set()
        release.wait(60)


def test_the_second_waits_for_the_first_or_is_told(tmp_path):
    context, path, told = multiprocessing.get_context("spawn"), tmp_path / "x.lock", []
    held, release = context.Event(), context.Event()
    worker = context.Process(target=_hold, args=(path, held, release))
    worker.start()
    assert held.wait(60)
    with locked(path, wait=False) as mine:
        assert not mine

    def waiting():
        told.append(1)
        release.set()

    with locked(path, waiting=waiting) as mine:
        assert mine
    assert told == [1]
    worker.join(60)
    assert worker.exitcode == 0


def test_a_killed_process_lets_go(tmp_path):
    context, path = multiprocessing.get_context("spawn"), tmp_path / "x.lock"
    held, release = context.Event(), context.Event()
    worker = context.Process(target=_hold, args=(path, held, release))
    worker.start()
    assert held.wait(60)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(60)
    with locked(path, wait=False) as mine:
        assert mine


def test_a_lock_whose_file_was_removed_is_taken_anew(tmp_path):
    path = tmp_path / "x.lock"
    with locked(path) as mine:
        assert mine
        path.unlink()
        with locked(path, wait=False) as other:
            assert other

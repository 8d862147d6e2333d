"""Whose a container is: a living driver's, or one's that is gone for certain."""

import os
import subprocess
import sys
from dataclasses import replace

from pipeline.session import Session, session


def test_a_session_is_read_back_from_its_text() -> None:
    assert Session.parse(str(session())) == session()
    assert session().pid == os.getpid()


def test_a_living_process_has_not_ended() -> None:
    assert not session().ended()


def test_another_process_with_the_same_pid_is_another_session() -> None:
    assert replace(session(), start="1").ended()


def test_a_process_that_nobody_waited_for_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with open(f"/proc/{child.pid}/stat") as stat:
        start = stat.read().rpartition(")")[2].split()[19]
    of_child = replace(session(), pid=child.pid, start=start)
    assert not of_child.ended()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie
    assert of_child.ended()
    child.wait()
    assert of_child.ended()


def test_an_earlier_boot_has_ended_and_of_another_host_nothing_is_known() -> None:
    assert replace(session(), boot="earlier").ended()
    assert not replace(session(), host="elsewhere", pid=1, start="1").ended()

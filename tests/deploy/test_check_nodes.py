"""nginx's helper: when a node counts as gone, and what it writes."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.nginx.check_nodes import Answer, Checker, Node, Watched, configuration, serving
from tests.deploy.tools import DEPLOY
from tests.front.stand_ins import stand_ins
from tests.servers import eventually

A, B = Node("a", "127.0.0.1:8501"), Node("b", "127.0.0.1:8502")


def test_the_delivered_file_is_what_it_writes() -> None:
    """Whoever runs without the helper would have another configuration than the one that is tried."""
    assert (DEPLOY / "nginx" / "nodes.conf").read_text() == configuration([A, B], [A, B], checked=False)


def test_who_is_out_is_nowhere_but_in_the_names() -> None:
    """A browser that stayed with it must find another node; answers that still come from it are told by their name."""
    text = configuration([A, B], [A])
    assert "server 127.0.0.1:8502" not in text
    assert "millpond_on_b" not in text
    assert '8502$" b;' in text


def test_a_node_is_out_at_once_and_back_when_it_is_steady() -> None:
    """A node that drains refuses new work soon after it has said so; one that starts and ends again and again would be
    given work each time."""
    watched = Watched(A, rise=2)
    said = (Answer.NOT_READY, Answer.NONE, Answer.READY, Answer.NONE, Answer.READY, Answer.READY, Answer.READY)
    assert [watched.heard(each) for each in said] == [True, True, False, False, False, True, False]
    assert watched.state is Answer.READY


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((Answer.READY, Answer.NONE), [A]),
        ((Answer.NOT_READY, Answer.READY), [B]),
        ((Answer.NOT_READY, Answer.NONE), [A]),
        ((Answer.NONE, Answer.NONE), [A, B]),
    ],
)
def test_who_serves(states: tuple[Answer, Answer], expected: list[Node]) -> None:
    """With none ready one that lives says why; nginx takes no file without a node."""
    watched = [Watched(node, 2, state) for node, state in zip((A, B), states, strict=True)]
    assert serving(watched) == expected


@contextmanager
def checking(checker: Checker) -> Iterator[None]:
    thread = threading.Thread(target=checker.run)
    thread.start()
    try:
        yield
    finally:
        checker.ended.set()
        thread.join(10)
        assert not thread.is_alive()


def test_nginx_is_told_when_a_node_comes_and_goes(tmp_path: Path) -> None:
    """It hangs, comes back, and each time the file is there as a whole before nginx reads it; otherwise nobody is
    disturbed."""
    told: list[bool] = []
    cut: list[Node] = []
    with stand_ins() as servers:
        nodes = [Node(name, server.address) for name, server in servers.items()]
        file = tmp_path / "nodes.conf"
        checker = Checker(
            nodes,
            file,
            lambda: told.append(servers["b"].address in file.read_text().split("map ")[0]),
            cut.append,
            0.05,
            0.2,
        )
        with checking(checker):
            eventually(lambda: told == [True], seconds=10.0, what="the first file")
            servers["b"].readiness = 0
            eventually(lambda: told == [True, False], seconds=10.0, what="the file without b")
            eventually(lambda: nodes[1] in cut, seconds=10.0, what="its connections' end")
            assert nodes[0] not in cut
            servers["b"].readiness = 200
            eventually(lambda: told == [True, False, True], seconds=10.0, what="the file with b")


def test_nginx_is_told_again_when_it_was_not_there(tmp_path: Path) -> None:
    """At the start of a machine it may come first; what it missed then it would never learn."""
    tries: list[int] = []

    def reload() -> None:
        tries.append(len(tries))
        if len(tries) < 3:
            raise FileNotFoundError("no such process")

    with stand_ins("a") as servers:
        checker = Checker([Node("a", servers["a"].address)], tmp_path / "nodes.conf", reload, every=0.02, timeout=0.2)
        with checking(checker):
            eventually(lambda: len(tries) == 3, seconds=10.0, what="the third time")


@pytest.mark.parametrize("text", ["a", "a=", "A=1.2.3.4:80", "a=1.2.3.4", "a=x:80;}", "a b=x:80"])
def test_what_is_no_node_is_refused(text: str) -> None:
    """Anything else would be written into nginx's configuration."""
    with pytest.raises(argparse.ArgumentTypeError):
        Node.of(text)

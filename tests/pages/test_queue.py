from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from streamlit.testing.v1 import AppTest

from console.ui.live_answers import live_answers
from console.ui.session_state import Key
from services.app.container import Services
from services.core.requests import RequestKind
from services.knowledge.types import Document
from tests.pages.conftest import finish
from tests.servers import eventually


def texts(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.markdown, *app.caption])


def test_who_waits_sees_the_place_and_the_cached_answer_says_so(
    app: AppTest, services: Services, add: Callable[..., Document]
) -> None:
    """With all slots taken the chat tells the place in the queue; a question asked before is marked in its details."""
    add("pump.txt", "Pump seals are covered for 12 months. Check the oil weekly.")
    question = "How long are pump seals covered?"
    with ExitStack() as taken:
        for number in range(services.settings.answers_total):
            taken.enter_context(services.requests.open(RequestKind.ANSWER, user=f"somebody {number}"))
        app.run()
        app.chat_input(key=Key.CHAT_INPUT).set_value(question).run()
        conversation = app.query_params["conversation"]
        name = conversation if isinstance(conversation, str) else conversation[0]
        eventually(lambda: (live := live_answers.get(name)) is not None and live.draft().position == 1, seconds=20)
        app.run()
        assert "Waiting: number 1 in the queue" in texts(app)
        mine = next(one for one in services.requests.running() if one.position)
        assert mine.user.startswith("tab ")
    finish(app)
    assert "12 months" in texts(app)
    assert "from the cache" not in texts(app)
    app.button(key=Key.CONVERSATION_NEW).click().run()
    app.chat_input(key=Key.CHAT_INPUT).set_value(question).run()
    finish(app)
    assert "from the cache" in texts(app)

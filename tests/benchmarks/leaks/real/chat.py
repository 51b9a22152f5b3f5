"""Chat histories and checkpoints that nobody prunes."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from services.app.container import Services
from services.memory.leaks.types import LeakKind
from tests.benchmarks.leaks.real.scenario import Scenario, Step, text

_assistants: dict[str, Any] = {}
_histories: dict[str, Any] = {}


class _Talk(TypedDict):
    messages: Annotated[list[str], lambda old, new: old + new]


def window_memory(_services: Services) -> Step:
    """ConversationBufferWindowMemory shows the model k turns and keeps them all (langchain issues 2610, 2290)."""
    from langchain_classic.memory import ConversationBufferWindowMemory

    memory = _assistants["miller"] = ConversationBufferWindowMemory(k=3)

    def step(number: int) -> None:
        for turn in range(8):
            memory.save_context({"input": text(number * 8 + turn, 1_000)}, {"output": text(number, 12_000)})
        memory.load_memory_variables({})

    return step


def histories(_services: Services) -> Step:
    """A dictionary of chat histories by session id, as the documentation of RunnableWithMessageHistory shows it."""
    from langchain_core.chat_history import InMemoryChatMessageHistory
    from langchain_core.runnables import RunnableLambda
    from langchain_core.runnables.history import RunnableWithMessageHistory

    def history(session_id: str) -> InMemoryChatMessageHistory:
        if session_id not in _histories:
            _histories[session_id] = InMemoryChatMessageHistory()
        found: InMemoryChatMessageHistory = _histories[session_id]
        return found

    chain = RunnableWithMessageHistory(RunnableLambda(lambda messages: text(len(messages), 20_000)), history)

    def step(number: int) -> None:
        for _ in range(3):
            chain.invoke(text(number, 500), {"configurable": {"session_id": f"visitor-{number}"}})

    return step


def _graph() -> Any:
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import END, START, StateGraph

    def answer(state: _Talk) -> _Talk:
        return {"messages": [text(len(state["messages"]), 3_000)]}

    graph = StateGraph(_Talk)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    graph.add_edge("answer", END)
    return graph.compile(checkpointer=InMemorySaver())


def saver_of_one_thread(_services: Services) -> Step:
    """InMemorySaver keeps every checkpoint of a thread, each with the whole conversation so far."""
    graph = _assistants["graph"] = _graph()

    def step(number: int) -> None:
        # A new conversation after ten turns, as people do.
        thread = f"conversation-{number // 10}"
        graph.invoke({"messages": [text(number, 1_500)]}, {"configurable": {"thread_id": thread}})

    return step


def saver_of_many_threads(_services: Services) -> Step:
    """A thread id for each request, and nobody calls delete_thread (langgraph: persistence, troubleshooting)."""
    graph = _assistants["graph"] = _graph()

    def step(number: int) -> None:
        for call in range(2):
            thread = f"request-{number}-{call}"
            graph.invoke({"messages": [text(number, 8_000)]}, {"configurable": {"thread_id": thread}})

    return step


_SAVER = ("InMemorySaver", "storage", "blobs", "writes", "checkpoint")

SCENARIOS = (
    Scenario(
        "langchain window memory",
        window_memory,
        LeakKind.PYTHON,
        ("HumanMessage", "AIMessage", "messages"),
        per_step=118_000,
    ),
    Scenario(
        "langchain histories by session",
        histories,
        LeakKind.PYTHON,
        ("_histories", "InMemoryChatMessageHistory", "HumanMessage", "AIMessage", "messages"),
        per_step=68_000,
    ),
    Scenario("langgraph saver, growing threads", saver_of_one_thread, LeakKind.PYTHON, _SAVER, per_step=62_000),
    Scenario("langgraph saver, thread per request", saver_of_many_threads, LeakKind.PYTHON, _SAVER, per_step=94_000),
)

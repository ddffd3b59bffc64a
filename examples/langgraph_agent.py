"""An agent of LangGraph that asks a human before it acts, and goes on where it stopped.

Run it with `python langgraph_agent.py`, after `pip install 'replicate-stream[agents]'`. The refund
is not made before somebody has typed "yes". The checkpointer keeps the conversation by its thread
id, so a later question needs no more than its own text. Other checkpointers use a database.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware, InterruptOnConfig
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from langchain_replicate_stream import ChatReplicate

MODEL = os.environ.get("CHAT_MODEL", "meta/meta-llama-3-70b-instruct")
ASK_FIRST: InterruptOnConfig = {"allowed_decisions": ["approve", "reject"]}


@tool
def find_order(order: int) -> str:
    """Find an order by its number."""
    return f"Order {order}: a teapot, 40 euros, delivered broken."


@tool
def refund(order: int, euros: int) -> str:
    """Pay money back to the customer of an order."""
    return f"{euros} euros for order {order} were paid back."


def make_agent() -> Any:
    """Return an agent that may look orders up, and that asks before it refunds one."""
    return create_agent(
        ChatReplicate(model=MODEL),
        [find_order, refund],
        system_prompt="You help the customers of a tea shop.",
        middleware=[HumanInTheLoopMiddleware({"refund": ASK_FIRST})],
        checkpointer=InMemorySaver(),
    )


async def run(agent: Any, inputs: Any, config: RunnableConfig) -> list[dict[str, Any]]:
    """Print the agent's answer as it comes; return the calls that a human has to decide on."""
    calls: list[dict[str, Any]] = []
    async for mode, part in agent.astream(inputs, config, stream_mode=["messages", "updates"]):
        if mode == "messages":
            chunk, metadata = part
            if metadata["langgraph_node"] == "model":
                print(chunk.text, end="", flush=True)
        elif "__interrupt__" in part:
            calls = part["__interrupt__"][0].value["action_requests"]
    print()
    return calls


async def ask(agent: Any, question: str, config: RunnableConfig) -> None:
    """Print the agent's answer; decide on the terminal what it may do."""
    print(f"> {question}")
    calls = await run(agent, {"messages": [("human", question)]}, config)
    while calls:
        decisions = [decide(call) for call in calls]
        calls = await run(agent, Command(resume={"decisions": decisions}), config)


def decide(call: dict[str, Any]) -> dict[str, str]:
    """Ask a human about a call of a tool."""
    if input(f"May I call {call['name']} with {call['args']}? ") == "yes":
        return {"type": "approve"}
    return {"type": "reject", "message": "A human said no."}


async def main() -> None:
    """Ask two questions in one conversation."""
    agent = make_agent()
    config: RunnableConfig = {"configurable": {"thread_id": "customer-1"}}
    await ask(agent, "My teapot of order 17 came broken. I want my money back.", config)
    await ask(agent, "What did I order?", config)


if __name__ == "__main__":
    asyncio.run(main())

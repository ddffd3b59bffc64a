"""The local model of the testing kit, as a model for Cog."""

from __future__ import annotations

from cog import BaseRunner, ConcatenateIterator, Input, streaming

from replicate_stream.testing.local_model import LocalModel


class Runner(BaseRunner):
    def setup(self) -> None:
        self.model = LocalModel()

    @streaming
    def run(
        self,
        prompt: str = Input(description="Prompt to send to the model."),
        system_prompt: str = Input(default="You are a helpful assistant."),
        max_tokens: int = Input(default=256, ge=1, le=2048),
        temperature: float = Input(default=0.6, ge=0.0, le=5.0),
        top_p: float = Input(default=0.9, ge=0.0, le=1.0),
        stop_sequences: str = Input(description="Texts that end it, with commas.", default=""),
        seed: int = Input(default=0),
    ) -> ConcatenateIterator[str]:
        reply = self.model(
            {
                "prompt": prompt,
                "system_prompt": system_prompt,
                "max_tokens": max_tokens,
                "temperature": temperature,
                "top_p": top_p,
                "stop_sequences": stop_sequences,
                "seed": seed,
            }
        )
        yield from reply.tokens

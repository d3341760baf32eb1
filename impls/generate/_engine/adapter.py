"""Our decoder as an implementation of `generate`: those of ours differ in the parts of the decoder alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from attnlab.bench import SKIPPED, GenerateCase, GenerateInputs, GenerateOutputs, ModelWeights, config_of, import_named
from attnlab.bench.llm import PLAIN, Q4_1, LiveEngine
from attnlab.impls.generate._engine import variants
from attnlab.impls.generate._engine.batching import Batching, BatchRunner, StaticBatching
from attnlab.impls.generate._engine.continuous_batching import ContinuousBatching
from attnlab.impls.generate._engine.continuous_limits import require_any_length, require_fixed_tokens
from attnlab.impls.generate._engine.decoding_method import DecodingContext
from attnlab.impls.generate._engine.engine import Engine
from attnlab.impls.generate._engine.live_engine import CHUNK_TOKENS, PagedLiveEngine
from attnlab.impls.generate._engine.paged_engine import PagedEngine
from attnlab.impls.generate._engine.parts import Parts
from attnlab.impls.generate._engine.rank_engine import capacity_of
from attnlab.impls.generate._engine.sharded_engine import ShardedEngine
from attnlab.impls.generate._engine.slot_engine import SlotEngine

DECODING = "attnlab.impls.generate._engine.decoding"
"""The package of the ways of decoding, each a file of its name."""


class EngineAdapter:
    """Our decoder from `parts`; `graphs` captures decode passes as CUDA graphs where the device is one."""

    parts: ClassVar[Parts] = Parts()
    graphs: ClassVar[bool] = False
    serves: ClassVar[Mapping[str, Any]] = {"weights": True, "draft_weights": True, "tensor_parallel": True}

    @property
    def built_from(self) -> tuple[str, ...]:
        """Parts and ways of decoding are chosen by name."""
        return (*self.parts.keys, DECODING)

    def supports(self, case: GenerateCase) -> str | None:
        if case.weights == Q4_1:
            return (
                f"weights {Q4_1} are not served, whose activations are rounded over 32 channels; int4_g32_asym+int8 "
                f"stores the same codes of the layers, and rounds none"
            )
        if case.tensor_parallel > 1:
            reason = self._unshared(case)
            if reason is not None:
                return reason
        models = [case.config] if case.draft == SKIPPED else [case.config, config_of(case.draft)]
        reasons = (variants.limits(config, self.parts) for config in models)
        return next((reason for reason in reasons if reason is not None), None)

    def _unshared(self, case: GenerateCase) -> str | None:
        """None, or the reason why ranks cannot share a case."""
        whole = f"tensor_parallel {case.tensor_parallel} is not served"
        if self.graphs:
            return f"{whole} with steps as CUDA graphs"
        if case.batching == "continuous":
            return f"{whole} with continuous batching: static only"
        if case.decoding.method not in (*PLAIN, "prompt_lookup"):
            return f"{whole} with decoding {case.decoding.method}: {', '.join(PLAIN)} and prompt_lookup only"
        if case.recipe is not None or case.config.experts:
            return f"{whole} for weights in a format or experts: weights in the dtype only"
        return None

    def prepare(self, case: GenerateCase, inputs: GenerateInputs) -> Batching:
        if case.batching == "continuous":
            return ContinuousBatching(case, inputs.weights, self.parts)
        full = self._batch_runner(case, inputs)
        left_over = case.requests % case.batch
        if not left_over:
            return StaticBatching(case.batch, full, full)
        fewer = replace(case, batch=left_over, requests=left_over)
        return StaticBatching(case.batch, full, self._batch_runner(fewer, inputs, full.engine))

    def _batch_runner(self, case: GenerateCase, inputs: GenerateInputs, other: Any = None) -> BatchRunner:
        """other: an engine of the same model, for batches of another size."""
        name = "plain" if case.decoding.method in PLAIN else case.decoding.method
        module: Any = import_named(DECODING, name)
        batch = module.sequences(case) if hasattr(module, "sequences") else case.batch
        engine = self._engine(case, inputs.weights, batch, other)
        return BatchRunner(engine, module.prepare(DecodingContext(case, inputs.weights, self.parts, engine)))

    def _engine(self, case: GenerateCase, weights: ModelWeights, batch: int, other: Any) -> Any:
        if case.tensor_parallel > 1:
            return ShardedEngine(case, weights, self.parts, batch, other and other.crew)
        return Engine(
            weights,
            self.parts,
            case.placing,
            case.format,
            batch=batch,
            capacity=capacity_of(case),
            graphs=self.graphs,
            decoder=other and other.decoder,
        )

    def run(self, inputs: GenerateInputs, batching: Batching) -> GenerateOutputs:
        recorder = inputs.begin()
        tokens = batching.serve(recorder, inputs.seed)
        return GenerateOutputs(
            tokens, recorder.log(), None if recorder.evidence is None else recorder.evidence.tensor()
        )

    def live(self, case: GenerateCase, weights: ModelWeights) -> LiveEngine:
        """An engine for whoever asks: with room for the case's batch, of at most its prompt and answer together.

        What it serves may be of any length within that, and sampled anyhow. Raises Unavailable.
        """
        require_fixed_tokens(case)
        require_any_length(self.parts)
        made = PagedEngine if case.placing.paged else SlotEngine
        engine = made(case, weights, self.parts)
        engine.logs_passes = False
        return PagedLiveEngine(engine, self.parts)

    def configuration(self, case: GenerateCase) -> str | None:
        if case.batching == "continuous":
            return f"{self.parts}, prompts in chunks of {CHUNK_TOKENS} tokens"
        ranks = f", on {case.tensor_parallel} ranks" if case.tensor_parallel > 1 else ""
        return f"{self.parts}{', steps as CUDA graphs' if self.graphs else ''}{ranks}"

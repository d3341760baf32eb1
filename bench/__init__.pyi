"""What plugins import: the one list, from which `__init__.py` loads each name when it is first asked for."""

from .analysis.frame import load as load
from .analysis.index.query import query as query
from .contract.axes import Case as Case
from .contract.axes import axis as axis
from .contract.axes import dtype_axis as dtype_axis
from .contract.axes import like as like
from .contract.axes import size as size
from .contract.discovery import import_named as import_named
from .contract.distribution import Distribution as Distribution
from .contract.distribution import Law as Law
from .contract.error_budget import ErrorBudget as ErrorBudget
from .contract.error_budget import Probe as Probe
from .contract.error_budget import YardstickOutput as YardstickOutput
from .contract.metric import Metric as Metric
from .contract.metric import Row as Row
from .contract.metric import of_measurement as of_measurement
from .contract.operator_spec import NEEDLE_DRAW as NEEDLE_DRAW
from .contract.operator_spec import NORMAL_DRAW as NORMAL_DRAW
from .contract.operator_spec import Check as Check
from .contract.operator_spec import DrawMix as DrawMix
from .contract.operator_spec import Expectation as Expectation
from .contract.operator_spec import Fact as Fact
from .contract.operator_spec import Operator as Operator
from .contract.operator_spec import Ranks as Ranks
from .contract.operator_spec import TensorSpec as TensorSpec
from .contract.operator_spec import columns as columns
from .contract.operator_spec import constant as constant
from .contract.operator_spec import dynamic as dynamic
from .contract.operator_spec import guard as guard
from .contract.operator_spec import mutable as mutable
from .contract.operator_spec import static as static
from .contract.operator_spec import tensors as tensors
from .contract.ranks import RankedOutputs as RankedOutputs
from .contract.ranks import whole_outputs as whole_outputs
from .contract.registry import OURS as OURS
from .contract.registry import Implementation as Implementation
from .contract.registry import Needs as Needs
from .contract.registry import Registry as Registry
from .contract.registry import discover as discover
from .contract.registry import implements as implements
from .contract.registry import registry as registry
from .contract.space import Configuration as Configuration
from .contract.space import Resources as Resources
from .contract.space import Space as Space
from .errors import AttnlabError as AttnlabError
from .errors import CacheError as CacheError
from .errors import ImpossibleCase as ImpossibleCase
from .errors import Unavailable as Unavailable
from .errors import UsageError as UsageError
from .llm.caches.cache import KVCache as KVCache
from .llm.masks import Mask as Mask
from .llm.models.config import ModelConfig as ModelConfig
from .llm.models.load import load_model as load_model
from .llm.models.load import load_tokenizer as load_tokenizer
from .llm.models.rope_scaling import Llama3Scaling as Llama3Scaling
from .llm.models.weights import ModelWeights as ModelWeights
from .llm.rope_math import rope_tables as rope_tables
from .llm.sampling_params import SamplingParams as SamplingParams
from .machine.clocks.clock import Clock as Clock
from .machine.clocks.clock import ClockKind as ClockKind
from .machine.clocks.clock import Timer as Timer
from .notebook.checking import CheckResult as CheckResult
from .notebook.checking import check as check
from .notebook.measured import measure as measure
from .notebook.plotting import plot as plot
from .notebook.result import MeasureResult as MeasureResult
from .ops._shared.caching import DecodeCase as DecodeCase
from .ops._shared.collectives import CollectiveCase as CollectiveCase
from .ops._shared.collectives import CollectiveInputs as CollectiveInputs
from .ops._shared.collectives import CollectiveShard as CollectiveShard
from .ops._shared.typed import TypedCase as TypedCase
from .ops.attention.case import AttentionCase as AttentionCase
from .ops.attention.case import AttentionInputs as AttentionInputs
from .ops.attention_backward import AttentionBackwardCase as AttentionBackwardCase
from .ops.attention_backward import AttentionBackwardInputs as AttentionBackwardInputs
from .ops.decode_attention.inputs import DecodeInputs as DecodeInputs
from .ops.embedding import EmbeddingCase as EmbeddingCase
from .ops.embedding import EmbeddingInputs as EmbeddingInputs
from .ops.gelu import GeluCase as GeluCase
from .ops.gelu import GeluInputs as GeluInputs
from .ops.generate.case import BATCHINGS as BATCHINGS
from .ops.generate.case import SKIPPED as SKIPPED
from .ops.generate.case import GenerateCase as GenerateCase
from .ops.generate.case import GenerateInputs as GenerateInputs
from .ops.generate.case import GenerateOutputs as GenerateOutputs
from .ops.generate.case import config_of as config_of
from .ops.generate.contract import weights_of as weights_of
from .ops.generate.cost import cache_bytes as cache_bytes
from .ops.generate.cost import pass_bytes as pass_bytes
from .ops.kv_append import AppendCase as AppendCase
from .ops.kv_append import AppendInputs as AppendInputs
from .ops.layernorm import LayerNormCase as LayerNormCase
from .ops.layernorm import LayerNormInputs as LayerNormInputs
from .ops.linear.case import LinearCase as LinearCase
from .ops.linear.inputs import LinearInputs as LinearInputs
from .ops.linear.inputs import linear_inputs as linear_inputs
from .ops.perplexity.case import PerplexityCase as PerplexityCase
from .ops.perplexity.case import PerplexityInputs as PerplexityInputs
from .ops.pipeline.case import PipelineCase as PipelineCase
from .ops.pipeline.case import PipelineShard as PipelineShard
from .ops.ring_attention.case import RingAttentionCase as RingAttentionCase
from .ops.ring_attention.contract import RingShard as RingShard
from .ops.rmsnorm import RmsNormCase as RmsNormCase
from .ops.rmsnorm import RmsNormInputs as RmsNormInputs
from .ops.rope import RopeCase as RopeCase
from .ops.rope import RopeInputs as RopeInputs
from .ops.sampling.case import SamplingCase as SamplingCase
from .ops.sampling.case import SamplingInputs as SamplingInputs
from .ops.serve.case import ServeCase as ServeCase
from .ops.serve.endpoint import HttpEndpoint as HttpEndpoint
from .ops.serve.endpoint import Speaks as Speaks
from .ops.serve.in_process import EngineEndpoint as EngineEndpoint
from .ops.serve.inputs import ServeInputs as ServeInputs
from .ops.serve.inputs import ServeOutputs as ServeOutputs
from .ops.swiglu import SwigluCase as SwigluCase
from .ops.swiglu import SwigluInputs as SwigluInputs
from .ops.tensor_parallel_linear.case import TensorParallelCase as TensorParallelCase
from .ops.tensor_parallel_linear.case import TensorParallelShard as TensorParallelShard
from .profilers import PROFILERS as PROFILERS
from .profilers import Profiler as Profiler
from .profilers.profiled_call import ProfiledCall as ProfiledCall
from .profilers.record import CallPart as CallPart
from .profilers.record import Listing as Listing
from .profilers.record import ProfileFinding as ProfileFinding
from .profilers.record import ToolFigure as ToolFigure
from .profilers.record import ToolRecord as ToolRecord
from .ranks.crew import Crew as Crew
from .ranks.of_ranks import OfRanks as OfRanks
from .reporters import REPORTERS as REPORTERS
from .reporters import Reporter as Reporter
from .store.deviations import Deviation as Deviation
from .store.records import Measurement as Measurement
from .store.records import Outcome as Outcome
from .store.records import RunRecord as RunRecord
from .store.run_folder import StoredRun as StoredRun
from .store.run_folder import read_run as read_run

__all__ = [
    "BATCHINGS",
    "NEEDLE_DRAW",
    "NORMAL_DRAW",
    "OURS",
    "PROFILERS",
    "REPORTERS",
    "SKIPPED",
    "AppendCase",
    "AppendInputs",
    "AttentionBackwardCase",
    "AttentionBackwardInputs",
    "AttentionCase",
    "AttentionInputs",
    "AttnlabError",
    "CacheError",
    "CallPart",
    "Case",
    "Check",
    "CheckResult",
    "Clock",
    "ClockKind",
    "CollectiveCase",
    "CollectiveInputs",
    "CollectiveShard",
    "Configuration",
    "Crew",
    "DecodeCase",
    "DecodeInputs",
    "Deviation",
    "Distribution",
    "DrawMix",
    "EmbeddingCase",
    "EmbeddingInputs",
    "EngineEndpoint",
    "ErrorBudget",
    "Expectation",
    "Fact",
    "GeluCase",
    "GeluInputs",
    "GenerateCase",
    "GenerateInputs",
    "GenerateOutputs",
    "HttpEndpoint",
    "Implementation",
    "ImpossibleCase",
    "KVCache",
    "Law",
    "LayerNormCase",
    "LayerNormInputs",
    "LinearCase",
    "LinearInputs",
    "Listing",
    "Llama3Scaling",
    "Mask",
    "MeasureResult",
    "Measurement",
    "Metric",
    "ModelConfig",
    "ModelWeights",
    "Needs",
    "OfRanks",
    "Operator",
    "Outcome",
    "PerplexityCase",
    "PerplexityInputs",
    "PipelineCase",
    "PipelineShard",
    "Probe",
    "ProfileFinding",
    "ProfiledCall",
    "Profiler",
    "RankedOutputs",
    "Ranks",
    "Registry",
    "Reporter",
    "Resources",
    "RingAttentionCase",
    "RingShard",
    "RmsNormCase",
    "RmsNormInputs",
    "RopeCase",
    "RopeInputs",
    "Row",
    "RunRecord",
    "SamplingCase",
    "SamplingInputs",
    "SamplingParams",
    "ServeCase",
    "ServeInputs",
    "ServeOutputs",
    "Space",
    "Speaks",
    "StoredRun",
    "SwigluCase",
    "SwigluInputs",
    "TensorParallelCase",
    "TensorParallelShard",
    "TensorSpec",
    "Timer",
    "ToolFigure",
    "ToolRecord",
    "TypedCase",
    "Unavailable",
    "UsageError",
    "YardstickOutput",
    "axis",
    "cache_bytes",
    "check",
    "columns",
    "config_of",
    "constant",
    "discover",
    "dtype_axis",
    "dynamic",
    "guard",
    "implements",
    "import_named",
    "like",
    "linear_inputs",
    "load",
    "load_model",
    "load_tokenizer",
    "measure",
    "mutable",
    "of_measurement",
    "pass_bytes",
    "plot",
    "query",
    "read_run",
    "registry",
    "rope_tables",
    "size",
    "static",
    "tensors",
    "weights_of",
    "whole_outputs",
]

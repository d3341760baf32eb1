"""What engines and kernels' adapters import beside `attnlab.bench`: models, caches, masks, sampling."""

from . import rope_math as rope_math
from .caches.cache import KVCache as KVCache
from .caches.cache import Side as Side
from .caches.coding import Format as Format
from .caches.layout import Layout as Layout
from .generation.decoding import PLAIN as PLAIN
from .generation.decoding import Decoding as Decoding
from .generation.live import Beginning as Beginning
from .generation.live import FinishReason as FinishReason
from .generation.live import Likelihood as Likelihood
from .generation.live import LiveCounters as LiveCounters
from .generation.live import LiveEngine as LiveEngine
from .generation.live import LiveEvent as LiveEvent
from .generation.live import LiveLimits as LiveLimits
from .generation.live import LiveRequest as LiveRequest
from .generation.live import TokenMask as TokenMask
from .generation.logs import Pass as Pass
from .generation.recorder import Recorder as Recorder
from .generation.spans import span as span
from .generation.spans import spanned as spanned
from .generation.stored import Q4_1 as Q4_1
from .generation.stored import SAME as SAME
from .generation.stored import rounding as rounding
from .head_norm import NORM_EPS as NORM_EPS
from .masks import Mask as Mask
from .masks import mask_of as mask_of
from .masks import permitted_pairs as permitted_pairs
from .masks import places_of as places_of
from .masks import segments_of as segments_of
from .models.config import ModelConfig as ModelConfig
from .models.experts import ExpertWeights as ExpertWeights
from .models.experts import clamped_gate as clamped_gate
from .models.families import kind_of as kind_of
from .models.huggingface import config_json as config_json
from .models.huggingface import save_folder as save_folder
from .models.huggingface import state_dict as state_dict
from .models.packaged import find_model as find_model
from .models.reference import embedding_scale as embedding_scale
from .models.reference import soft_capped as soft_capped
from .models.rotary import rotary_tables as rotary_tables
from .models.weights import LayerWeights as LayerWeights
from .models.weights import ModelWeights as ModelWeights
from .quality.scoring import reading_of as reading_of
from .quality.scoring import right_logs as right_logs
from .quality.scoring import scored_places as scored_places
from .quantization.activations import activation_codes as activation_codes
from .quantization.activations import quantised as quantised
from .quantization.coding import WeightFormat as WeightFormat
from .quantization.coding import weight_format as weight_format
from .quantization.weight import QuantizedWeight as QuantizedWeight
from .quantization.weight import joined as joined
from .rope_math import rope_tables as rope_tables
from .sampling_math import draw as draw
from .sampling_math import least_in_nucleus as least_in_nucleus
from .sampling_math import penalised as penalised
from .sampling_math import truncated_probabilities as truncated_probabilities
from .sampling_params import SamplingParams as SamplingParams
from .side_by_side import rows_of as rows_of

__all__ = [
    "NORM_EPS",
    "PLAIN",
    "Q4_1",
    "SAME",
    "Beginning",
    "Decoding",
    "ExpertWeights",
    "FinishReason",
    "Format",
    "KVCache",
    "LayerWeights",
    "Layout",
    "Likelihood",
    "LiveCounters",
    "LiveEngine",
    "LiveEvent",
    "LiveLimits",
    "LiveRequest",
    "Mask",
    "ModelConfig",
    "ModelWeights",
    "Pass",
    "QuantizedWeight",
    "Recorder",
    "SamplingParams",
    "Side",
    "TokenMask",
    "WeightFormat",
    "activation_codes",
    "clamped_gate",
    "config_json",
    "draw",
    "embedding_scale",
    "find_model",
    "joined",
    "kind_of",
    "least_in_nucleus",
    "mask_of",
    "penalised",
    "permitted_pairs",
    "places_of",
    "quantised",
    "reading_of",
    "right_logs",
    "rope_math",
    "rope_tables",
    "rotary_tables",
    "rounding",
    "rows_of",
    "save_folder",
    "scored_places",
    "segments_of",
    "soft_capped",
    "span",
    "spanned",
    "state_dict",
    "truncated_probabilities",
    "weight_format",
]

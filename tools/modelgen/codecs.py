"""The table of codecs by type name."""

from __future__ import annotations

from gguf import GGMLQuantizationType as Q

from .codec import Codec, FloatCodec, Q8Codec, SmallCodec
from .codec_k import Iq4XsCodec, Q2KCodec, Q3KCodec, Q6KCodec, Q45Codec

CODECS: dict[str, Codec] = {
    "f32": FloatCodec(Q.F32),
    "f16": FloatCodec(Q.F16),
    "bf16": FloatCodec(Q.BF16),
    "q8_0": Q8Codec(),
    "q4_0": SmallCodec(Q.Q4_0),
    "q4_1": SmallCodec(Q.Q4_1),
    "q5_0": SmallCodec(Q.Q5_0),
    "q5_1": SmallCodec(Q.Q5_1),
    "q2_k": Q2KCodec(),
    "q3_k": Q3KCodec(),
    "q4_k": Q45Codec(Q.Q4_K),
    "q5_k": Q45Codec(Q.Q5_K),
    "q6_k": Q6KCodec(),
    "iq4_nl": SmallCodec(Q.IQ4_NL),
    "iq4_xs": Iq4XsCodec(),
}

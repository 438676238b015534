// The name of the mix of types that a file is in, by general.file_type: "Q4_K_M", or "unknown".
#ifndef CLLM_GGUF_QUANTIZATION_H
#define CLLM_GGUF_QUANTIZATION_H

#include "gguf/gguf.h"

const char *quantization_name(const Gguf *g);

#endif

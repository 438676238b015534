#include "gguf/gguf_parse.h"

#include <stdio.h>

// Block shapes of the element types, as the ggml project defines them (ggml-common.h).
static const GgufTypeInfo infos[] = {
    [GGUF_TYPE_F32] = {"F32", 1, 4},         [GGUF_TYPE_F16] = {"F16", 1, 2},
    [GGUF_TYPE_Q4_0] = {"Q4_0", 32, 18},     [GGUF_TYPE_Q4_1] = {"Q4_1", 32, 20},
    [GGUF_TYPE_Q5_0] = {"Q5_0", 32, 22},     [GGUF_TYPE_Q5_1] = {"Q5_1", 32, 24},
    [GGUF_TYPE_Q8_0] = {"Q8_0", 32, 34},     [GGUF_TYPE_Q2_K] = {"Q2_K", 256, 84},
    [GGUF_TYPE_Q3_K] = {"Q3_K", 256, 110},   [GGUF_TYPE_Q4_K] = {"Q4_K", 256, 144},
    [GGUF_TYPE_Q5_K] = {"Q5_K", 256, 176},   [GGUF_TYPE_Q6_K] = {"Q6_K", 256, 210},
    [GGUF_TYPE_IQ4_NL] = {"IQ4_NL", 32, 18}, [GGUF_TYPE_IQ4_XS] = {"IQ4_XS", 256, 136},
    [GGUF_TYPE_BF16] = {"BF16", 1, 2},
};
enum { N_INFOS = sizeof infos / sizeof infos[0] };

const GgufTypeInfo *gguf_type_info(GgufType type) {
    uint32_t i = (uint32_t)type;
    return i < N_INFOS && infos[i].name ? &infos[i] : NULL;
}

const char *gguf_type_names(char *out, size_t n) {
    size_t len = 0;
    if (n) out[0] = 0;
    for (size_t i = 0; i < N_INFOS && len < n; i++) {
        if (!infos[i].name) continue;
        int k = snprintf(out + len, n - len, "%s%s", len ? ", " : "", infos[i].name);
        if (k > 0) len += (size_t)k;
    }
    return out;
}

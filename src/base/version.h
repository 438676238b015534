// The version of this program, as `cllm --version` and the root route tell it.
#ifndef CLLM_BASE_VERSION_H
#define CLLM_BASE_VERSION_H

#define CLLM_VERSION "0.1.0"

#endif

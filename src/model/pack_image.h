// Images of packed weights: files that a start can map instead of packing.
//
// A file holds, in the byte order of its writer (the magic number tells another one apart):
//
//     header      magic, version of the panels' layout, hash of the model file, counts and sizes, hash
//                 of the region
//     directory   of each matrix: type, shape, place in the region
//     zeros       to a multiple of 2 MiB
//     region      the panels (kernels/packed.h)
//
// Nothing in a file is believed. The caller says what the head must be, which it knows from the model
// file, and a file is used only when its head is that, byte for byte, its length fits, and the region
// has the hash that the head names. So nothing read from an image is ever used as a size or a place.
//
// That finds corruption and stale files. It cannot find what somebody wrote with intent, hash and all:
// hence the folder is made with mode 0700, and a file is refused that is not ours or that others may
// write. Like a model file, an image must be replaced and not written into while it is in use.
//
// The region begins at a multiple of 2 MiB and is written in pieces of that size, because file systems
// with large folios then keep it in huge pages, which decoding needs as much as it needs them in
// anonymous memory.
//
// Images are named after the model's hash. One is written under a temporary name, which the writer
// locks, so that of several processes one writes and what a killed one left is used up by the next.
//
// Thread: any, with workers that nobody else runs.
#ifndef CLLM_MODEL_PACK_IMAGE_H
#define CLLM_MODEL_PACK_IMAGE_H

#include "base/err.h"
#include "model/content_hash.h"

// One matrix [n][k], as the directory holds it.
typedef struct PackTensor {
    uint64_t type; // a WeightType
    uint64_t n, k;
    uint64_t offset, bytes; // in the region
} PackTensor;

// What an image must be. The caller keeps the tensors.
typedef struct PackKey {
    ContentHash model; // of the whole model file
    const PackTensor *tensors;
    size_t n_tensors;
    size_t region_bytes;
} PackKey;

// A mapped image; zeroed: none.
typedef struct PackImage {
    void *base;
    size_t n_bytes;
    const char *region; // [region_bytes], read-only, aligned to 2 MiB in the file
} PackImage;

// Maps and verifies the image in `folder`. false: *out is zeroed; ERR_NOT_FOUND when there is none,
// else the message tells why the file was refused.
bool pack_image_map(const char *folder, const PackKey *key, Workers *workers, PackImage *out, Err *err);
void pack_image_unmap(PackImage *image); // a zeroed one is allowed

// Writes the image, durably, in place of one that may be there. Makes the folder (not its parents).
// false: nothing has changed, no temporary file is left; so also when the workers are cancelled.
bool pack_image_write(const char *folder, const PackKey *key, const void *region, Workers *workers, Err *err);

#endif

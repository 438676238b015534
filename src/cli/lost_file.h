// Files that are mapped, models and packed weights, and cannot be read any more: somebody has cut them off or
// written them anew in place, or their disk fails. The system says that by SIGBUS, in the middle of the arithmetic, and
// nothing can be computed without them: the process ends with status 1, and the log says which file it was.
//
// (Copies in memory were refused: they would cost the token embedding, and all of the weights with packed_cache, whose
// point is that they are no copy.)
//
// Thread: the main one, before there are others.
#ifndef CLLM_CLI_LOST_FILE_H
#define CLLM_CLI_LOST_FILE_H

void lost_file_watch(void);

#endif

/* Whole files in, whole files out.
 *
 * Writing is atomic: the text goes to a new file beside the target, which is flushed to
 * the disk and renamed into place at the end. Until then the old file stays as it was,
 * and after any failure the new one is removed. */
#ifndef ETUDE_TENSOR_FILE_H
#define ETUDE_TENSOR_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "tensor/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The status that an errno of a file operation stands for: EFULL where there is no room (a full
 *  disk, a quota, a limit on sizes), else EIO. */
et_status et_errno_status(int e);

/** Reads the file (pipes too) into memory that the caller releases with et_dealloc; a
 *  NUL follows the last byte. EIO if it cannot be read, EFORMAT if it is larger than
 *  `limit` bytes, ENOMEM. */
et_status et_file_read(const char *path, size_t limit, unsigned char **data, size_t *size);

/** Replaces the file's content in one step. EIO, EFULL, ENOMEM. */
et_status et_file_write(const char *path, const void *data, size_t size);

/* --- writing piece by piece ---------------------------------------------------- */

typedef struct et_writer et_writer;

/** Begins to replace `path`; nothing is seen of it before et_writer_commit. Of a path that is a symbolic
 *  link, the file that it leads to is replaced (the link itself if there is none). NULL on failure; EIO too
 *  for what is there and no file: a directory, a device, a pipe. */
et_writer *et_writer_open(const char *path);
/** Appends size bytes. After a failure every further call returns the same status. */
et_status et_writer_put(et_writer *w, const void *data, size_t size);
/** Flushes, renames into place and releases w. On failure (now or in any put before) the
 *  old file is untouched and the new one removed. */
et_status et_writer_commit(et_writer *w);
/** Gives up: removes the new file and releases w. NULL is allowed. */
void et_writer_discard(et_writer *w);
/** Whether a file can be written there, which is left as it is: for a program that computes for long before
 *  it writes. The errors of et_writer_open. */
et_status et_writer_try(const char *path);

/* --- reading at any offset --------------------------------------------------------- */

typedef struct et_reader et_reader;

/** Opens a regular file, whose size is taken now. NULL and EIO on failure. */
et_reader *et_reader_open(const char *path);
/** The same over the size bytes at data, which stay the caller's and must outlive the
 *  reader. `name` stands for the path in messages. */
et_reader *et_reader_memory(const void *data, size_t size, const char *name);
uint64_t et_reader_size(const et_reader *r);
/** The path, for messages. */
const char *et_reader_name(const et_reader *r);
/** Copies size bytes from offset into dst. EFORMAT if the file ends before, EIO. */
et_status et_reader_at(et_reader *r, uint64_t offset, void *dst, size_t size);
/** NULL is allowed. */
void et_reader_close(et_reader *r);

#ifdef __cplusplus
}
#endif
#endif

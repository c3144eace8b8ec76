/* Folders of files, over POSIX. */
#include "config.h"

#include "datasets/folder.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "tensor/alloc.h"
#include "tensor/sort.h"
#include "tensor/strbuf.h"

char *et_path_join(const char *a, const char *b)
{
    et_strbuf s = ET_STRBUF_INIT;
    size_t n = strlen(a);

    et_strbuf_printf(&s, "%s%s%s", a, n > 0 && a[n - 1] == '/' ? "" : "/", b);
    return et_strbuf_take(&s);
}

bool et_is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

et_status et_folder_names(const char *path, et_names *names)
{
    DIR *d = opendir(path);
    struct dirent *e;
    et_status status = ET_OK;
    int64_t before = names->n;
    char text[160];

    if (!d) {
        int error = errno;
        return et_raise(ET_EIO, "%s: cannot list the folder: %s", path,
                        strerror_r(error, text, sizeof text) == 0 ? text : "unknown error");
    }
    while (status == ET_OK && (errno = 0, e = readdir(d)) != NULL)
        if (e->d_name[0] != '.')
            status = et_names_add(names, e->d_name);
    if (status == ET_OK && errno != 0)
        status = et_raise(ET_EIO, "%s: cannot list the folder", path);
    closedir(d);
    if (status == ET_OK)
        et_sort_pointers((void **)names->items + before, (size_t)(names->n - before), by_text);
    return status;
}

/* Folders of files, over POSIX. */
#include "config.h"

#include "datasets/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tensor/alloc.h"
#include "tensor/file.h"
#include "tensor/sort.h"

char *et_path_join(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    char *path = et_alloc(n + m + 2);

    if (!path)
        return NULL;
    memcpy(path, a, n);
    if (n > 0 && a[n - 1] != '/')
        path[n++] = '/';
    memcpy(path + n, b, m + 1);
    return path;
}

bool et_exists(const char *path) { return path && access(path, F_OK) == 0; }

bool et_same_file(const char *a, const char *b)
{
    struct stat s, t;

    return stat(a, &s) == 0 && stat(b, &t) == 0 && s.st_dev == t.st_dev && s.st_ino == t.st_ino;
}

bool et_is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool et_folder_step(et_folder_way *here, const char *path, const et_folder_way *above)
{
    struct stat st;

    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return false;
    *here = (et_folder_way){(uint64_t)st.st_dev, (uint64_t)st.st_ino, above};
    for (; above; above = above->above)
        if (above->device == here->device && above->number == here->number)
            return false;
    return true;
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

et_status et_folder_make(const char *dir)
{
    enum { TRIES = 10000 };
    char *path = et_alloc_string(dir), text[160];
    size_t n = strlen(dir);
    et_status status = ET_OK;
    int tries = 0;

    if (!path)
        return ET_ENOMEM;
    for (size_t i = 1; i <= n && status == ET_OK; i++) {
        struct stat st;

        if (path[i] != '/' && path[i] != '\0')
            continue;
        path[i] = '\0';
        const int why = mkdir(path, 0777) == 0 ? 0 : errno, there = stat(path, &st) == 0;
        if (why != 0 && !(there && S_ISDIR(st.st_mode))) {
            /* What was there, empty, may have been taken away meanwhile: then from the beginning. */
            if (!there && (why == ENOENT || why == EEXIST) && ++tries < TRIES) {
                path[i] = dir[i];
                i = 0;
                continue;
            }
            if (strerror_r(why, text, sizeof text) != 0)
                snprintf(text, sizeof text, "error %d", why);
            status = et_raise(et_errno_status(why), "cannot make the folder %s: %s", path,
                              why == EEXIST ? "a file of that name is in the way" : text);
        }
        path[i] = dir[i];
    }
    et_dealloc(path);
    return status;
}

/* Preloaded into a gateway: what it does to files below FAULT_DIR goes as the file FAULT_FILE says, which is read
 * before each step: `full`, `hung`, `read-only`, or as usual where it says nothing. So the three are tested on the real
 * program, and without the right to mount a file system. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* What such a step comes to: room is needed, or only leave. */
enum need { ROOM, LEAVE };

static int said(const char *word)
{
    char text[16] = "";
    const char *path = getenv("FAULT_FILE");
    int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0) : -1;
    if (file < 0)
        return 0;
    syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    return strcmp(text, word) == 0;
}

static int below(const char *path)
{
    const char *dir = getenv("FAULT_DIR");
    return dir && strncmp(path, dir, strlen(dir)) == 0;
}

/* The error a step ends with, if it does. A hung disk lets it go on when it is well. */
static int fault(const char *path, enum need need)
{
    if (!below(path))
        return 0;
    while (said("hung"))
        usleep(5000);
    if (said("read-only"))
        return EROFS;
    return need == ROOM && said("full") ? ENOSPC : 0;
}

static int fault_of(int file, enum need need)
{
    char link[64], path[PATH_MAX] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    if (readlink(link, path, sizeof path - 1) < 0)
        return 0;
    return fault(path, need);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define UNLESS(found, failed)   \
    do {                        \
        int error = (found);    \
        if (error) {            \
            errno = error;      \
            return failed;      \
        }                       \
    } while (0)

ssize_t write(int file, const void *bytes, size_t count)
{
    UNLESS(fault_of(file, ROOM), -1);
    return REAL(write)(file, bytes, count);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at)
{
    UNLESS(fault_of(file, ROOM), -1);
    return REAL(pwrite64)(file, bytes, count, at);
}

int ftruncate64(int file, off64_t length)
{
    UNLESS(fault_of(file, LEAVE), -1);
    return REAL(ftruncate64)(file, length);
}

int fsync(int file)
{
    UNLESS(fault_of(file, LEAVE), -1);
    return REAL(fsync)(file);
}

int fdatasync(int file)
{
    UNLESS(fault_of(file, LEAVE), -1);
    return REAL(fdatasync)(file);
}

int rename(const char *from, const char *to)
{
    UNLESS(fault(to, LEAVE), -1);
    return REAL(rename)(from, to);
}

int unlink(const char *path)
{
    UNLESS(fault(path, LEAVE), -1);
    return REAL(unlink)(path);
}

static int denied(const char *path, int flags)
{
    return flags & (O_WRONLY | O_RDWR | O_CREAT) ? fault(path, LEAVE) : 0;
}

#define OPEN(name)                                                                      \
    int name(const char *path, int flags, ...)                                          \
    {                                                                                   \
        va_list more;                                                                   \
        va_start(more, flags);                                                          \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, mode_t) : 0;       \
        va_end(more);                                                                   \
        UNLESS(denied(path, flags), -1);                                                \
        return REAL(name)(path, flags, mode);                                           \
    }

/* The standard library calls the one, SQLite the other. */
OPEN(open64)
OPEN(open)

/* Show folders at absolute paths to a process and to everything that it starts, without any privilege.
 *
 * Loaded before the C library (LD_PRELOAD, on macOS DYLD_INSERT_LIBRARIES), it replaces the functions that take or
 * return a path. SANDBOX_BINDS lists the folders and their targets, separated by spaces:
 *
 *     TARGET=SOURCE      the folder SOURCE is shown at TARGET
 *     TARGET=-SOURCE     TARGET is hidden: it shows the empty folder SOURCE, in which nothing can be created or changed
 *
 * Both are absolute and percent-encoded; SOURCE contains no links. As with mounts, a later one covers an earlier one.
 * Other words are ignored.
 *
 * A path that a program sees is called shown, a path that the kernel of the operating system knows is called real.
 * A shown path below a target is followed link by link, because an absolute link is a shown path too. A path outside
 * all targets is passed on unchanged; if it does not exist, it is followed too, because one of its links may lead to a
 * target. Nothing here allocates memory after the start, so that children of vfork can use it.
 */

#define _GNU_SOURCE
#define _LARGEFILE64_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef __APPLE__
#define PRELOAD "DYLD_INSERT_LIBRARIES"
#else
#include <sys/syscall.h>
#define PRELOAD "LD_PRELOAD"
#endif
#define BINDS "SANDBOX_BINDS"
#define MAX_LINKS 40

extern char **environ;

/* ---- The functions that are replaced: the C library's own is REAL(name). ---- */

#ifdef __APPLE__
#define HOOK(type, name, params)                                                                              \
    extern type real_##name params __asm__("_" #name SUFFIX);                                                 \
    static type hook_##name params;                                                                           \
    __attribute__((used, section("__DATA,__interpose"))) static const struct {                                \
        const void *replacement, *original;                                                                   \
    } pair_##name = {(const void *)hook_##name, (const void *)real_##name};                                   \
    static type hook_##name params
#define REAL(name) real_##name
#define SUFFIX ""
#else
#define HOOK(type, name, params)                                                                              \
    typedef type type_##name params;                                                                          \
    static type_##name *find_##name(void)                                                                     \
    {                                                                                                         \
        static type_##name *found;                                                                            \
        if (!found)                                                                                           \
            found = (type_##name *)dlsym(RTLD_NEXT, #name);                                                   \
        return found;                                                                                         \
    }                                                                                                         \
    __attribute__((constructor)) static void find_##name##_early(void) { find_##name(); }                     \
    __attribute__((visibility("default"))) type hook_##name params __asm__(#name);                            \
    type hook_##name params
/* Looked up at the start, because children of vfork must not call dlsym; other libraries may start before this one. */
#define REAL(name) find_##name()
#endif

static void start(void);
typedef ssize_t readlink_function(const char *, char *, size_t);
typedef ssize_t readlinkat_function(int, const char *, char *, size_t);
typedef char *getcwd_function(char *, size_t);
static readlink_function *system_readlink;
static readlinkat_function *system_readlinkat;
static getcwd_function *system_getcwd;

/* ---- Shown and real paths ---- */

struct bind {
    const char *target, *source;
    size_t target_length, source_length;
    int hidden;
};

static struct bind *binds;
static int bind_count;
static const char *binds_variable, *library_path; /* the variables that children need in their environment */

enum {
    FOLLOW = 1,          /* follow a link that is the last name */
    CREATES = 2,         /* creates the path if it does not exist */
    CHANGES = 4,         /* changes the file */
    REMOVES = 8,         /* removes or renames the file or folder */
    UNLINKS = 16,        /* removes or renames a file; fails for folders, such as targets */
    FOLLOW_OUTSIDE = 32, /* follow links outside all targets too */
};

struct lookup {
    const char *path; /* passed to the system: the given path, or a real one */
    const char *given;
    int fd, use;
    const struct bind *bind;   /* the bind that contains it, NULL for none */
    const struct bind *parent; /* the bind that contains its folder */
    char shown[PATH_MAX];
    char real[PATH_MAX];
};

static int is_below(const char *path, const char *folder, size_t length)
{
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static const struct bind *covering(const char *shown)
{
    for (int i = bind_count - 1; i >= 0; i--)
        if (is_below(shown, binds[i].target, binds[i].target_length))
            return &binds[i];
    return NULL;
}

/* Write the real path of a shown one; returns 0 if it is too long. "" stands for the root. */
static int to_real(const char *shown, char real[PATH_MAX])
{
    const struct bind *bind = covering(shown);
    const char *source = bind ? bind->source : *shown ? "" : "/";
    const char *rest = shown + (bind ? bind->target_length : 0);
    size_t first = strlen(source), second = strlen(rest);
    if (first + second >= PATH_MAX)
        return 0;
    memcpy(real, source, first);
    memcpy(real + first, rest, second + 1);
    return 1;
}

/* Replace a real path by its shown path, if it has one. */
static void to_shown(char path[PATH_MAX])
{
    char candidate[PATH_MAX], best[PATH_MAX];
    size_t longest = 0;
    for (int i = 0; i < bind_count; i++) {
        const struct bind *bind = &binds[i];
        const char *rest = path + bind->source_length;
        if (bind->source_length <= longest || !is_below(path, bind->source, bind->source_length))
            continue;
        if (bind->target_length + strlen(rest) >= PATH_MAX)
            continue;
        memcpy(candidate, bind->target, bind->target_length);
        strcpy(candidate + bind->target_length, rest);
        if (covering(candidate) != bind)
            continue; /* another bind covers it */
        strcpy(best, candidate);
        longest = bind->source_length;
    }
    if (longest)
        strcpy(path, best);
}

/* Write the shown path of the folder that relative paths start from; returns 0 if it is unknown. */
static int folder_of(int fd, char shown[PATH_MAX])
{
    if (fd == AT_FDCWD) {
        if (!system_getcwd(shown, PATH_MAX))
            return 0;
    } else {
#ifdef __APPLE__
        if (fcntl(fd, F_GETPATH, shown) != 0)
            return 0;
#else
        char link[32];
        char digits[12];
        int count = 0;
        if (fd < 0)
            return 0;
        for (int rest = fd; count == 0 || rest; rest /= 10)
            digits[count++] = (char)('0' + rest % 10);
        strcpy(link, "/proc/self/fd/");
        for (char *end = link + strlen(link); count; *end = '\0')
            *end++ = digits[--count];
        ssize_t length = system_readlink(link, shown, PATH_MAX - 1);
        if (length <= 0 || shown[0] != '/')
            return 0;
        shown[length] = '\0';
#endif
    }
    to_shown(shown);
    if (strcmp(shown, "/") == 0)
        shown[0] = '\0';
    return 1;
}

/* Append a path's names without following links; returns 0 if it contains `..` or is too long. */
static int append_names(char shown[PATH_MAX], const char *path)
{
    size_t length = strlen(shown);
    while (*(path += strspn(path, "/"))) {
        size_t name = strcspn(path, "/");
        if (name == 2 && path[0] == '.' && path[1] == '.')
            return 0;
        if (!(name == 1 && path[0] == '.')) {
            if (length + 1 + name >= PATH_MAX)
                return 0;
            shown[length++] = '/';
            memcpy(shown + length, path, name);
            length += name;
            shown[length] = '\0';
        }
        path += name;
    }
    return 1;
}

static int append_rest(char shown[PATH_MAX], const char *rest)
{
    if (strlen(shown) + strlen(rest) >= PATH_MAX)
        return ENAMETOOLONG;
    strcat(shown, rest);
    return 0;
}

/* Append a path to lookup->shown and follow its links as the system would; returns an error number. */
static int follow(struct lookup *lookup, const char *path, int use)
{
    char rest[PATH_MAX], link[PATH_MAX], real[PATH_MAX];
    char *shown = lookup->shown, *next = rest;
    int links = 0;
    strcpy(rest, path);
    while (*(next += strspn(next, "/"))) {
        size_t name = strcspn(next, "/"), parent = strlen(shown);
        char *after = next + name;
        if (name == 1 && next[0] == '.') {
            next = after;
            continue;
        }
        if (name == 2 && next[0] == '.' && next[1] == '.') {
            char *last = strrchr(shown, '/');
            if (last)
                *last = '\0';
            next = after;
            continue;
        }
        if (parent + 1 + name >= PATH_MAX)
            return ENAMETOOLONG;
        shown[parent] = '/';
        memcpy(shown + parent + 1, next, name);
        shown[parent + 1 + name] = '\0';
        if (*after == '\0' && !(use & FOLLOW))
            return 0;
        if (is_below(shown, "/proc", 5)) /* the system follows its links */
            return append_rest(shown, after);
        if (!to_real(shown, real))
            return ENAMETOOLONG;
        ssize_t length = system_readlink(real, link, PATH_MAX - 1);
        if (length < 0) {
            if (errno != EINVAL) /* it does not exist, nor does the rest */
                return append_rest(shown, after);
            next = after;
            continue;
        }
        if (++links > MAX_LINKS)
            return ELOOP;
        if ((size_t)length + strlen(after) >= PATH_MAX)
            return ENAMETOOLONG;
        strcpy(link + length, after);
        strcpy(rest, link);
        next = rest;
        shown[link[0] == '/' ? 0 : parent] = '\0';
    }
    if (path[strlen(path) - 1] == '/' && *shown)
        return append_rest(shown, "/");
    return 0;
}

/* Translate a path for the system; returns an error number. */
static int locate(struct lookup *lookup, int use)
{
    const char *path = lookup->given;
    size_t base;
    lookup->path = path;
    lookup->bind = lookup->parent = NULL;
    lookup->shown[0] = '\0';
    if (!path || !*path || strlen(path) >= PATH_MAX || !bind_count)
        return 0;
    if (*path != '/' && !folder_of(lookup->fd, lookup->shown))
        return 0;
    base = strlen(lookup->shown);
    if (append_names(lookup->shown, path) && !(use & FOLLOW_OUTSIDE) && !covering(lookup->shown))
        return 0;
    lookup->shown[base] = '\0';
    int error = follow(lookup, path, use);
    if (error)
        return error;
    lookup->bind = lookup->parent = covering(lookup->shown);
    if (lookup->bind && strlen(lookup->shown) == lookup->bind->target_length) {
        char parent[PATH_MAX];
        strcpy(parent, lookup->shown);
        *strrchr(parent, '/') = '\0';
        lookup->parent = covering(parent);
    }
    if (!to_real(lookup->shown, lookup->real))
        return ENAMETOOLONG;
    lookup->path = lookup->real;
    return 0;
}

/* Return the error with which a mount would refuse this use; 0 if it is allowed. */
static int refusal(const struct lookup *lookup)
{
    char link[1];
    const struct bind *bind = lookup->bind;
    if (!bind)
        return 0;
    if ((lookup->use & (REMOVES | UNLINKS)) && lookup->parent && lookup->parent->hidden)
        return EROFS;
    if ((lookup->use & REMOVES) && strlen(lookup->shown) == bind->target_length)
        return EBUSY;
    if (bind->hidden && (lookup->use & (CREATES | CHANGES))) {
        int exists = system_readlink(lookup->real, link, 1) >= 0 || errno == EINVAL;
        if (exists ? lookup->use & CHANGES : lookup->use & CREATES)
            return EROFS;
    }
    return 0;
}

static int fail(int error)
{
    errno = error;
    return 0;
}

/* Translate a path that a program gave; returns 0 and sets errno if the use is refused. */
static int translate(struct lookup *lookup, int fd, const char *path, int use)
{
    int before = errno, error;
    start();
    lookup->given = path;
    lookup->fd = fd;
    lookup->use = use;
    error = locate(lookup, use);
    if (!error)
        error = refusal(lookup);
    errno = before;
    return error ? fail(error) : 1;
}

/* Check quickly that no link is the cause: the folder exists and contains no file of that name. */
static int is_just_missing(const struct lookup *lookup)
{
    char folder[PATH_MAX + 2], text[1];
    const char *last = strrchr(lookup->given, '/');
    size_t length = last ? (size_t)(last - lookup->given) + 1 : 0;
    if (system_readlinkat(lookup->fd, lookup->given, text, 1) >= 0 || errno != ENOENT || length >= PATH_MAX)
        return 0;
    memcpy(folder, lookup->given, length);
    strcpy(folder + length, ".");
    return system_readlinkat(lookup->fd, folder, text, 1) < 0 && errno == EINVAL;
}

/* Return whether to repeat a failed call, because a link outside of all targets leads to a target. */
static int needs_retry(struct lookup *lookup)
{
    if (errno != ENOENT || lookup->path != lookup->given || !lookup->path || !*lookup->path || !bind_count)
        return 0;
    int error = is_just_missing(lookup) ? ENOENT : locate(lookup, lookup->use | FOLLOW_OUTSIDE);
    if (!error)
        error = refusal(lookup);
    errno = error ? error : ENOENT;
    return !error && lookup->bind;
}

/* ---- The table of functions that take a path: name, use, parameters and arguments for the system ---- */

typedef const char *path_t;

#define CALL(type, failed, fd, before, name, use, params, arguments)                                          \
    HOOK(type, name, params)                                                                                  \
    {                                                                                                         \
        struct lookup at;                                                                                     \
        before                                                                                                \
        if (!translate(&at, fd, path, use))                                                                   \
            return failed;                                                                                    \
        type result = REAL(name) arguments;                                                                   \
        if (result == failed && needs_retry(&at))                                                             \
            result = REAL(name) arguments;                                                                    \
        return result;                                                                                        \
    }
#define PATH(name, ...) CALL(int, -1, AT_FDCWD, , name, __VA_ARGS__)
#define PATH_AT(name, ...) CALL(int, -1, fd, , name, __VA_ARGS__) /* a path from the folder fd */
#define LENGTH(name, ...) CALL(ssize_t, -1, AT_FDCWD, , name, __VA_ARGS__)
#define STREAM(name, ...) CALL(void *, NULL, AT_FDCWD, , name, __VA_ARGS__)
#define LINK(flags) ((flags) & AT_SYMLINK_NOFOLLOW ? 0 : FOLLOW)

#ifdef __GLIBC__ /* which has a second name for functions with 64-bit sizes */
#define WITH_64(define, name, ...) define(name, __VA_ARGS__) define(name##64, __VA_ARGS__)
#else
#define WITH_64(define, name, ...) define(name, __VA_ARGS__)
#endif

PATH(access, FOLLOW, (path_t path, int mode), (at.path, mode))
PATH(chdir, FOLLOW, (path_t path), (at.path))
PATH(chmod, FOLLOW | CHANGES, (path_t path, mode_t mode), (at.path, mode))
PATH(chown, FOLLOW | CHANGES, (path_t path, uid_t user, gid_t group), (at.path, user, group))
PATH(lchown, CHANGES, (path_t path, uid_t user, gid_t group), (at.path, user, group))
PATH(mkdir, CREATES, (path_t path, mode_t mode), (at.path, mode))
PATH(mkfifo, CREATES, (path_t path, mode_t mode), (at.path, mode))
PATH(mknod, CREATES, (path_t path, mode_t mode, dev_t device), (at.path, mode, device))
PATH(remove, REMOVES, (path_t path), (at.path))
PATH(rmdir, REMOVES, (path_t path), (at.path))
PATH(unlink, UNLINKS, (path_t path), (at.path))
PATH(truncate, FOLLOW | CHANGES, (path_t path, off_t size), (at.path, size))
PATH(utime, FOLLOW | CHANGES, (path_t path, const void *times), (at.path, times))
PATH(utimes, FOLLOW | CHANGES, (path_t path, const void *times), (at.path, times))
PATH(lutimes, CHANGES, (path_t path, const void *times), (at.path, times))
PATH(symlink, CREATES, (path_t text, path_t path), (text, at.path))
WITH_64(PATH, statvfs, FOLLOW, (path_t path, void *status), (at.path, status))
LENGTH(pathconf, FOLLOW, (path_t path, int name), (at.path, name))

PATH_AT(faccessat, LINK(flags), (int fd, path_t path, int mode, int flags), (fd, at.path, mode, flags))
PATH_AT(fchmodat, LINK(flags) | CHANGES, (int fd, path_t path, mode_t mode, int flags), (fd, at.path, mode, flags))
PATH_AT(fchownat, LINK(flags) | CHANGES, (int fd, path_t path, uid_t user, gid_t group, int flags),
        (fd, at.path, user, group, flags))
PATH_AT(mkdirat, CREATES, (int fd, path_t path, mode_t mode), (fd, at.path, mode))
PATH_AT(symlinkat, CREATES, (path_t text, int fd, path_t path), (text, fd, at.path))
PATH_AT(unlinkat, (flags & AT_REMOVEDIR ? REMOVES : UNLINKS), (int fd, path_t path, int flags), (fd, at.path, flags))
PATH_AT(utimensat, LINK(flags) | CHANGES, (int fd, path_t path, const void *times, int flags),
        (fd, at.path, times, flags))

/* If macOS has two versions of a function, this is the one for current programs. */
#if defined(__APPLE__) && defined(__x86_64__)
#undef SUFFIX
#define SUFFIX "$INODE64"
#endif
WITH_64(PATH, stat, FOLLOW, (path_t path, void *status), (at.path, status))
WITH_64(PATH, lstat, 0, (path_t path, void *status), (at.path, status))
WITH_64(PATH, statfs, FOLLOW, (path_t path, void *status), (at.path, status))
WITH_64(PATH, scandir, FOLLOW, (path_t path, void *names, void *filter, void *order), (at.path, names, filter, order))
WITH_64(PATH_AT, fstatat, LINK(flags), (int fd, path_t path, void *status, int flags), (fd, at.path, status, flags))
STREAM(opendir, FOLLOW, (path_t path), (at.path))
#undef SUFFIX
#define SUFFIX ""

#ifdef __APPLE__
PATH(chflags, FOLLOW | CHANGES, (path_t path, unsigned flags), (at.path, flags))
PATH(lchflags, CHANGES, (path_t path, unsigned flags), (at.path, flags))
PATH(getattrlist, FOLLOW, (path_t path, void *list, void *buffer, size_t size, unsigned options),
     (at.path, list, buffer, size, options))
PATH(setattrlist, FOLLOW | CHANGES, (path_t path, void *list, void *buffer, size_t size, unsigned options),
     (at.path, list, buffer, size, options))
PATH(setxattr, FOLLOW | CHANGES,
     (path_t path, path_t name, const void *value, size_t size, unsigned position, int options),
     (at.path, name, value, size, position, options))
LENGTH(listxattr, FOLLOW, (path_t path, char *names, size_t size, int options), (at.path, names, size, options))
LENGTH(getxattr, FOLLOW, (path_t path, path_t name, void *value, size_t size, unsigned position, int options),
       (at.path, name, value, size, position, options))
#else
PATH(eaccess, FOLLOW, (path_t path, int mode), (at.path, mode))
PATH(euidaccess, FOLLOW, (path_t path, int mode), (at.path, mode))
PATH(inotify_add_watch, FOLLOW, (int watcher, path_t path, unsigned events), (watcher, at.path, events))
PATH(removexattr, FOLLOW | CHANGES, (path_t path, path_t name), (at.path, name))
PATH(lremovexattr, CHANGES, (path_t path, path_t name), (at.path, name))
PATH(setxattr, FOLLOW | CHANGES, (path_t path, path_t name, const void *value, size_t size, int flags),
     (at.path, name, value, size, flags))
PATH(lsetxattr, CHANGES, (path_t path, path_t name, const void *value, size_t size, int flags),
     (at.path, name, value, size, flags))
LENGTH(getxattr, FOLLOW, (path_t path, path_t name, void *value, size_t size), (at.path, name, value, size))
LENGTH(lgetxattr, 0, (path_t path, path_t name, void *value, size_t size), (at.path, name, value, size))
LENGTH(listxattr, FOLLOW, (path_t path, char *names, size_t size), (at.path, names, size))
LENGTH(llistxattr, 0, (path_t path, char *names, size_t size), (at.path, names, size))
PATH_AT(mkfifoat, CREATES, (int fd, path_t path, mode_t mode), (fd, at.path, mode))
PATH_AT(mknodat, CREATES, (int fd, path_t path, mode_t mode, dev_t device), (fd, at.path, mode, device))
PATH_AT(statx, LINK(flags), (int fd, path_t path, int flags, unsigned mask, void *status),
        (fd, at.path, flags, mask, status))
PATH_AT(futimesat, FOLLOW | CHANGES, (int fd, path_t path, const void *times), (fd, at.path, times))
PATH_AT(scandirat, FOLLOW, (int fd, path_t path, void *names, void *filter, void *order),
        (fd, at.path, names, filter, order))
#endif

#ifdef __GLIBC__
PATH(truncate64, FOLLOW | CHANGES, (path_t path, off64_t size), (at.path, size))
WITH_64(PATH, __xstat, FOLLOW, (int version, path_t path, void *status), (version, at.path, status))
WITH_64(PATH, __lxstat, 0, (int version, path_t path, void *status), (version, at.path, status))
WITH_64(PATH_AT, __fxstatat, LINK(flags), (int version, int fd, path_t path, void *status, int flags),
        (version, fd, at.path, status, flags))
PATH(__xmknod, CREATES, (int version, path_t path, mode_t mode, void *device), (version, at.path, mode, device))
PATH_AT(__xmknodat, CREATES, (int version, int fd, path_t path, mode_t mode, void *device),
        (version, fd, at.path, mode, device))
#endif

/* ---- Opening ---- */

#ifdef O_TMPFILE
#define HAS_MODE(flags) (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE)
#else
#define HAS_MODE(flags) ((flags) & O_CREAT)
#endif

static int opening(int flags)
{
    int last = (flags & O_NOFOLLOW) || ((flags & O_CREAT) && (flags & O_EXCL)) ? 0 : FOLLOW;
    return last | (flags & O_CREAT ? CREATES : 0);
}

static int writing(const char *mode) { return mode && *mode != 'r' ? FOLLOW | CREATES : FOLLOW; }

#define READ_MODE                                                                                             \
    unsigned mode = 0;                                                                                        \
    if (HAS_MODE(flags)) {                                                                                    \
        va_list more;                                                                                         \
        va_start(more, flags);                                                                                \
        mode = va_arg(more, unsigned);                                                                        \
        va_end(more);                                                                                         \
    }
#define OPEN(name, fd, params, arguments) CALL(int, -1, fd, READ_MODE, name, opening(flags), params, arguments)

WITH_64(OPEN, open, AT_FDCWD, (path_t path, int flags, ...), (at.path, flags, mode))
WITH_64(OPEN, openat, fd, (int fd, path_t path, int flags, ...), (fd, at.path, flags, mode))
WITH_64(PATH, creat, FOLLOW | CREATES, (path_t path, mode_t mode), (at.path, mode))
WITH_64(STREAM, fopen, writing(mode), (path_t path, path_t mode), (at.path, mode))
WITH_64(STREAM, freopen, writing(mode), (path_t path, path_t mode, void *stream), (at.path, mode, stream))
#ifdef __GLIBC__
PATH(__open_2, opening(flags), (path_t path, int flags), (at.path, flags))
PATH(__open64_2, opening(flags), (path_t path, int flags), (at.path, flags))
PATH_AT(__openat_2, opening(flags), (int fd, path_t path, int flags), (fd, at.path, flags))
PATH_AT(__openat64_2, opening(flags), (int fd, path_t path, int flags), (fd, at.path, flags))
#endif

/* ---- Temporary names, which the system writes at the end of a template ---- */

static void copy_generated(char *template, const struct lookup *at, int suffix)
{
    size_t length = strlen(template), generated = 6 + (size_t)suffix;
    if (at->path != template && length >= generated)
        memcpy(template + length - generated, at->path + strlen(at->path) - generated, generated);
}

#define TEMPORARY(name, suffix, params, arguments)                                                            \
    HOOK(int, name, params)                                                                                   \
    {                                                                                                         \
        struct lookup at;                                                                                     \
        if (!translate(&at, AT_FDCWD, path, CREATES))                                                         \
            return -1;                                                                                        \
        char *template = at.path == path ? path : at.real;                                                    \
        int result = REAL(name) arguments;                                                                    \
        copy_generated(path, &at, suffix);                                                                    \
        return result;                                                                                        \
    }

WITH_64(TEMPORARY, mkstemp, 0, (char *path), (template))
WITH_64(TEMPORARY, mkstemps, suffix, (char *path, int suffix), (template, suffix))
WITH_64(TEMPORARY, mkostemp, 0, (char *path, int flags), (template, flags))
WITH_64(TEMPORARY, mkostemps, suffix, (char *path, int suffix, int flags), (template, suffix, flags))

HOOK(char *, mkdtemp, (char *path))
{
    struct lookup at;
    if (!translate(&at, AT_FDCWD, path, CREATES))
        return NULL;
    char *result = REAL(mkdtemp)(at.path == path ? path : at.real);
    copy_generated(path, &at, 0);
    return result ? path : NULL;
}

/* ---- Functions of two paths ---- */

/* Translate both paths; as between mounts, nothing is renamed or linked from one bind to another. */
static int translate_both(struct lookup *from, struct lookup *to, int from_fd, path_t from_path, int to_fd,
                          path_t to_path, int use, int to_use)
{
    if (!translate(from, from_fd, from_path, (use & FOLLOW) | FOLLOW_OUTSIDE)
        || !translate(to, to_fd, to_path, FOLLOW_OUTSIDE))
        return 0;
    if (from->parent != to->parent)
        return fail(EXDEV);
    from->use = use;
    to->use = to_use;
    int error = refusal(from);
    if (!error)
        error = refusal(to);
    return error ? fail(error) : 1;
}

#define TWO_PATHS(name, fd, to_fd, use, to_use, params, arguments)                                            \
    HOOK(int, name, params)                                                                                   \
    {                                                                                                         \
        struct lookup from, to;                                                                               \
        if (!translate_both(&from, &to, fd, path, to_fd, to_path, use, to_use))                               \
            return -1;                                                                                        \
        return REAL(name) arguments;                                                                          \
    }

TWO_PATHS(rename, AT_FDCWD, AT_FDCWD, REMOVES, REMOVES | CREATES, (path_t path, path_t to_path),
          (from.path, to.path))
TWO_PATHS(renameat, fd, to_fd, REMOVES, REMOVES | CREATES, (int fd, path_t path, int to_fd, path_t to_path),
          (fd, from.path, to_fd, to.path))
TWO_PATHS(link, AT_FDCWD, AT_FDCWD, 0, CREATES, (path_t path, path_t to_path), (from.path, to.path))
TWO_PATHS(linkat, fd, to_fd, (flags & AT_SYMLINK_FOLLOW ? FOLLOW : 0), CREATES,
          (int fd, path_t path, int to_fd, path_t to_path, int flags), (fd, from.path, to_fd, to.path, flags))
#ifndef __APPLE__
TWO_PATHS(renameat2, fd, to_fd, REMOVES, REMOVES | CREATES,
          (int fd, path_t path, int to_fd, path_t to_path, unsigned flags), (fd, from.path, to_fd, to.path, flags))
#endif

/* ---- Functions that return a path ---- */

static ssize_t read_link(int fd, path_t path, char *text, size_t size);

HOOK(ssize_t, readlink, (path_t path, char *text, size_t size)) { return read_link(AT_FDCWD, path, text, size); }
HOOK(ssize_t, readlinkat, (int fd, path_t path, char *text, size_t size)) { return read_link(fd, path, text, size); }

static ssize_t read_link(int fd, path_t path, char *text, size_t size)
{
    struct lookup at;
    char whole[PATH_MAX];
    if (!translate(&at, fd, path, 0))
        return -1;
    if (size == 0)
        return REAL(readlinkat)(fd, at.path, text, size);
    ssize_t length = REAL(readlinkat)(fd, at.path, whole, sizeof whole - 1);
    if (length == -1 && needs_retry(&at))
        length = REAL(readlinkat)(fd, at.path, whole, sizeof whole - 1);
    if (length < 0)
        return -1;
    whole[length] = '\0';
    if (is_below(at.shown, "/proc", 5)) /* such as /proc/self/cwd: the text is a real path */
        to_shown(whole);
    size_t shown = strlen(whole);
    if (shown > size)
        shown = size;
    memcpy(text, whole, shown);
    return (ssize_t)shown;
}

/* Return a path in the caller's buffer, or if it is NULL in a new one, which the caller frees. */
static char *copy_to_buffer(const char *path, char *buffer, size_t size)
{
    size_t needed = strlen(path) + 1;
    if (!buffer) {
        buffer = malloc(size > needed ? size : needed);
        if (!buffer)
            return NULL;
    } else if (size < needed) {
        errno = ERANGE;
        return NULL;
    }
    return memcpy(buffer, path, needed);
}

static char *current_folder(char *buffer, size_t size)
{
    char path[PATH_MAX];
    start();
    if (buffer && size == 0) {
        errno = EINVAL;
        return NULL;
    }
    if (!system_getcwd(path, sizeof path))
        return NULL;
    to_shown(path);
    if (!buffer && size && size <= strlen(path)) {
        errno = ERANGE;
        return NULL;
    }
    return copy_to_buffer(path, buffer, size);
}

HOOK(char *, getcwd, (char *buffer, size_t size)) { return current_folder(buffer, size); }
HOOK(char *, getwd, (char *buffer)) { return current_folder(buffer, PATH_MAX); }

static char *without_links(path_t path, char *buffer);

HOOK(char *, realpath, (path_t path, char *buffer)) { return without_links(path, buffer); }

static char *without_links(path_t path, char *buffer)
{
    struct lookup at;
    char whole[PATH_MAX];
    if (!translate(&at, AT_FDCWD, path, FOLLOW))
        return NULL;
    char *found = REAL(realpath)(at.path, whole);
    if (!found && needs_retry(&at))
        found = REAL(realpath)(at.path, whole);
    if (!found)
        return NULL;
    if (at.bind && at.path == at.real && strcmp(whole, at.real) == 0)
        return copy_to_buffer(at.shown, buffer, PATH_MAX); /* a folder may have two targets: return the given one */
    to_shown(whole);
    return copy_to_buffer(whole, buffer, PATH_MAX);
}

#ifdef __GLIBC__
HOOK(char *, __getcwd_chk, (char *buffer, size_t size, size_t buffer_size))
{
    (void)buffer_size;
    return current_folder(buffer, size);
}
HOOK(char *, __realpath_chk, (path_t path, char *buffer, size_t buffer_size))
{
    (void)buffer_size;
    return without_links(path, buffer);
}
HOOK(char *, canonicalize_file_name, (path_t path)) { return without_links(path, NULL); }
HOOK(ssize_t, __readlink_chk, (path_t path, char *text, size_t size, size_t buffer_size))
{
    (void)buffer_size;
    return read_link(AT_FDCWD, path, text, size);
}
HOOK(ssize_t, __readlinkat_chk, (int fd, path_t path, char *text, size_t size, size_t buffer_size))
{
    (void)buffer_size;
    return read_link(fd, path, text, size);
}
#endif

#ifndef __APPLE__
HOOK(char *, get_current_dir_name, (void)) { return current_folder(NULL, 0); }

/* ---- The top folder lists its targets and the machine's entries ---- */

#define LISTINGS 16
static struct listing {
    void *stream;
    int next;
    union {
        struct dirent entry;
#ifdef __GLIBC__
        struct dirent64 entry64;
#endif
    };
} listings[LISTINGS];
static char listings_busy;

static void lock_listings(void)
{
    while (__atomic_test_and_set(&listings_busy, __ATOMIC_ACQUIRE))
        usleep(1);
}

static void unlock_listings(void) { __atomic_clear(&listings_busy, __ATOMIC_RELEASE); }

static void forget_listing(void *stream)
{
    lock_listings();
    for (int i = 0; i < LISTINGS; i++)
        if (listings[i].stream == stream)
            listings[i].stream = NULL;
    unlock_listings();
}

HOOK(int, closedir, (void *stream))
{
    start();
    forget_listing(stream);
    return REAL(closedir)(stream);
}

HOOK(void, rewinddir, (void *stream))
{
    start();
    forget_listing(stream);
    REAL(rewinddir)(stream);
}

static int is_root(void *stream)
{
    char path[PATH_MAX];
    return folder_of(dirfd(stream), path) && path[0] == '\0';
}

/* After the machine's entries, return the next target in the top folder that the machine does not have. */
static struct listing *next_listing(void *stream)
{
    struct listing *found = NULL;
    char text[1];
    if (!bind_count || !is_root(stream))
        return NULL;
    lock_listings();
    for (int i = 0; i < LISTINGS && !found; i++)
        if (listings[i].stream == stream)
            found = &listings[i];
    for (int i = 0; i < LISTINGS && !found; i++)
        if (!listings[i].stream) {
            found = &listings[i];
            found->stream = stream;
            found->next = 0;
        }
    unlock_listings();
    while (found && found->next < bind_count) {
        const struct bind *bind = &binds[found->next++];
        if (strrchr(bind->target, '/') == bind->target && system_readlink(bind->target, text, 1) < 0
            && errno == ENOENT && bind->target_length <= NAME_MAX)
            return found;
    }
    return NULL;
}

#define READ_FOLDER(name, type, member)                                                                       \
    HOOK(type *, name, (void *stream))                                                                        \
    {                                                                                                         \
        start();                                                                                              \
        int before = errno;                                                                                   \
        errno = 0;                                                                                            \
        type *entry = REAL(name)(stream);                                                                     \
        if (entry || errno)                                                                                   \
            return entry;                                                                                     \
        struct listing *listing = next_listing(stream);                                                       \
        errno = before;                                                                                       \
        if (!listing)                                                                                         \
            return NULL;                                                                                      \
        strcpy(listing->member.d_name, binds[listing->next - 1].target + 1);                                  \
        listing->member.d_ino = (ino_t)listing->next;                                                         \
        listing->member.d_reclen = sizeof listing->member;                                                    \
        listing->member.d_type = DT_DIR;                                                                      \
        return &listing->member;                                                                              \
    }

READ_FOLDER(readdir, struct dirent, entry)
#ifdef __GLIBC__
READ_FOLDER(readdir64, struct dirent64, entry64)
#endif

/* Some programs make system calls by number. */
HOOK(long, syscall, (long number, ...))
{
    struct lookup at;
    long words[6];
    va_list more;
    va_start(more, number);
    for (int i = 0; i < 6; i++)
        words[i] = va_arg(more, long);
    va_end(more);
    start();
    int use = -1;
    if (number == SYS_openat)
        use = opening((int)words[2]);
    else if (number == SYS_statx)
        use = LINK((int)words[2]);
#ifdef SYS_faccessat2
    else if (number == SYS_faccessat2)
        use = LINK((int)words[3]);
#endif
#ifdef SYS_renameat2
    else if (number == SYS_renameat2) {
        struct lookup to;
        if (!translate_both(&at, &to, (int)words[0], (path_t)words[1], (int)words[2], (path_t)words[3], REMOVES,
                            REMOVES | CREATES))
            return -1;
        return REAL(syscall)(number, words[0], at.path, words[2], to.path, words[4]);
    }
#endif
    if (use >= 0) {
        if (!translate(&at, (int)words[0], (path_t)words[1], use))
            return -1;
        words[1] = (long)at.path;
    }
    long result = REAL(syscall)(number, words[0], words[1], words[2], words[3], words[4], words[5]);
    if (use >= 0 && result == -1 && needs_retry(&at))
        result = REAL(syscall)(number, words[0], at.path, words[2], words[3], words[4], words[5]);
    return result;
}
#endif

/* ---- Sockets and libraries ---- */

#define SOCKET(name, use)                                                                                     \
    HOOK(int, name, (int number, const struct sockaddr *address, socklen_t size))                             \
    {                                                                                                         \
        struct lookup at;                                                                                     \
        struct sockaddr_un real;                                                                              \
        char path[sizeof real.sun_path + 1];                                                                  \
        size_t head = offsetof(struct sockaddr_un, sun_path);                                                 \
        start();                                                                                              \
        if (!address || size <= head || size > sizeof real || address->sa_family != AF_UNIX                   \
            || !((const struct sockaddr_un *)address)->sun_path[0])                                           \
            return REAL(name)(number, address, size);                                                         \
        memset(path, 0, sizeof path);                                                                         \
        memcpy(path, ((const struct sockaddr_un *)address)->sun_path, size - head);                           \
        if (!translate(&at, AT_FDCWD, path, use))                                                             \
            return -1;                                                                                        \
        if (at.path == path)                                                                                  \
            return REAL(name)(number, address, size);                                                         \
        if (strlen(at.path) >= sizeof real.sun_path)                                                          \
            return errno = ENAMETOOLONG, -1;                                                                  \
        memset(&real, 0, sizeof real);                                                                        \
        real.sun_family = AF_UNIX;                                                                            \
        strcpy(real.sun_path, at.path);                                                                       \
        return REAL(name)(number, (const struct sockaddr *)&real, (socklen_t)(head + strlen(at.path) + 1));   \
    }

SOCKET(bind, CREATES)
SOCKET(connect, FOLLOW)

static void *load(path_t path, int mode);

/* A library without a slash is searched for in the caller's name, so the call must come from the caller. */
HOOK(void *, dlopen, (path_t path, int mode))
{
    start();
    if (!path || !strchr(path, '/'))
        return REAL(dlopen)(path, mode);
    return load(path, mode);
}

static __attribute__((noinline)) void *load(path_t path, int mode)
{
    struct lookup at;
    return translate(&at, AT_FDCWD, path, FOLLOW) ? REAL(dlopen)(at.path, mode) : NULL;
}

/* ---- Starting programs: children see the same folders with every environment ---- */

typedef char *const *strings_t;

/* posix_spawn if there is a pid, fexecve if there is an fd, else execve. */
struct launch {
    pid_t *pid;
    const void *actions, *attributes;
    const int *fd;
};

static int start_unchanged(const struct launch *launch, path_t path, strings_t arguments, strings_t variables);

static size_t count(strings_t words)
{
    size_t number = 0;
    while (words && words[number])
        number++;
    return number;
}

/* Write the preloaded libraries: this one before those that a program asks for. */
static void write_libraries(char *libraries, const char *others)
{
    strcpy(libraries, library_path);
    if (others && *others)
        strcat(strcat(libraries, ":"), others);
}

/* Start a program with the two variables added to its environment. */
static int start_with_variables(const struct launch *launch, path_t path, strings_t arguments, strings_t variables)
{
    size_t number = count(variables), used = 0, preload_length = strlen(PRELOAD "=");
    const char *others = NULL;
    int has_binds = 0, has_library = 0;
    if (!binds_variable)
        return start_unchanged(launch, path, arguments, variables);
    for (size_t i = 0; i < number; i++) {
        if (strncmp(variables[i], BINDS "=", strlen(BINDS "=")) == 0)
            has_binds = 1;
        else if (strncmp(variables[i], PRELOAD "=", preload_length) == 0) {
            others = variables[i] + preload_length;
            has_library = strstr(others, library_path) != NULL;
        }
    }
    if (has_binds && has_library)
        return start_unchanged(launch, path, arguments, variables);
    char *whole[number + 3];
    char preload[preload_length + strlen(library_path) + (others ? strlen(others) : 0) + 2];
    for (size_t i = 0; i < number; i++)
        if (has_library || strncmp(variables[i], PRELOAD "=", preload_length) != 0)
            whole[used++] = variables[i];
    if (!has_library) {
        strcpy(preload, PRELOAD "=");
        write_libraries(preload + preload_length, others);
        whole[used++] = preload;
    }
    if (!has_binds)
        whole[used++] = (char *)binds_variable;
    whole[used] = NULL;
    return start_unchanged(launch, path, arguments, whole);
}

/* Read the interpreter of a script as the system does; returns 0 if the file is not a script. */
static int interpreter_of(path_t path, char line[PATH_MAX], char **name, char **argument)
{
    int file = REAL(open)(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t length = read(file, line, PATH_MAX - 1);
    close(file);
    if (length < 3 || line[0] != '#' || line[1] != '!')
        return 0;
    line[length] = '\0';
    line[strcspn(line, "\n")] = '\0';
    *name = line + 2 + strspn(line + 2, " \t");
    char *end = *name + strcspn(*name, " \t");
    *argument = end + strspn(end, " \t");
    *end = '\0';
    for (char *last = *argument + strlen(*argument); last > *argument && strchr(" \t", last[-1]);)
        *--last = '\0';
    return **name != '\0';
}

/* Start a program; read its `#!` line here, because the system knows only real paths. */
static int start_program(const struct launch *launch, path_t path, strings_t arguments, strings_t variables, int depth)
{
    struct lookup at, interpreter;
    char line[PATH_MAX], *name, *argument;
    if (!translate(&at, AT_FDCWD, path, FOLLOW))
        return launch->pid ? errno : -1;
    int before = errno;
    if (bind_count && path && depth < 4 && interpreter_of(at.path, line, &name, &argument)
        && translate(&interpreter, AT_FDCWD, name, FOLLOW) && (at.bind || interpreter.bind)) {
        if (REAL(access)(at.path, X_OK) != 0)
            return launch->pid ? errno : -1;
        size_t number = count(arguments), used = 0;
        const char *whole[number + 4];
        whole[used++] = name;
        if (*argument)
            whole[used++] = argument;
        whole[used++] = path;
        for (size_t i = 1; i < number; i++)
            whole[used++] = arguments[i];
        whole[used] = NULL;
        errno = before;
        return start_program(launch, name, (strings_t)whole, variables, depth + 1);
    }
    errno = before;
    int result = start_with_variables(launch, at.path, arguments, variables);
    if (launch->pid)
        errno = result;
    if (result && needs_retry(&at))
        result = start_with_variables(launch, at.path, arguments, variables);
    return result;
}

static int execute(path_t path, strings_t arguments, strings_t variables)
{
    struct launch launch = {0};
    return start_program(&launch, path, arguments, variables, 0);
}

/* Find the next candidate for a program on PATH; returns the rest of PATH, NULL after the last one. */
static const char *next_on_path(const char *folders, path_t file, char path[PATH_MAX])
{
    size_t length = strcspn(folders, ":"), name = strlen(file);
    path[0] = '\0';
    if (length + name + 2 <= PATH_MAX) {
        memcpy(path, folders, length);
        if (length)
            path[length++] = '/';
        memcpy(path + length, file, name + 1);
    }
    folders += strcspn(folders, ":");
    return *folders ? folders + 1 : NULL;
}

static const char *program_folders(void)
{
    const char *folders = getenv("PATH");
    return folders ? folders : "/bin:/usr/bin";
}

/* A file that is neither a program nor a script is run by the shell. */
static int execute_or_shell(path_t path, strings_t arguments, strings_t variables)
{
    int result = execute(path, arguments, variables);
    if (errno != ENOEXEC)
        return result;
    size_t number = count(arguments);
    const char *whole[number + 3];
    whole[0] = "sh";
    whole[1] = path;
    for (size_t i = 1; i < number; i++)
        whole[i + 1] = arguments[i];
    whole[(number ? number : 1) + 1] = NULL;
    return execute("/bin/sh", (strings_t)whole, variables);
}

static int execute_on_path(path_t file, strings_t arguments, strings_t variables)
{
    char path[PATH_MAX];
    int forbidden = 0;
    start();
    if (!*file) {
        errno = ENOENT;
        return -1;
    }
    if (strchr(file, '/'))
        return execute_or_shell(file, arguments, variables);
    for (const char *folders = program_folders(); folders;) {
        folders = next_on_path(folders, file, path);
        if (*path)
            execute_or_shell(path, arguments, variables);
        if (errno == EACCES)
            forbidden = 1;
        else if (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG && errno != ESTALE)
            return -1;
    }
    errno = forbidden ? EACCES : ENOENT;
    return -1;
}

HOOK(int, execve, (path_t path, strings_t arguments, strings_t variables))
{
    return execute(path, arguments, variables);
}

HOOK(int, execv, (path_t path, strings_t arguments)) { return execute(path, arguments, environ); }
HOOK(int, execvp, (path_t file, strings_t arguments)) { return execute_on_path(file, arguments, environ); }

#define COLLECT(last)                                                                                         \
    va_list more, copy;                                                                                       \
    size_t number = 1;                                                                                        \
    va_start(more, first);                                                                                    \
    va_copy(copy, more);                                                                                      \
    while (va_arg(copy, char *))                                                                              \
        number++;                                                                                             \
    va_end(copy);                                                                                             \
    char *arguments[number + 1];                                                                              \
    arguments[0] = (char *)first;                                                                             \
    for (size_t i = 1; i <= number; i++)                                                                      \
        arguments[i] = va_arg(more, char *);                                                                  \
    last;                                                                                                     \
    va_end(more)

HOOK(int, execl, (path_t path, path_t first, ...))
{
    COLLECT();
    return execute(path, arguments, environ);
}

HOOK(int, execlp, (path_t file, path_t first, ...))
{
    COLLECT();
    return execute_on_path(file, arguments, environ);
}

HOOK(int, execle, (path_t path, path_t first, ...))
{
    COLLECT(strings_t variables = va_arg(more, strings_t));
    return execute(path, arguments, variables);
}

HOOK(int, posix_spawn, (pid_t *pid, path_t path, const void *actions, const void *attributes, strings_t arguments,
                        strings_t variables))
{
    pid_t child = 0;
    start();
    struct launch launch = {.pid = pid ? pid : &child, .actions = actions, .attributes = attributes};
    if (path && *path == '/')
        return start_program(&launch, path, arguments, variables, 0);
    return start_with_variables(&launch, path, arguments, variables); /* an action may change the folder before */
}

HOOK(int, posix_spawnp, (pid_t *pid, path_t file, const void *actions, const void *attributes, strings_t arguments,
                         strings_t variables))
{
    char path[PATH_MAX];
    struct lookup at;
    if (strchr(file, '/'))
        return hook_posix_spawn(pid, file, actions, attributes, arguments, variables);
    int error = ENOENT;
    for (const char *folders = program_folders(); folders;) {
        folders = next_on_path(folders, file, path);
        if (!*path || !translate(&at, AT_FDCWD, path, FOLLOW))
            continue;
        if (REAL(access)(at.path, X_OK) == 0)
            return hook_posix_spawn(pid, path, actions, attributes, arguments, variables);
        if (errno == EACCES)
            error = EACCES;
    }
    return error;
}

HOOK(int, posix_spawn_file_actions_addopen, (void *actions, int fd, path_t path, int flags, mode_t mode))
{
    struct lookup at;
    if (path && *path == '/') {
        if (!translate(&at, AT_FDCWD, path, opening(flags)))
            return errno;
        return REAL(posix_spawn_file_actions_addopen)(actions, fd, at.path, flags, mode);
    }
    start();
    return REAL(posix_spawn_file_actions_addopen)(actions, fd, path, flags, mode);
}

HOOK(int, posix_spawn_file_actions_addchdir_np, (void *actions, path_t path))
{
    struct lookup at;
    if (path && *path == '/' && !translate(&at, AT_FDCWD, path, FOLLOW))
        return errno;
    start();
    return REAL(posix_spawn_file_actions_addchdir_np)(actions, path && *path == '/' ? at.path : path);
}

#ifndef __APPLE__
HOOK(int, execvpe, (path_t file, strings_t arguments, strings_t variables))
{
    return execute_on_path(file, arguments, variables);
}

HOOK(int, fexecve, (int fd, strings_t arguments, strings_t variables))
{
    struct launch launch = {.fd = &fd};
    start();
    return start_with_variables(&launch, NULL, arguments, variables);
}
#endif

static int start_unchanged(const struct launch *launch, path_t path, strings_t arguments, strings_t variables)
{
    if (launch->pid)
        return REAL(posix_spawn)(launch->pid, path, launch->actions, launch->attributes, arguments, variables);
#ifndef __APPLE__
    if (launch->fd)
        return REAL(fexecve)(*launch->fd, arguments, variables);
#endif
    return REAL(execve)(path, arguments, variables);
}

/* The C library starts the shell itself, with the environment of this process. */
static void complete_environment(void)
{
    start();
    if (!binds_variable)
        return;
    const char *others = getenv(PRELOAD);
    if (!getenv(BINDS))
        setenv(BINDS, binds_variable + strlen(BINDS "="), 1);
    if (!others || !strstr(others, library_path)) {
        char libraries[strlen(library_path) + (others ? strlen(others) : 0) + 2];
        write_libraries(libraries, others);
        setenv(PRELOAD, libraries, 1);
    }
}

HOOK(int, system, (path_t command))
{
    complete_environment();
    return REAL(system)(command);
}

HOOK(void *, popen, (path_t command, path_t mode))
{
    complete_environment();
    return REAL(popen)(command, mode);
}

/* ---- The start ---- */

/* Decode one percent-encoded word in its buffer and return its length. */
static size_t decode(char *word)
{
    char *to = word;
    for (const char *from = word; *from; from++) {
        unsigned code;
        if (*from == '%' && sscanf(from + 1, "%2x", &code) == 1) {
            *to++ = (char)code;
            from += 2;
        } else
            *to++ = *from;
    }
    *to = '\0';
    return (size_t)(to - word);
}

static void read_binds(const char *text)
{
    char *words = strdup(text), *rest = words;
    size_t number = 1;
    for (const char *at = text; *at; at++)
        number += *at == ' ';
    binds = calloc(number, sizeof *binds);
    if (!words || !binds)
        abort();
    for (char *word; (word = strsep(&rest, " "));) {
        struct bind *bind = &binds[bind_count];
        char *source = strchr(word, '=');
        if (!source)
            continue;
        *source++ = '\0';
        bind->hidden = *source == '-';
        source += bind->hidden;
        bind->target = word;
        bind->source = source;
        bind->target_length = decode(word);
        bind->source_length = decode(source);
        if (word[0] == '/' && source[0] == '/')
            bind_count++;
    }
}

static int started;

static __attribute__((constructor)) void start(void)
{
    if (started)
        return;
    started = 1;
    system_readlink = REAL(readlink);
    system_readlinkat = REAL(readlinkat);
    system_getcwd = REAL(getcwd);
    Dl_info library;
    if (!dladdr((const void *)read_binds, &library))
        return;
    for (char **variable = environ; variable && *variable; variable++)
        if (strncmp(*variable, BINDS "=", strlen(BINDS "=")) == 0) {
            binds_variable = strdup(*variable);
            library_path = strdup(library.dli_fname);
            if (!binds_variable || !library_path)
                abort();
            read_binds(binds_variable + strlen(BINDS "="));
            return;
        }
}

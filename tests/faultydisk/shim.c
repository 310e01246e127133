/* Makes system calls on files fail on request, in one process: preload this library with LD_PRELOAD.

   FAULTY_DISK="CALL PATTERN FIRST COUNT ERROR;..."   the FIRST-th and the COUNT - 1 following calls of CALL (fsync, close,
       pwrite, pread, rename, open, ftruncate) on files whose path matches the shell pattern fail with that errno (a
       number). COUNT 0: all from then on. For pwrite and pread ERROR may be "short" (half is done) and "zero" (nothing).
   FAULTY_DISK_LOSES="now" | "late"   what was written since the last good fsync of a file is lost when its fsync or close
       fails: at once, or (as with a page cache) when the cache is dropped by posix_fadvise, or the process ends.
   FAULTY_DISK_LOG=FILE   a line for each call that failed.

   Files written with pwrite only are followed, up to 64 MiB each. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_RULES 16
#define MOST_FILES 256
#define MOST_BYTES (64L << 20)
#define PAGE 512 /* the grain of the account */

enum { SHORT = -1, ZERO = -2 };

struct rule {
    char call[16], pattern[256];
    long first, count, seen;
    int error;
};

struct file {
    dev_t dev;
    ino_t ino;
    int fd;             /* of our own, to write back what is lost */
    unsigned char *disk; /* what the disk holds */
    unsigned char *state; /* of each grain: 0 as on the disk, 1 written since the last sync, 2 lost but still cached */
};

static struct rule rules[MOST_RULES];
static int rule_count, file_count, late, loses;
static struct file files[MOST_FILES];
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static const char *log_name;

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static ssize_t real_pread(int fd, void *data, size_t count, off64_t offset)
{
    REAL(pread64);
    return real(fd, data, count, offset);
}

static ssize_t real_pwrite(int fd, const void *data, size_t count, off64_t offset)
{
    REAL(pwrite64);
    return real(fd, data, count, offset);
}

static int real_close(int fd)
{
    REAL(close);
    return real(fd);
}

static int real_open(const char *path, int flags, int mode)
{
    REAL(open64);
    return real(path, flags, mode);
}

__attribute__((constructor)) static void begin(void)
{
    const char *orders = getenv("FAULTY_DISK"), *how = getenv("FAULTY_DISK_LOSES");
    log_name = getenv("FAULTY_DISK_LOG");
    loses = how != NULL;
    late = how && !strcmp(how, "late");
    while (orders && *orders && rule_count < MOST_RULES) {
        struct rule *rule = &rules[rule_count];
        char error[16] = "";
        if (sscanf(orders, "%15s %255s %ld %ld %15[^;]", rule->call, rule->pattern, &rule->first, &rule->count, error) != 5)
            abort();
        rule->error = !strcmp(error, "short") ? SHORT : !strcmp(error, "zero") ? ZERO : atoi(error);
        rule_count++;
        orders = strchr(orders, ';');
        if (orders) orders++;
    }
}

/* The error that this call shall fail with; 0 for none. */
static int struck(const char *call, const char *path)
{
    int error = 0;
    pthread_mutex_lock(&guard);
    for (int i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        if (strcmp(rule->call, call) || fnmatch(rule->pattern, path, 0)) continue;
        rule->seen++;
        if (rule->seen >= rule->first && (!rule->count || rule->seen < rule->first + rule->count)) error = rule->error;
    }
    pthread_mutex_unlock(&guard);
    if (error && log_name) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%s %d %s\n", call, error, path);
        int fd = real_open(log_name, O_WRONLY | O_APPEND | O_CREAT, 0666);
        if (fd >= 0 && write(fd, line, length) < 0) abort();
        if (fd >= 0) real_close(fd);
    }
    return error;
}

/* The same for a path that is relative to an open folder. */
static int struck_at(const char *call, int folder, const char *path)
{
    char link[64], whole[2 * PATH_MAX];
    int saved = errno;
    if (folder == AT_FDCWD || path[0] == '/') return struck(call, path);
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, whole, PATH_MAX - 1);
    errno = saved;
    if (length < 0) return struck(call, path);
    snprintf(whole + length, sizeof whole - length, "/%s", path);
    return struck(call, whole);
}

static int struck_fd(const char *call, int fd)
{
    char link[64], path[PATH_MAX];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = rule_count ? readlink(link, path, sizeof path - 1) : -1;
    errno = saved;
    if (length < 0) return 0;
    path[length] = 0;
    return struck(call, path);
}

/* The account of a regular file; NULL where there is none (yet). */
static struct file *account(int fd, int make)
{
    struct stat64 now;
    if (!loses || fstat64(fd, &now) || !S_ISREG(now.st_mode)) return NULL;
    for (int i = 0; i < file_count; i++)
        if (files[i].dev == now.st_dev && files[i].ino == now.st_ino) return &files[i];
    if (!make || file_count == MOST_FILES) return NULL;
    struct file *file = &files[file_count];
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    file->fd = real_open(link, O_RDWR | O_CLOEXEC, 0);
    if (file->fd < 0) return NULL;
    int high = fcntl(file->fd, F_DUPFD_CLOEXEC, 600); /* out of the way of what the program counts */
    if (high >= 0) real_close(file->fd), file->fd = high;
    file->disk = mmap(NULL, MOST_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    file->state = calloc(MOST_BYTES / PAGE, 1);
    if (file->disk == MAP_FAILED || !file->state) abort();
    if (real_pread(file->fd, file->disk, MOST_BYTES, 0) < 0) abort();
    file->dev = now.st_dev, file->ino = now.st_ino;
    file_count++;
    return file;
}

/* Bring the grains of one state to another one: 1 -> 0 is a good sync, 1 -> 2 a failed one, 2 -> 0 a dropped cache. */
static void settle(struct file *file, int from, int to)
{
    for (long grain = 0; grain < MOST_BYTES / PAGE; grain++) {
        if (file->state[grain] != from) continue;
        if (from == 1 && to == 0 && real_pread(file->fd, file->disk + grain * PAGE, PAGE, grain * PAGE) < 0) abort();
        if (from == 2) {
            struct stat64 now;
            long left = fstat64(file->fd, &now) ? 0 : now.st_size - grain * PAGE;
            if (left > PAGE) left = PAGE;
            if (left > 0 && real_pwrite(file->fd, file->disk + grain * PAGE, left, grain * PAGE) < 0) abort();
        }
        file->state[grain] = to;
    }
}

static void synced(int fd, int good)
{
    pthread_mutex_lock(&guard);
    struct file *file = account(fd, 0);
    if (file) {
        settle(file, 1, good ? 0 : 2);
        if (!good && !late) settle(file, 2, 0);
    }
    pthread_mutex_unlock(&guard);
}

__attribute__((destructor)) static void end(void)
{
    pthread_mutex_lock(&guard);
    for (int i = 0; i < file_count; i++) settle(&files[i], 2, 0);
    pthread_mutex_unlock(&guard);
}

void _exit(int code)
{
    REAL(_exit);
    end();
    real(code);
    __builtin_unreachable();
}

int fsync(int fd)
{
    REAL(fsync);
    int error = struck_fd("fsync", fd);
    synced(fd, !error);
    if (!error) return real(fd);
    errno = error;
    return -1;
}

int close(int fd)
{
    int error = struck_fd("close", fd);
    if (error) synced(fd, 0);
    int result = real_close(fd);
    if (!error) return result;
    errno = error;
    return -1;
}

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t offset)
{
    int error = struck_fd("pwrite", fd);
    if (error == ZERO) return 0;
    if (error == SHORT) count = count > 1 ? count / 2 : count;
    else if (error) {
        errno = error;
        return -1;
    }
    pthread_mutex_lock(&guard);
    struct file *file = offset + (long)count <= MOST_BYTES ? account(fd, 1) : NULL;
    ssize_t done = real_pwrite(fd, data, count, offset);
    if (file && done > 0)
        for (long grain = offset / PAGE; grain <= (offset + done - 1) / PAGE; grain++) file->state[grain] = 1;
    pthread_mutex_unlock(&guard);
    return done;
}

ssize_t pread64(int fd, void *data, size_t count, off64_t offset)
{
    int error = struck_fd("pread", fd);
    if (error == ZERO) return 0;
    if (error == SHORT) count = count > 1 ? count / 2 : count;
    else if (error) {
        errno = error;
        return -1;
    }
    return real_pread(fd, data, count, offset);
}

int posix_fadvise64(int fd, off64_t offset, off64_t length, int advice)
{
    (void)offset, (void)length;
    if (advice == POSIX_FADV_DONTNEED) {
        pthread_mutex_lock(&guard);
        struct file *file = account(fd, 0);
        if (file) settle(file, 2, 0);
        pthread_mutex_unlock(&guard);
    }
    return 0;
}

int posix_fadvise(int fd, off_t offset, off_t length, int advice)
{
    return posix_fadvise64(fd, offset, length, advice);
}

int rename(const char *from, const char *to)
{
    REAL(rename);
    int error = struck("rename", to);
    if (!error) return real(from, to);
    errno = error;
    return -1;
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    REAL(renameat);
    int error = struck_at("rename", to_folder, to);
    if (!error) return real(from_folder, from, to_folder, to);
    errno = error;
    return -1;
}

int ftruncate64(int fd, off64_t size)
{
    REAL(ftruncate64);
    int error = struck_fd("ftruncate", fd);
    if (!error) return real(fd, size);
    errno = error;
    return -1;
}

int open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, int) : 0;
    va_end(rest);
    int error = struck("open", path);
    if (!error) return real_open(path, flags, mode);
    errno = error;
    return -1;
}

int openat64(int folder, const char *path, int flags, ...)
{
    REAL(openat64);
    va_list rest;
    va_start(rest, flags);
    int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, int) : 0;
    va_end(rest);
    int error = struck_at("open", folder, path);
    if (!error) return real(folder, path, flags, mode);
    errno = error;
    return -1;
}

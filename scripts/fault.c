// Library for LD_PRELOAD that makes system calls fail. It counts the calls of each kind that concern a path in which one of the
// ':'-separated texts of FAULT_PATH occurs, and does what FAULT=CALL:N:ACTION says at the Nth call of that kind, with N+ from the
// Nth on. ACTION is the number of an error, KILL, SHORT (write half of the bytes) or SHORTKILL (the same, then SIGKILL).
// Each counted call is a line of the file FAULT_LOG.
//
// Not here: which calls are tried, and what must come of it (scripts/soak).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum fate { GO_ON, FAIL, SHORT, SHORT_KILL };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char call_wanted[32], action[32], from_on[2];
static long count_wanted = -1;
static int log_file = -1, ready;
static struct { const char *call; long count; } counted[32];

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

static void prepare(void) {
    if (ready) return;
    ready = 1;
    const char *fault = getenv("FAULT"), *log = getenv("FAULT_LOG");
    if (fault && sscanf(fault, "%31[^:]:%ld%1[+]:%31s", call_wanted, &count_wanted, from_on, action) < 4)
        sscanf(fault, "%31[^:]:%ld:%31s", call_wanted, &count_wanted, action);
    if (log) log_file = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static int concerned(const char *path) {
    const char *text = getenv("FAULT_PATH");
    while (text && *text) {
        size_t length = strcspn(text, ":");
        if (length && memmem(path, strlen(path), text, length)) return 1;
        text += length + (text[length] == ':');
    }
    return 0;
}

static enum fate fate(const char *call, const char *path) {
    int saved = errno;
    if (!path || !concerned(path)) return GO_ON;
    pthread_mutex_lock(&mutex);
    prepare();
    int i = 0;
    while (counted[i].call && strcmp(counted[i].call, call)) i++;
    counted[i].call = call;
    long count = ++counted[i].count;
    char line[4300];
    int length = snprintf(line, sizeof line, "%s %ld %.4096s\n", call, count, path);
    if (log_file >= 0) syscall(SYS_write, log_file, line, length);
    pthread_mutex_unlock(&mutex);
    errno = saved;
    if (strcmp(call, call_wanted) || (from_on[0] ? count < count_wanted : count != count_wanted)) return GO_ON;
    if (!strcmp(action, "KILL")) die();
    if (!strcmp(action, "SHORT")) return SHORT;
    if (!strcmp(action, "SHORTKILL")) return SHORT_KILL;
    errno = atoi(action);
    return FAIL;
}

static const char *path_of(int file, char *path) {
    char link[64];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, 4095L);
    errno = saved;
    path[length < 0 ? 0 : length] = 0;
    return path;
}

static const char *path_at(int folder, const char *name, char *path) {
    if (folder == AT_FDCWD || *name == '/') return name;
    char base[4096];
    snprintf(path, 4096, "%.3000s/%.1000s", path_of(folder, base), name);
    return path;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name)
#define MODE va_list more; va_start(more, flags); mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; va_end(more)

int open(const char *path, int flags, ...) { REAL(open); MODE; return fate("open", path) ? -1 : real(path, flags, mode); }
int open64(const char *path, int flags, ...) { REAL(open64); MODE; return fate("open", path) ? -1 : real(path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { REAL(openat); MODE; char b[4096]; return fate("open", path_at(at, path, b)) ? -1 : real(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { REAL(openat64); MODE; char b[4096]; return fate("open", path_at(at, path, b)) ? -1 : real(at, path, flags, mode); }
ssize_t write(int file, const void *bytes, size_t length) {
    REAL(write);
    char path[4096];
    enum fate what = fate("write", path_of(file, path));
    if (what == FAIL) return -1;
    ssize_t written = real(file, bytes, what && length > 1 ? length / 2 : length);
    if (what == SHORT_KILL) die();
    return written;
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    REAL(writev);
    char path[4096];
    enum fate what = fate("write", path_of(file, path));
    if (what == FAIL) return -1;
    ssize_t written = real(file, parts, what && count > 1 ? count / 2 : count);
    if (what == SHORT_KILL) die();
    return written;
}
ssize_t read(int file, void *bytes, size_t length) {
    REAL(read);
    char path[4096];
    enum fate what = fate("read", path_of(file, path));
    if (what == FAIL) return -1;
    ssize_t got = real(file, bytes, what && length > 1 ? length / 2 : length);
    if (what == SHORT_KILL) die();
    return got;
}
int fsync(int file) { REAL(fsync); char b[4096]; return fate("fsync", path_of(file, b)) ? -1 : real(file); }
int fdatasync(int file) { REAL(fdatasync); char b[4096]; return fate("fdatasync", path_of(file, b)) ? -1 : real(file); }
int ftruncate64(int file, off64_t length) { REAL(ftruncate64); char b[4096]; return fate("ftruncate", path_of(file, b)) ? -1 : real(file, length); }
void *mmap64(void *at, size_t length, int access, int flags, int file, off64_t offset) {
    REAL(mmap64);
    char b[4096];
    return file >= 0 && fate("mmap", path_of(file, b)) ? MAP_FAILED : real(at, length, access, flags, file, offset);
}
int rename(const char *from, const char *to) { REAL(rename); return fate("rename", from) ? -1 : real(from, to); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) { REAL(renameat2); char p[4096]; return fate("rename", path_at(a, from, p)) ? -1 : real(a, from, b, to, flags); }
int linkat(int a, const char *from, int b, const char *to, int flags) { REAL(linkat); char p[4096]; return fate("link", path_at(b, to, p)) ? -1 : real(a, from, b, to, flags); }
int unlink(const char *path) { REAL(unlink); return fate("unlink", path) ? -1 : real(path); }
int unlinkat(int at, const char *path, int flags) { REAL(unlinkat); char b[4096]; return fate("unlink", path_at(at, path, b)) ? -1 : real(at, path, flags); }
int rmdir(const char *path) { REAL(rmdir); return fate("rmdir", path) ? -1 : real(path); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); return fate("mkdir", path) ? -1 : real(path, mode); }

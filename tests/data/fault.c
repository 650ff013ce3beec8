/* Makes one system call of a program fail, or kills the program there. Loaded with LD_PRELOAD by tests/suite/faults.rs
 * and, with -DMORE_CALLS, by scripts/soak.
 *
 *   FAULT_WITHIN  only calls on paths that contain this text are counted
 *   FAULT_LOG     a file to which the name of every counted call is appended, one a line
 *   FAULT         CALL:N:ACTION: at the Nth call of that name, counted from 1, do ACTION; with N+, from it on
 *
 * ACTION is `kill` (SIGKILL before the call), `half` (write half of the bytes, then SIGKILL), `short` (write
 * or read half of them and go on), or the number of an error that
 * the call fails with. Not here: which calls a program should survive. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum verdict { PASS, FAIL, HALF, SHORT };

static void die(void) {
  syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
  for (;;) pause();
}

/* Counts a call, and says what becomes of it. */
static enum verdict judge(const char *call, const char *path) {
  static struct { const char *name; int count; } seen[32];
  static int lock;
  const char *within = getenv("FAULT_WITHIN");
  if (!within || !path || !strstr(path, within)) return PASS;

  while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE)) {}
  int place = 0;
  while (seen[place].name && strcmp(seen[place].name, call)) place++;
  seen[place].name = call;
  int count = ++seen[place].count;
  __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);

  const char *log = getenv("FAULT_LOG");
  if (log) {
    int file = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    char line[64];
    syscall(SYS_write, file, line, snprintf(line, sizeof line, "%s\n", call));
    syscall(SYS_close, file);
  }

  const char *fault = getenv("FAULT");
  char wanted[32], action[32];
  int number, from_on = fault && strstr(fault, "+:");
  if (!fault || sscanf(fault, from_on ? "%31[^:]:%d+:%31s" : "%31[^:]:%d:%31s", wanted, &number, action) != 3) return PASS;
  if (strcmp(wanted, call) || (from_on ? count < number : count != number)) return PASS;
  if (!strcmp(action, "kill")) die();
  if (!strcmp(action, "half")) return HALF;
  if (!strcmp(action, "short")) return SHORT;
  errno = atoi(action);
  return FAIL;
}

static const char *path_of(int file, char *buffer, size_t size) {
  char link[40];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, buffer, size - 1);
  buffer[length < 0 ? 0 : length] = 0;
  return buffer;
}

/* `path` within the folder that `dir` is open on. */
static const char *path_at(int dir, const char *path, char *buffer, size_t size) {
  if (dir == AT_FDCWD || path[0] == '/') return path;
  char folder[2048];
  snprintf(buffer, size, "%s/%s", path_of(dir, folder, sizeof folder), path);
  return buffer;
}

#define NEXT(name) static __typeof__(&name) next; if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define BUFFER char buffer[4096]
#define MODE(flags) \
  int mode = 0; \
  if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, int); va_end(rest); }

#define OPEN(name) \
  int name(const char *path, int flags, ...) { NEXT(name); MODE(flags); return judge("open", path) ? -1 : next(path, flags, mode); }
#define OPENAT(name) \
  int name(int dir, const char *path, int flags, ...) { \
    NEXT(name); MODE(flags); BUFFER; \
    return judge("open", path_at(dir, path, buffer, sizeof buffer)) ? -1 : next(dir, path, flags, mode); }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)

ssize_t write(int file, const void *bytes, size_t count) {
  NEXT(write); BUFFER;
  enum verdict verdict = judge("write", path_of(file, buffer, sizeof buffer));
  if (verdict == FAIL) return -1;
  if (verdict == HALF) { next(file, bytes, count / 2); die(); }
  return next(file, bytes, verdict == SHORT && count > 1 ? count / 2 : count);
}

#ifdef MORE_CALLS
ssize_t read(int file, void *bytes, size_t count) {
  NEXT(read); BUFFER;
  enum verdict verdict = judge("read", path_of(file, buffer, sizeof buffer));
  if (verdict == FAIL) return -1;
  return next(file, bytes, verdict == SHORT && count > 1 ? count / 2 : count);
}
int ftruncate64(int file, off64_t length) {
  NEXT(ftruncate64); BUFFER;
  return judge("ftruncate", path_of(file, buffer, sizeof buffer)) ? -1 : next(file, length);
}
#endif

#define ON_FILE(name) \
  int name(int file) { NEXT(name); BUFFER; return judge(#name, path_of(file, buffer, sizeof buffer)) ? -1 : next(file); }
ON_FILE(fsync) ON_FILE(fdatasync)

#define ON_PATH(name) int name(const char *path) { NEXT(name); return judge(#name, path) ? -1 : next(path); }
ON_PATH(unlink) ON_PATH(rmdir)

int mkdir(const char *path, mode_t mode) { NEXT(mkdir); return judge("mkdir", path) ? -1 : next(path, mode); }
int rename(const char *from, const char *to) { NEXT(rename); return judge("rename", from) ? -1 : next(from, to); }
int unlinkat(int dir, const char *path, int flags) {
  NEXT(unlinkat); BUFFER;
  return judge("unlinkat", path_at(dir, path, buffer, sizeof buffer)) ? -1 : next(dir, path, flags);
}
int linkat(int from, const char *path, int to, const char *other, int flags) {
  NEXT(linkat); BUFFER;
  return judge("linkat", path_at(from, path, buffer, sizeof buffer)) ? -1 : next(from, path, to, other, flags);
}

#define MMAP(name, offset) \
  void *name(void *at, size_t length, int protection, int flags, int file, offset start) { \
    NEXT(name); BUFFER; \
    const char *path = flags & MAP_ANONYMOUS ? NULL : path_of(file, buffer, sizeof buffer); \
    return judge("mmap", path) ? MAP_FAILED : next(at, length, protection, flags, file, start); }
MMAP(mmap, off_t) MMAP(mmap64, off64_t)

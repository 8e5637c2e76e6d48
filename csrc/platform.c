/* platform.c - the only file that makes system calls. Linux. */
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/single_threaded.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Not in the headers of every C library that we build with. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

/* One fallocate holds the file's lock for about 0.3 ms per MiB. */
#define BACK_SLICE (4ull << 20)

uint32_t nbsi_page_size(void) { return (uint32_t)sysconf(_SC_PAGESIZE); }

uint64_t nbsi_now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

uint32_t nbsi_cpu(void) {
  int cpu = sched_getcpu();
  return cpu < 0 ? 0u : (uint32_t)cpu;
}

uint32_t nbsi_n_cpus(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return (uint32_t)CPU_COUNT(&set);
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n < 1 ? 1u : (uint32_t)n;
}

void nbsi_yield(void) { sched_yield(); }

void nbsi_sleep_ns(uint64_t ns) {
  struct timespec t = {(time_t)(ns / 1000000000ull), (long)(ns % 1000000000ull)};
  nanosleep(&t, NULL);
}

int nbsi_many_threads(void) { return !__libc_single_threaded; }

#ifdef __GLIBC__
/* glibc finds both limits by itself, from the blocks it sees freed, and then often one too low:
 * arrays of a few megabytes are unmapped by every task and faulted in, page by page, by the next.
 */
void nbsi_malloc_keep(uint64_t bytes) {
  const int most = 32 << 20; /* glibc takes no more for blocks of one mapping each */
  mallopt(M_MMAP_THRESHOLD, bytes < (uint64_t)most ? (int)bytes : most);
  mallopt(M_TRIM_THRESHOLD, bytes < INT32_MAX ? (int)bytes : INT32_MAX);
}

void nbsi_malloc_trim(void) { malloc_trim(0); }
#else
void nbsi_malloc_keep(uint64_t bytes) { (void)bytes; }
void nbsi_malloc_trim(void) {}
#endif

/* ---------------------------------------------------------- memory files */

int nbsi_memfd_create(uint64_t size) {
  int fd = memfd_create("nbray", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -1;
  if (ftruncate(fd, (off_t)size) != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
  }
  return fd;
}

int nbsi_fd_dup(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 3); }

void nbsi_fd_close(int fd) { close(fd); }

int nbsi_fd_size(int fd, uint64_t *size, int *sealed) {
  struct stat st;
  if (fstat(fd, &st) != 0) return -1;
  *size = (uint64_t)st.st_size;
  int seals = fcntl(fd, F_GET_SEALS);
  *sealed = seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
  return 0;
}

int nbsi_fd_read(int fd, uint64_t off, void *buf, size_t len) {
  char *to = buf;
  while (len > 0) {
    ssize_t n = pread(fd, to, len, (off_t)off);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return -1;
    to += n, off += (uint64_t)n, len -= (size_t)n;
  }
  return 0;
}

int nbsi_fd_write(int fd, uint64_t off, const void *buf, size_t len) {
  const char *from = buf;
  while (len > 0) {
    ssize_t n = pwrite(fd, from, len, (off_t)off);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return -1;
    from += n, off += (uint64_t)n, len -= (size_t)n;
  }
  return 0;
}

int nbsi_fd_back(int fd, uint64_t off, uint64_t len) {
  while (len > 0) {
    uint64_t n = len < BACK_SLICE ? len : BACK_SLICE;
    /* A signal makes tmpfs undo the slice, so it is tried again; the slice is short. */
    while (fallocate(fd, 0, (off_t)off, (off_t)n) != 0)
      if (errno != EINTR) return -1;
    off += n, len -= n;
  }
  return 0;
}

int nbsi_fd_punch(int fd, uint64_t off, uint64_t len) {
  return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len);
}

int nbsi_fd_fill(int fd, uint64_t off, uint64_t len) {
  /* A mapping of its own: faulting does not change contents, so this is harmless even
   * when somebody uses the range by now, and unmapping leaves no pages counted here. */
  void *p = mmap(NULL, (size_t)len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)off);
  if (p == MAP_FAILED) return -1;
  int rc = madvise(p, (size_t)len, MADV_POPULATE_WRITE); /* where no memory is left, an error */
  if (rc != 0 && errno == EINVAL) { /* before Linux 5.14: read faults zero a page too */
    rc = nbsi_fd_back(fd, off, len);
    volatile const char *at = p;
    for (uint64_t i = 0; rc == 0 && i < len; i += 4096) (void)at[i];
  }
  int saved = errno;
  munmap(p, (size_t)len);
  errno = saved;
  return rc;
}

void *nbsi_map(int fd, uint64_t size) {
  void *p = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) return NULL;
  madvise(p, (size_t)size, MADV_DONTDUMP); /* or a core file is as large as the store */
  return p;
}

void *nbsi_map_private(int fd, uint64_t off, uint64_t size) {
  void *p =
      mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, (off_t)off);
  return p == MAP_FAILED ? NULL : p;
}

void nbsi_unmap(void *base, uint64_t size) { munmap(base, (size_t)size); }

void nbsi_populate(void *addr, uint64_t len) {
  uintptr_t page = nbsi_page_size();
  uintptr_t from = (uintptr_t)addr & ~(page - 1);
  uintptr_t to = ((uintptr_t)addr + len + page - 1) & ~(page - 1);
  madvise((void *)from, (size_t)(to - from), MADV_POPULATE_READ);
}

void *nbsi_anon(uint64_t size) {
  void *p = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

/* --------------------------------------------------------------- futexes */

int nbsi_futex_wait(uint32_t *word, uint32_t seen, uint64_t timeout_ns) {
  struct timespec t = {(time_t)(timeout_ns / 1000000000ull), (long)(timeout_ns % 1000000000ull)};
  if (syscall(SYS_futex, word, FUTEX_WAIT, seen, &t, NULL, 0) == 0) return NBSI_WOKEN;
  if (errno == EINTR) return NBSI_INTERRUPTED;
  return errno == ETIMEDOUT ? NBSI_TIMED_OUT : NBSI_WOKEN;
}

void nbsi_futex_wake_all(uint32_t *word) {
  syscall(SYS_futex, word, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0);
}

/* ------------------------------------------------------------- processes */

int64_t nbsi_pid(void) { return (int64_t)getpid(); }

int nbsi_file_text(const char *path, char *buf, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  size_t got = 0;
  while (got + 1 < size) {
    ssize_t n = read(fd, buf + got, size - 1 - got);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    got += (size_t)n;
  }
  close(fd);
  buf[got] = 0;
  return (int)got;
}

static int read_stat(int64_t pid, uint64_t *start_time, char *state) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
  if (nbsi_file_text(path, text, sizeof text) <= 0) return -1;
  /* The name in brackets may itself hold brackets and blanks: start after the last one.
   * Then: state is the first field, the start time the twentieth. */
  char *at = strrchr(text, ')');
  if (at == NULL || at[1] != ' ') return -1;
  *state = at[2];
  at += 2;
  for (int field = 0; field < 19 && at != NULL; field++) {
    at = strchr(at, ' ');
    if (at != NULL) at++;
  }
  if (at == NULL) return -1;
  *start_time = strtoull(at, NULL, 10);
  return 0;
}

int nbsi_pid_start(int64_t pid, uint64_t *start_time, int *zombie) {
  char state;
  if (read_stat(pid, start_time, &state) != 0) return -1;
  *zombie = state == 'Z' || state == 'X' || state == 'x';
  return 0;
}

int nbsi_pid_stopped(int64_t pid, uint64_t start_time) {
  uint64_t start;
  char state;
  return read_stat(pid, &start, &state) == 0 && start == start_time && state == 'T';
}

int64_t nbsi_pid_of_thread(int64_t tid) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/%lld/status", (long long)tid);
  if (nbsi_file_text(path, text, sizeof text) <= 0) return -1;
  const char *at = strstr(text, "\nTgid:");
  return at == NULL ? -1 : strtoll(at + 6, NULL, 10);
}

int nbs_die_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); }

int nbs_adopt_orphans(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

void nbsi_stop_self(void) { kill(getpid(), SIGSTOP); }

uint64_t nbsi_pid_namespace(void) {
  struct stat st;
  return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
}

int nbsi_pid_signal(int64_t pid, uint64_t start_time, int signo) {
  uint64_t start;
  int zombie, rc = -1;
  int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
  if (fd < 0 && errno == ENOSYS) { /* before Linux 5.3: a window of microseconds is left */
    if (nbsi_pid_start(pid, &start, &zombie) != 0 || start != start_time || zombie) return -1;
    return kill((pid_t)pid, signo);
  }
  if (fd < 0) return -1;
  /* The pidfd names whoever has the pid now; only then is its start time compared. */
  if (nbsi_pid_start(pid, &start, &zombie) == 0 && start == start_time && !zombie)
    rc = (int)syscall(SYS_pidfd_send_signal, fd, signo, NULL, 0);
  else
    errno = ESRCH;
  int saved = errno;
  close(fd);
  errno = saved;
  return rc;
}

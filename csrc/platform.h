/* platform.h - all that is asked of the operating system. No other file makes system
 * calls. Functions return 0 or -1 with errno, as the calls do, unless they say otherwise. */
#ifndef NBS_PLATFORM_H
#define NBS_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

uint32_t nbsi_page_size(void);
uint64_t nbsi_now_ns(void); /* CLOCK_MONOTONIC */
uint32_t nbsi_cpu(void);    /* processor this thread runs on */
uint32_t nbsi_n_cpus(void); /* processors this process may use, at least 1 */
void nbsi_yield(void);
void nbsi_sleep_ns(uint64_t ns);
int nbsi_many_threads(void); /* 0 only when this process has never had a second thread */

/* memory files */
int nbsi_memfd_create(uint64_t size); /* sealed against resizing; the descriptor or -1 */
int nbsi_fd_dup(int fd);              /* close-on-exec */
void nbsi_fd_close(int fd);
int nbsi_fd_size(int fd, uint64_t *size, int *sealed);                /* sealed: it cannot shrink */
int nbsi_fd_read(int fd, uint64_t off, void *buf, size_t len);        /* all of it, or -1 */
int nbsi_fd_write(int fd, uint64_t off, const void *buf, size_t len); /* all of it, or -1 */
/* nbsi_fd_back gives memory to [off, off + len) of the file without touching it. In
 * slices, because one call locks out all other writers of the file. */
int nbsi_fd_back(int fd, uint64_t off, uint64_t len);
/* nbsi_fd_fill gives memory to a range and makes its pages up to date (zeroed where nobody
 * wrote) without keeping them mapped, so that they do not count as anybody's. */
int nbsi_fd_fill(int fd, uint64_t off, uint64_t len);
int nbsi_fd_punch(int fd, uint64_t off, uint64_t len); /* the file keeps its size; -1: cannot */
void *nbsi_map(int fd, uint64_t size); /* shared, not in core dumps; NULL on failure */
void *nbsi_map_private(int fd, uint64_t off, uint64_t size); /* copied on write; NULL on failure */
void nbsi_unmap(void *base, uint64_t size);
void nbsi_populate(void *addr, uint64_t len); /* maps pages that exist; best effort */
void *nbsi_anon(uint64_t size); /* zeroed private memory, given lazily; NULL on failure */

/* futexes, shared between processes */
enum { NBSI_WOKEN = 0, NBSI_TIMED_OUT = 1, NBSI_INTERRUPTED = 2 };
int nbsi_futex_wait(uint32_t *word, uint32_t seen, uint64_t timeout_ns);
void nbsi_futex_wake_all(uint32_t *word);

/* malloc of this process; nothing where it is not glibc's */
void nbsi_malloc_keep(uint64_t bytes); /* freed memory up to this stays for the next request */
void nbsi_malloc_trim(void);           /* all freed memory goes back to the kernel */

/* processes */
int64_t nbsi_pid(void);
/* nbsi_pid_start reads when a process began and whether it is a zombie; -1: no such. */
int nbsi_pid_start(int64_t pid, uint64_t *start_time, int *zombie);
int nbsi_pid_stopped(int64_t pid, uint64_t start_time); /* 1: by a signal; not by a debugger */
int64_t nbsi_pid_of_thread(int64_t tid);                /* its process; -1: no such */
void nbsi_stop_self(void);                              /* as SIGSTOP from outside */
uint64_t nbsi_pid_namespace(void);                      /* of this process, an inode; 0 unknown */
/* nbsi_pid_signal signals through a pidfd after checking that the process is the one that
 * began at start_time, so that a stranger with a reused pid is never hit. */
int nbsi_pid_signal(int64_t pid, uint64_t start_time, int signo);

/* nbsi_file_text reads a small file whole, 0-terminated; its length or -1. */
int nbsi_file_text(const char *path, char *buf, size_t size);

#endif

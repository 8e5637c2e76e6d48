/* memlimit.c - how much memory may be reserved now, without waking the OOM killer.
 *
 * tmpfs memory is charged to the cgroup of whoever reserves it, and over the limit even
 * fallocate ends in SIGKILL instead of ENOSPC; so the limit is read first. Every level of
 * the hierarchy counts. File cache that can be dropped is not held against us. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "impl.h"
#include "platform.h"

typedef struct {
  uint64_t limit, usage, cache;
  int found;
} group;

static int read_u64(const char *dir, const char *name, uint64_t *out) {
  char path[768], text[64];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  if (nbsi_file_text(path, text, sizeof text) <= 0) return -1;
  if (text[0] < '0' || text[0] > '9') return -1; /* "max" */
  *out = strtoull(text, NULL, 10);
  return 0;
}

/* stat_field finds "\nname value" in the text of memory.stat. */
static uint64_t stat_field(const char *text, const char *name) {
  size_t n = strlen(name);
  for (const char *at = text; at != NULL && *at; at = strchr(at, '\n')) {
    if (*at == '\n') at++;
    if (strncmp(at, name, n) == 0 && at[n] == ' ') return strtoull(at + n + 1, NULL, 10);
  }
  return 0;
}

static void read_group(const char *dir, int v2, group *g) {
  memset(g, 0, sizeof *g);
  if (read_u64(dir, v2 ? "memory.max" : "memory.limit_in_bytes", &g->limit) != 0) return;
  if (read_u64(dir, v2 ? "memory.current" : "memory.usage_in_bytes", &g->usage) != 0) return;
  if (g->limit >= 1ull << 60) return; /* v1 says "none" with a huge figure */
  char path[768], text[8192];
  snprintf(path, sizeof path, "%s/memory.stat", dir);
  if (nbsi_file_text(path, text, sizeof text) > 0) {
    /* Only half of the active cache: the kernel parts with it, but not at once. */
    g->cache = stat_field(text, v2 ? "inactive_file" : "total_inactive_file") +
               stat_field(text, v2 ? "active_file" : "total_active_file") / 2;
  }
  g->found = 1;
}

/* limit_below walks from `dir` up to `root` and lowers *best to the tightest group. */
static void walk_groups(char *dir, const char *root, int v2, uint64_t *best, group *tightest,
                        char *where, size_t where_len) {
  size_t root_len = strlen(root);
  for (;;) {
    group g;
    read_group(dir, v2, &g);
    if (g.found) {
      uint64_t used = g.usage > g.cache ? g.usage - g.cache : 0;
      uint64_t left = g.limit > used ? g.limit - used : 0;
      if (left < *best) {
        *best = left;
        *tightest = g;
        snprintf(where, where_len, "%.*s", (int)where_len - 1, dir);
      }
    }
    char *slash = strrchr(dir, '/');
    if (slash == NULL || (size_t)(slash - dir) < root_len) return;
    *slash = 0;
  }
}

/* group_path finds the line "number:controllers:path" of a controller, which may be mounted
 * together with others; "" is that of v2. Returns the path, or NULL. */
static const char *group_path(const char *cgroups, const char *controller) {
  size_t n = strlen(controller);
  for (const char *line = cgroups; *line != 0; line += strcspn(line, "\n")) {
    if (*line == '\n') line++;
    const char *at = line + strcspn(line, ":\n");
    while (*at == ':' || *at == ',') {
      at++;
      size_t len = strcspn(at, ",:\n");
      if (len == n && strncmp(at, controller, n) == 0) {
        at += strcspn(at, ":\n");
        return *at == ':' ? at + 1 : NULL;
      }
      at += len;
      if (*at == ':') break;
    }
  }
  return NULL;
}

/* own_group builds the directory of this process's group, or the root where the path is
 * not to be seen (inside a container the file tells the path outside). */
static void own_group(const char *cgroups, const char *controller, const char *root, char *dir,
                      size_t len) {
  snprintf(dir, len, "%s", root);
  const char *line = group_path(cgroups, controller);
  if (line == NULL) return;
  size_t n = strcspn(line, "\n");
  if (n <= 1 || n > 512) return;
  char path[768], probe[64];
  snprintf(path, sizeof path, "%s%.*s", root, (int)n, line);
  char file[800];
  snprintf(file, sizeof file, "%s/cgroup.procs", path);
  if (nbsi_file_text(file, probe, sizeof probe) >= 0) snprintf(dir, len, "%s", path);
}

static uint64_t look(char *why, size_t why_len, uint64_t *limit) {
  char text[4096], where[256] = "", dir[768];
  uint64_t mem_available = UINT64_MAX, mem_total = 0;
  if (nbsi_file_text("/proc/meminfo", text, sizeof text) > 0) {
    const char *at = strstr(text, "MemAvailable:");
    if (at != NULL) mem_available = strtoull(at + 13, NULL, 10) * 1024;
    at = strstr(text, "MemTotal:");
    if (at != NULL) mem_total = strtoull(at + 9, NULL, 10) * 1024;
  }
  uint64_t best = UINT64_MAX;
  group tightest = {0, 0, 0, 0};
  if (nbsi_file_text("/proc/self/cgroup", text, sizeof text) > 0) {
    own_group(text, "memory", "/sys/fs/cgroup/memory", dir, sizeof dir);
    walk_groups(dir, "/sys/fs/cgroup/memory", 0, &best, &tightest, where, sizeof where);
    own_group(text, "", "/sys/fs/cgroup", dir, sizeof dir);
    walk_groups(dir, "/sys/fs/cgroup", 1, &best, &tightest, where, sizeof where);
  }
  uint64_t result = best < mem_available ? best : mem_available;
  /* A limit above the machine's memory is none. */
  *limit = best < mem_available && tightest.limit < mem_total ? tightest.limit : mem_total;
  if (why != NULL && why_len > 0) {
    const double mib = 1048576.0;
    if (tightest.found)
      snprintf(why, why_len,
               "%.0f MiB available (MemAvailable %.0f MiB; cgroup %s: limit %.0f MiB, used "
               "%.0f MiB, of that %.0f MiB file cache)",
               (double)result / mib, (double)mem_available / mib, where,
               (double)tightest.limit / mib, (double)tightest.usage / mib,
               (double)tightest.cache / mib);
    else
      snprintf(why, why_len, "%.0f MiB available (MemAvailable; no cgroup limit)",
               (double)result / mib);
  }
  return result;
}

uint64_t nbs_memory_available(char *why, size_t why_len) {
  uint64_t limit;
  return look(why, why_len, &limit);
}

uint64_t nbs_memory_limit(uint64_t *available) {
  uint64_t limit;
  *available = look(NULL, 0, &limit);
  return limit;
}

int nbsi_memory_allows(uint64_t bytes) {
  /* What is left must still carry the processes' own growth and page tables. */
  uint64_t margin = bytes / 32 + (8ull << 20);
  return nbs_memory_available(NULL, 0) >= bytes + margin;
}

void nbs_keep_freed(uint64_t bytes) { nbsi_malloc_keep(bytes); }

void nbs_give_freed(void) { nbsi_malloc_trim(); }

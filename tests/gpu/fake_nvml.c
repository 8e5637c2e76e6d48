/* fake_nvml.c - stands for libnvidia-ml.so.1 on a machine without a GPU.
 *
 * What it tells is read at each call from the text file that NBRAY_FAKE_NVML
 * names:
 *
 *   gpu NAME USED TOTAL UTILIZATION     one line per GPU; UTILIZATION -1: not
 * supported (MIG) process GPU PID USED                one line per process;
 * USED -1: not available
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int nvmlReturn_t;
enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7 };
#define MAX_GPUS 16
#define MAX_PROCESSES 64

typedef struct {
  char name[96];
  unsigned long long used, total;
  int utilization;
} Gpu;
typedef struct {
  int gpu;
  unsigned pid;
  unsigned long long used;
} Process;
typedef struct {
  unsigned long long total, free, used;
} Memory;
typedef struct {
  unsigned gpu, memory;
} Rates;
typedef struct {
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance, compute_instance;
} ProcessInfo;

static Gpu gpus[MAX_GPUS];
static Process processes[MAX_PROCESSES];
static int n_gpus, n_processes;
static int handles[MAX_GPUS];

static int look(void) {
  char line[256];
  const char *path = getenv("NBRAY_FAKE_NVML");
  FILE *file = path == NULL ? NULL : fopen(path, "r");
  if (file == NULL)
    return 0;
  n_gpus = n_processes = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    Gpu *g = &gpus[n_gpus];
    Process *p = &processes[n_processes];
    if (n_gpus < MAX_GPUS && sscanf(line, "gpu %95s %llu %llu %d", g->name,
                                    &g->used, &g->total, &g->utilization) == 4)
      n_gpus++;
    else if (n_processes < MAX_PROCESSES &&
             sscanf(line, "process %d %u %llu", &p->gpu, &p->pid, &p->used) ==
                 3)
      n_processes++;
  }
  fclose(file);
  return 1;
}

static Gpu *gpu_of(void *device) {
  return look() && device >= (void *)handles &&
                 device < (void *)(handles + n_gpus)
             ? &gpus[(int *)device - handles]
             : NULL;
}

nvmlReturn_t nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  return look() ? OK : INVALID;
}
nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
nvmlReturn_t nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(nvmlReturn_t code) {
  return code == NOT_SUPPORTED ? "Not Supported" : "an error";
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) {
  if (!look())
    return INVALID;
  *count = (unsigned)n_gpus;
  return OK;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
  if (!look() || index >= (unsigned)n_gpus)
    return INVALID;
  *device = &handles[index];
  return OK;
}

nvmlReturn_t nvmlDeviceGetName(void *device, char *name, unsigned length) {
  Gpu *g = gpu_of(device);
  if (g == NULL)
    return INVALID;
  snprintf(name, length, "%s", g->name);
  return OK;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(void *device, Memory *memory) {
  Gpu *g = gpu_of(device);
  if (g == NULL)
    return INVALID;
  memory->total = g->total;
  memory->used = g->used;
  memory->free = g->total - g->used;
  return OK;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(void *device, Rates *rates) {
  Gpu *g = gpu_of(device);
  if (g == NULL)
    return INVALID;
  if (g->utilization < 0)
    return NOT_SUPPORTED;
  rates->gpu = (unsigned)g->utilization;
  rates->memory = 0;
  return OK;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(void *device,
                                                     unsigned *count,
                                                     ProcessInfo *infos) {
  Gpu *g = gpu_of(device);
  unsigned found = 0;
  if (g == NULL)
    return INVALID;
  for (int i = 0; i < n_processes; i++)
    found += processes[i].gpu == g - gpus;
  if (found > *count) {
    *count = found;
    return INSUFFICIENT_SIZE;
  }
  *count = 0;
  for (int i = 0; i < n_processes; i++)
    if (processes[i].gpu == g - gpus) {
      memset(&infos[*count], 0, sizeof *infos);
      infos[*count].pid = processes[i].pid;
      infos[(*count)++].used = processes[i].used;
    }
  return OK;
}
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v2(void *device,
                                                     unsigned *count,
                                                     ProcessInfo *infos) {
  return nvmlDeviceGetComputeRunningProcesses_v3(device, count, infos);
}

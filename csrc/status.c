/* status.c - status code -> name. */
#include "nbs.h"

const char *nbs_status_name(int status) {
  static const char *const names[] = {"OK",      "ETIMEOUT", "EEXISTS",  "ENOTFOUND", "EFULL",
                                      "ETOOBIG", "ECORRUPT", "EVERSION", "ELIMIT",    "ESTATE",
                                      "EDEAD",   "EFORKED",  "ESYS",     "EAGAIN",    "EINTR",
                                      "ENOMEM",  "EINVAL",   "EWORDS"};
  int i = -status;
  return i >= 0 && i < (int)(sizeof names / sizeof names[0]) ? names[i] : "unknown status";
}

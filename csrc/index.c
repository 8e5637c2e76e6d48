/* index.c - see index.h. */
#include "index.h"

#include <string.h>

uint32_t nbsi_index_bucket(const nbs_seg *s, const uint8_t *id) {
  /* Ids may share long prefixes (task id + counter), so all bytes are mixed. */
  uint64_t a, b, c;
  uint32_t d;
  memcpy(&a, id, 8);
  memcpy(&b, id + 8, 8);
  memcpy(&c, id + 16, 8);
  memcpy(&d, id + 24, 4);
  uint64_t h = (a ^ 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;
  h = (h ^ (h >> 31) ^ b) * 0x94d049bb133111ebull;
  h = (h ^ (h >> 29) ^ c) * 0xbf58476d1ce4e5b9ull;
  h = (h ^ (h >> 32) ^ d) * 0x94d049bb133111ebull;
  return (uint32_t)(h >> 32) & (s->geo.n_buckets - 1);
}

uint32_t nbsi_index_find(nbs_seg *s, const uint8_t *id) {
  uint32_t e = s->buckets[nbsi_index_bucket(s, id)];
  while (e != NBSI_NIL && memcmp(s->entries[e].id, id, NBS_ID_SIZE) != 0)
    e = s->entries[e].hash_next;
  return e;
}

void nbsi_index_put(nbs_seg *s, uint32_t e) {
  uint32_t *bucket = &s->buckets[nbsi_index_bucket(s, s->entries[e].id)];
  s->entries[e].hash_next = *bucket;
  *bucket = e;
}

void nbsi_index_drop(nbs_seg *s, uint32_t e) {
  uint32_t *link = &s->buckets[nbsi_index_bucket(s, s->entries[e].id)];
  while (*link != NBSI_NIL && *link != e) link = &s->entries[*link].hash_next;
  if (*link == e) *link = s->entries[e].hash_next;
}

void nbsi_index_clear(nbs_seg *s) {
  memset(s->buckets, 0xff, sizeof(uint32_t) * s->geo.n_buckets); /* all NBSI_NIL */
}

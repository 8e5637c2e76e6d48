/* check_test.c - nbs_check finds each kind of damage: one field of a segment that is in use is
 * changed, told, and put back. */
#include "arena.h"
#include "nbt.h"

static nbs_seg *s;
static uint32_t held, kept, promised, created, spilled, other_slot, chan;

static uint32_t index_of(uint64_t obj) { return (uint32_t)obj; }

/* A segment with one of everything: objects in each state, a hole between two blocks, a
 * list of evictable ones, a second process (of this process) and a channel to it. */
static void fill(void) {
  int fd = nbt_create(1 << 20);
  s = nbt_attach(fd);
  nbs_seg *other = nbt_attach(fd);
  close(fd);
  uint64_t obj;
  held = index_of(nbt_put(s, 1, 1000, 0, 1));
  uint64_t gap = nbt_put(s, 2, 2000, 0, 2), gap2;
  NBT_OK(nbs_obj_create(s, nbt_id(3), 500, 0, nbs_self(other), NULL, 0, &obj, NULL));
  created = index_of(obj);
  gap2 = nbt_put(s, 10, 700, 0, 2);
  for (uint64_t i = 4; i < 7; i++) {
    obj = nbt_put(s, i, 100, NBS_META_KEEP, 3);
    NBT_EQ(nbs_release(s, obj), 0);
  }
  kept = index_of(obj);
  NBT_EQ(nbs_release(s, gap), 1);
  NBT_EQ(nbs_release(s, gap2), 1);
  NBT_OK(nbs_promise(s, nbt_id(7), &obj));
  promised = index_of(obj);
  obj = nbt_put(s, 8, 300, 0, 4);
  spilled = index_of(obj);
  NBT_OK(nbs_spill_out(s, obj));
  NBT_OK(nbs_restore_begin(s, obj, NULL, 0, &(void *){NULL}));
  other_slot = (uint32_t)nbs_self(other);
  uint64_t a = nbt_put(s, 11, 6000, 0, 2), b = nbt_put(s, 12, 64, 0, 2);
  NBT_EQ(nbs_release(s, a), 1); /* spare records of all kinds */
  NBT_EQ(nbs_release(s, b), 1);
  NBT_OK(nbs_chan_open(s, nbs_self(other), 4096, &chan));
  chan &= NBS_MAX_CHANNELS - 1;
  NBT_CHECK(s);
}

static void damaged(const char *what) {
  char why[256] = "";
  if (nbs_check(s, why, sizeof why) == NBS_ECORRUPT && why[0] != 0) return;
  fprintf(stderr, "not found: %s\n", what);
  _exit(1);
}

#define DAMAGE(field, value)                        \
  do {                                              \
    __typeof__(field) was = (field);                \
    (field) = (__typeof__(field))(value);           \
    if (was != (field))                             \
      damaged(#field " = " #value);                 \
    else                                            \
      damaged("the value is the old one: " #field); \
    (field) = was;                                  \
  } while (0)

static void frontiers(void) {
  nbsi_header *h = s->h;
  DAMAGE(h->reserved, h->reserved + 64);
  DAMAGE(h->reserved, s->geo.arena_size + 64);
  DAMAGE(h->entries_used, h->entries_backed + 1);
  DAMAGE(h->entries_used, h->entries_used - 1);
  DAMAGE(h->entries_backed, s->geo.max_entries + 1);
  DAMAGE(h->slots_used, h->slots_backed + 1);
  DAMAGE(h->slots_used, 1);
  DAMAGE(h->slots_backed, NBS_MAX_SLOTS + 1);
  DAMAGE(h->chans_used, NBS_MAX_CHANNELS + 1);
  DAMAGE(h->chans_used, 0);
  DAMAGE(h->rings_backed, NBSI_RING_UNITS + 1);
  DAMAGE(h->rings_backed, 0);
}

static void counts(void) {
  nbsi_header *h = s->h;
  DAMAGE(h->used_bytes, h->used_bytes + 64);
  DAMAGE(h->n_objects, h->n_objects + 1);
  DAMAGE(h->n_sealed, h->n_sealed + 1);
  DAMAGE(h->n_promised, h->n_promised + 1);
  DAMAGE(h->n_kept, h->n_kept + 1);
  DAMAGE(h->n_kept, h->n_kept - 1);
  DAMAGE(h->n_slots, h->n_slots + 1);
  DAMAGE(h->n_channels, h->n_channels + 1);
  DAMAGE(h->n_spilled, h->n_spilled + 1);
  DAMAGE(h->spilled_bytes, h->spilled_bytes + 1);
  DAMAGE(h->fext_used, h->fext_used + 1);
}

static void lists(void) {
  nbsi_header *h = s->h;
  DAMAGE(h->entry_free, NBSI_NIL);
  DAMAGE(h->entry_free, held);
  DAMAGE(s->entries[h->entry_free].hash_next, held);
  DAMAGE(h->fext_free, 0);
  DAMAGE(h->ext_first, NBSI_NIL);
  DAMAGE(h->ext_last, held);
  DAMAGE(h->lru_head, NBSI_NIL);
  DAMAGE(h->lru_head, held);
  DAMAGE(h->lru_tail, NBSI_NIL);
  DAMAGE(h->bin_map[0], h->bin_map[0] ^ 1ull << 5);
  DAMAGE(h->ring_map[0], 0);
  DAMAGE(h->ring_map[0], ~0ull);
  DAMAGE(s->entries[h->lru_head].lru_next, NBSI_NIL);
  DAMAGE(s->entries[kept].lru_prev, held);
  DAMAGE(s->entries[kept].lru_prev, NBSI_NOT_IN);
  DAMAGE(s->entries[held].ext_next, NBSI_NIL);
  DAMAGE(s->entries[created].ext_prev, NBSI_NIL);
  uint32_t bucket = 0;
  while (s->buckets[bucket] == NBSI_NIL) bucket++;
  DAMAGE(s->buckets[bucket], NBSI_NIL);
  uint32_t piece = s->entries[held].ext_next;
  NBT_TRUE(nbsi_ext_is_free(s, piece));
  DAMAGE(nbsi_fext_at(s, piece)->size, 64);
  DAMAGE(nbsi_fext_at(s, piece)->off, 64);
  DAMAGE(nbsi_fext_at(s, piece)->bin_prev, 1);
}

static void objects(void) {
  nbsi_entry *e = s->entries;
  DAMAGE(e[held].word, nbsi_word(nbsi_gen(e[held].word), NBS_FREE));
  DAMAGE(e[held].word, e[held].word + (1ull << 32));
  DAMAGE(e[held].word, (e[held].word & ~0xffull) | 7);
  DAMAGE(e[held].word, e[held].word | NBSI_F_DELETED);
  DAMAGE(e[held].id[0], 1);
  DAMAGE(e[held].off, e[held].off + 64);
  DAMAGE(e[held].off, e[held].off + 8);
  DAMAGE(e[held].block, e[held].block + 64);
  DAMAGE(e[held].size, e[held].size + 4096);
  DAMAGE(e[held].n_children, 1);
  DAMAGE(e[held].child_refs, 1);
  DAMAGE(e[held].holders[0], 0);
  DAMAGE(e[held].holders[0], e[held].holders[0] | 1ull << 30);
  DAMAGE(e[held].pins[0], 1ull << other_slot);
  DAMAGE(e[created].creator, 77ull << 32);
  DAMAGE(e[created].transit, 77ull << 32 | other_slot);
  DAMAGE(e[promised].promiser, 77ull << 32);
  DAMAGE(e[spilled].loader, 77ull << 32);
  DAMAGE(s->slots[other_slot].word, nbsi_word(2, NBSI_SLOT_FREE));
  uint8_t *header = s->arena + e[held].off;
  DAMAGE(header[0], header[0] + 1);
}

static void channels(void) {
  nbsi_chan *c = &s->chans[chan];
  DAMAGE(c->word, nbsi_word(nbsi_gen(c->word), 0));
  DAMAGE(c->owner, 77ull << 32);
  DAMAGE(c->worker, 77ull << 32);
  DAMAGE(c->ring_unit, NBSI_RING_UNITS);
  DAMAGE(c->ring_unit, c->ring_unit + 1);
  DAMAGE(c->ring_bytes, 0);
  DAMAGE(c->ring_bytes, c->ring_bytes / 2);
  DAMAGE(c->down.tail, c->ring_bytes + 8);
  DAMAGE(c->down.tail, 4);
  DAMAGE(c->up.head, 8);
}

int main(void) {
  fill();
  NBT_RUN(frontiers);
  NBT_RUN(counts);
  NBT_RUN(lists);
  NBT_RUN(objects);
  NBT_RUN(channels);
  NBT_CHECK(s);
  return 0;
}

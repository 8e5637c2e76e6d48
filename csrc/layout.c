/* layout.c - where each region of the segment lies, and the signature of the layout. */
#include "layout.h"

#include <stdio.h>
#include <string.h>

#include "platform.h"

static uint64_t round_up(uint64_t v, uint64_t unit) { return (v + unit - 1) / unit * unit; }

static uint64_t mix(uint64_t h, uint64_t v) {
  for (int i = 0; i < 8; i++) {
    h ^= (v >> (8 * i)) & 0xff;
    h *= 0x100000001b3ull; /* FNV-1a */
  }
  return h;
}

uint64_t nbsi_layout_signature(void) {
  const uint64_t facts[] = {NBSI_VERSION,
                            sizeof(nbsi_header),
                            sizeof(nbsi_slot),
                            sizeof(nbsi_chan),
                            sizeof(nbsi_ring),
                            offsetof(nbsi_ring, tail),
                            offsetof(nbsi_ring, head_seen),
                            offsetof(nbsi_ring, head),
                            offsetof(nbsi_ring, tail_seen),
                            sizeof(nbsi_record),
                            offsetof(nbs_msg, len),
                            offsetof(nbs_msg, chan),
                            offsetof(nbs_msg, seq),
                            offsetof(nbs_msg, kind),
                            offsetof(nbs_msg, flags),
                            offsetof(nbs_msg, a),
                            offsetof(nbs_msg, b),
                            sizeof(nbsi_entry),
                            sizeof(nbsi_block),
                            sizeof(nbsi_fext),
                            offsetof(nbsi_fext, size),
                            offsetof(nbsi_fext, bin_next),
                            sizeof(nbsi_event_ctl),
                            sizeof(nbs_event),
                            offsetof(nbsi_event_ctl, tail),
                            sizeof(pthread_mutex_t),
                            offsetof(nbsi_header, lock),
                            offsetof(nbsi_header, reserved),
                            offsetof(nbsi_header, entries_backed),
                            offsetof(nbsi_header, entries_used),
                            offsetof(nbsi_header, slots_backed),
                            offsetof(nbsi_header, slots_used),
                            offsetof(nbsi_header, chans_used),
                            offsetof(nbsi_header, rings_backed),
                            offsetof(nbsi_header, fold_word),
                            offsetof(nbsi_header, used_bytes),
                            offsetof(nbsi_header, n_objects),
                            offsetof(nbsi_header, entry_free),
                            offsetof(nbsi_header, fext_free),
                            offsetof(nbsi_header, ext_first),
                            offsetof(nbsi_header, lru_head),
                            offsetof(nbsi_header, bin_map),
                            offsetof(nbsi_header, bins),
                            offsetof(nbsi_header, ring_map),
                            offsetof(nbsi_header, seal_gen),
                            offsetof(nbsi_header, orphans),
                            offsetof(nbsi_header, events_behind),
                            offsetof(nbsi_header, events_heard),
                            offsetof(nbsi_slot, events),
                            offsetof(nbsi_slot, pid),
                            offsetof(nbsi_slot, start_time),
                            offsetof(nbsi_slot, pid_ns),
                            offsetof(nbsi_slot, cpu),
                            offsetof(nbsi_slot, counters),
                            offsetof(nbsi_slot, owned_sum),
                            offsetof(nbsi_slot, bell),
                            offsetof(nbsi_slot, serve_bell),
                            offsetof(nbsi_slot, ring_gen),
                            offsetof(nbsi_slot, ring_pending),
                            offsetof(nbsi_slot, waiting),
                            offsetof(nbsi_slot, stop_again),
                            offsetof(nbsi_slot, sleeping),
                            offsetof(nbsi_slot, serve_sleeping),
                            offsetof(nbsi_slot, owned_ready),
                            offsetof(nbsi_slot, served_ready),
                            offsetof(nbsi_chan, run_seq),
                            offsetof(nbsi_chan, owner),
                            offsetof(nbsi_chan, worker),
                            offsetof(nbsi_chan, ring_unit),
                            offsetof(nbsi_chan, ring_bytes),
                            offsetof(nbsi_chan, run_start),
                            offsetof(nbsi_chan, cancel_seq),
                            offsetof(nbsi_chan, run_count),
                            offsetof(nbsi_chan, run_what),
                            offsetof(nbsi_chan, down),
                            offsetof(nbsi_chan, up),
                            offsetof(nbsi_entry, id),
                            offsetof(nbsi_entry, off),
                            offsetof(nbsi_entry, meta),
                            offsetof(nbsi_entry, block),
                            offsetof(nbsi_entry, size),
                            offsetof(nbsi_entry, promiser),
                            offsetof(nbsi_entry, creator),
                            offsetof(nbsi_entry, loader),
                            offsetof(nbsi_entry, child_refs),
                            offsetof(nbsi_entry, hash_next),
                            offsetof(nbsi_entry, ext_prev),
                            offsetof(nbsi_entry, lru_prev),
                            offsetof(nbsi_entry, stamp),
                            offsetof(nbsi_entry, transit),
                            offsetof(nbsi_entry, n_children),
                            offsetof(nbsi_entry, holders),
                            offsetof(nbsi_entry, pins),
                            NBS_ID_SIZE,
                            NBS_MAX_SLOTS,
                            NBS_MAX_CHANNELS,
                            NBSI_BINS,
                            NBSI_CHUNK,
                            NBSI_RING_UNIT,
                            NBSI_RING_UNITS,
                            NBSI_EVENTS,
                            NBS_N_COUNTERS};
  uint64_t h = 0xcbf29ce484222325ull;
  for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) h = mix(h, facts[i]);
  return h;
}

const char *nbs_layout(void) {
  static char text[64]; /* always the same text, so that racing writers do not matter */
  snprintf(text, sizeof text, "segment version %u, layout %016llx", NBSI_VERSION,
           (unsigned long long)nbsi_layout_signature());
  return text;
}

static uint64_t place(uint64_t *at, uint64_t bytes, uint64_t page) {
  uint64_t off = *at;
  *at = round_up(off + bytes, page);
  return off;
}

void nbsi_geometry_make(nbsi_geometry *g, uint64_t capacity, uint32_t max_entries,
                        uint32_t page_size) {
  memset(g, 0, sizeof *g);
  if (max_entries == 0) {
    /* One entry per KiB serves stores full of tiny objects; entries cost memory only
     * when they come into use. */
    uint64_t n = capacity / 1024;
    max_entries = n<4096 ? 4096u : n>(1u << 20) ? 1u << 20 : (uint32_t)n;
  }
  uint32_t buckets = 1024;
  while (buckets < max_entries && buckets < (1u << 20)) buckets *= 2;
  g->magic = NBSI_MAGIC;
  g->signature = nbsi_layout_signature();
  g->version = NBSI_VERSION;
  g->page_size = page_size;
  g->capacity = capacity;
  g->arena_size = round_up(capacity, NBS_ALIGN) + sizeof(nbsi_block);
  g->max_entries = max_entries;
  g->n_buckets = buckets;
  uint64_t at = 0;
  uint64_t n = max_entries;
  place(&at, sizeof(nbsi_header), page_size);
  g->off_slots = place(&at, sizeof(nbsi_slot) * NBS_MAX_SLOTS, page_size);
  g->off_chans = place(&at, sizeof(nbsi_chan) * NBS_MAX_CHANNELS, page_size);
  g->off_entries = place(&at, sizeof(nbsi_entry) * n, page_size);
  g->off_fexts = place(&at, sizeof(nbsi_fext) * (n + 2), page_size);
  g->off_buckets = place(&at, sizeof(uint32_t) * buckets, page_size);
  g->off_scratch = place(&at, sizeof(uint32_t) * n, page_size);
  g->off_warm = place(&at, g->arena_size / NBSI_CHUNK + 1, page_size);
  g->off_rings = place(&at, (uint64_t)NBSI_RING_UNITS * NBSI_RING_UNIT, page_size);
  g->off_events =
      place(&at, (uint64_t)(NBS_MAX_SLOTS + 1) * NBSI_EVENTS * sizeof(nbs_event), page_size);
  at = round_up(at, NBSI_CHUNK);
  g->off_arena = place(&at, g->arena_size, page_size);
  g->total_size = at + page_size; /* a zero-size object at the very end points here */
}

int nbsi_geometry_check(const nbsi_geometry *g, uint64_t file_size, char *why, size_t why_len) {
  if (g->magic != NBSI_MAGIC) {
    snprintf(why, why_len, "not a segment: magic %016llx", (unsigned long long)g->magic);
    return NBS_EVERSION;
  }
  if (g->version != NBSI_VERSION || g->signature != nbsi_layout_signature()) {
    snprintf(why, why_len, "segment version %u, layout %016llx; this library has %s", g->version,
             (unsigned long long)g->signature, nbs_layout());
    return NBS_EVERSION;
  }
  if (g->page_size != nbsi_page_size()) {
    snprintf(why, why_len, "segment has pages of %u bytes, this machine %u", g->page_size,
             nbsi_page_size());
    return NBS_EVERSION;
  }
  nbsi_geometry mine;
  nbsi_geometry_make(&mine, g->capacity, g->max_entries, g->page_size);
  if (g->max_entries == 0 || memcmp(&mine, g, sizeof mine) != 0) { /* no padding in it */
    snprintf(why, why_len, "the segment's regions are not where its sizes put them");
    return NBS_EVERSION;
  }
  if (file_size != g->total_size) {
    snprintf(why, why_len, "segment file has %llu bytes, its header says %llu",
             (unsigned long long)file_size, (unsigned long long)g->total_size);
    return NBS_EVERSION;
  }
  return NBS_OK;
}

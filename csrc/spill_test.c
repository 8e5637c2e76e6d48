/* spill_test.c - what may be spilled, which is chosen, and what becomes of it. */
#include "nbt.h"

static void out_and_in(void) {
  nbs_seg *s = nbt_segment(1 << 20);
  uint64_t obj = nbt_put(s, 1, 100000, 7u << 16, 9), back[4];
  void *data;
  nbs_object o;
  void *view = nbs_view(s, obj), *again = nbs_view(s, obj);
  NBT_EQ(nbs_spill_out(s, obj), NBS_EAGAIN);
  nbs_view_end(view);
  NBT_EQ(nbs_spill_out(s, obj), NBS_EAGAIN);
  NBT_CHECK(s);
  nbs_view_end(again);
  NBT_OK(nbs_spill_out(s, obj));
  NBT_EQ(nbs_spill_out(s, obj), NBS_ESTATE);
  NBT_CHECK(s);
  NBT_EQ(nbt_stats(s).used, 0);
  NBT_EQ(nbt_stats(s).n_spilled, 1);
  NBT_EQ(nbt_stats(s).spilled_bytes, 100000);
  NBT_EQ(nbs_obj_state(s, obj), NBS_SEALED);
  NBT_OK(nbs_obj_info(s, obj, &o));
  NBT_EQ(o.size, 100000);
  NBT_EQ(o.meta, 7u << 16 | NBS_META_SPILLED);
  NBT_TRUE(o.data == NULL && nbs_view(s, obj) == NULL);
  NBT_EQ(nbs_obj_create(s, nbt_id(1), 5, 0, 0, NULL, 0, &back[0], &data), NBS_EEXISTS);
  NBT_TRUE(data == NULL);
  NBT_EQ(nbs_release(s, back[0]), 0);
  NBT_EQ(nbs_restore_end(s, obj, 1), NBS_ESTATE);
  NBT_OK(nbs_restore_begin(s, obj, NULL, 0, &data));
  NBT_EQ(nbs_restore_begin(s, obj, NULL, 0, &data), NBS_ESTATE);
  NBT_TRUE(nbs_view(s, obj) == NULL);
  NBT_CHECK(s);
  memset(data, 9, 100000);
  NBT_OK(nbs_restore_end(s, obj, 1));
  NBT_EQ(nbs_restore_begin(s, obj, NULL, 0, &data), NBS_EEXISTS);
  unsigned char *bytes = nbs_view(s, obj);
  NBT_TRUE(bytes != NULL && bytes[0] == 9 && bytes[99999] == 9);
  nbs_view_end(bytes);
  NBT_CHECK(s);
  NBT_OK(nbs_spill_out(s, obj));
  uint8_t alive[1];
  NBT_EQ(nbs_live_many(s, &obj, 1, alive), 0);
  NBT_EQ(nbs_release(s, obj), 1);
  NBT_EQ(nbs_live_many(s, &obj, 1, alive), 1);
  NBT_EQ(nbt_stats(s).n_spilled, 0);
  NBT_EQ(nbt_stats(s).spilled_bytes, 0);
  NBT_CHECK(s);
  nbs_detach(s);
}

static void lost_and_promised_again(void) {
  nbs_seg *s = nbt_segment(1 << 20);
  uint64_t obj = nbt_put(s, 1, 1000, 0, 9), again;
  nbs_object o;
  void *data;
  NBT_EQ(nbs_repromise(s, obj), NBS_ESTATE);
  NBT_OK(nbs_spill_out(s, obj));
  NBT_OK(nbs_restore_end(s, obj, -1));
  NBT_OK(nbs_obj_info(s, obj, &o));
  NBT_EQ(o.meta, NBS_META_LOST | NBS_META_SPILLED);
  NBT_EQ(nbt_stats(s).n_spilled, 0);
  NBT_CHECK(s);
  NBT_OK(nbs_repromise(s, obj));
  NBT_EQ(nbs_obj_state(s, obj), NBS_PROMISED);
  NBT_CHECK(s);
  NBT_OK(nbs_obj_create(s, nbt_id(1), 10, 0, 0, NULL, 0, &again, &data));
  NBT_EQ(again, obj);
  NBT_OK(nbs_obj_seal(s, obj));
  NBT_OK(nbs_obj_info(s, obj, &o));
  NBT_EQ(o.meta, 0);
  NBT_CHECK(s);
  nbs_detach(s);
}

/* The spiller holds the children of what it spilled; containers list them again after. */
static void containers(void) {
  nbs_seg *s = nbt_segment(1 << 20);
  uint64_t child = nbt_put(s, 1, 100, 0, 1), outer, found[2];
  void *data;
  NBT_OK(nbs_obj_create(s, nbt_id(2), 1000, 0, 0, &child, 1, &outer, &data));
  NBT_OK(nbs_obj_seal(s, outer));
  NBT_EQ(nbs_obj_children(s, outer, found, 2), 1);
  NBT_EQ(found[0], child);
  NBT_OK(nbs_spill_out(s, outer)); /* our own hold on the child is the spiller's */
  NBT_CHECK(s);
  NBT_OK(nbs_restore_begin(s, outer, &child, 1, &data));
  NBT_OK(nbs_restore_end(s, outer, 1));
  NBT_EQ(nbs_release(s, child), 0);
  NBT_EQ(nbs_contains(s, nbt_id(1)), NBS_SEALED);
  NBT_EQ(nbs_release(s, outer), 1);
  NBT_EQ(nbs_contains(s, nbt_id(1)), 0);
  NBT_CHECK(s);
  nbs_detach(s);
}

static void the_oldest_first(void) {
  nbs_seg *s = nbt_segment(8 << 20);
  uint64_t objs[10], out[10];
  for (uint64_t i = 0; i < 10; i++) objs[i] = nbt_put(s, i, 100000, 0, 1);
  nbs_view_end(nbs_view(s, objs[0])); /* looked at just now */
  void *view = nbs_view(s, objs[2]);
  NBT_EQ(nbs_release(s, nbt_put(s, 20, 100000, NBS_META_KEEP, 1)), 0); /* evictable: not spilled */
  nbt_put(s, 21, 100, 0, 1);
  NBT_EQ(nbs_spill_victims(s, 0, 150000, 1000, out, 10), 2);
  NBT_EQ(out[0], objs[1]);
  NBT_EQ(out[1], objs[3]);
  NBT_EQ(nbs_spill_victims(s, 0, UINT64_MAX, 1000, out, 10), 9);
  NBT_EQ(out[8], objs[0]);
  nbs_view_end(view);
  NBT_EQ(nbs_spill_victims(s, 0, UINT64_MAX, 1000, out, 3), 3);
  nbs_detach(s);
}

/* Room for one large object between pinned ones: the cheapest run of neighbours goes. */
static void a_run_of_neighbours(void) {
  nbs_seg *s = nbt_segment(1 << 20);
  uint64_t objs[10], out[10], obj;
  void *view[10] = {NULL};
  for (uint64_t i = 0; i < 10; i++) objs[i] = nbt_put(s, i, 100000, 0, 1);
  NBT_EQ(nbs_spill_victims(s, 2000000, 0, 0, out, 10), NBS_ETOOBIG);
  view[4] = nbs_view(s, objs[4]);
  NBT_EQ(nbs_release(s, objs[7]), 1);
  int64_t n = nbs_spill_victims(s, 250000, 0, 0, out, 10);
  NBT_EQ(n, 2); /* two beside the hole that is there; the end of the arena has 48 KB */
  for (int64_t i = 0; i < n; i++) NBT_OK(nbs_spill_out(s, out[i]));
  NBT_EQ(nbs_spill_victims(s, 250000, 0, 0, out, 10), 0);
  NBT_OK(nbs_obj_create(s, nbt_id(50), 250000, 0, 0, NULL, 0, &obj, NULL));
  NBT_EQ(nbs_spill_victims(s, 500000, 0, 0, out, 10), NBS_EFULL); /* unsealed, pinned */
  nbs_view_end(view[4]);
  NBT_CHECK(s);
  nbs_detach(s);
}

static void labels(void) {
  nbs_seg *s = nbt_segment(1 << 20);
  uint64_t obj;
  void *data;
  nbs_list_item item;
  NBT_OK(nbs_obj_create(s, nbt_id(1), 10, 0, 0, NULL, 0, &obj, &data));
  NBT_OK(nbs_obj_label(s, obj, "a label that is longer than the forty bytes there are"));
  NBT_OK(nbs_obj_seal(s, obj));
  NBT_EQ(nbs_obj_label(s, obj, "late"), NBS_ESTATE);
  void *view = nbs_view(s, obj);
  NBT_EQ(nbs_list(s, &item, 1), 1);
  NBT_TRUE(strcmp(item.label, "a label that is longer than the forty b") == 0);
  NBT_EQ(item.n_pinned, 1);
  NBT_EQ(item.holders[0], nbs_self(s));
  NBT_EQ(item.holders[1], 0);
  nbs_view_end(view);
  nbs_detach(s);
}

int main(void) {
  NBT_RUN(out_and_in);
  NBT_RUN(lost_and_promised_again);
  NBT_RUN(containers);
  NBT_RUN(the_oldest_first);
  NBT_RUN(a_run_of_neighbours);
  NBT_RUN(labels);
  return 0;
}

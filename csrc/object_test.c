/* object_test.c - the life of objects, sizes at the edges, children, eviction, views. */
#include "nbt.h"

static void life_of_an_object(void) {
  nbs_seg *s = nbt_segment(1 << 20);
  uint64_t obj, again;
  void *data;
  NBT_EQ(nbs_contains(s, nbt_id(1)), 0);
  NBT_OK(nbs_obj_create(s, nbt_id(1), 100, 7u << 16, 0, NULL, 0, &obj, &data));
  NBT_EQ((uintptr_t)data % NBS_ALIGN, 0);
  NBT_EQ(nbs_contains(s, nbt_id(1)), NBS_CREATED);
  NBT_OK(nbs_obj_write(s, obj, 10, "hello", 5));
  NBT_EQ(nbs_obj_write(s, obj, 96, "hello", 5), NBS_EINVAL);
  NBT_EQ(nbs_obj_write(s, obj, UINT64_MAX, "hello", 5), NBS_EINVAL);
  NBT_OK(nbs_obj_seal(s, obj));
  NBT_EQ(nbs_obj_seal(s, obj), NBS_ESTATE);
  NBT_EQ(nbs_obj_write(s, obj, 0, "hello", 5), NBS_ESTATE);
  NBT_EQ(nbs_obj_abort(s, obj), NBS_ESTATE);
  nbs_object o;
  NBT_OK(nbs_obj_info(s, obj, &o));
  NBT_EQ(o.size, 100);
  NBT_EQ(o.meta, 7u << 16);
  NBT_EQ(o.state, NBS_SEALED);
  NBT_EQ(o.promiser, nbs_self(s));
  NBT_TRUE(memcmp((char *)o.data + 10, "hello", 5) == 0);
  NBT_EQ(nbs_obj_create(s, nbt_id(1), 5, 0, 0, NULL, 0, &again, &data), NBS_EEXISTS);
  NBT_EQ(again, obj);
  NBT_EQ(nbs_release(s, obj), 0);
  NBT_CHECK(s);
  NBT_EQ(nbs_release(s, obj), 1);
  NBT_EQ(nbs_release(s, obj), NBS_ENOTFOUND);
  NBT_EQ(nbs_hold(s, obj), NBS_ENOTFOUND);
  NBT_EQ(nbs_obj_info(s, obj, &o), NBS_ENOTFOUND);
  NBT_EQ(nbs_lookup(s, nbt_id(1), &obj), NBS_ENOTFOUND);
  NBT_EQ(nbt_stats(s).used, 0);
  NBT_CHECK(s);
  nbs_detach(s);
}

static void promise_then_create(void) {
  nbs_seg *s = nbt_segment(1 << 20);
  uint64_t obj, again;
  void *data;
  NBT_OK(nbs_promise(s, nbt_id(1), &obj));
  NBT_EQ(nbs_promise(s, nbt_id(1), &again), NBS_EEXISTS);
  NBT_EQ(again, obj);
  NBT_EQ(nbs_obj_state(s, obj), NBS_PROMISED);
  NBT_TRUE(nbs_view(s, obj) == NULL);
  NBT_OK(nbs_obj_create(s, nbt_id(1), 10, 0, 0, NULL, 0, &again, &data));
  NBT_EQ(again, obj);
  NBT_CHECK(s);
  NBT_OK(nbs_obj_abort(s, obj)); /* back to promised: its promiser lives */
  NBT_EQ(nbs_obj_state(s, obj), NBS_PROMISED);
  NBT_CHECK(s);
  NBT_OK(nbs_obj_create(s, nbt_id(1), 20, 0, 0, NULL, 0, &again, &data));
  NBT_OK(nbs_obj_seal(s, obj));
  NBT_EQ(nbs_release(s, obj), 0);
  NBT_EQ(nbs_release(s, obj), 0);
  NBT_EQ(nbs_release(s, obj), 1);
  NBT_CHECK(s);
  nbs_detach(s);
}

static void abort_frees(void) {
  nbs_seg *s = nbt_segment(1 << 20);
  uint64_t obj;
  NBT_OK(nbs_obj_create(s, nbt_id(1), 1000, 0, 0, NULL, 0, &obj, NULL));
  NBT_OK(nbs_obj_abort(s, obj));
  NBT_EQ(nbt_stats(s).n_objects, 0);
  NBT_EQ(nbt_stats(s).used, 0);
  NBT_CHECK(s);
  nbs_detach(s);
}

/* Capacity - 1, capacity, capacity + 1 and the far ends, into an empty and a used store. */
static void sizes(void) {
  const uint64_t capacity = 8 << 20;
  nbs_seg *s = nbt_segment(capacity);
  const uint64_t fine[] = {0, 1, 63, 64, 65, capacity - 1, capacity};
  const uint64_t big[] = {capacity + 1, capacity + 65, 1ull << 31,
                          1ull << 32,   1ull << 63,    UINT64_MAX};
  uint64_t obj;
  void *data;
  for (int round = 0; round < 2; round++) {
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
      NBT_OK(nbs_obj_create(s, nbt_id(1), fine[i], 0, 0, NULL, 0, &obj, &data));
      memset(data, 1, fine[i]);
      NBT_OK(nbs_obj_seal(s, obj));
      NBT_TRUE(nbt_stats(s).used <= capacity);
      NBT_CHECK(s);
      NBT_EQ(nbs_release(s, obj), 1);
    }
    for (size_t i = 0; i < sizeof big / sizeof big[0]; i++)
      NBT_EQ(nbs_obj_create(s, nbt_id(1), big[i], 0, 0, NULL, 0, &obj, &data), NBS_ETOOBIG);
    NBT_EQ(nbt_stats(s).largest_free, capacity);
  }
  nbt_put(s, 2, 1, 0, 1);
  NBT_EQ(nbs_obj_create(s, nbt_id(1), capacity, 0, 0, NULL, 0, &obj, &data), NBS_EFULL);
  uint64_t largest = nbt_stats(s).largest_free;
  NBT_OK(nbs_obj_create(s, nbt_id(1), largest, 0, 0, NULL, 0, &obj, &data));
  NBT_CHECK(s);
  nbs_detach(s);
}

static void *put_at(nbs_seg *s, uint64_t id, uint64_t size, uint64_t *obj) {
  void *data;
  NBT_OK(nbs_obj_create(s, nbt_id(id), size, 0, 0, NULL, 0, obj, &data));
  memset(data, 1, size);
  NBT_OK(nbs_obj_seal(s, *obj));
  return data;
}

/* Memory that was written before is warm: it is used again before any that nobody has touched, the
 * last that was freed first. */
static void freed_memory_is_used_first(void) {
  const uint64_t size = 1 << 20;
  nbs_seg *s = nbt_segment(64 << 20);
  NBT_EQ(nbs_warm(s, 16 << 20, 16 << 20, 1), 16 << 20); /* so there is free memory behind them */
  uint64_t obj[5];
  void *at[5];
  for (uint64_t i = 0; i < 5; i++) at[i] = put_at(s, i, size, &obj[i]);
  NBT_EQ(nbs_release(s, obj[1]), 1);
  NBT_EQ(nbs_release(s, obj[3]), 1);
  NBT_TRUE(put_at(s, 10, size, &obj[3]) == at[3]);
  NBT_TRUE(put_at(s, 11, size / 2, &obj[1]) == at[1]);
  NBT_TRUE(put_at(s, 12, size, &obj[1]) > at[4]); /* nothing freed is large enough */
  NBT_EQ(nbt_stats(s).reserved, 16 << 20);
  NBT_CHECK(s);
  nbs_detach(s);
}

static void children_live_as_long(void) {
  nbs_seg *s = nbt_segment(1 << 20);
  uint64_t a = nbt_put(s, 1, 10, 0, 1), b = nbt_put(s, 2, 10, 0, 2), outer, deep;
  uint64_t two[] = {a, b}, bad[] = {a + (1ull << 32)};
  NBT_EQ(nbs_obj_create(s, nbt_id(3), 5, 0, 0, bad, 1, &outer, NULL), NBS_ENOTFOUND);
  NBT_OK(nbs_obj_create(s, nbt_id(3), 5, 0, 0, two, 2, &outer, NULL));
  NBT_OK(nbs_obj_seal(s, outer));
  NBT_EQ(nbs_release(s, a), 0);
  NBT_EQ(nbs_release(s, b), 0);
  NBT_EQ(nbs_contains(s, nbt_id(1)), NBS_SEALED);
  NBT_CHECK(s);
  /* A chain of containers 3,000 deep goes without recursion. */
  deep = outer;
  for (uint64_t i = 0; i < 3000; i++) {
    uint64_t next;
    NBT_OK(nbs_obj_create(s, nbt_id(100 + i), 0, 0, 0, &deep, 1, &next, NULL));
    NBT_OK(nbs_obj_seal(s, next));
    NBT_EQ(nbs_release(s, deep), 0);
    deep = next;
  }
  NBT_CHECK(s);
  NBT_EQ(nbt_stats(s).n_objects, 3003);
  NBT_EQ(nbs_release(s, deep), 1);
  NBT_EQ(nbt_stats(s).n_objects, 0);
  NBT_CHECK(s);
  nbs_detach(s);
}

static void eviction_takes_the_oldest(void) {
  nbs_seg *s = nbt_segment(1 << 20);
  uint64_t held = 0;
  for (uint64_t i = 0; i < 8; i++) {
    uint64_t obj = nbt_put(s, i, 100000, NBS_META_KEEP, 1);
    if (i == 0)
      held = obj;
    else
      NBT_EQ(nbs_release(s, obj), 0);
  }
  NBT_EQ(nbt_stats(s).n_kept, 7);
  uint64_t used_again; /* a look-up moves it to the end of the queue */
  NBT_OK(nbs_lookup(s, nbt_id(1), &used_again));
  NBT_EQ(nbs_release(s, used_again), 0);
  NBT_CHECK(s);
  nbt_put(s, 100, 400000, 0, 2);
  NBT_EQ(nbs_contains(s, nbt_id(0)), NBS_SEALED); /* held */
  NBT_EQ(nbs_contains(s, nbt_id(1)), NBS_SEALED); /* used lately */
  NBT_EQ(nbs_contains(s, nbt_id(2)), 0);
  NBT_CHECK(s);
  NBT_TRUE(nbs_evict(s, 1) >= 100000);
  NBT_TRUE(nbs_evict(s, UINT64_MAX) > 0);
  NBT_EQ(nbt_stats(s).n_kept, 0);
  NBT_EQ(nbs_delete(s, nbt_id(0)), NBS_OK);
  NBT_EQ(nbs_delete(s, nbt_id(0)), NBS_ENOTFOUND);
  NBT_EQ(nbs_release(s, held), 1); /* forgotten, so not kept */
  NBT_CHECK(s);
  /* A child that is evictable must not be evicted while room is made for its container. */
  NBT_EQ(nbt_stats(s).n_objects, 1);
  uint64_t child = nbt_put(s, 200, 100000, NBS_META_KEEP, 1), outer;
  NBT_EQ(nbs_release(s, child), 0);
  NBT_EQ(nbs_obj_create(s, nbt_id(201), 900000, 0, 0, &child, 1, &outer, NULL), NBS_EFULL);
  NBT_EQ(nbs_contains(s, nbt_id(200)), NBS_SEALED);
  NBT_CHECK(s);
  nbs_detach(s);
}

static void views_hold(void) {
  int fd = nbt_create(1 << 20);
  nbs_seg *s = nbt_attach(fd), *other = nbt_attach(fd);
  uint64_t obj = nbt_put(s, 1, 1000, 0, 42), empty = nbt_put(s, 2, 0, 0, 0);
  unsigned char *view = nbs_view(s, obj);
  void *nothing = nbs_view(s, empty);
  NBT_TRUE(view != NULL && nothing != NULL);
  NBT_EQ(nbs_n_views(s), 2);
  NBT_EQ(nbs_n_views(other), 0);
  NBT_EQ(nbs_held_by(other, obj, nbs_self(s)), 1);
  NBT_EQ(nbs_held_by(other, obj, nbs_self(other)), 0);
  NBT_EQ(nbs_held_by(other, obj, nbs_self(s) + (1ull << 32)), NBS_ENOTFOUND);
  NBT_EQ(nbs_release(s, obj), 0);
  NBT_EQ(nbs_release(s, empty), 0);
  nbs_view_end(nothing);
  NBT_EQ(nbs_n_views(s), 1);
  NBT_EQ(nbs_contains(s, nbt_id(2)), 0);
  nbs_detach(s); /* the view keeps mapping, slot and hold */
  NBT_EQ(nbs_contains(other, nbt_id(1)), NBS_SEALED);
  NBT_EQ(view[999], 42);
  NBT_EQ(nbt_stats(other).n_slots, 2);
  nbs_view_end(view);
  NBT_EQ(nbs_contains(other, nbt_id(1)), 0);
  NBT_EQ(nbs_held_by(other, obj, nbs_self(other)), NBS_ENOTFOUND);
  NBT_EQ(nbt_stats(other).n_slots, 1);
  nbs_view_end(view); /* of nobody: ignored */
  NBT_CHECK(other);
  nbs_detach(other);
  close(fd);
}

static void transit_holds(void) {
  int fd = nbt_create(1 << 20);
  nbs_seg *a = nbt_attach(fd), *b = nbt_attach(fd);
  uint64_t obj;
  NBT_EQ(nbs_obj_create(a, nbt_id(1), 8, 0, nbs_self(b) + (9ull << 32), NULL, 0, &obj, NULL),
         NBS_EDEAD);
  NBT_OK(nbs_obj_create(a, nbt_id(1), 8, 0, nbs_self(b), NULL, 0, &obj, NULL));
  NBT_OK(nbs_obj_seal(a, obj));
  NBT_EQ(nbs_release(a, obj), 0);
  NBT_CHECK(a);
  NBT_EQ(nbs_adopt(a, obj), NBS_ESTATE);
  NBT_OK(nbs_adopt(b, obj));
  NBT_EQ(nbs_adopt(b, obj), NBS_ESTATE);
  NBT_EQ(nbs_release(b, obj), 1);
  NBT_CHECK(a);
  nbs_detach(a);
  nbs_detach(b);
  close(fd);
}

static void lists_and_limits(void) {
  char why[256];
  int fd;
  NBT_OK(nbs_create(1 << 20, 10, &fd, why, sizeof why));
  nbs_seg *s = nbt_attach(fd);
  for (uint64_t i = 0; i < 10; i++) nbt_put(s, i, i, 0, 1);
  uint64_t obj;
  NBT_EQ(nbs_obj_create(s, nbt_id(10), 1, 0, 0, NULL, 0, &obj, NULL), NBS_ELIMIT);
  NBT_EQ(nbs_promise(s, nbt_id(10), &obj), NBS_ELIMIT);
  nbs_list_item items[4];
  NBT_EQ(nbs_list(s, items, 4), 10);
  NBT_EQ(items[3].size, 3);
  NBT_EQ(items[3].n_holders, 1);
  NBT_CHECK(s);
  nbs_detach(s);
  close(fd);
}

/* Copies by one thread and by many leave the same bytes, also where parts meet. */
static void copies_in_parts(void) {
  const uint64_t sizes[] = {8u << 20, (8u << 20) + 1, 13000003, 40000000};
  uint8_t *src = malloc(sizes[3]);
  for (uint64_t i = 0; i < sizes[3]; i++) src[i] = (uint8_t)(i * 2654435761u >> 13);
  nbs_seg *s = nbt_segment(128u << 20);
  for (uint32_t cpus = 1; cpus <= 16; cpus *= 2) {
    s->n_cpus = cpus;
    for (int i = 0; i < 4; i++) {
      uint64_t obj;
      void *data;
      NBT_OK(nbs_obj_create(s, nbt_id(1), sizes[i] + 100, 0, 0, NULL, 0, &obj, &data));
      NBT_OK(nbs_obj_write(s, obj, 77, src, sizes[i]));
      NBT_OK(nbs_obj_seal(s, obj));
      NBT_TRUE(memcmp((uint8_t *)data + 77, src, sizes[i]) == 0);
      NBT_EQ(nbs_release(s, obj), 1);
    }
  }
  NBT_CHECK(s);
  nbs_detach(s);
  free(src);
}

int main(void) {
  NBT_RUN(life_of_an_object);
  NBT_RUN(promise_then_create);
  NBT_RUN(abort_frees);
  NBT_RUN(sizes);
  NBT_RUN(freed_memory_is_used_first);
  NBT_RUN(children_live_as_long);
  NBT_RUN(eviction_takes_the_oldest);
  NBT_RUN(views_hold);
  NBT_RUN(transit_holds);
  NBT_RUN(lists_and_limits);
  NBT_RUN(copies_in_parts);
  return 0;
}

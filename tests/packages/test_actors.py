"""Packages built on actors: rayorch (pipelines with pools of actors), sunray (Ray's core with types)."""

from __future__ import annotations


class AddOne:
    def run(self, values):
        return [value + 1 for value in values]


class Split:
    def run(self, values):
        return [list(range(value)) for value in values]


class Total:
    def run(self, groups):
        return [sum(group) for group in groups]


def test_rayorch():
    import rayorch as ro

    class Chain(ro.Pipeline):
        def __init__(self):
            self.first = ro.RayModule(AddOne).ray_options(replicas=2, batch_size=4, num_cpus=0)
            self.second = ro.RayModule(AddOne).ray_options(replicas=1, batch_size=8, num_cpus=0)

        def forward(self, values):
            return self.second(self.first(values))

    result = Chain().run(list(range(40)), input_batch_size=5, max_active_input_batches=3)
    assert result.outputs == [x + 2 for x in range(40)]


def test_rayorch_with_parts_of_unequal_length():
    import rayorch as ro

    class Tree(ro.Pipeline):
        def __init__(self):
            self.split = ro.RayModule(Split).ray_options(replicas=1, batch_size=4, num_cpus=0)
            self.add = ro.RayModule(AddOne).ray_options(replicas=2, batch_size=3, num_cpus=0)
            self.total = ro.RayModule(Total).ray_options(replicas=1, batch_size=4, num_cpus=0)

        def forward(self, values):
            parts = ro.F.expand(self.split(values))
            return self.total(ro.F.reduce(self.add(parts)))

    with ro.Executor(Tree()) as executor:
        for count in (3, 12):
            values = list(range(1, count))
            assert executor.run(values).outputs == [sum(range(1, n + 1)) for n in values]


def test_sunray():
    import sunray

    class Scaled(sunray.ActorMixin, num_cpus=0, concurrency_groups={"aside": 1}):
        def __init__(self, factor):
            self.factor = factor

        @sunray.remote_method
        async def times(self, value):
            return self.factor * value

        @sunray.remote_method(concurrency_group="aside")
        def plain(self):
            return self.factor

        @sunray.remote_method
        def up_to(self, end):
            for value in range(end):
                yield self.factor * value

    @sunray.remote
    def add(a, b):
        return a + b

    actor = Scaled.new_actor().options(name="scaled").remote(3)
    found = sunray.get_actor[Scaled]("scaled")
    assert sunray.get([actor.methods.times.remote(2), found.methods.plain.options(name="named").remote()]) == (6, 3)
    assert [sunray.get(ref) for ref in actor.methods.up_to.remote(4)] == [0, 3, 6, 9]
    assert sunray.get(add.remote(actor.methods.times.remote(1), 1)) == 4

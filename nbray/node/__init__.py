"""The node: its daemon, the zygote that forks workers, and how they are started."""

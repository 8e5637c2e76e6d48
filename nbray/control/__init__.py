"""What a cluster knows: tables of nodes, jobs and actors. Pure."""

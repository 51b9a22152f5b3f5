"""Several equal nodes over one database: who they are, who takes over whose work, how each follows what others do."""

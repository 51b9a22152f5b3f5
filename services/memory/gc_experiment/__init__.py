"""The same workload under several settings of the collector, each in fresh processes, several times in turn."""

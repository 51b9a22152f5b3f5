"""The garbage collector under control: settings with trials, collections with their yield, a policy of our own."""

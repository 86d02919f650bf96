"""How any network of ours learns: optimiser, replicas, checkpoints."""

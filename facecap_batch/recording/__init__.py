"""Recording a take from a live source, looking at it meanwhile, and running it as any other video."""

"""Everything behind the entry points: the pipeline, its pure rules, and the backends it runs on."""

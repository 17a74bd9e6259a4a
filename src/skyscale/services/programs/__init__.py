"""Programs of templates. Each runs alone, from one variable, in an image that has Python and nothing else."""

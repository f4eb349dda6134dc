"""Parts of the reference code that no command uses; they are kept for the golden comparison."""

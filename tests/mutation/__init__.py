"""Does the suite notice when the code that handles money is wrong? Mutants of it, and its branch coverage."""

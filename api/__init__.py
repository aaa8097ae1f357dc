"""How does the outside reach us? HTTP, and the command line."""

import gc

# The garbage collector looks for cycles every 100,000 new objects instead of every 700, in each
# process of the product from its beginning: a million objects come with the imports, a fifth of
# the start went into looking at them; of a request of 100 events half of the time of reading its
# 2,000 objects of JSON, and of a batch of the pipeline, thousands of rows, a third. None of them
# is in a cycle.
gc.set_threshold(100_000, 20, 20)

"""`kvot bench`: the product's own ways beside a plain script's and the leanest, alternately in one run."""

"""Which jobs count as what: conditions in SQL over a job `j`, some of them over its allocation `a` too."""

from typing import Final

UNFINISHED: Final = "('waiting','released','in_doubt','accepted','running','interrupted')"
UNDER_WAY: Final = "('released','in_doubt','accepted','running','interrupted')"
# What it makes is still to come; what a first piece made comes with its approval.
IN_WORK: Final = f"(j.state IN {UNFINISHED} OR j.first_piece = 'made')"
# What it did not make is made up for by another job.
FELL_SHORT: Final = (
    "(j.state IN ('completed','aborted') AND COALESCE(j.first_piece, '') <> 'made' AND a.good < a.quantity)"
)
# A named person has said that it was not made; its machine may still come to have it.
DISOWNED: Final = (
    "(j.state = 'cancelled' AND EXISTS (SELECT 1 FROM commands c WHERE c.job_id = j.job_id "
    "AND c.settlement = 'person' AND c.kind IN ('load','load_start')))"
)

"""Every table of the ledger, and the rules the database keeps by itself.

A state is changed by one statement only, `UPDATE jobs SET prev_state = state, state = :next WHERE
job_id = :job AND state = :seen` (lines and runs alike): the pair (prev_state, state) must exist in
`job_moves`, so the database refuses every move the model does not know.

A job whose load or load_start command is not settled is in doubt, and stays so (R3, R5): the
command's `unsettled_job` refers to the job's `doubted_job`, which exists only while the job is
`in_doubt`. So an intent is: move the job to `in_doubt`, then insert the command. And an outcome is:
settle the command, then move the job. A job that a machine once accepted is never released again:
the command's `accepted_job` refers to the job's `kept_job`, which is gone after `in_doubt -> released`.

Times are texts written by `times.to_text`, booleans are 0 or 1, and columns of options, parameters,
bodies and evidence hold JSON texts.
"""

from sqlalchemy import (
    REAL,
    CheckConstraint,
    Column,
    Computed,
    Connection,
    ForeignKey,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    text,
)

from gateway.domain.states import (
    JOB_FIRST,
    JOB_MOVES,
    LINE_FIRST,
    LINE_MOVES,
    RUN_FIRST,
    RUN_MOVES,
    JobState,
    LineState,
    RunState,
)
from gateway.ledger import columns, schema_machines, schema_prices, schema_recovery, schema_stock, schema_told
from gateway.ledger.columns import among, count, flag, maybe, moves, states, table, words

META = columns.META


def create(tx: Connection) -> None:
    """Create every table, index and trigger in an empty database, and store the allowed moves."""
    META.create_all(tx)
    for pairs_of, allowed in ((line_moves, LINE_MOVES), (job_moves, JOB_MOVES), (run_moves, RUN_MOVES)):
        pairs = sorted((seen.value, state.value) for seen, state in allowed)
        tx.execute(pairs_of.insert(), [{"prev_state": seen, "state": state} for seen, state in pairs])
    for statement in schema_told.TRIGGERS:
        tx.execute(text(statement))


line_moves = moves("line_moves")
job_moves = moves("job_moves")
run_moves = moves("run_moves")

# Orders ---------------------------------------------------------------------------------------------

shops = table(
    "shops",
    Column("shop", Text, primary_key=True),
    words("site"),
    words("bound_at"),
)

orders = table(
    "orders",
    Column("order_id", Integer, primary_key=True),
    words("shop"),
    words("shop_order_id"),
    words("number", ""),
    words("channel", ""),
    words("kind", "sale"),
    words("status", ""),  # the shop's own word
    words("currency", ""),
    words("placed_at"),
    maybe("received_at"),
    words("payment", ""),  # how it is paid, the shop's own word
    flag("due", 1),
    maybe("shop_hold"),  # why the shop itself holds it, such as a check for fraud
    maybe("let_in"),  # the reason not to make it yet that a person has overruled
    maybe("hold_reason"),  # why a person holds it
    count("revision", 1),
    words("content_hash", ""),
    maybe("told"),  # what the shop was last told of it
    UniqueConstraint("shop", "shop_order_id"),
    among("kind", ("sale", "sample", "remake", "test")),
    sqlite_autoincrement=True,
)

order_lines = table(
    "order_lines",
    Column("line_id", Integer, primary_key=True),
    Column("order_id", Integer, ForeignKey("orders.order_id"), nullable=False),
    words("shop_line_id"),
    count("position", 1),
    maybe("product"),
    words("skus", "[]"),
    words("name", ""),
    words("options", "{}"),
    count("quantity"),
    Column("unit_price_minor", Integer, nullable=False, server_default="0"),
    maybe("promise_at"),
    maybe("promise_source"),
    maybe("expected_at"),
    maybe("change_to"),  # what its row says now, taken over once no machine has a job of it: content.py
    flag("ship_together", 0),
    maybe("parent_line_id"),  # the shop's id of the row it belongs to
    maybe("reason"),
    *states("line_moves", LINE_FIRST, LineState),
    UniqueConstraint("order_id", "shop_line_id"),
    sqlite_autoincrement=True,
)
Index("order_lines_by_state", order_lines.c.state)

personal = table(
    "personal",
    Column("subject", Text, primary_key=True),
    Column("field", Text, primary_key=True),
    words("value"),
    words("erase_after"),
)
Index("personal_by_erase_after", personal.c.erase_after)

files = table(
    "files",
    Column("file_id", Integer, primary_key=True),
    Column("line_id", Integer, ForeignKey("order_lines.line_id"), nullable=False),
    count("step"),
    words("name"),
    maybe("url"),  # personal: it may let everybody in who knows it
    Column("width_mm", REAL, nullable=True),
    Column("height_mm", REAL, nullable=True),
    words("state"),
    maybe("reason"),
    maybe("sha256"),
    count("bytes", nullable=True),
    maybe("type"),
    maybe("path"),  # below the state directory; null: not there (any more)
    words("erase_after"),
    among("state", ("wanted", "checked", "refused", "erased")),
    CheckConstraint("state <> 'checked' OR (sha256 IS NOT NULL AND type IS NOT NULL)", name="checked_content"),
    sqlite_autoincrement=True,
)
Index("files_by_line", files.c.line_id)
Index("files_by_state", files.c.state)

requirements = table(
    "requirements",
    Column("requirement_id", Integer, primary_key=True),
    Column("line_id", Integer, ForeignKey("order_lines.line_id"), nullable=False),
    count("component", 1),
    count("step", 1),
    words("operation"),
    words("family"),
    words("setup_key"),
    words("recipe"),
    words("recipe_version", ""),
    words("parameters", "{}"),
    words("parameters_hash", ""),
    count("quantity"),
    Column("places", REAL, nullable=False, server_default="1.0"),  # what a piece takes of a run
    count("batch", nullable=True),  # pieces that come from the step before together; null: all at once
    count("good", 0),
    count("remade", 0),
    maybe("hold_reason"),
    UniqueConstraint("line_id", "component", "step"),
    sqlite_autoincrement=True,
)

# Production -----------------------------------------------------------------------------------------

runs = table(
    "runs",
    Column("run_id", Integer, primary_key=True),
    words("family"),
    words("setup_key"),
    maybe("machine"),  # a forecast until release fixes it
    *states("run_moves", RUN_FIRST, RunState),
    words("opened_at"),
    maybe("latest_start"),
    maybe("released_at"),
    maybe("release_reason"),
    maybe("first_piece"),  # the job whose piece was approved
    maybe("waits_for"),  # the material and tools that a due run is not released without
    count("in_part", nullable=True),  # a person has said: release it once so many pieces can be made
    Column("express", Integer, ForeignKey("order_lines.line_id"), nullable=True),  # the line it is made for alone
    sqlite_autoincrement=True,
)
Index("runs_by_state", runs.c.state)
Index("runs_by_express", runs.c.express)
_SHARED_AND_OPEN = runs.c.state.in_(("collecting", "committed")) & runs.c.express.is_(None)
Index(
    "one_open_run",
    runs.c.family,
    runs.c.setup_key,
    unique=True,
    sqlite_where=_SHARED_AND_OPEN,
    postgresql_where=_SHARED_AND_OPEN,
)

jobs = table(
    "jobs",
    Column("job_id", Text, CheckConstraint("length(job_id) BETWEEN 1 AND 32", name="job_id_length"), primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.run_id"), nullable=False),
    maybe("machine"),
    words("recipe"),
    words("recipe_version", ""),
    words("parameters", "{}"),
    words("parameters_hash", ""),
    count("quantity"),
    *states("job_moves", JOB_FIRST, JobState),
    Column("remake_of", Text, ForeignKey("jobs.job_id"), nullable=True),
    maybe("promise_at"),  # of the lines it serves: the order of dispatch
    maybe("lot"),
    maybe("cleared_at"),
    maybe("end_asked"),  # cancel or abort: what a shop or a person wants of the machine
    maybe("goes_to"),  # the machine that is to have it once this one has given it back
    maybe("first_piece"),  # of a run that is held until its first piece is approved
    among("end_asked", ("cancel", "abort")),
    among("first_piece", ("due", "made", "approved", "rejected")),
    Column("doubted_job", Text, Computed("CASE WHEN state = 'in_doubt' THEN job_id END", persisted=True), unique=True),
    Column(
        "kept_job",
        Text,
        Computed("CASE WHEN prev_state = 'in_doubt' AND state = 'released' THEN NULL ELSE job_id END", persisted=True),
        unique=True,
    ),
)
Index("jobs_by_run", jobs.c.run_id)
Index("jobs_by_machine", jobs.c.machine, jobs.c.state)
Index("jobs_by_state", jobs.c.state)

allocations = table(
    "allocations",
    Column("job_id", Text, ForeignKey("jobs.job_id"), primary_key=True),
    Column("requirement_id", Integer, ForeignKey("requirements.requirement_id"), primary_key=True),
    count("quantity"),
    count("good", 0),
)
Index("allocations_by_requirement", allocations.c.requirement_id)

deliveries = table(
    "deliveries",  # files that lie in a machine's hot folder for a job
    Column("job_id", Text, ForeignKey("jobs.job_id"), primary_key=True),
    Column("file_id", Integer, primary_key=True),  # outlives its row in files
    words("machine"),
    words("sha256"),
    words("name"),
    words("delivered_at"),
)

job_numbers = table(
    "job_numbers",
    Column("machine", Text, primary_key=True),
    Column(
        "job_no",
        Integer,
        CheckConstraint("job_no BETWEEN 1 AND 4294967295", name="job_no_u32"),
        primary_key=True,
    ),
    Column("job_id", Text, ForeignKey("jobs.job_id"), nullable=False),
    UniqueConstraint("machine", "job_id"),
)

_LOADS = "kind IN ('load', 'load_start')"

commands = table(
    "commands",
    Column("command_id", Integer, primary_key=True),
    Column("job_id", Text, ForeignKey("jobs.job_id"), nullable=False),
    count("attempt"),
    words("kind"),
    words("machine"),
    words("endpoint", ""),
    count("job_no"),
    words("parameters_hash", ""),
    maybe("session"),
    maybe("machine_boot"),
    maybe("baseline"),  # what a machine without memory of jobs showed at the look before
    words("gateway_id", ""),
    Column("fence", Integer, nullable=False, server_default="0"),
    words("intended_at"),
    maybe("settlement"),
    maybe("settled_at"),
    maybe("evidence"),
    flag("busy", 0),  # refused for want of room only: that is no word against the job
    Column(
        "unsettled_job",
        Text,
        Computed(f"CASE WHEN settlement IS NULL AND {_LOADS} THEN job_id END", persisted=True),
        ForeignKey("jobs.doubted_job"),
    ),
    Column(
        "accepted_job",
        Text,
        Computed(f"CASE WHEN settlement = 'accepted' AND {_LOADS} THEN job_id END", persisted=True),
        ForeignKey("jobs.kept_job"),
    ),
    UniqueConstraint("job_id", "kind", "attempt"),
    among("kind", ("load", "load_start", "start", "withdraw", "cancel", "stop", "abort", "clear")),
    among("settlement", ("accepted", "refused", "absent", "person")),
    CheckConstraint("(settlement IS NULL) = (settled_at IS NULL)", name="settled_when"),
    sqlite_autoincrement=True,
)
Index(
    "one_unsettled_command",
    commands.c.machine,
    unique=True,
    sqlite_where=commands.c.settlement.is_(None),
    postgresql_where=commands.c.settlement.is_(None),
)
Index("commands_by_unsettled_job", commands.c.unsettled_job)
Index("commands_by_accepted_job", commands.c.accepted_job)

results = table(
    "results",
    Column("result_id", Integer, primary_key=True),
    Column("job_id", Text, ForeignKey("jobs.job_id"), nullable=False),
    count("produced", nullable=True),
    count("good", nullable=True),
    count("scrap", nullable=True),
    maybe("reason"),
    maybe("started_at"),
    maybe("ended_at"),
    maybe("evidence"),
    maybe("confirmed_by"),  # null: the machine's own count; corrections are further rows with a name
)
Index("results_by_job", results.c.job_id)
Index(
    "one_count_of_the_machine",
    results.c.job_id,
    unique=True,
    sqlite_where=results.c.confirmed_by.is_(None),
    postgresql_where=results.c.confirmed_by.is_(None),
)

lots = table(
    "lots",
    Column("lot", Text, primary_key=True),
    Column("job_id", Text, ForeignKey("jobs.job_id"), nullable=False),
    words("material_lots", "[]"),
    words("recipe_version", ""),
    maybe("approver"),
)
Index("lots_by_job", lots.c.job_id)

# Machines (schema_machines.py) -------------------------------------------------------------------------

machine_facts = schema_machines.machine_facts
probes = schema_machines.probes
probe_commands = schema_machines.probe_commands

calendar_closed = table("calendar_closed", Column("day", Text, primary_key=True), words("reason", ""))

# Stock (schema_stock.py) ----------------------------------------------------------------------------

stock, run_needs, shelf = schema_stock.stock, schema_stock.run_needs, schema_stock.shelf

# Prices (schema_prices.py) --------------------------------------------------------------------------

offers, list_prices, price_log = schema_prices.offers, schema_prices.list_prices, schema_prices.price_log
quotes, proposals = schema_prices.quotes, schema_prices.proposals
pricing_control, reductions = schema_prices.pricing_control, schema_prices.reductions

# What people and the world are told (schema_told.py) ------------------------------------------------

exceptions = schema_told.exceptions
cursors = schema_told.cursors
outbox = schema_told.outbox
events = schema_told.events

# What is asked again after a restore (schema_recovery.py) --------------------------------------------

recovery = schema_recovery.recovery

# The ledger itself ----------------------------------------------------------------------------------

counters = table("counters", Column("name", Text, primary_key=True), count("value"))

meta = table(
    "meta",
    Column("one", Integer, CheckConstraint("one = 1", name="one_row"), primary_key=True),
    words("ledger_id"),
    words("site"),
    count("epoch"),
    count("boot"),
    count("schema"),
    words("quote_secret", ""),  # signs quotes; never shown, never logged
    maybe("recovering"),  # when the backup was made that was restored, until all was asked again
)

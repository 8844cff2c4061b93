"""The tables of machines: what is known of each, the probes that prove it, and what people write by hand."""

from sqlalchemy import REAL, CheckConstraint, Column, ForeignKey, Index, Integer, Text

from gateway.ledger.columns import among, count, flag, maybe, table, words

machine_facts = table(
    "machine_facts",
    Column("machine", Text, primary_key=True),
    words("level", "read"),
    maybe("armed_by"),
    maybe("armed_at"),
    maybe("armed_profile"),
    maybe("identity"),
    maybe("effect_proven"),  # by the last probe, which lapses with the profile or the machine
    maybe("memory_proven"),
    maybe("proven_by"),
    maybe("proven_at"),
    maybe("proven_identity"),
    maybe("proven_profile"),
    maybe("machine_boot"),
    count("hwm_job", 0),
    maybe("hold_reason"),
    maybe("commissioned_by"),
    maybe("commissioned_until"),
    maybe("last_setup_key"),
    words("approved", "[]"),  # recipe@version of the first pieces approved since the last set-up
    among("level", ("read", "load", "start")),
    among("effect_proven", ("remembered", "observable")),
    among("memory_proven", ("persistent", "volatile")),
)

probes = table(
    "probes",
    Column("probe_id", Integer, primary_key=True),
    words("machine"),
    words("effect"),
    words("memory_declared"),
    flag("power_cycle"),
    words("stage"),
    words("text", ""),  # what happened last
    maybe("verdict"),
    maybe("verdict_text"),
    maybe("memory"),
    words("job_id"),
    count("job_no"),
    words("recipe"),
    words("recipe_version", ""),
    words("parameters", "{}"),
    words("parameters_hash", ""),
    words("identity"),
    words("profile"),  # fingerprint
    maybe("machine_boot"),
    count("counted", nullable=True),
    count("gateway_boot"),
    words("who"),
    words("started_at"),
    maybe("ended_at"),
    among("effect", ("remembered", "observable")),
    among("verdict", ("proven", "refuted", "unclear", "stopped")),
    among("memory", ("persistent", "volatile")),
    among(
        "stage",
        ("loading", "repeating", "power", "clearing", "resting", "pressing", "working", "counted", "ended"),
    ),
    sqlite_autoincrement=True,
)
Index(
    "one_probe_at_a_time",
    probes.c.machine,
    unique=True,
    sqlite_where=probes.c.stage != "ended",
    postgresql_where=probes.c.stage != "ended",
)

probe_commands = table(
    "probe_commands",
    Column("command_id", Integer, primary_key=True),
    Column("probe_id", Integer, ForeignKey("probes.probe_id"), nullable=False),
    words("machine"),
    Column("kind", Text, nullable=False),
    count("attempt"),
    words("endpoint"),
    words("session"),
    words("machine_boot"),
    words("parameters_hash", ""),
    words("intended_at"),
    maybe("settlement"),
    maybe("settled_at"),
    maybe("evidence"),
    flag("answered", 0),
    flag("known", 0),
    among("kind", ("load", "cancel", "abort", "clear")),  # never anything that starts
    among("settlement", ("accepted", "refused", "absent")),
    sqlite_autoincrement=True,
)
Index(
    "one_unsettled_probe_command",
    probe_commands.c.machine,
    unique=True,
    sqlite_where=probe_commands.c.settlement.is_(None),
    postgresql_where=probe_commands.c.settlement.is_(None),
)
Index("probe_commands_by_probe", probe_commands.c.probe_id)

hand_writes = table(
    "hand_writes",
    Column("write_id", Integer, primary_key=True),
    words("machine"),
    words("who"),
    words("tag"),
    words("value"),
    count("gateway_boot"),
    Column("until_s", REAL, nullable=False),  # monotonic, of that boot: after it nothing is sent
    words("asked_at"),
    maybe("before"),
    maybe("sent_at"),
    maybe("answer"),
    maybe("evidence"),
    maybe("outcome"),
    maybe("shown"),
    flag("agrees", 0),
    words("text", ""),
    maybe("ended_at"),
    among("answer", ("accepted", "refused")),
    among("outcome", ("taken", "refused", "unknown", "not_sent")),
    CheckConstraint("answer IS NULL OR sent_at IS NOT NULL", name="sent_before_answered"),
    CheckConstraint("outcome IS NOT 'not_sent' OR sent_at IS NULL", name="not_sent"),
    sqlite_autoincrement=True,
)
Index(
    "one_open_hand_write",
    hand_writes.c.machine,
    unique=True,
    sqlite_where=hand_writes.c.outcome.is_(None),
    postgresql_where=hand_writes.c.outcome.is_(None),
)

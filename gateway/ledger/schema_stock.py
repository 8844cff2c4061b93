"""The tables of stock: material as people count it, what released runs need of it, and goods on the shelf."""

from sqlalchemy import REAL, CheckConstraint, Column, ForeignKey, Index, Integer, Text

from gateway.ledger.columns import among, count, table, words

stock = table(
    "stock",
    Column("item", Text, primary_key=True),
    Column(
        "quantity",
        REAL,
        CheckConstraint("quantity >= 0", name="quantity_counted"),
        nullable=False,
        server_default="0.0",
    ),
    words("lots", "[]"),  # those in force: what the quantity may be of, the oldest first
)

# Frozen at the release: what each piece of the run uses, and the tools it keeps until it ends. What is
# reserved and what is in use follow from it and from the states of jobs and runs.
run_needs = table(
    "run_needs",
    Column("run_id", Integer, ForeignKey("runs.run_id"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("item", Text, primary_key=True),
    Column("per_piece", REAL, nullable=True),
    count("pieces_per_cycle", 1),
    among("kind", ("material", "tool")),
    CheckConstraint("(kind = 'material') = (per_piece IS NOT NULL)", name="material_by_the_piece"),
)
Index("run_needs_by_item", run_needs.c.item)

# Finished goods that are nobody's, entry by entry: what lies there is the sum. Only the identical good is
# given out: one with the same fingerprint of article, options and every step that made it.
shelf = table(
    "shelf",
    Column("entry_id", Integer, primary_key=True),
    Column("lot", Text, ForeignKey("lots.lot"), nullable=False),
    words("fingerprint"),
    Column("line_id", Integer, ForeignKey("order_lines.line_id"), nullable=True),  # whose they were, or are now
    words("kind"),
    Column("pieces", Integer, CheckConstraint("pieces > 0", name="pieces_counted"), nullable=False),
    words("at"),
    among("kind", ("put", "take", "back", "discard")),
    CheckConstraint("(kind = 'discard') = (line_id IS NULL)", name="of_a_line"),
    sqlite_autoincrement=True,
)
Index("shelf_by_lot", shelf.c.lot)
Index("shelf_by_line", shelf.c.line_id)

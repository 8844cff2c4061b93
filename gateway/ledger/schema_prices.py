"""The tables of offers, prices, quotes, proposals, and how far prices may go."""

from sqlalchemy import REAL, CheckConstraint, Column, ForeignKey, Index, Integer, Text

from gateway.ledger.columns import among, count, maybe, table, words

offers = table(
    "offers",
    Column("offer_id", Integer, primary_key=True),
    words("shop"),
    words("sku"),
    Column("price_minor", Integer, nullable=True),
    maybe("currency"),
    maybe("promise_at"),
    maybe("campaign"),
    words("body", "{}"),
    words("valid_from"),
    maybe("valid_until"),
)
Index("offers_by_sku", offers.c.shop, offers.c.sku, offers.c.valid_from)
Index(
    "one_offer_in_force",
    offers.c.shop,
    offers.c.sku,
    unique=True,
    sqlite_where=offers.c.valid_until.is_(None),
    postgresql_where=offers.c.valid_until.is_(None),
)

list_prices = table(
    "list_prices",
    Column("shop", Text, primary_key=True),
    Column("sku", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    count("price_minor"),
    count("written_minor", nullable=True),  # what Kvot last wrote as the shop's regular price
    words("since"),
)

price_log = table(
    "price_log",
    Column("price_id", Integer, primary_key=True),
    words("shop"),
    words("sku"),
    words("market", ""),
    words("currency"),
    count("price_minor"),
    words("at"),
)
Index("price_log_by_sku", price_log.c.shop, price_log.c.sku, price_log.c.currency, price_log.c.at)

proposals = table(
    "proposals",
    Column("proposal_id", Integer, primary_key=True),
    words("kind"),
    words("subject"),
    words("body", "{}"),
    words("state", "open"),
    words("created_at"),
    words("expires_at"),
    maybe("decided_by"),
    maybe("decided_at"),
    maybe("reason"),
    among("state", ("open", "approved", "rejected", "expired")),
    sqlite_autoincrement=True,
)
Index("proposals_by_subject", proposals.c.kind, proposals.c.subject, proposals.c.proposal_id)
Index("proposals_by_state", proposals.c.state, proposals.c.created_at)
Index(
    "one_open_proposal",
    proposals.c.kind,
    proposals.c.subject,
    unique=True,
    sqlite_where=proposals.c.state == "open",
    postgresql_where=proposals.c.state == "open",
)

# What people (and the broker, which may only restrict) said of a family; the row '' is about all of them.
pricing_control = table(
    "pricing_control",
    Column("family", Text, primary_key=True),
    maybe("mode"),
    maybe("mode_by"),
    maybe("mode_at"),
    maybe("frozen"),  # here: prices stand; at_list: the list price is put back and stands
    maybe("frozen_by"),
    maybe("frozen_at"),
    maybe("frozen_why"),
    maybe("priced_since"),  # when the family was priced first
    among("mode", ("off", "advise", "auto")),
    among("frozen", ("here", "at_list")),
)

# An announced reduction: approved by a person, at most one in 30 days for a family. closed_at null: it is open.
reductions = table(
    "reductions",
    Column("reduction_id", Integer, primary_key=True),
    words("family"),
    words("code"),
    words("body", "{}"),
    words("opened_at"),
    maybe("closed_at"),
    sqlite_autoincrement=True,
)
Index("reductions_by_family", reductions.c.family, reductions.c.reduction_id)
Index(
    "one_open_reduction",
    reductions.c.family,
    unique=True,
    sqlite_where=reductions.c.closed_at.is_(None),
    postgresql_where=reductions.c.closed_at.is_(None),
)

quotes = table(
    "quotes",
    Column("quote_id", Text, primary_key=True),
    words("shop"),
    words("sku"),
    words("family"),
    count("quantity"),
    words("asked_by"),
    maybe("request_key"),  # the same request asked again with the same key gets the same quote
    words("request_hash"),
    words("body", "{}"),  # what was answered, without what signs it
    words("created_at"),
    words("valid_until"),
    words("held_until"),
    count("units"),  # places held, in the open run or in the next
    maybe("open_promise"),  # of the offer with the open run; null: not offered
    maybe("next_promise"),
    count("after_run"),  # the last run of the family that had been released
    maybe("machine"),  # of the run of one's own that is offered, and what it takes of the machine
    Column("machine_h", REAL, nullable=True),
    Column("proposal_id", Integer, ForeignKey("proposals.proposal_id"), nullable=True),  # that asks about it
    Column("line_id", Integer, ForeignKey("order_lines.line_id"), nullable=True, unique=True),
    maybe("used"),  # the offer that line was ordered by
    among("used", ("with_run", "next_run", "own_run")),
    CheckConstraint("(line_id IS NULL) = (used IS NULL)", name="used_by_a_line"),
)
Index("quotes_by_held_until", quotes.c.held_until)
Index("quotes_by_proposal", quotes.c.proposal_id)
Index(
    "one_quote_a_request",
    quotes.c.asked_by,
    quotes.c.request_key,
    unique=True,
    sqlite_where=quotes.c.request_key.is_not(None),
    postgresql_where=quotes.c.request_key.is_not(None),
)

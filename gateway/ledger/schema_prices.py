"""The tables of offers, prices, quotes, proposals, and how far prices may go."""

from sqlalchemy import Column, ForeignKey, Index, Integer, Text

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

quotes = table(
    "quotes",
    Column("quote_id", Text, primary_key=True),
    words("shop"),
    words("sku"),
    count("quantity"),
    words("kind"),
    count("unit_price_minor"),
    words("currency"),
    words("promise_at"),
    words("body", "{}"),
    words("created_at"),
    words("valid_until"),
    Column("order_id", Integer, ForeignKey("orders.order_id"), nullable=True),
)
Index("quotes_by_order", quotes.c.order_id)

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

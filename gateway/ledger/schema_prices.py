"""The tables of offers, prices, quotes and proposals."""

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
    maybe("expires_at"),
    maybe("decided_by"),
    maybe("decided_at"),
    among("state", ("open", "approved", "rejected", "expired", "applied")),
)

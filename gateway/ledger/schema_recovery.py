"""The table of what was asked again after a restore."""

from sqlalchemy import Column, Text

from gateway.ledger.columns import table, words

# `machine:<name>`: the jobs it names, its mark; `shop:<name>`: read since; `order:<id>`: what the shop was told of it.
recovery = table(
    "recovery",
    Column("subject", Text, primary_key=True),
    words("found", "{}"),
    words("at"),
)

"""What a line is to be: its article, options and pieces, the requirements that follow, and how it can still change."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson

from gateway.domain.intake import LinePlan, Requirement
from gateway.domain.orders import LineKind, ShopLine
from gateway.domain.states import JobState, LineState
from gateway.ledger import facts
from gateway.ledger.database import Tx
from gateway.ledger.sql import Row, change, insert, row, rows

MAKE_MORE, SHELF, WITHDRAW = "make_more", "shelf", "withdraw"
_ASKED_BACK = frozenset({JobState.IN_DOUBT, JobState.ACCEPTED})


def require(tx: Tx, line_id: int, plan: LinePlan) -> None:
    """Put what must be made for a line in the ledger."""
    for need in plan.requirements:
        parameters = to_json(need.parameters)
        insert(
            tx,
            "requirements",
            line_id=line_id,
            component=need.component,
            step=need.step,
            operation=need.operation,
            family=need.family,
            setup_key=need.setup_key,
            recipe=need.recipe,
            recipe_version=need.recipe_version,
            parameters=parameters,
            parameters_hash=facts.fingerprint(parameters),
            quantity=need.quantity,
            places=need.places,
            batch=need.batch,
            good=0,
        )


def replace_content(tx: Tx, line_id: int, plan: LinePlan) -> None:
    """Put another content in a line of which no machine has anything and nothing is made."""
    change(
        tx,
        "UPDATE order_lines SET quantity = :quantity, options = :options, skus = :skus, product = :product, "
        "name = :name "
        "WHERE line_id = :line",
        quantity=plan.line.quantity,
        options=to_json(plan.line.options),
        skus=to_json(plan.line.skus),
        product=plan.product,
        name=plan.line.name,
        line=line_id,
    )
    change(
        tx,
        "DELETE FROM allocations WHERE requirement_id IN (SELECT requirement_id FROM requirements "
        "WHERE line_id = :line)",  # of jobs that were taken back
        line=line_id,
    )
    change(tx, "DELETE FROM requirements WHERE line_id = :line", line=line_id)
    require(tx, line_id, plan)


def written(plan: LinePlan) -> dict[str, Any]:
    """Give the content of a line that is understood as values of JSON."""
    line = plan.line
    return {
        "quantity": line.quantity,
        "skus": list(line.skus),
        "name": line.name,
        "options": dict(line.options),
        "product": plan.product,
        "requirements": [{**asdict(need), "parameters": dict(need.parameters)} for need in plan.requirements],
    }


def read(content: Mapping[str, Any]) -> LinePlan:
    """Give back what `written` gave."""
    line = ShopLine(
        shop_line_id="",
        kind=LineKind.ARTICLE,
        skus=tuple(content["skus"]),
        name=content["name"],
        quantity=content["quantity"],
        unit_price_minor=0,
        options=content["options"],
    )
    needs = tuple(Requirement(**need) for need in content["requirements"])
    return LinePlan(line=line, position=1, product=content["product"], state=LineState.RECEIVED, requirements=needs)


def answers(tx: Tx, line: Row, plan: LinePlan) -> Sequence[str]:
    """Give what a person may decide about a line in work whose row in the shop says something else now.

    `make_more` and `shelf` where only the quantity differs: the difference is made, or lies on the shelf.
    `withdraw` where nothing is made and all that machines have of it has not begun: it is given back, and the row
    is made as it is now.
    """
    found: list[str] = []
    if plan.state is LineState.RECEIVED:
        in_work = line["state"] != LineState.MADE
        if _is_same_good(tx, line, plan):
            more = plan.line.quantity > line["quantity"]
            if in_work or not more:
                found.append(MAKE_MORE if more else SHELF)
        if in_work and not plan.files and _not_begun(tx, line["line_id"]):
            found.append(WITHDRAW)
    return (*found, "make_anyway", "close")


def _is_same_good(tx: Tx, line: Row, plan: LinePlan) -> bool:
    """Say whether a row asks for the very same good as its line, in whatever quantity."""
    if (line["skus"], line["options"]) != (to_json(plan.line.skus), to_json(plan.line.options)):
        return False
    have = rows(
        tx,
        "SELECT component, step, family, recipe, recipe_version, parameters FROM requirements "
        "WHERE line_id = :line ORDER BY component, step",
        line=line["line_id"],
    )
    wanted = sorted(plan.requirements, key=lambda one: (one.component, one.step))
    return [tuple(one.values()) for one in have] == [
        (one.component, one.step, one.family, one.recipe, one.recipe_version, to_json(one.parameters)) for one in wanted
    ]


def _not_begun(tx: Tx, line_id: int) -> bool:
    """Say whether machines have a line's jobs, or may have them, and none of it has begun, as far as is known."""
    made = row(tx, "SELECT 1 FROM requirements WHERE line_id = :line AND good > 0", line=line_id)
    found = rows(
        tx,
        "SELECT DISTINCT j.state FROM allocations a JOIN jobs j USING (job_id) JOIN requirements r "
        "USING (requirement_id) WHERE r.line_id = :line AND j.state NOT IN ('waiting','released','cancelled')",
        line=line_id,
    )
    states = {JobState(one["state"]) for one in found}
    return made is None and bool(states) and states <= _ASKED_BACK


def to_json(value: Mapping[str, object] | Sequence[str]) -> str:
    """Give options, parameters or article numbers as the ledger stores them."""
    return orjson.dumps(
        dict(value) if isinstance(value, Mapping) else list(value), option=orjson.OPT_SORT_KEYS
    ).decode()

"""Coupons of the shop: made, changed and removed over REST as WooCommerce does it; one code is there once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from re import fullmatch

from simulators.shop.articles import Ids
from simulators.shop.query import RestError, invalid
from simulators.shop.render import Body, Renderer
from simulators.shop.resources import Answer, Ask
from simulators.shop.store import Store
from simulators.shop.values import Json, Write

TYPES = ("percent", "fixed_cart", "fixed_product")
FIRST_ID = 90_001


@dataclass(frozen=True, kw_only=True, slots=True)
class Coupon:
    """A code that takes something off. `amount` is per cent for the type `percent`."""

    id: int
    code: str
    discount_type: str = "fixed_cart"
    amount: str = "0.00"
    description: str = ""
    expires: datetime | None = None
    individual_use: bool = False
    product_ids: tuple[int, ...] = ()
    usage_limit: int | None = None


class Coupons:
    """The coupons of a shop. Methods raise `RestError`."""

    def __init__(self, store: Store, renderer: Renderer) -> None:
        self.all: dict[int, Coupon] = {}
        self._store, self._renderer = store, renderer
        self._ids = Ids(first=FIRST_ID)

    def list_them(self, ask: Ask) -> Answer:
        """List coupons; asked by code, the one of it."""
        code = ask.query.get("code", "").lower()
        rows: Sequence[Coupon] = [one for one in self.all.values() if code in {"", one.code}]
        headers = {"X-WP-Total": str(len(rows)), "X-WP-TotalPages": "1"}
        return Answer(body=[self._body(one) for one in rows], headers=headers)

    def read(self, ask: Ask) -> Answer:
        """Give one coupon."""
        return Answer(body=self._body(self._found(ask)))

    def create(self, ask: Ask) -> Answer:
        """Make a coupon; a code that is there already is refused."""
        code = str(ask.body.get("code", "")).lower()
        if not code:
            raise RestError(400, "woocommerce_rest_empty_coupon_code", "The coupon code cannot be empty.")
        if any(one.code == code for one in self.all.values()):
            raise RestError(400, "woocommerce_rest_coupon_code_already_exists", "The coupon code already exists")
        made = self._changed(Coupon(id=self._ids.take(), code=code), ask.body)
        self.all[made.id] = made
        return Answer(body=self._body(made), status=201, write=self._write(made, ask, tuple(ask.body)))

    def write(self, ask: Ask) -> Answer:
        """Change a coupon."""
        before = self._found(ask)
        after = self._changed(before, ask.body)
        self.all[after.id] = after
        old, new = self._body(before), self._body(after)
        keys = tuple(key for key in new if new[key] != old[key])
        return Answer(body=new, write=self._write(after, ask, keys))

    def remove(self, ask: Ask) -> Answer:
        """Remove a coupon for good; without `force` the real shop refuses."""
        found = self._found(ask)
        if ask.query.get("force") not in {"true", "1"}:
            raise RestError(501, "woocommerce_rest_trash_not_supported", "Coupons do not support trashing.")
        del self.all[found.id]
        return Answer(body=self._body(found), write=self._write(found, ask, ("code",)))

    def _found(self, ask: Ask) -> Coupon:
        found = self.all.get(ask.ids["id"])
        if found is None:
            raise RestError(404, "woocommerce_rest_shop_coupon_invalid_id", "Invalid ID.")
        return found

    def _changed(self, coupon: Coupon, values: Mapping[str, Json]) -> Coupon:
        kind = values.get("discount_type", coupon.discount_type)
        if kind not in TYPES:
            raise invalid("discount_type", f"discount_type is not one of {', '.join(TYPES)}.", "rest_not_in_enum")
        amount = values.get("amount", coupon.amount)
        if not isinstance(amount, str) or not fullmatch(r"\d+(\.\d+)?", amount):
            raise invalid("amount", "amount is not a decimal number.", "rest_invalid_type")
        expires = coupon.expires
        if (text := values.get("date_expires_gmt")) is not None:
            expires = datetime.fromisoformat(text).replace(tzinfo=UTC)
        return replace(
            coupon,
            discount_type=kind,
            amount=f"{float(amount):.2f}",
            description=str(values.get("description", coupon.description)),
            expires=expires,
            individual_use=bool(values.get("individual_use", coupon.individual_use)),
            product_ids=tuple(values.get("product_ids", coupon.product_ids)),
            usage_limit=values.get("usage_limit", coupon.usage_limit),
        )

    def _body(self, coupon: Coupon) -> Body:
        expires = coupon.expires
        return {
            "id": coupon.id,
            "code": coupon.code,
            "amount": coupon.amount,
            "status": "publish",
            "discount_type": coupon.discount_type,
            "description": coupon.description,
            "date_expires": None if expires is None else self._renderer.local(expires),
            "date_expires_gmt": None if expires is None else f"{expires:%Y-%m-%dT%H:%M:%S}",
            "usage_count": 0,
            "individual_use": coupon.individual_use,
            "product_ids": list(coupon.product_ids),
            "excluded_product_ids": [],
            "usage_limit": coupon.usage_limit,
            "usage_limit_per_user": None,
            "limit_usage_to_x_items": None,
            "free_shipping": False,
            "minimum_amount": "0.00",
            "maximum_amount": "0.00",
            "meta_data": [],
        }

    @staticmethod
    def _write(coupon: Coupon, ask: Ask, keys: tuple[str, ...]) -> Write:
        values = {"code": coupon.code, "method": ask.method, **ask.body}
        return Write(subject="coupon", id=coupon.id, keys=keys, values=values)

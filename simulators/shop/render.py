"""Orders, refunds and articles in the shape WooCommerce's REST API v3 gives them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from simulators.shop.values import METHODS, TAX_PERCENT, Amount, Article, Json, Line, Meta, Order, Refund

TAX_RATE_ID = 1
VERSION = "10.8.1"
Body = dict[str, Json]


@dataclass(frozen=True, kw_only=True, slots=True)
class Renderer:
    """Write the shop's values as JSON bodies; `base` is the address of its REST API, `zone` the site's own."""

    site_url: str
    zone: ZoneInfo
    currency: str = "SEK"

    @property
    def base(self) -> str:
        """Give the address under which the resources live."""
        return f"{self.site_url}/wp-json/wc/v3"

    def order(self, order: Order) -> Body:
        """Give an order with all top-level fields of the real shop."""
        return {
            **self._order_head(order),
            **self._dates("date_created", order.created),
            **self._dates("date_modified", order.modified),
            **_totals(order),
            "customer_id": order.customer,
            "order_key": order.key,
            "billing": _address(order.customer) | {"email": f"kund{order.customer}@example.com", "phone": ""},
            "shipping": _address(order.customer) | {"phone": ""},
            "payment_method": order.payment_method,
            "payment_method_title": METHODS.get(order.payment_method, order.payment_method),
            "transaction_id": order.transaction,
            "customer_ip_address": f"192.0.2.{order.customer % 250 + 1}",
            "customer_user_agent": "Mozilla/5.0 (X11; Linux x86_64) simulated",
            "created_via": "checkout",
            "customer_note": order.note,
            **self._dates("date_completed", order.completed),
            **self._dates("date_paid", order.paid),
            "cart_hash": f"{order.id:032x}",
            "number": str(order.id),
            "meta_data": [{"id": meta.id, "key": meta.key, "value": meta.value} for meta in order.meta],
            "line_items": [_line(line) for line in order.lines],
            "tax_lines": [_tax_line(order)],
            "shipping_lines": [_shipping_line(order.freight_id, order.freight)] if order.freight else [],
            "fee_lines": [],
            "coupon_lines": [],
            "refunds": [
                {"id": refund.id, "reason": refund.reason, "total": _money(refund.line.amount.gross_minor)}
                for refund in order.refunds
            ],
            "payment_url": f"{self.site_url}/kassan/order-pay/{order.id}/?pay_for_order=true&key={order.key}",
            "is_editable": order.status in {"pending", "on-hold", "auto-draft"},
            "needs_payment": order.status in {"pending", "failed"} and order.total_minor > 0,
            "needs_processing": any(not line.article.virtual for line in order.lines),
            "currency_symbol": "kr",
            "_links": {
                "self": [{"href": f"{self.base}/orders/{order.id}"}],
                "collection": [{"href": f"{self.base}/orders"}],
                "customer": [{"href": f"{self.base}/customers/{order.customer}"}],
            },
        }

    def refund(self, order: Order, refund: Refund) -> Body:
        """Give a refund: its amount is positive, its rows are negative."""
        return {
            "id": refund.id,
            **self._dates("date_created", refund.created),
            "amount": _money(-refund.line.amount.gross_minor),
            "reason": refund.reason,
            "refunded_by": 1,
            "refunded_payment": False,
            "meta_data": [],
            "line_items": [_line(refund.line)],
            "shipping_lines": [],
            "tax_lines": [],
            "fee_lines": [],
            "_links": {
                "self": [{"href": f"{self.base}/orders/{order.id}/refunds/{refund.id}"}],
                "collection": [{"href": f"{self.base}/orders/{order.id}/refunds"}],
                "up": [{"href": f"{self.base}/orders/{order.id}"}],
            },
        }

    def article(self, article: Article, articles: Mapping[int, Article]) -> Body:
        """Give a product or variation; a product with variations lists their ids."""
        children = [child.id for child in articles.values() if child.parent_id == article.id]
        colours = [child.colour for child in articles.values() if child.parent_id == article.id]
        path = f"products/{article.parent_id}/variations" if article.parent_id else "products"
        kind = "variation" if article.parent_id else "variable" if children else "simple"
        return {
            "id": article.id,
            "name": article.name,
            "slug": article.sku.lower(),
            "permalink": f"{self.site_url}/produkt/{article.sku.lower()}/",
            **self._dates("date_created", article.created),
            **self._dates("date_modified", article.modified),
            "type": kind,
            "status": "publish",
            "catalog_visibility": "visible",
            "description": f"<p>{article.name}</p>\n",
            "sku": article.sku,
            "price": article.price,
            "regular_price": "" if children else article.price,
            "sale_price": "",
            **self._dates("date_on_sale_from", None),
            **self._dates("date_on_sale_to", None),
            "on_sale": False,
            "purchasable": True,
            "virtual": article.virtual,
            "tax_status": "taxable",
            "tax_class": article.tax_class,
            "manage_stock": article.stock is not None,
            "stock_quantity": article.stock,
            "backorders": "yes",
            "stock_status": "instock",
            "parent_id": article.parent_id,
            "attributes": _attributes(article, colours),
            "variations": children,
            "images": [],
            "meta_data": [{"id": meta.id, "key": meta.key, "value": meta.value} for meta in article.meta],
            "_links": {
                "self": [{"href": f"{self.base}/{path}/{article.id}"}],
                "collection": [{"href": f"{self.base}/{path}"}],
            },
        }

    def local(self, time: datetime) -> str:
        """Write a time as the site's own, without zone, as the real shop does."""
        return time.astimezone(self.zone).strftime("%Y-%m-%dT%H:%M:%S")

    def _order_head(self, order: Order) -> Body:
        return {
            "id": order.id,
            "parent_id": 0,
            "status": order.status,
            "currency": self.currency,
            "version": VERSION,
            "prices_include_tax": True,
        }

    def _dates(self, name: str, time: datetime | None) -> Body:
        if time is None:
            return {name: None, f"{name}_gmt": None}
        return {name: self.local(time), f"{name}_gmt": time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")}


def _money(minor: int) -> str:
    sign, amount = ("-" if minor < 0 else ""), abs(minor)
    return f"{sign}{amount // 100}.{amount % 100:02d}"


def _totals(order: Order) -> Body:
    freight = order.freight or Amount(net_minor=0, tax_minor=0)
    cart_tax_minor = sum(line.amount.tax_minor for line in order.lines)
    return {
        "discount_total": "0.00",
        "discount_tax": "0.00",
        "shipping_total": _money(freight.net_minor),
        "shipping_tax": _money(freight.tax_minor),
        "cart_tax": _money(cart_tax_minor),
        "total": _money(order.total_minor),
        "total_tax": _money(cart_tax_minor + freight.tax_minor),
    }


def _address(customer: int) -> Body:
    return {
        "first_name": "Kund",
        "last_name": str(customer),
        "company": "",
        "address_1": f"Provgränd {customer}",
        "address_2": "",
        "city": "Lund",
        "state": "",
        "postcode": "223 50",
        "country": "SE",
    }


def _line(line: Line) -> Body:
    article = line.article
    net, tax = _money(line.amount.net_minor), _money(line.amount.tax_minor)
    rate = TAX_PERCENT[article.tax_class]
    return {
        "id": line.id,
        "name": article.name,
        "product_id": article.parent_id or article.id,
        "variation_id": article.id if article.parent_id else 0,
        "quantity": line.quantity,
        "tax_class": article.tax_class,
        "subtotal": net,
        "subtotal_tax": tax,
        "total": net,
        "total_tax": tax,
        "taxes": [{"id": TAX_RATE_ID, "total": tax, "subtotal": tax}] if rate else [],
        "meta_data": [_line_meta(meta, article) for meta in line.meta],
        "sku": article.sku,
        "global_unique_id": "",
        "price": line.amount.net_minor / 100 / line.quantity if line.quantity else 0,
        "image": {"id": "", "src": ""},
        "parent_name": line.parent_name,
    }


def _line_meta(meta: Meta, article: Article) -> Body:
    shown = meta.key == "pa_farg"
    return {
        "id": meta.id,
        "key": meta.key,
        "value": meta.value,
        "display_key": "Färg" if shown else meta.key,
        "display_value": article.colour if shown else meta.value,
    }


def _tax_line(order: Order) -> Body:
    freight = order.freight or Amount(net_minor=0, tax_minor=0)
    return {
        "id": order.id * 10,
        "rate_code": "SE-MOMS-1",
        "rate_id": TAX_RATE_ID,
        "label": "Moms",
        "compound": False,
        "tax_total": _money(sum(line.amount.tax_minor for line in order.lines)),
        "shipping_tax_total": _money(freight.tax_minor),
        "rate_percent": 25,
        "meta_data": [],
    }


def _shipping_line(row_id: int, freight: Amount) -> Body:
    net, tax = _money(freight.net_minor), _money(freight.tax_minor)
    return {
        "id": row_id,
        "method_title": "Frakt – ombud",
        "method_id": "flat_rate",
        "instance_id": "1",
        "total": net,
        "total_tax": tax,
        "taxes": [{"id": TAX_RATE_ID, "total": tax, "subtotal": ""}],
        "tax_status": "taxable",
        "meta_data": [],
    }


def _attributes(article: Article, colours: list[str]) -> list[Body]:
    name = {"id": 1, "name": "Färg", "slug": "pa_farg"}
    if article.parent_id:
        return [name | {"option": article.colour}]
    if colours:
        return [name | {"position": 0, "visible": True, "variation": True, "options": colours}]
    return []

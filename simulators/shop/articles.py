"""The articles this shop sells, and a count of ids that no two things share."""

from collections.abc import Callable
from datetime import datetime

from simulators.shop.values import Article


class Ids:
    """Hand out ascending ids; orders, refunds and articles share one row of them, as posts of WordPress do."""

    def __init__(self, *, first: int) -> None:
        self.next = first

    def take(self) -> int:
        """Give the next id."""
        taken = self.next
        self.next += 1
        return taken


def articles(take_id: Callable[[], int], now: datetime) -> tuple[Article, ...]:
    """Give the range of the shop: trays (with two variations), plates, edges, sets, gift cards and stock goods."""

    def article(
        sku: str, name: str, price: str, *, stock: int | None = None, parent: int = 0, colour: str = ""
    ) -> Article:
        gift = sku.startswith("GIFT-")
        return Article(
            id=take_id(),
            sku=sku,
            name=name,
            price=price,
            created=now,
            modified=now,
            parent_id=parent,
            colour=colour,
            tax_class="zero-rate" if gift else "",
            virtual=gift,
            stock=stock,
        )

    tray = 'Bricka 12" "Åsa" – egen gravyr'
    simple = article("TRAY-12", tray, "149.00", stock=1000)
    variable = article("TRAY-12-V", "Bricka Åsa i färg", "159.00")
    return (
        simple,
        variable,
        article("TRAY-12-W", "Bricka Åsa i färg - Vit", "159.00", stock=1000, parent=variable.id, colour="Vit"),
        article("TRAY-12-B", "Bricka Åsa i färg - Svart", "159.00", stock=1000, parent=variable.id, colour="Svart"),
        article("GIFT-500", "Presentkort 500 kr", "500.00"),
        article("MUG-BLUE", "Mugg Blåbär & grädde", "89.00", stock=240),
        article("MUG-RED", "Mugg Röd stuga", "89.00", stock=240),
        article("LAMP-9", "Lampa Öresund", "399.00", stock=12),
        article("PLATE-W-1", "Plåt vit, härdad", "129.00", stock=1000),
        article("PLATE-B-1", "Plåt svart, härdad", "129.00", stock=1000),
        article("EDGE-S", "Hyllkant, kapad på längd", "79.00", stock=1000),
        article("SET-12", "Bricka med plåt, packad", "289.00", stock=1000),
    )

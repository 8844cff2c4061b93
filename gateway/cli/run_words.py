"""An open run in sentences, English or Swedish, from what the gateway publishes of it (`runs/<family>/open`)."""

from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Any, Final, Literal

Language = Literal["en", "sv"]
Run = Mapping[str, Any]

_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "head": (
        "{family}: policy {policy}, prices {mode}, made on {machine}; the run is {state}.",
        "{family}: policy {policy}, priser {mode}, görs på {machine}; körningen är {state}.",
    ),
    "held": ("It is held: {why}.", "Den är stoppad: {why}."),
    "fill": (
        "Fill: {units} of {places} places in {orders} orders, {reserved} reserved; threshold {threshold}.",
        "Fyllnad: {units} av {places} platser i {orders} beställningar, {reserved} reserverade; tröskel {threshold}.",
    ),
    "earns": ("From {even} units it earns its set-up: it does.", "Från {even} enheter bär den sin omställning: ja."),
    "earns_not": (
        "From {even} units it would earn its set-up: not yet.",
        "Från {even} enheter skulle den bära sin omställning: inte ännu.",
    ),
    "never": ("No number of units earns the set-up.", "Inget antal enheter bär omställningen."),
    "start": (
        "Latest start: {at}, in {hours:.1f} h; a run collects for {window:.1f} h.",
        "Senaste start: {at}, om {hours:.1f} h; en körning samlar i {window:.1f} h.",
    ),
    "start_over": (
        "Latest start: {at}, {late:.1f} h ago; a run collects for {window:.1f} h.",
        "Senaste start: {at}, för {late:.1f} h sedan; en körning samlar i {window:.1f} h.",
    ),
    "no_start": (
        "Latest start: none, nobody has been promised anything; a run collects for {window:.1f} h.",
        "Senaste start: ingen, ingen har lovats något; en körning samlar i {window:.1f} h.",
    ),
    "forecast": (
        "Expected: start {start}, {p50} units ({p10} to {p90}), done {finish}.",
        "Väntat: start {start}, {p50} enheter ({p10} till {p90}), klar {finish}.",
    ),
    "cost": (
        "Set-up {setup}: {now} a unit as it stands, {then} as expected; a free place is worth {bid} now.",
        "Omställning {setup}: {now} per enhet som det står, {then} som väntat; en ledig plats är värd {bid} nu.",
    ),
    "price": (
        "Price: {price}, {factor:.1%} of the list price {base}.",
        "Pris: {price}, {factor:.1%} av listpriset {base}.",
    ),
    "proposed": ("A person is asked about {price}.", "En människa tillfrågas om {price}."),
    "promise": ("Promise for one more: {at}.", "Löfte för en till: {at}."),
    "campaign": (
        "Campaign ({kind}): open until {until}, {left} places left.",
        "Kampanj ({kind}): öppen till {until}, {left} platser kvar.",
    ),
    "campaign_shut": ("Campaign ({kind}): not open.", "Kampanj ({kind}): inte öppen."),
    "campaign_asks": (
        "Campaign ({kind}): not open; a person is asked.",
        "Kampanj ({kind}): inte öppen; en människa tillfrågas.",
    ),
    "release": ("Start: {kind}.", "Start: {kind}."),
    "risk": ("Promises at risk: orders {orders}.", "Löften i fara: beställning {orders}."),
    "demand": (
        "Demand: {units:.1f} units a day, level {level:.2f} of what is written.",
        "Efterfrågan: {units:.1f} enheter per dygn, nivå {level:.2f} av det skrivna.",
    ),
    "age": ("{name}: heard of {age:.0f} s ago", "{name}: hördes för {age:.0f} s sedan"),
    "stale": (", too old to price by.", ", för gammalt för att sätta pris efter."),
    "fresh": (".", "."),
    "off": ("switched off", "avstängda"),
    "advise": ("advised", "föreslagna"),
    "auto": ("automatic", "automatiska"),
    "empty": ("empty", "tom"),
    "collecting": ("collecting", "i insamling"),
    "committed": ("committed", "utlovad"),
    "wait": ("waits", "väntar"),
    "now": ("now", "nu"),
    "hold": ("held", "stoppad"),
    "visibility": ("visibility", "synlighet"),
    "reduction": ("reduction", "prissänkning"),
    "machine": ("machine", "maskinen"),
    "orders": ("orders", "beställningarna"),
}


def explained(run: Run, *, zone: tzinfo, language: Language, exponent: int) -> Iterator[str]:
    """Give the sentences: fill and start, costs, then price, promise, campaign and start with their reasons.

    `exponent`: decimals of the run's currency.
    """
    say = _Said(run, zone=zone, language=language, exponent=exponent)
    mode, state = say.word(run["mode"]), say.word(run["state"])
    yield say("head", family=run["family"], policy=run["policy"], mode=mode, machine=run["machine"], state=state)
    if run["held"] is not None:
        yield say("held", why=run["held"])
    yield from _fill(run, say)
    price, campaign = run["price"], run["campaign"]
    yield say(
        "price", price=say.money(price["price_minor"]), factor=price["factor"], base=say.money(price["base_minor"])
    )
    if price["proposed_minor"] is not None:
        yield say("proposed", price=say.money(price["proposed_minor"]))
    yield from say.reasons("price")
    yield say("promise", at=say.time(run["promise"]["at"]))
    yield from say.reasons("promise")
    told = "campaign" if campaign["open"] else "campaign_asks" if campaign["proposed"] else "campaign_shut"
    until, kind = say.time(campaign["until"]), say.word(campaign["kind"])
    yield say(told, kind=kind, until=until, left=campaign["units_left"])
    yield from say.reasons("campaign")
    yield say("release", kind=say.word(run["release"]["decision"]))
    yield from say.reasons("release")
    if run["at_risk"]:
        yield say("risk", orders=", ".join(run["at_risk"]))
    yield say("demand", units=run["demand"]["units_day"], level=run["demand"]["level"])
    yield from say.reasons("demand")
    for name, source in run["inputs"].items():
        yield say("age", name=say.word(name).capitalize(), age=source["age_s"]) + say(
            "stale" if source["stale"] else "fresh"
        )


def _fill(run: Run, say: "_Said") -> Iterator[str]:
    fill, threshold, cost, forecast = run["fill"], run["threshold"], run["cost"], run["forecast"]
    counts = {name: fill[name] for name in ("units", "places", "orders", "reserved")}
    yield say("fill", **counts, threshold=threshold["units"])
    even = threshold["break_even"]
    yield say("never" if even is None else "earns" if threshold["earns"] else "earns_not", even=even)
    hours = run["hours_left"]
    start = "no_start" if run["latest_start"] is None else "start" if hours >= 0 else "start_over"
    yield say(start, at=say.time(run["latest_start"]), hours=hours, late=-hours, window=run["window_h"])
    units, finish = forecast["units"], say.time(forecast["finish"]["p50"])
    yield say("forecast", start=say.time(forecast["start"]), finish=finish, **units)
    money = {"setup": "setup_minor", "now": "share_now_minor", "then": "share_forecast_minor", "bid": "bid_minor"}
    yield say("cost", **{name: say.money(cost[key]) for name, key in money.items()})


class _Said:
    """Words of one language, with a run's own times and money."""

    def __init__(self, run: Run, *, zone: tzinfo, language: Language, exponent: int) -> None:
        self._run, self._zone, self._language, self._exponent = run, zone, language, exponent

    def __call__(self, word: str, **values: Any) -> str:
        """Give a sentence."""
        return self.word(word).format(**values)

    def word(self, word: str) -> str:
        """Give a text; a word that has none stands for itself."""
        return _WORDS.get(word, (word, word))[0 if self._language == "en" else 1]

    def time(self, text: str | None) -> str:
        """Give a moment on the site's wall clock."""
        return "-" if text is None else datetime.fromisoformat(text).astimezone(self._zone).strftime("%Y-%m-%d %H:%M")

    def money(self, minor: float | None) -> str:
        """Give an amount with its currency."""
        if minor is None:
            return "-"
        return f"{minor / 10**self._exponent:.{self._exponent}f} {self._run['price']['currency']}"

    def reasons(self, about: str) -> Iterator[str]:
        """Give the plan's own reasons for a field."""
        yield from (f"  - {one['text'][self._language]}" for one in self._run["reasons"] if one["about"] == about)

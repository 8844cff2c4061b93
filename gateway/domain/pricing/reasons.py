"""Why a plan says what it says: codes with parameters, and their texts in English and Swedish."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from enum import StrEnum
from typing import Final, Literal

Language = Literal["en", "sv"]
Param = str | int | float | datetime

_WITHOUT_MINOR: Final = frozenset({"CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF"})


class About(StrEnum):
    """The published field a reason is about."""

    PRICE = "price"
    PROMISE = "promise"
    CAMPAIGN = "campaign"
    RELEASE = "release"
    DEMAND = "demand"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """One reason: what it is about, its code, and the values its text names."""

    about: About
    code: str
    params: Mapping[str, Param] = field(default_factory=dict)


# Values in a text: `_minor` values are shown as money, moments in local time, shares as per cent.
TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    "policy_static": (
        "The list price stands: policy static.",
        "Listpriset gäller: policy static.",
    ),
    "distance_empty": (
        "No order yet, so the run is far off: {factor:%} of the list price.",
        "Ingen order än, så körningen är långt borta: {factor:%} av listpriset.",
    ),
    "distance_factor": (
        "{fill} of {threshold} units and {hours:.1f} h to the latest start: {factor:%} of the list price.",
        "{fill} av {threshold} enheter och {hours:.1f} h till senaste start: {factor:%} av listpriset.",
    ),
    "on_plan": (
        "The run fills as planned ({fill} units, planned {planned:.1f}): the list price.",
        "Körningen fylls enligt plan ({fill} enheter, plan {planned:.1f}): listpriset.",
    ),
    "ahead_of_plan": (
        "{fill} units where {planned:.1f} were planned: places are scarce, so {factor:%} of the list price.",
        "{fill} enheter där {planned:.1f} var planerade: det är ont om platser, alltså {factor:%} av listpriset.",
    ),
    "behind_plan": (
        "{fill} units where {planned:.1f} were planned: places will stay free, so {factor:%} of the list price.",
        "{fill} enheter där {planned:.1f} var planerade: platser blir över, alltså {factor:%} av listpriset.",
    ),
    "price_rests": (
        "The price moved within 24 h ({moves}): until then it only goes back towards the list price.",
        "Priset har ändrats inom 24 h ({moves}): så länge går det bara tillbaka mot listpriset.",
    ),
    "price_off": ("Prices are switched off.", "Prisstyrningen är avstängd."),
    "price_frozen": ("Price freeze: the price stays at {price_minor}.", "Prisstopp: priset stannar på {price_minor}."),
    "price_approved": (
        "{price_minor} is in force: a person approved it.",
        "{price_minor} gäller: en människa godkände det.",
    ),
    "price_undone": (
        "A person put the list price {list_minor} back, until somebody unfreezes it.",
        "En människa lade tillbaka listpriset {list_minor}, tills någon släpper det.",
    ),
    "price_reduced": (
        "An announced reduction is open: the price stays at {price_minor}.",
        "En annonserad nedsättning pågår: priset stannar på {price_minor}.",
    ),
    "price_floor": (
        "Not below the floor of {floor_minor} (cost, 5 % and fees).",
        "Inte under golvet {floor_minor} (kostnad, 5 % och avgifter).",
    ),
    "list_below_floor": (
        "The list price {list_minor} lies below the floor {floor_minor}: look at the costs.",
        "Listpriset {list_minor} ligger under golvet {floor_minor}: se över kostnaderna.",
    ),
    "hard_band": (
        "{wanted_minor} would be outside the hard band {low:%} to {high:%}.",
        "{wanted_minor} vore utanför det hårda bandet {low:%} till {high:%}.",
    ),
    "auto_band": (
        "{wanted_minor} is outside the automatic band {low:%} to {high:%}: a person decides.",
        "{wanted_minor} är utanför det automatiska bandet {low:%} till {high:%}: en människa avgör.",
    ),
    "change_limit": (
        "{wanted_minor} would be more change than {share:%} within {hours} h.",
        "{wanted_minor} vore större ändring än {share:%} inom {hours} h.",
    ),
    "moves_used": (
        "{moves} price moves within 24 h, no more until some hours have passed.",
        "{moves} prisändringar inom 24 h, inga fler förrän det gått en tid.",
    ),
    "deadband": (
        "{wanted_minor} is too near to {price_minor} for a move (deadband {share:%}).",
        "{wanted_minor} är för nära {price_minor} för en ändring (dödband {share:%}).",
    ),
    "price_advised": (
        "{wanted_minor} is proposed; a person decides.",
        "{wanted_minor} föreslås; en människa avgör.",
    ),
    "stale": (
        "{source} was last heard {age_s:.0f} s ago (period {period_s:.0f} s): list price and fixed lead.",
        "{source} hördes senast för {age_s:.0f} s sedan (period {period_s:.0f} s): listpris och fast leveranstid.",
    ),
    "promise_static": (
        "Fixed lead of {days} working days.",
        "Fast leveranstid {days} arbetsdagar.",
    ),
    "static_too_short": (
        "The fixed lead of {days} working days is too short for what the machine has to do.",
        "Den fasta leveranstiden {days} arbetsdagar räcker inte för vad maskinen har att göra.",
    ),
    "promise_window": (
        "A new run collects for {hours:.1f} h, then {run_h:.1f} h of production and {buffer_h:.1f} h in hand.",
        "En ny körning samlar i {hours:.1f} h, sedan {run_h:.1f} h produktion och {buffer_h:.1f} h marginal.",
    ),
    "promise_countdown": (
        "The run starts by {start}, in {hours:.1f} h, then {run_h:.1f} h of production and {buffer_h:.1f} h in hand.",
        "Körningen startar senast {start}, om {hours:.1f} h, sedan {run_h:.1f} h drift och {buffer_h:.1f} h marginal.",
    ),
    "promise_at_once": (
        "The run starts as soon as the machine is free, then {run_h:.1f} h of production and {buffer_h:.1f} h in hand.",
        "Körningen startar så snart maskinen är ledig, sedan {run_h:.1f} h produktion och {buffer_h:.1f} h marginal.",
    ),
    "promise_next_run": (
        "The open run is full ({fill} of {places} places): the next run.",
        "Den öppna körningen är full ({fill} av {places} platser): nästa körning.",
    ),
    "promise_machine_busy": (
        "The machine is busy until {free}.",
        "Maskinen är upptagen till {free}.",
    ),
    "promise_min_days": ("Never sooner than {days} working days.", "Aldrig snabbare än {days} arbetsdagar."),
    "promise_at_risk": (
        "{orders} promised orders are at risk: forecast finish {finish} (9 of 10), needed {due}.",
        "{orders} lovade order är i fara: beräknat klart {finish} (9 av 10), behövs {due}.",
    ),
    "quote_places": (
        "{units} places of the open run are kept until {until}; {taken} of {places} were taken.",
        "{units} platser i den öppna körningen hålls till {until}; {taken} av {places} var tagna.",
    ),
    "quote_next_run": (
        "Made in the run after the open one, for no more than a place in the open one costs: {price_minor}.",
        "Görs i körningen efter den öppna, för högst vad en plats i den öppna kostar: {price_minor}.",
    ),
    "quote_other_steps": (
        "Other steps of the route take at least until {at}.",
        "Andra steg i beredningen tar minst till {at}.",
    ),
    "quote_too_late": ("Wanted by {wanted}: this comes later.", "Önskas senast {wanted}: det här kommer senare."),
    "quote_no_room": (
        "Wanted places: {units}, free places: {free}.",
        "Önskade platser: {units}, lediga platser: {free}.",
    ),
    "quote_run_starts": (
        "The open run starts by {start}: too soon to keep places in it.",
        "Den öppna körningen startar senast {start}: för snart för att hålla platser i den.",
    ),
    "quote_run_held": ("The run is held: {why}.", "Körningen hålls: {why}."),
    "quote_run_empty": (
        "Nobody is in the open run yet: it is the next one.",
        "Ingen är i den öppna körningen än: den är nästa.",
    ),
    "express_price": (
        "{unit_minor} a piece, and over {pieces}: set-up {setup_minor}, others' later delivery {displaced_minor}.",
        "{unit_minor} styck, och på {pieces}: ställning {setup_minor}, andras senare leverans {displaced_minor}.",
    ),
    "express_not_cheaper": (
        "Sooner than with the others, so not cheaper either: {price_minor}.",
        "Snabbare än med de andra, alltså inte billigare heller: {price_minor}.",
    ),
    "express_start": (
        "It starts as soon as {machine} is free and every promise given stays kept: {run_h:.1f} h of production.",
        "Den startar så snart {machine} är ledig, och alla givna löften hålls: {run_h:.1f} h produktion.",
    ),
    "express_approval": ("A person has to approve it first.", "En människa måste godkänna den först."),
    "express_too_large": (
        "{units} units do not fit into one run of {places} places.",
        "{units} enheter får inte plats i en körning med {places} platser.",
    ),
    "express_no_machine": (
        "No machine of the family may be given work now.",
        "Ingen maskin för ställgruppen får ges arbete nu.",
    ),
    "express_not_sooner": (
        "A run of one's own would come {at}, no sooner than with others.",
        "En egen körning skulle komma {at}, inte tidigare än med andra.",
    ),
    "express_moves": (
        "A run of one's own would make promises late: {which}.",
        "En egen körning skulle göra löften sena: {which}.",
    ),
    "campaign_off": ("Campaigns are switched off.", "Kampanjer är avstängda."),
    "campaign_rests": (
        "At most one announced reduction in 30 days, from a price log of 30 days: none before {until}.",
        "Högst en annonserad nedsättning på 30 dagar, ur en prislogg på 30 dagar: ingen före {until}.",
    ),
    "campaign_frozen": ("Price freeze: no campaign.", "Prisstopp: ingen kampanj."),
    "campaign_stale": ("No campaign on stale figures.", "Ingen kampanj på gamla uppgifter."),
    "campaign_empty": (
        "No campaign for an empty run: its set-up is not yet owed to anybody.",
        "Ingen kampanj för en tom körning: ställningen är ännu inte utlovad.",
    ),
    "campaign_full": ("No free place to sell.", "Ingen ledig plats att sälja."),
    "campaign_starting": ("The run is about to start.", "Körningen ska just starta."),
    "campaign_hours_used": (
        "The campaign was open {hours:.1f} h within seven days (limit {limit:.0f} h).",
        "Kampanjen har varit öppen {hours:.1f} h på sju dagar (gräns {limit:.0f} h).",
    ),
    "campaign_far": (
        "{hours:.1f} h to the latest start; the campaign opens below {below:.1f} h.",
        "{hours:.1f} h till senaste start; kampanjen öppnar under {below:.1f} h.",
    ),
    "campaign_later": (
        "{hours:.1f} h to the latest start; the campaign's {kept:.1f} h are kept for the last ones before it.",
        "{hours:.1f} h till senaste start; kampanjens {kept:.1f} h sparas till de sista före den.",
    ),
    "campaign_near": (
        "{hours:.1f} h to the latest start and {left} free places: the machine has to start anyway.",
        "{hours:.1f} h till senaste start och {left} lediga platser: maskinen måste ändå starta.",
    ),
    "campaign_worth": (
        "A visitor is worth {worth_minor}, more than {cost_minor} for his click.",
        "En besökare är värd {worth_minor}, mer än {cost_minor} för klicket.",
    ),
    "campaign_not_worth": (
        "A visitor is worth {worth_minor}, less than {cost_minor} for his click.",
        "En besökare är värd {worth_minor}, mindre än {cost_minor} för klicket.",
    ),
    "campaign_below_floor": (
        "A reduction of {depth:%} would sell below the floor {floor_minor}.",
        "En sänkning med {depth:%} skulle sälja under golvet {floor_minor}.",
    ),
    "campaign_approval": ("A person decides about this campaign.", "En människa avgör om kampanjen."),
    "release_held": ("The run is held: {why}.", "Körningen hålls: {why}."),
    "release_empty": ("The run is empty.", "Körningen är tom."),
    "release_full": ("The run is full: {fill} of {places} places.", "Körningen är full: {fill} av {places} platser."),
    "release_at_once": ("Orders of this family are made at once.", "Order i den här ställgruppen görs direkt."),
    "release_threshold": (
        "The threshold is reached: {fill} of {threshold} units.",
        "Tröskeln är nådd: {fill} av {threshold} enheter.",
    ),
    "release_latest_start": (
        "Latest start for what was promised: {start}.",
        "Senaste start för det som är lovat: {start}.",
    ),
    "release_window_over": (
        "The collection window of {hours:.1f} h is over.",
        "Samlingsfönstret på {hours:.1f} h är slut.",
    ),
    "release_waits_start": (
        "Collecting until the latest start {start}: {fill} units so far.",
        "Samlar till senaste start {start}: {fill} enheter hittills.",
    ),
    "release_waits_threshold": (
        "Collecting until the threshold: {fill} of {threshold} units so far.",
        "Samlar till tröskeln: {fill} av {threshold} enheter hittills.",
    ),
    "release_waits_quotes": (
        "Quotes hold {reserved} places: the run waits for them until {until}.",
        "Offerter håller {reserved} platser: körningen väntar på dem till {until}.",
    ),
    "below_break_even": (
        "{fill} units do not earn the set-up; {needed} would.",
        "{fill} enheter tjänar inte in ställningen; {needed} skulle.",
    ),
    "never_breaks_even": (
        "At the list price a unit earns nothing, so no number of them pays the set-up.",
        "Till listpriset tjänar en enhet ingenting, så inget antal betalar ställningen.",
    ),
    "demand_level": (
        "Sales show another demand: level {level:.2f} instead of {before:.2f}.",
        "Försäljningen visar en annan efterfrågan: nivå {level:.2f} i stället för {before:.2f}.",
    ),
}


def render(reason: Reason, language: Language, *, zone: tzinfo, currency: str) -> str:
    """Give the text of a reason: moments on the wall clock of `zone`, money in `currency`."""
    shown = {name: _shown(name, value, zone=zone, currency=currency) for name, value in reason.params.items()}
    return TEXTS[reason.code][0 if language == "en" else 1].format_map(shown)


def money(minor: float, currency: str) -> str:
    """Write a sum in minor units as people do: `149.00 SEK`."""
    return f"{minor:.0f} {currency}" if currency in _WITHOUT_MINOR else f"{minor / 100:.2f} {currency}"


class _Share(float):
    """A number whose format `%` means whole per cent."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return f"{100 * self:.0f} %" if spec == "%" else super().__format__(spec)


def _shown(name: str, value: Param, *, zone: tzinfo, currency: str) -> str | int | float:
    if isinstance(value, datetime):
        return f"{value.astimezone(zone):%Y-%m-%d %H:%M}"
    if name.endswith("_minor") and isinstance(value, int | float):
        return money(value, currency)
    return _Share(value) if isinstance(value, float) else value

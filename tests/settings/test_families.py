"""Families: what runs, prices and promises need in the configuration, and what is refused."""

from pathlib import Path

import pytest

from gateway.domain.pricing.quotes import Express
from gateway.errors import SettingsError
from gateway.settings import load
from gateway.settings.describe import facts
from tests.settings.site import FACTORY, FULL, changed, faults, good, write

BLACK = "  cure-black:\n    machines: [oven-1]\n"
SETUP = 'setup: {cost: 1200, hours: 3, tool_code: "7"}'
RUN = "run: {places: 120, threshold: 44, release: threshold, window_h: 96}"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "    policy: countdown\n",
            "",
            "cure-black.policy: missing; run and price need it in words: static, distance or",
        ),
        ("policy: countdown", "policy: count", "cure-black.policy: 'count' is not known; did you mean 'countdown'?"),
        ("policy: countdown", "policy: [countdown]", "cure-black.policy: "),
        ("{far: 1.15,", "{fra: 1.15,", "cure-white.policy.distance.fra: unknown key; did you mean 'far'?"),
        ("{far: 1.15,", "{far: much,", "cure-white.policy.distance.far: must be a number, not the text 'much'"),
        ("{far: 1.15,", "{far: 0.9,", "near 0.95 to far 0.9 must rise, and lie within price.hard (0.85 to 1.2)"),
        ("{far: 1.15,", "{far: 1.3,", "cure-white.policy: near 0.95 to far 1.3 must rise, and lie within price.hard"),
        (
            RUN,
            RUN.replace("threshold: 44", "threshold: 121"),
            "run.threshold: 121 is never reached: a run has 120 places",
        ),
        (RUN, RUN.replace("release: threshold", "release: full"), "run.release: 'full' is not known; "),
        (
            RUN,
            RUN.replace(", release: threshold", ""),
            "cure-white.run.release: missing; at_once: with its first order",
        ),
        (
            RUN,
            RUN.replace("threshold, win", "at_once, win"),
            "cure-white.policy: distance follows a run that gathers work",
        ),
        (RUN, RUN.replace("96", "auto"), "cure-white.run.window_h: auto is computed from demand:, and there is none"),
        (RUN, RUN.replace("96", "193"), "cure-white.run.window_h: above max_window_h (192)"),
        (
            RUN,
            RUN.replace("places: 120", "calendar: sat 06-06:30, places: 1200"),
            "cure-white.run: a full run takes 43 working hours, and its calendar has 0.5 a week",
        ),
        (RUN, RUN.replace("96", "soon"), "cure-white.run.window_h: 'soon' is not known; "),
        (RUN, "", "cure-white.policy: distance follows a run that gathers work; give run: with release: threshold or"),
        (
            SETUP,
            "setup: {cost: auto, hours: 3}",
            "cure-white.setup.cost: auto, and nothing is measured yet: give a numb",
        ),
        (SETUP, "setup: {cost: 1, fallback: {cost: 2}}", "cure-white.setup.hours: auto, and nothing is measured yet"),
        (SETUP, "setup: {cost: -1, hours: 3}", "cure-white.setup.cost: be greater than or equal to 0"),
        (SETUP, "", "cure-white.setup: missing; what a set-up costs and how long it takes"),
        ("unit: {material: 31}", "unit: {}", "cure-white.unit.material: missing; Material of a good piece"),
        ("unit: {material: 31}", "", "cure-white.unit: missing; what a piece costs: {material: ..}"),
        ("unit: {material: 31}", "unit: {material: auto}", "cure-white.unit.material: must be a number, not the text"),
        ("default: 30m,", "default: 30,", "cure-white.changeover.default: must be a text in quotes, not the number 30"),
        ("default: 30m,", "default: 30 min,", "'30 min' is not a duration such as 30m, 1h30m, 45s or 2d"),
        ("{default: 30m, ", "{", "cure-white.changeover: default missing; it holds for every change that is not named"),
        ('"cure-black->cure-white"', '"black->cure-white"', "no 'black' under families; did you mean 'cure-black'?"),
        (
            '"cure-black->cure-white"',
            '"cure-white->cure-black"',
            "ends in 'cure-black', and these are the changes to cur",
        ),
        ('"cure-black->cure-white"', "cure-black", "must be default, or a change such as other->cure-white"),
        ('cutoff: "14:00"', 'cutoff: "25:00"', "ship.cutoff: '25:00' is not a time of day such as 14:00"),
        (
            "demand: {visitors: 270, ",
            "demand: {visitors: many, ",
            "demand.visitors: 'many' is not known; known: shop, or a number",
        ),
        ("conversion: 0.10", "conversion: 1.0", "cure-black.demand.conversion: be less than 1"),
        ("auto: [0.95, 1.10]", "auto: [0.80, 1.10]", "cure-black.price: auto must lie within hard, and both around 1"),
        ("auto: [0.95, 1.10]", "auto: [0.95]", "cure-black.price.auto"),
        ("{quantile: 0.9,", "{quantile: 1,", "cure-black.promise.quantile: be less than 1"),
        ("kind: visibility", "kind: reduction", "kind: reduction and a depth above 0 belong together"),
        ("calendar: mon-sat 06-14", "calendar: mo-sa 06-14", "'mo-sa' is no weekday; they are mon, tue, wed, thu, fri"),
        ("calendar: mon-fri 06-22", "calendar: mon-fri", "site.calendar: calendar 'mon-fri': days and hours"),
        ("calendar: mon-fri 08-16", "calendar: 08-16", "machines.oven-1.calendar: "),
        ("holidays: [2026-12-24]", "holidays: [24.12.]", "site.holidays[0]: must be a day such as 2026-05-04"),
        (
            "currency: SEK}",
            "curency: SEK}",
            "kvot.yaml:2:1: pricing.currency: missing; the currency in which the costs un",
        ),
        ("mode: advise", "mode: on", "pricing.mode: 'on' is not known; known: advise, auto, off"),
        ("    tax_rate: 0.25\n", "", "shops.webshop.tax_rate: missing; prices that follow runs are reckoned without"),
        (
            "currency: SEK}",
            "currency: EUR}",
            "shops.webshop.prices: families are priced in EUR, this shop sells in SEK",
        ),
    ],
)
def test_a_mistake_in_a_family_is_named_with_its_cure(tmp_path: Path, old: str, new: str, fault: str) -> None:
    found = faults(tmp_path, changed(old, new, FULL))
    assert any(fault in line for line in found), found
    assert all(line.startswith("kvot.yaml:") for line in found)


def test_a_countdown_needs_to_know_its_buyers_and_the_length_of_a_cycle(tmp_path: Path) -> None:
    text = FULL.replace(FULL[FULL.index("    demand:") : FULL.index("    price:")], "").replace(
        ", release: latest", ", window_h: 9, release: latest"
    )
    (found,) = faults(tmp_path, text)
    assert found.startswith("kvot.yaml:42:3: families.cure-black.demand: missing; what is believed of the buyers")
    assert len(faults(tmp_path, FULL.replace("    cycle_s: 480\n", ""))) == 2


def test_the_cycle_of_a_family_may_stand_at_its_recipes(tmp_path: Path) -> None:
    press = (
        "{machines: [press-1], policy: static, run: {places: 9, release: latest_start, window_h: 1},"
        " promise: {static_days: 5}}"
    )
    text = FULL.replace("\n    machines: [press-1]\n    promise: {static_days: 5}\n", f" {press}\n")
    (found,) = faults(tmp_path, text)
    assert "families.pla-white.cycle_s: missing; the length of a run follows from it" in found
    from tests.settings.site import PROFILE

    settings = good(tmp_path, text, profile=PROFILE.replace('version: "1"\n', 'version: "1"\n    cycle_s: 20\n'))
    assert settings.rules("pla-white", list_minor=100).capacity.rate_h == 180


def test_a_tool_can_only_be_read_from_a_machine_that_names_it(tmp_path: Path) -> None:
    press = "{machines: [press-1], setup: {cost: 1, hours: 1, tool_code: T7}, promise: {static_days: 5}}"
    text = FULL.replace("\n    machines: [press-1]\n    promise: {static_days: 5}\n", f" {press}\n")
    (found,) = faults(tmp_path, text)
    assert (
        "pla-white.setup.tool_code: machine 'press-1' (profile press) names no fitted tool; give the profile" in found
    )


def test_prices_are_only_written_where_some_price_moves(tmp_path: Path) -> None:
    text = changed("    currency: SEK\n", "    currency: SEK\n    prices: true\n", FACTORY)
    (found,) = faults(tmp_path, text)
    assert "shops.webshop.prices: no family has a price that moves" in found


def test_families_without_runs_need_no_money_at_all(tmp_path: Path) -> None:
    settings = good(tmp_path)
    assert (settings.pricing.mode, settings.pricing.currency) == ("advise", None)
    assert settings.families["pla-white"].policy_name == "static"


def test_what_is_planned_by_belief_alone_is_a_warning(tmp_path: Path) -> None:
    text = changed("visitors: 270", "visitors: shop", changed("mode: advise", "mode: off", FULL))
    warnings = "\n".join(str(warning) for warning in good(tmp_path, text).warnings)
    assert "families.cure-black.demand.visitors: no shop tells its visitors yet" in warnings
    assert "shops.webshop.prices: nothing is written while pricing.mode is off" in warnings


def test_the_plan_of_each_family_is_told_in_words(tmp_path: Path) -> None:
    told = {line.partition(": ")[0]: line for line in facts(good(tmp_path, FULL))}
    assert told["family pla-white"] == "family pla-white: made to order on press-1; list price, promised in 5 days"
    assert "runs of up to 120 places that start at their latest start or when full (44 is" in told["family cure-black"]
    assert "with 27 units a day a window of " in told["family cure-black"]
    assert (
        "each piece takes 1 BLANK-12; one run at a time has RACK-1; a first piece is held" in told["family cure-black"]
    )
    assert " SEK a unit; break-even " in told["family cure-black"]
    assert "countdown: a run's first order sets its latest start, and later ones are" in told["family cure-black"]
    assert (
        "list price while it fills as planned, up to 1.1 where places get scarce, down to 0.95"
        in told["family cure-black"]
    )
    assert (
        "a campaign (visibility) within the last 24 h while a visitor is worth 1.5 times his 7 SEK"
        in told["family cure-black"]
    )
    assert told["family cure-black"].endswith(
        "each change of price and each campaign waits for a person (pricing.mode)"
    )
    assert "a run collects for 96 h; break-even and promise follow when the shop has told" in told["family cure-white"]
    assert "price 1.15 of the list price while a run is empty, 0.95 when it is full" in told["family cure-white"]
    assert "a campaign in the last 24 h" in told["family cure-white"]
    assert "then pack by a person at packing, promised by its run of cure-white" in told["product SET-12"]
    assert "cure by recipe cure on oven-1 (cure-white), in batches of 10" in told["product SET-12"]
    assert told["machine packing"].startswith("machine packing: a station (station): people see tickets")


def test_without_a_campaign_of_its_own_a_family_that_counts_down_has_none(tmp_path: Path) -> None:
    text = "\n".join(line for line in FULL.splitlines() if "campaign: {" not in line)
    told = {line.partition(": ")[0]: line for line in facts(good(tmp_path, text.replace("mode: advise", "mode: auto")))}
    assert "; no campaign; beyond 0.95 to 1.1 of the list price a person is asked" in told["family cure-black"]


def test_the_words_agree_with_what_the_formulas_give(tmp_path: Path) -> None:
    """D* = sqrt(2K / ((p-c) u g)) with p - c = 149/1.25 - 3 fees - (31 + 0.6)/0.8 - 2 - 60/24 and g = 0.12 * 0.9."""
    line = next(line for line in facts(good(tmp_path, FULL)) if line.startswith("family cure-black"))
    margin = 149 / 1.25 - 3 - (31 + 0.5 * 1.2) / 0.8 - 2 - 60 / 24
    window_h = 24 * (2 * 1200 / (27 * margin * 0.12 * 0.9)) ** 0.5
    units = 27 * window_h / 24
    assert f"a window of {window_h:.0f} h makes runs of about {units:.0f} units" in line
    assert f"set-up is {1200 / units:.2f} SEK a unit; break-even {-(-1200 // margin):.0f} units" in line


def test_a_price_below_cost_is_said_to_earn_nothing(tmp_path: Path) -> None:
    line = next(
        line
        for line in facts(good(tmp_path, changed("list_price: 149", "list_price: 40", FULL)))
        if "cure-black:" in line
    )
    assert "no number of units earns the set-up: a piece costs more than its price without tax" in line


def test_a_shop_in_another_currency_is_told_that_it_gets_no_prices(tmp_path: Path) -> None:
    other = (
        "  abroad: {type: woocommerce, url: 'https://b.example', key: !secret a, secret: !secret b, currency: EUR}\n"
    )
    warnings = good(tmp_path, changed("products:\n", f"{other}products:\n", FULL)).warnings
    assert [warning.text for warning in warnings if warning.path == "shops.abroad.currency"] == [
        "families are priced in SEK: this shop gets promises from them, but no prices"
    ]


def test_an_express_run_is_for_families_whose_runs_gather(tmp_path: Path) -> None:
    promise = "    promise: {static_days: 5}\n"
    good(tmp_path, changed(promise, f"{promise}    express: {{enabled: false}}\n"))
    assert good(tmp_path, FULL).express() == {"cure-black": Express(approval=True)}
    with pytest.raises(SettingsError, match=r"express: every order of this family is made at once already"):
        good(tmp_path, changed(promise, f"{promise}    express: {{}}\n"))


def test_material_tools_and_batches_are_acted_upon(tmp_path: Path) -> None:
    kept = "    needs: {material: {BLANK-12: 1}, tools: [RACK-1]}\n"
    text = changed('    setup: {cost: 1200, hours: 3, tool_code: "7"}\n', "    setup: {cost: 1200, hours: 3}\n", FULL)
    text = changed("first_piece: true}\n" + kept, "first_piece: false}\n" + kept, text)
    settings = load(write(tmp_path, text), secrets=False)
    assert settings.range().families["cure-black"].needs.tools == ("RACK-1",)
